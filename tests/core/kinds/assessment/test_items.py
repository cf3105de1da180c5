"""Every kind of item: parsing, scoring and formatting of answers."""

from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from provider.core.kinds.assessment.items import (
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
ALL_ITEMS: tuple[Item, ...] = (SINGLE, MULTIPLE, STATEMENT, NUMBER, TEXT, SCALE)


def parse_values(item: Item, *values: str) -> Any:
    return item.parse_answer(MultiDict([("answer", value) for value in values]))


def parse_error(item: Item, *values: str) -> str:
    with pytest.raises(Invalid) as caught:
        parse_values(item, *values)
    return str(caught.value)


@pytest.mark.parametrize("item", ALL_ITEMS, ids=lambda item: item.kind)
def test_parse_answer_blank_is_none(item: Item) -> None:
    assert parse_values(item) is None
    assert parse_values(item, "") is None
    assert parse_values(item, " \t ") is None
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
def test_form_fields_reproduce_the_answer(item: Item, values: list[str]) -> None:
    value = parse_values(item, *values)
    assert item.form_fields(value) == [("answer", text) for text in values]
    assert item.parse_answer(MultiDict(item.form_fields(value))) == value
    assert item.parse_answer({"answer": value}) == value


def test_form_fields_of_a_blank_are_empty() -> None:
    assert [text for item in ALL_ITEMS for text in item.form_fields(None)] == []


@pytest.mark.parametrize(
    "item", [SINGLE, STATEMENT, NUMBER, TEXT, SCALE], ids=lambda item: item.kind
)
def test_parse_answer_two_values_are_refused(item: Item) -> None:
    assert parse_error(item, "1", "2") == "Give one answer only"


@pytest.mark.parametrize("item", ALL_ITEMS, ids=lambda item: item.kind)
def test_parse_answer_mapping_is_refused(item: Item) -> None:
    with pytest.raises(Invalid, match="could not be read"):
        item.parse_answer({"answer": {"a": 1}})


def test_single_choice_scores_1_or_0() -> None:
    assert SINGLE.score(parse_values(SINGLE, "a")) == 1
    assert SINGLE.score(parse_values(SINGLE, "b")) == 0
    assert SINGLE.format_answer("b") == "Berlin"
    assert SINGLE.solution == "Athens"
    assert "not one of the choices" in parse_error(SINGLE, "z")


@pytest.mark.parametrize(
    ("chosen", "score"),
    [
        ("ac", Fraction(1)),
        ("a", Fraction(1, 2)),
        ("ab", Fraction(0)),
        ("acb", Fraction(1, 2)),
        ("abcd", Fraction(0)),
        ("bd", Fraction(0)),
    ],
)
def test_multiple_choice_wrong_options_cancel_right_ones(chosen: str, score: Fraction) -> None:
    assert MULTIPLE.score(parse_values(MULTIPLE, *chosen)) == score


def test_multiple_choice_answer_is_ordered_and_unique() -> None:
    assert parse_values(MULTIPLE, "c", "a", "c") == ["a", "c"]
    assert MULTIPLE.format_answer(["c", "a"]) == "Athens; Cairo"
    assert MULTIPLE.solution == "Athens; Cairo"
    assert "not one of the choices" in parse_error(MULTIPLE, "a", "z")


def test_true_false_parses_and_scores() -> None:
    assert parse_values(STATEMENT, "true") is True
    assert STATEMENT.score(True) == 0
    assert STATEMENT.score(False) == 1
    assert (STATEMENT.format_answer(True), STATEMENT.solution) == ("True", "False")
    assert parse_error(STATEMENT, "maybe") == "Choose true or false"


@pytest.mark.parametrize(
    ("text", "score"),
    [("12.4", 1), ("12.6", 1), ("12,5", 1), ("12.39", 0), ("12.6000000000000000001", 0)],
)
def test_numeric_tolerance_includes_both_ends(text: str, score: int) -> None:
    assert NUMBER.score(parse_values(NUMBER, text)) == score


def test_numeric_shows_unit_and_tolerance() -> None:
    assert NUMBER.format_answer("12.5") == "12.5 km"
    assert NUMBER.solution == "12.5 km (± 0.1)"
    assert Numeric(key="n", prompt="?", answer=Decimal("1e3")).solution == "1000"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("marie  CURIE ", 1),
        ("Marie\u00a0Curie", 1),
        ("Ｍarie Curie", 1),
        ("STRASSE", 1),
        ("Marie", 0),
        ("MarieCurie", 0),
    ],
)
def test_short_text_ignores_case_and_spacing(text: str, score: int) -> None:
    assert TEXT.score(parse_values(TEXT, text)) == score


