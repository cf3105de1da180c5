"""Warnings on grades that no candidate can get, in the check of a document that is edited."""

from decimal import Decimal
from typing import Any

import pytest

from provider.core.kinds import KINDS
from provider.core.kinds.document_check import check_content
from provider.core.kinds.grade_warnings import find_grade_warnings
from provider.core.kinds.grading import Grades
from tests.factories import INTERVIEW_CONTENT, TEST_CONTENT


def warnings(kind: str, content: dict[str, Any]) -> list[tuple[str, str]]:
    checked = check_content(KINDS[kind], {"name": "A", **content})
    assert checked.errors == []
    return [(problem.path, problem.text) for problem in checked.warnings]


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"grades": {"passed": 50, "excelled": 100}}, []),
        ({"grades": {"passed": 0}}, ["grades.passed"]),
        ({"grades": {"passed": 0, "excelled": 50}, "summaries": {"failed": "No"}},
         ["grades.passed", "summaries.failed"]),
        ({"grades": {"passed": 50}, "summaries": {"passed": "Yes", "excelled": "Very"}},
         ["summaries.excelled"]),
        ({"grades": {"passed": 50, "excelled": 80}, "summaries": {"passed": "Yes"}}, []),
    ],
)  # fmt: skip
def test_grades_that_nobody_gets_are_named(changes: dict[str, Any], paths: list[str]) -> None:
    for kind, content in (("assessment", TEST_CONTENT), ("interview", INTERVIEW_CONTENT)):
        assert [path for path, _ in warnings(kind, content | changes)] == paths


def test_cut_score_out_of_the_range_of_answers_is_named() -> None:
    rated = [{"key": "a", "text": "A", "score": 2}, {"key": "b", "text": "B", "score": 1}]
    item = {"kind": "situational_judgement", "key": "x", "prompt": "?", "options": rated}
    section = {"key": "s", "title": "S", "items": [item]}
    test = {"sections": [section], "grades": {"passed": 50}}
    assert warnings("assessment", test) == [
        ("grades.passed", "nobody can fail, because the worst answers get 50 %")
    ]
    grades = Grades(Decimal(60), Decimal(95))
    found = find_grade_warnings(grades, None, Decimal(0), Decimal(90))
    assert [(warning.path, warning.problem) for warning in found] == [
        ("grades.excelled", "nobody can reach it, because the best answers get 90 %")
    ]


def test_picture_without_a_description_is_named() -> None:
    text = "Look: ![](https://x.test/a.png) ![a map](https://x.test/b.png)"
    [(path, problem)] = warnings("interview", INTERVIEW_CONTENT | {"description": text})
    assert path == "description"
    assert "a picture without a description" in problem


def test_every_error_of_a_document_is_listed_with_its_path() -> None:
    items = [
        {"kind": "numeric", "key": "a", "prompt": "1 + 1?"},
        {"kind": "true_false", "key": "b", "prompt": "?"},
        {"kind": "dial", "key": "c"},
    ]
    section = {"key": "one", "title": "One", "items": items[:2]}
    test = {"name": "A", "sections": [section]}
    unkeyed = check_content(KINDS["assessment"], test).errors
    assert [problem.path for problem in unkeyed] == [
        "sections[0].items[0].answer",
        "sections[0].items[1].answer",
    ]
    other = test | {"time_limit": "x", "sections": [section | {"title": "", "items": items[2:]}]}
    problems = check_content(KINDS["assessment"], other).problems
    assert {problem.path for problem in problems} == {
        "time_limit",
        "sections[0].title",
        "sections[0].items[0].kind",
    }


def test_errors_of_a_field_hide_no_unkeyed_question_and_no_eaten_text() -> None:
    options = [{"key": key, "text": key.upper()} for key in "ab"]
    items: list[dict[str, Any]] = [
        {"kind": "single_choice", "key": "a", "prompt": "What is 2*3*4?", "options": options},
        {"kind": "numeric", "key": "b", "prompt": "?", "stimulus": [{"picture": "a.png"}]},
        {"kind": "numeric", "key": "c", "answer": 1},
    ]
    bank = {"key": "one", "title": "One", "draw": {"count": 5}, "items": items}
    unscored = {"key": "two", "title": "Two", "weight": "0", "items": [items[0] | {"key": "d"}]}
    checked = check_content(KINDS["assessment"], {"name": "A", "sections": [bank, unscored]})
    assert {problem.path for problem in checked.errors} == {
        "sections[0].draw.count",
        "sections[0].items[0].options",
        "sections[0].items[1].answer",
        "sections[0].items[1].stimulus[0].alt",
        "sections[0].items[2].prompt",
    }
    assert [problem.path for problem in checked.warnings] == [
        "sections[0].items[0].prompt",
        "sections[1].items[0].prompt",
    ]
    assert checked.loaded is None
