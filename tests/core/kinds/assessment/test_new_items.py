"""Items with several fields or with their own scores: reading, scoring and formatting."""

from fractions import Fraction
from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from provider.core.kinds.assessment import content, scoring
from provider.core.kinds.assessment.items import ITEM_KINDS, Item
from provider.core.kinds.assessment.items.gap_fill import GapFill
from provider.core.kinds.assessment.items.ordering import Ordering
from provider.errors import Invalid

Json = dict[str, Any]


def load(kind: str, **changes: Any) -> Item:
    """Return the item of the kind's example, with some fields changed."""
    item: Item = ITEM_KINDS[kind].schema.load({**ITEM_KINDS[kind].example, **changes})
    return item


def document_error(kind: str, *, weight: int = 1, **changes: Any) -> str:
    """Return the error of a test with the changed example in a section."""
    item = {**ITEM_KINDS[kind].example, **changes}
    section = {"key": "one", "title": "One", "weight": weight, "items": [item]}
    with pytest.raises(Invalid) as caught:
        content.parse({"name": "Sums", "sections": [section]})
    return str(caught.value).removeprefix("sections[0].items[0].")


def form(**fields: str) -> MultiDict[str, str]:
    """Return a form with the fields `answer.KEY`; `answer` is a field of its own."""
    names = {key: "answer" if key == "answer" else f"answer.{key}" for key in fields}
    return MultiDict([(names[key], value) for key, value in fields.items()])


def form_error(item: Item, raw: MultiDict[str, str]) -> str:
    with pytest.raises(Invalid) as caught:
        item.parse_answer(raw)
    return str(caught.value)


# situational_judgement


def test_situational_judgement_earns_the_share_of_the_highest_score() -> None:
    item = load("situational_judgement")
    shares = [item.score(key) for key in ("offer", "manager", "wait")]
    assert shares == [1, Fraction(1, 3), 0]
    assert [item.points_for(key) for key in ("offer", "manager", None)] == [3, 1, 0]
    assert item.format_answer("manager") == "Ask the manager to decide"
    assert item.solution is None


def test_situational_judgement_without_scores_belongs_to_no_score() -> None:
    options = [{"key": key, "text": key} for key in ("a", "b")]
    assert document_error("situational_judgement", options=options) == (
        "options: should have at least one with a score above 0"
    )
    assert load("situational_judgement", options=options).score("a") == 0
    assert "not known here" in document_error("situational_judgement", wrong_points=1)


# forced_choice


def test_forced_choice_reads_two_statements_and_keeps_one() -> None:
    item = load("forced_choice")
    answer = item.parse_answer(form(most="plans", least="late"))
    assert answer == {"most": "plans", "least": "late"}
    assert item.format_answer(answer) == (
        "Most: I plan my day before I begin.; least: I often begin later than I meant to."
    )
    half = item.parse_answer(form(least="late", most=""))
    assert half == {"least": "late"}
    assert item.format_answer(half) == "Most: –; least: I often begin later than I meant to."
    assert [item.is_answered(value) for value in (answer, half, None)] == [True, False, False]
    assert item.parse_answer(form(most="", least="")) is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"most": "plans", "least": "plans"}, "two different statements"),
        ({"most": "nothing"}, "not one of the choices"),
        ({"middle": "plans"}, "could not be read"),
    ],
)
def test_forced_choice_refuses_what_is_no_answer(fields: dict[str, str], problem: str) -> None:
    assert problem in form_error(load("forced_choice"), form(**fields))


def test_forced_choice_tells_about_traits_and_has_no_score() -> None:
    item = load("forced_choice")
    shares = list(item.trait_shares({"most": "plans", "least": "late"}))
    half = Fraction(1, 2)
    assert shares == [("Order", 1), ("Teamwork", half), ("Openness", half), ("Order", 1)]
    assert list(item.trait_shares({"most": "plans"})) == []
    assert document_error("forced_choice").startswith("kind: has no score")


def test_half_answered_forced_choice_counts_as_open() -> None:
    example = {**ITEM_KINDS["forced_choice"].example, "required": True}
    section = {"key": "one", "title": "One", "weight": 0, "items": [example]}
    test = content.parse({"name": "Style", "sections": [section]})
    half: Json = {"at-work": {"most": "plans"}}
    assert [item.key for item in test.unanswered_required(half)] == ["at-work"]
    assert scoring.score(test, half).details == {"One": {"Answered": "0 of 1"}}
    full: Json = {"at-work": {"most": "plans", "least": "late"}}
    figures = {"Answered": "1 of 1", "Order": 100, "Teamwork": 50, "Openness": 50}
    assert scoring.score(test, full).details == {"One": figures}


# ordering


def test_ordering_moves_the_shown_option_until_it_is_at_the_end() -> None:
    item = load("ordering")
    start = MultiDict({"order": "note offer repeat listen", "move": "up listen"})
    value = item.parse_answer(start)
    assert value == ["note", "offer", "listen", "repeat"]
    for expected in (["note", "listen"], ["listen", "note"], ["listen", "note"]):
        value = item.parse_answer(MultiDict([*item.form_fields(value), ("move", "up listen")]))
        assert value[:2] == expected
    down = MultiDict([*item.form_fields(value), ("move", "down note")])
    assert item.parse_answer(down) == ["listen", "offer", "note", "repeat"]


