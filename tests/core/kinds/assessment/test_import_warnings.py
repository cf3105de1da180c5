"""Warnings about equal accepted texts, options that look the same, and sums with gaps."""

from typing import Any

import pytest

from provider.core.kinds.assessment import content
from provider.core.kinds.assessment.import_warnings import find_warnings

SAME_ANSWER = "is the same answer as one above"
SAME_LOOK = "looks the same as one above"


def warnings_of(**fields: Any) -> list[tuple[str, str]]:
    """Return the warnings of a test with one item, as pairs of path and problem."""
    item = {"key": "a", "prompt": "What?"} | fields
    section = {"key": "one", "title": "One", "items": [item]}
    test = content.parse({"name": "Sums", "sections": [section]})
    return [(warning.path, warning.problem) for warning in find_warnings(test)]


@pytest.mark.parametrize("other", ["paris", "Paris\u200b", "Ｐａｒｉｓ"])
def test_accepted_text_that_is_the_same_answer_is_found(other: str) -> None:
    path = "sections[0].items[0].accepted[2]"
    accepted = ["Paris", "Rome", other]
    assert warnings_of(kind="short_text", accepted=accepted) == [(path, SAME_ANSWER)]


def test_accepted_texts_that_are_other_answers_are_not_found() -> None:
    accepted = ["Paris", "Pariš", "10²", "102"]
    assert warnings_of(kind="short_text", accepted=accepted) == []
    cases = ["pH", "PH"]
    assert warnings_of(kind="short_text", accepted=cases, case_sensitive=True) == []
    assert len(warnings_of(kind="short_text", accepted=cases)) == 1


@pytest.mark.parametrize("kind", ["single_choice", "multiple_choice"])
@pytest.mark.parametrize("other", ["5  km", "5\u00a0km", "5\u200b km"])
def test_option_that_looks_the_same_is_found(kind: str, other: str) -> None:
    options = [
        {"key": "a", "text": "5 km", "correct": True},
        {"key": "b", "text": "7 km"},
        {"key": "c", "text": other},
    ]
    path = "sections[0].items[0].options[2].text"
    assert warnings_of(kind=kind, options=options) == [(path, SAME_LOOK)]


@pytest.mark.parametrize("other", ["MW", "m W", "m\u200bw"])
def test_option_that_looks_different_is_not_found(other: str) -> None:
    options = [{"key": "a", "text": "mW", "correct": True}, {"key": "b", "text": other}]
    assert warnings_of(kind="single_choice", options=options) == []


@pytest.mark.parametrize(
    ("rule", "method", "count"), [("exclude", "sum", 1), ("exclude", "mean", 0), ("mean", "sum", 0)]
)
def test_sum_that_is_lower_with_missing_answers_is_found(
    rule: str, method: str, count: int
) -> None:
    item = {"key": "a", "kind": "likert", "prompt": "?", "labels": ["No", "Yes"]}
    scale = {"key": "s", "name": "S", "items": ["a"], "method": method, "missing": {"rule": rule}}
    section = {"key": "one", "title": "One", "items": [item]}
    test = content.parse({"name": "Sums", "sections": [section], "scales": [scale]})
    assert [row.path for row in find_warnings(test)] == ["scales[0].missing.rule"] * count
