"""Every kind of item: what a form may say, what it is worth, how it reads."""

from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from provider.core.kinds.assessment.items import (
    ITEM_KINDS,
    MAX_TEXT_LENGTH,
    Item,
    Likert,
    MultipleChoice,
    Numeric,
    Option,
    ShortText,
    SingleChoice,
    TrueFalse,
)
from provider.core.kinds.assessment.number_parsing import format_number, parse_number
from provider.errors import Invalid

OPTIONS = (
    Option("a", "Athens", correct=True),
    Option("b", "Berlin"),
    Option("c", "Cairo"),
    Option("d", "Delhi"),
)
SINGLE = SingleChoice(key="one", prompt="Which?", options=OPTIONS)
MULTIPLE = MultipleChoice(
    key="many",
    prompt="Which?",
    options=(*OPTIONS[:2], Option("c", "Cairo", correct=True), OPTIONS[3]),
)
STATEMENT = TrueFalse(key="statement", prompt="So?", answer=False)
NUMBER = Numeric(
    key="number", prompt="How many?", answer=Decimal("12.5"), tolerance=Decimal("0.1"), unit="km"
)
TEXT = ShortText(key="text", prompt="Who?", accepted=("Marie Curie", "Straße"))
SCALE = Likert(key="scale", prompt="How much?", labels=("Never", "Sometimes", "Always"))
ALL: tuple[Item, ...] = (SINGLE, MULTIPLE, STATEMENT, NUMBER, TEXT, SCALE)


def answer(item: Item, *values: str) -> Any:
    return item.parse_answer(MultiDict([("answer", value) for value in values]))


def refusal(item: Item, *values: str) -> str:
    with pytest.raises(Invalid) as caught:
        answer(item, *values)
    return str(caught.value)


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.kind)
def test_nothing_and_blanks_are_no_answer(item: Item) -> None:
    assert answer(item) is None
    assert answer(item, "") is None
    assert answer(item, " \t ") is None
    assert item.parse_answer({}) is None
    assert item.parse_answer({"answer": None}) is None
    assert item.parse_answer({"answer": []}) is None


@pytest.mark.parametrize(
    ("item", "values"),
    [
        (SINGLE, ["a"]),
        (MULTIPLE, ["b", "c"]),
        (STATEMENT, ["false"]),
        (NUMBER, ["-12.5"]),
        (TEXT, ["Marie Curie"]),
        (SCALE, ["3"]),
    ],
)
def test_an_answer_gives_the_form_again(item: Item, values: list[str]) -> None:
    value = answer(item, *values)
    assert item.form_values(value) == values
    assert answer(item, *item.form_values(value)) == value
    assert item.parse_answer({"answer": value}) == value


def test_no_answer_marks_nothing_in_the_form() -> None:
    assert [text for item in ALL for text in item.form_values(None) if text] == []


@pytest.mark.parametrize("item", [SINGLE, STATEMENT, NUMBER, TEXT, SCALE], ids=lambda i: i.kind)
def test_two_answers_where_one_is_asked_are_refused(item: Item) -> None:
    assert refusal(item, "1", "2") in {
        "Give one answer only",
    }


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.kind)
def test_a_value_that_no_form_sends_is_refused(item: Item) -> None:
    with pytest.raises(Invalid, match="could not be read"):
        item.parse_answer({"answer": {"a": 1}})


def test_a_single_choice_is_right_or_wrong() -> None:
    assert SINGLE.score(answer(SINGLE, "a")) == 1
    assert SINGLE.score(answer(SINGLE, "b")) == 0
    assert SINGLE.format_answer("b") == "Berlin"
    assert SINGLE.solution == "Athens"
    assert "not one of the choices" in refusal(SINGLE, "z")


@pytest.mark.parametrize(
    ("chosen", "worth"),
    [
        ("ac", Fraction(1)),
        ("a", Fraction(1, 2)),
        ("ab", Fraction(0)),
        ("acb", Fraction(1, 2)),
        ("abcd", Fraction(0)),
        ("bd", Fraction(0)),
    ],
)
def test_a_multiple_choice_gives_what_is_right_less_what_is_wrong(
    chosen: str, worth: Fraction
) -> None:
    assert MULTIPLE.score(answer(MULTIPLE, *chosen)) == worth