def test_ordering_kept_order_is_an_answer_and_an_untouched_one_is_blank() -> None:
    item = load("ordering")
    shown = {"order": "note offer repeat listen"}
    assert item.parse_answer(MultiDict({**shown, "move": "keep"})) == shown["order"].split()
    untouched = {f"answer.{key}": "" for key in shown["order"].split()}
    assert item.parse_answer(MultiDict({**shown, **untouched})) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"answer.listen": "1"},
        {"answer.listen": "1", "answer.repeat": "1", "answer.offer": "2", "answer.note": "3"},
        {"move": "up listen", "order": "listen repeat"},
        {"move": "up nothing", "order": "note offer repeat listen"},
        {"move": "sideways note", "order": "note offer repeat listen"},
    ],
)
def test_ordering_refuses_a_form_that_is_no_order(fields: dict[str, str]) -> None:
    assert "could not be read" in form_error(load("ordering"), MultiDict(fields))


def test_ordering_scores_right_places_or_the_whole_order() -> None:
    orders = ("listen repeat offer note", "listen repeat note offer", "note listen repeat offer")
    shares = [load("ordering").score(order.split()) for order in orders]
    assert shares == [1, Fraction(1, 2), 0]
    whole = [load("ordering", partial=False).score(order.split()) for order in orders]
    assert whole == [1, 0, 0]
    text = load("ordering").format_answer(["note", "listen", "repeat", "offer"])
    assert text.startswith("1. Write the complaint down; 2. Listen to")


def test_ordering_first_shows_a_mixed_order_that_is_never_the_right_one() -> None:
    item = load("ordering", options=[{"key": key, "text": key} for key in "abc"])
    assert isinstance(item, Ordering)
    orders = {
        tuple(option.key for option in item.options_to_show({}, f"order{number}"))
        for number in range(60)
    }
    assert len(orders) == 5
    assert ("a", "b", "c") not in orders
    saved = dict(item.form_fields(["c", "a", "b"]))
    assert [option.key for option in item.options_to_show(saved, "order1")] == ["c", "a", "b"]


# matching


def test_matching_reads_scores_and_shows_pairs() -> None:
    item = load("matching")
    answer = item.parse_answer(form(japan="japan", india="krone", poland=""))
    assert answer == {"japan": "japan", "india": "krone"}
    assert item.score(answer) == Fraction(1, 3)
    assert load("matching", partial=False).score(answer) == 0
    assert item.format_answer(answer) == "Japan – Yen; India – Krone"
    assert item.solution == "Japan – Yen; India – Rupee; Poland – Złoty"
    assert not item.is_answered(answer)
    assert item.is_answered(dict.fromkeys(("japan", "india", "poland"), "krone"))
    assert "not one of the choices" in form_error(item, form(japan="euro"))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"extra": [{"key": "other", "text": "Yen"}]}, "extra[0].text: is already used by a pair"),
        ({"extra": [{"key": "japan", "text": "Won"}]}, "extra[0].key: is already used by a pair"),
    ],
)
def test_matching_refuses_right_sides_that_look_the_same(changes: Json, problem: str) -> None:
    assert document_error("matching", **changes) == problem


# gap_fill


def test_gap_fill_reads_scores_and_shows_the_filled_text() -> None:
    item = load("gap_fill")
    answer = item.parse_answer(form(degrees=" HUNDRED ", state="freezes"))
    assert answer == {"degrees": "HUNDRED", "state": "freezes"}
    assert item.score(answer) == 1
    assert item.format_answer(answer) == (
        "At sea level water boils at [HUNDRED] °C and [freezes] at 0 °C."
    )
    half = item.parse_answer(form(degrees="90", state="freezes"))
    assert item.score(half) == Fraction(1, 2)
    assert load("gap_fill", partial=False).score(half) == 0
    one = item.parse_answer(form(degrees="", state="melts"))
    assert item.format_answer(one).startswith("At sea level water boils at […] °C and [evap")
    assert [item.is_answered(value) for value in (answer, one)] == [True, False]
    assert item.solution == (
        "At sea level water boils at [100 / hundred] °C and [freezes] at 0 °C."
    )


def test_gap_fill_html_is_cut_at_its_gaps() -> None:
    item = load("gap_fill", text="<b> **{{degrees}}** and {{state}}")
    assert isinstance(item, GapFill)
    pieces = [(html, gap.key if gap else None) for html, gap in item.text_pieces()]
    assert pieces == [
        ("<p>&lt;b&gt; <strong>", "degrees"),
        ("</strong> and ", "state"),
        ("</p>\n", None),
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"text": "{{degrees}}"}, "text: should have {{state}} once"),
        ({"text": "{{degrees}} {{state}} {{state}}"}, "text: should have {{state}} once"),
        ({"text": "{{degrees}} [a](https://b.c '{{state}}')"}, "text: should have {{state}} once"),
        ({"text": "{{degrees}} {{state}} {{x}}"}, "text: has {{x}}, which is none of the gaps"),
        (
            {"text": "{{a}}", "gaps": [{"key": "a"}]},
            "gaps: should each have accepted texts, or an option that is correct",
        ),
    ],
)
def test_gap_fill_text_has_each_gap_once(changes: Json, problem: str) -> None:
    assert document_error("gap_fill", **changes) == problem


def test_gap_fill_refuses_unknown_options_and_long_texts() -> None:
    item = load("gap_fill")
    assert "not one of the choices" in form_error(item, form(state="boils"))
    assert "too long" in form_error(item, form(degrees="x" * 201))


# long_text


def test_long_text_keeps_its_lines_within_its_limits() -> None:
    item = load("long_text", max_length=30, max_words=4)
    assert item.parse_answer(form(answer=" One  \r\n\r\n two\x00 ")) == "One\n\n two"
    assert "at most 30 characters" in form_error(item, form(answer="x" * 31))
    assert "5 words. Write at most 4" in form_error(item, form(answer="a b c\nd e"))
    assert item.score("One") is None
    assert item.points_for("One") is None
    assert item.points_for(None) == 0