def test_short_text_is_cleaned_and_limited() -> None:
    assert parse_values(TEXT, "a\x00b\n c\ud800") == "a b c"
    assert TEXT.format_answer("a b") == "a b"
    assert TEXT.solution == "Marie Curie / Straße"
    assert "too long" in parse_error(TEXT, "x" * (MAX_TEXT_LENGTH + 1))


def test_likert_scores_by_position_and_direction() -> None:
    reversed_scale = Likert(key="b", prompt="?", labels=SCALE.labels, reversed=True)
    assert [SCALE.score(position) for position in (1, 2, 3)] == [0, Fraction(1, 2), 1]
    assert [reversed_scale.score(position) for position in (1, 2, 3)] == [1, Fraction(1, 2), 0]
    assert SCALE.format_answer(2) == "Sometimes"
    assert SCALE.solution is None
    assert "not on the scale" in parse_error(SCALE, "4")
    assert "not on the scale" in parse_error(SCALE, "0")


def test_shuffled_options_depend_on_the_seed_alone() -> None:
    sequences = {
        tuple(option.key for option in SINGLE.shuffled_options(f"order{number}", True))
        for number in range(50)
    }
    assert len(sequences) > 5
    assert all(set(sequence) == set("abcd") for sequence in sequences)
    assert SINGLE.shuffled_options("order1", True) == SINGLE.shuffled_options("order1", True)
    assert SINGLE.shuffled_options("order1", False) == OPTIONS


def test_shuffled_options_item_overrides_the_test() -> None:
    fixed = SingleChoice(key="f", prompt="?", options=OPTIONS, shuffle=False)
    shuffled = SingleChoice(key="f", prompt="?", options=OPTIONS, shuffle=True)
    assert fixed.shuffled_options("seed2", True) == OPTIONS
    assert {shuffled.shuffled_options(f"seed{number}", False) for number in range(9)} != {OPTIONS}


def test_item_without_right_answer_has_a_scoring_problem_and_scores_0() -> None:
    options = (Option("a", "A"), Option("b", "B"))
    items_by_field: dict[str, Item] = {
        "options": SingleChoice(key="s", prompt="?", options=options),
        "answer": TrueFalse(key="t", prompt="?"),
        "accepted": ShortText(key="x", prompt="?"),
    }
    for field, item in items_by_field.items():
        assert item.scoring_problem is not None
        assert item.scoring_problem[0] == field
        assert item.solution is None
    for item, value in (
        (MultipleChoice(key="m", prompt="?", options=options), ["a"]),
        (Numeric(key="n", prompt="?"), "1"),
        (items_by_field["options"], "a"),
        (items_by_field["answer"], True),
        (items_by_field["accepted"], "a"),
    ):
        assert item.scoring_problem
        assert item.solution is None
        assert item.score(value) == 0
    assert all(item.scoring_problem is None for item in ALL_ITEMS)


FORMS = st.lists(
    st.text(max_size=50)
    | st.text("0123456789.,-+eE '\u2212\u00a0", max_size=45)
    | st.sampled_from(["a", "b", "c", "true", "false", "1", "2", "3"]),
    max_size=4,
)


@settings(deadline=None)
@given(st.sampled_from(ALL_ITEMS), FORMS)
@example(NUMBER, ["1e999999999"])
@example(NUMBER, ["٣" * 40])
def test_parse_answer_any_form_scores_0_to_1_or_is_refused(item: Item, values: list[str]) -> None:
    with suppress(Invalid):
        value = parse_values(item, *values)
        if value is not None:
            assert 0 <= (item.score(value) or 0) <= 1
            assert item.format_answer(value)
            assert item.parse_answer(MultiDict(item.form_fields(value))) == value