def test_a_multiple_choice_reads_in_the_order_of_its_options_each_once() -> None:
    assert answer(MULTIPLE, "c", "a", "c") == ["a", "c"]
    assert MULTIPLE.format_answer(["c", "a"]) == "Athens; Cairo"
    assert MULTIPLE.solution == "Athens; Cairo"
    assert "not one of the choices" in refusal(MULTIPLE, "a", "z")


def test_a_statement_is_true_or_false() -> None:
    assert answer(STATEMENT, "true") is True
    assert STATEMENT.score(True) == 0
    assert STATEMENT.score(False) == 1
    assert (STATEMENT.format_answer(True), STATEMENT.solution) == ("True", "False")
    assert refusal(STATEMENT, "maybe") == "Choose true or false"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("12", "12"),
        ("+12", "12"),
        (" 12.50 ", "12.5"),
        ("1,234.5", "1234.5"),
        ("1.234,5", "1234.5"),
        ("1234,5", "1234.5"),
        ("1,234", "1234"),
        ("1.234", "1.234"),
        ("0,123", "0.123"),
        ("12,34", "12.34"),
        ("1234,567", "1234.567"),
        ("1,234,567", "1234567"),
        ("1.234.567", "1234567"),
        ("1.234.567,8", "1234567.8"),
        ("1 234,5", "1234.5"),
        ("1\u00a0234\u202f567", "1234567"),
        ("1'234.5", "1234.5"),
        (",5", "0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("\u22123", "-3"),
        ("\u20133", "-3"),
        ("- 3", "-3"),
        ("-0", "0"),
        ("0.00", "0"),
        ("1e3", "1000"),
        ("1E-2", "0.01"),
        ("1,5e3", "1500"),
        ("100", "100"),
        ("١٢٫٥", "12.5"),
    ],
)
def test_a_number_is_read_in_any_countrys_way(written: str, meant: str) -> None:
    assert format_number(parse_number(written)) == meant


@pytest.mark.parametrize(
    "written",
    [
        "NaN",
        "inf",
        "-Infinity",
        "12 km",
        "twelve",
        "1,23,4",
        "1,2345,678",
        "1.2.3",
        ",",
        "-",
        "1,234.567.8",
        "1.234,567,8",
        "1..2",
        "--1",
        "1e",
        "e3",
        "1e9999",
        "0x10",
        "1,,000",
        "1_000",
        "1e-30",
        "1e30",
        "9" * 41,
        "1,234,56",
        "²",
        "1/2",
    ],
)
def test_what_is_no_number_is_answered_with_advice(written: str) -> None:
    assert refusal(NUMBER, written).startswith(("Write a number only", "This number is too"))


@pytest.mark.parametrize(
    ("written", "worth"),
    [("12.4", 1), ("12.6", 1), ("12,5", 1), ("12.39", 0), ("12.6000000000000000001", 0)],
)
def test_both_ends_of_the_tolerance_are_right_exactly(written: str, worth: int) -> None:
    assert NUMBER.score(answer(NUMBER, written)) == worth


def test_a_number_is_shown_with_its_unit_and_tolerance() -> None:
    assert NUMBER.format_answer("12.5") == "12.5 km"
    assert NUMBER.solution == "12.5 km (± 0.1)"
    assert Numeric(key="n", prompt="?", answer=Decimal("1e3")).solution == "1000"


@pytest.mark.parametrize(
    ("written", "worth"),
    [
        ("marie  CURIE ", 1),
        ("Marie\u00a0Curie", 1),
        ("Ｍarie Curie", 1),
        ("STRASSE", 1),
        ("Marie", 0),
        ("MarieCurie", 0),
    ],
)
def test_text_is_compared_without_case_and_spacing(written: str, worth: int) -> None:
    assert TEXT.score(answer(TEXT, written)) == worth


