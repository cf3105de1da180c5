"""Items with several fields or with their own scores: reading, scoring and formatting."""

from fractions import Fraction
from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from provider.core.kinds.assessment import content, scoring
from provider.core.kinds.assessment.items import ITEM_KINDS, Item
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
