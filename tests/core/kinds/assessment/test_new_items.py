"""Items with several fields or with their own scores: reading, scoring and formatting."""

from fractions import Fraction
from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from provider.core.kinds.assessment import content
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