def test_text_is_kept_clean_and_short() -> None:
    assert answer(TEXT, "a\x00b\n c\ud800") == "a b c"
    assert TEXT.format_answer("a b") == "a b"
    assert TEXT.solution == "Marie Curie / Straße"
    assert "too long" in refusal(TEXT, "x" * (MAX_TEXT_LENGTH + 1))


def test_a_scale_scores_by_position_in_its_direction() -> None:
    backwards = Likert(key="b", prompt="?", labels=SCALE.labels, reversed=True)
    assert [SCALE.score(position) for position in (1, 2, 3)] == [0, Fraction(1, 2), 1]
    assert [backwards.score(position) for position in (1, 2, 3)] == [1, Fraction(1, 2), 0]
    assert SCALE.format_answer(2) == "Sometimes"
    assert SCALE.solution is None
    assert "not on the scale" in refusal(SCALE, "4")
    assert "not on the scale" in refusal(SCALE, "0")


def test_mixing_depends_on_the_seed_alone() -> None:
    orders = {tuple(o.key for o in SINGLE.shuffled_options(f"order{n}", True)) for n in range(50)}
    assert len(orders) > 5
    assert all(set(order) == set("abcd") for order in orders)
    assert SINGLE.shuffled_options("order1", True) == SINGLE.shuffled_options("order1", True)
    assert SINGLE.shuffled_options("order1", False) == OPTIONS


def test_an_item_may_overrule_whether_the_test_mixes() -> None:
    fixed = SingleChoice(key="f", prompt="?", options=OPTIONS, shuffle=False)
    mixed = SingleChoice(key="f", prompt="?", options=OPTIONS, shuffle=True)
    assert fixed.shuffled_options("seed2", True) == OPTIONS
    assert {mixed.shuffled_options(f"seed{n}", False) for n in range(9)} != {OPTIONS}


def test_an_item_without_a_right_answer_says_so_and_scores_nothing() -> None:
    unmarked = (Option("a", "A"), Option("b", "B"))
    flawed: dict[str, Item] = {
        "options": SingleChoice(key="s", prompt="?", options=unmarked),
        "answer": TrueFalse(key="t", prompt="?"),
        "accepted": ShortText(key="x", prompt="?"),
    }
    for field, item in flawed.items():
        assert item.scoring_problem is not None
        assert item.scoring_problem[0] == field
        assert item.solution is None
    for item, value in (
        (MultipleChoice(key="m", prompt="?", options=unmarked), ["a"]),
        (Numeric(key="n", prompt="?"), "1"),
        (flawed["options"], "a"),
        (flawed["answer"], True),
        (flawed["accepted"], "a"),
    ):
        assert item.scoring_problem
        assert item.solution is None
        assert item.score(value) == 0
    assert all(item.scoring_problem is None for item in ALL)


def test_every_kind_is_known_by_its_word() -> None:
    assert [item.kind for item in ALL] == list(ITEM_KINDS)


FORMS = st.lists(
    st.text(max_size=50)
    | st.text("0123456789.,-+eE '\u2212\u00a0", max_size=45)
    | st.sampled_from(["a", "b", "c", "true", "false", "1", "2", "3"]),
    max_size=4,
)


@settings(deadline=None)
@given(st.sampled_from(ALL), FORMS)
@example(NUMBER, ["1e999999999"])
@example(NUMBER, ["٣" * 40])
def test_any_form_is_an_answer_worth_0_to_1_or_a_clear_refusal(
    item: Item, values: list[str]
) -> None:
    with suppress(Invalid):
        value = answer(item, *values)
        if value is not None:
            assert 0 <= item.score(value) <= 1
            assert item.format_answer(value)
            assert answer(item, *item.form_values(value)) == value


@settings(deadline=None)
@given(st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False, places=4))
def test_a_written_number_reads_back_exactly(number: Decimal) -> None:
    assert parse_number(format_number(number)) == number
    assert parse_number(f"{number:,}") == number
