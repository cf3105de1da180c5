"""Compares two versions of a test: does one correct the scoring of the other?

Answers to a version can be scored by another one, if each item reads the same and takes the same
answers in both. What candidates do not see, such as the right answer and the points, may differ.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from provider.core.formats import cut_at_word
from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.items import Item
from provider.core.kinds.grading import to_number

# The fields of items and options that candidates do not see. A field that is not named here counts
# as seen, so that answers are never scored by a question that reads another way.
SCORING_FIELDS = frozenset(
    (
        *("points", "wrong_points", "partial", "score", "correct", "answer", "tolerance"),
        *("accepted", "case_sensitive", "reversed", "trait", "rubric"),
    )
)
# The fields of a test that a version may change beside those of its items, with their labels.
_TEST_FIELDS = {
    "grades": "cut scores",
    "summaries": "summaries",
    "scales": "scales",
    "norms": "norm groups",
    "marking": "rules of marking",
}
MAX_PROMPT_LENGTH = 100


class ScoringChange(NamedTuple):
    """A part of a test that two versions score differently, for a table of the console."""

    part: str
    before: str
    after: str


def has_same_items(content: TestContent, other: TestContent) -> bool:
    """Whether answers to one of the contents can be scored by the other."""
    return _seen_items(content) == _seen_items(other)


def list_scoring_changes(content: TestContent, other: TestContent) -> Iterator[ScoringChange]:
    """Yield what differs in the scoring of two contents with the same items."""
    for item in content.items:
        other_item = other.items_by_key[item.key]
        if item != other_item:
            prompt = cut_at_word(item.prompt_text, MAX_PROMPT_LENGTH)
            yield ScoringChange(prompt, _describe_key(item), _describe_key(other_item))
    for section in content.sections:
        for other_section in other.sections:
            is_same = section.key == other_section.key
            if is_same and section.weight != other_section.weight:
                weights = f"{to_number(section.weight)}", f"{to_number(other_section.weight)}"
                yield ScoringChange(f"Weight of {section.title}", *weights)
    if _items_by_section(content) != _items_by_section(other):
        yield ScoringChange("The questions of each part", "As before", "Changed")
    for name, label in _TEST_FIELDS.items():
        if getattr(content, name) != getattr(other, name):
            yield ScoringChange(f"The {label}", "As before", "Changed")


def _seen_items(content: TestContent) -> Mapping[str, Any]:
    return {key: _seen_form(item) for key, item in content.items_by_key.items()}


def _seen_form(value: Any) -> Any:
    """Return a value without the fields that only the scoring reads."""
    if isinstance(value, tuple):
        return tuple(map(_seen_form, value))
    if not is_dataclass(value):
        return value
    seen = [(f.name, _seen_form(getattr(value, f.name))) for f in fields(value)]
    return type(value).__name__, [pair for pair in seen if pair[0] not in SCORING_FIELDS]


def _items_by_section(content: TestContent) -> Mapping[str, set[str]]:
    return {section.key: {item.key for item in section.items} for section in content.sections}


def _describe_key(item: Item) -> str:
    points = f"{to_number(item.points)} {'point' if item.points == 1 else 'points'}"
    direction = "; reversed" if getattr(item, "reversed", False) else ""
    return f"{item.solution or 'No right answer'} ({points}{direction})"
