"""The content of each kind: what an author may write, and how a slip is answered."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from provider.core.kinds.assessment import content as assessment
from provider.core.kinds.assessment.items import (
    Likert,
    MultipleChoice,
    Numeric,
    ShortText,
    TrueFalse,
)
from provider.core.kinds.check import content as check
from provider.core.kinds.grading import Grades
from provider.core.kinds.interview import content as interview
from provider.errors import Invalid

Json = dict[str, Any]


def options(*correct: bool) -> list[Json]:
    return [
        {"key": f"o{n}", "text": f"Option {n}", "correct": right} for n, right in enumerate(correct)
    ]


def item(kind: str = "single_choice", key: Any = "a", **more: Any) -> Json:
    return {"kind": kind, "key": key, "prompt": "What?"} | more


def choice(key: Any = "a", **more: Any) -> Json:
    return item(key=key, options=options(True, False)) | more


def scale(key: str = "l", **more: Any) -> Json:
    return item("likert", key, labels=["No", "So so", "Yes"]) | more


def section(*items: Json, **more: Any) -> Json:
    return {"key": "one", "title": "One", "items": list(items)} | more


def exam(*sections: Json, **more: Any) -> Json:
    return {"schema": 1, "name": "Sums", "sections": list(sections)} | more


def template(**more: Any) -> Json:
    return {"name": "Talk", "questions": [{"key": "why", "text": "Why?"}]} | more


def package(**more: Any) -> Json:
    return {
        "name": "Screening",
        "screenings": [{"key": "identity", "name": "Identity"}],
        "disclosure": {"key": "d", "version": "1", "text": "We look."},
    } | more


def complaint(parse: Callable[[Mapping[str, Any]], object], content: Json) -> str:
    with pytest.raises(Invalid) as caught:
        parse(content)
    return str(caught.value)


def test_a_small_test_gets_the_defaults() -> None:
    parsed = assessment.parse(exam(section(choice())))
    [only] = parsed.sections
    [asked] = only.items
    assert (parsed.name, parsed.time_limit, parsed.shuffle, parsed.grades) == (
        "Sums",
        None,
        False,
        None,
    )
    assert (only.weight, only.is_scored, only.instructions) == (Decimal(1), True, "")
    assert (asked.points, asked.required) == (Decimal(1), False)


def test_every_kind_of_item_is_read() -> None:
    parsed = assessment.parse(
        exam(
            section(
                choice("a"),
                item("multiple_choice", "b", options=options(True, True, False)),
                item("true_false", "c", answer=True, required=True),
                item("numeric", "d", answer=0.1, tolerance="0.05", unit="m", points=2.5),
                item("short_text", "e", accepted=["x", "y"]),
                scale("f", direction="reversed", trait="Calm"),
            ),
            time_limit=10,
            shuffle=True,
            grades={"passed": 50, "excelled": 80.5},
            summaries={"failed": "No.", "passed": "Yes."},
        )
    )
    _, several, statement, number, text, likert = parsed.items
    assert isinstance(several, MultipleChoice)
    assert [option.correct for option in several.options] == [True, True, False]
    assert isinstance(statement, TrueFalse)
    assert (statement.answer, statement.required) == (True, True)
    assert isinstance(number, Numeric)
    assert (number.answer, number.tolerance) == (Decimal("0.1"), Decimal("0.05"))
    assert (number.unit, number.points) == ("m", Decimal("2.5"))
    assert isinstance(text, ShortText)
    assert text.accepted == ("x", "y")
    assert isinstance(likert, Likert)
    assert (likert.reversed, likert.trait, likert.labels[0]) == (True, "Calm", "No")
    assert parsed.grades == Grades(Decimal(50), Decimal("80.5"))
    assert parsed.summaries == {"failed": "No.", "passed": "Yes."}
    assert parsed.time_limit == 10


def test_items_are_found_by_key_and_required_ones_asked_for() -> None:
    parsed = assessment.parse(
        exam(section(choice("a", required=True), choice("b"), choice("c", required=True)))
    )
    found = parsed.find_item("b")
    assert found is not None
    assert found.key == "b"
    assert parsed.find_item("z") is None
    assert [each.key for each in parsed.unanswered_required({"a": "o0", "c": None})] == ["c"]


def test_a_section_that_is_not_scored_needs_no_right_answers() -> None:
    unmarked = [
        item(key="a", options=options(False, False)),
        item("multiple_choice", "b", options=options(False, False)),
        item("true_false", "c"),
        item("numeric", "d"),
        item("short_text", "e"),
    ]
    assert not assessment.parse(exam(section(*unmarked, weight=0))).sections[0].is_scored
    for each in unmarked:
        assert "sections[0].items[0]." in complaint(assessment.parse, exam(section(each)))


A = "sections[0].items[0]"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (exam(), "sections: should have at least one section"),
        (exam(section()), "sections[0].items: should have at least one item"),
        (exam(section(choice()), schema=2), "schema: should be between 1 and 1"),
        (exam(section(choice()), name=" "), "name: should not be empty"),
        (exam(section(choice()), name="a\nb"), "name: should be on one line"),
        (exam(section(choice()), name="x" * 121), "name: should have at most 120 characters"),
        (exam(section(choice()), name="a\x00b"), "name: should not hold control characters"),
        (exam(section(choice()), name=None), "name: should not be empty"),
        (exam(section(choice()), nam="A"), "nam: is not known here; the names are schema, name,"),
        (exam(section(choice()), time_limit=0), "time_limit: should be between 1 and 1440"),
        (exam(section(choice()), time_limit="10"), "time_limit: should be a whole number"),
        (exam(section(choice()), time_limit=True), "time_limit: should be a whole number"),
        (exam(section(choice()), shuffle="yes"), "shuffle: should be true or false"),
        (exam(section(choice()), grades=50), "grades: should be a mapping"),
        (exam(section(choice()), grades={}), "grades.passed: should be provided"),
        (
            exam(section(choice()), grades={"passed": 101}),
            "grades.passed: should be between 0 and 100",
        ),
        (
            exam(section(choice()), grades={"passed": 80, "excelled": 80}),
            "grades.excelled: should be more than passed",
        ),
        (
            exam(section(choice()), summaries={"passed": "Yes."}),
            "summaries: should be left out when there are no grades",
        ),
        (
            exam(section(scale(), weight=0), grades={"passed": 50}),
            "grades: should be left out when no section is scored",
        ),
        (exam(section(choice(), weight=-1)), "sections[0].weight: should be between 0 and 1000"),
        (exam({"key": "one", "items": [choice()]}), "sections[0].title: should be provided"),
        (exam(section("words")), f"{A}: should be a mapping of names to values"),  # type: ignore[arg-type]
        (exam(section({"key": "a"})), f"{A}.kind: should be one of single_choice, multiple"),
        (exam(section(item("essay"))), f"{A}.kind: should be one of single_choice, multiple"),
        (exam(section(choice(key="Not a key"))), f"{A}.key: should be small letters, digits"),
        (exam(section(choice(key=5))), f"{A}.key: should be small letters, digits"),
        (exam(section(choice(prompt=5))), f"{A}.prompt: should be text; put a number"),
        (exam(section(choice(points=0))), f"{A}.points: should be more than 0"),
        (exam(section(choice(points=True))), f"{A}.points: should be a number"),
        (exam(section(choice(points="x"))), f"{A}.points: should be a number"),
        (exam(section(choice(points="NaN"))), f"{A}.points: should be a number"),
        (exam(section(choice(answer=1))), f"{A}.answer: is not known here"),
        (exam(section(choice(options="a"))), f"{A}.options: should be a list"),
        (exam(section(choice(options=[{}]))), f"{A}.options: should have at least two options"),
        (
            exam(section(choice(options=options(*[True] * 31)))),
            f"{A}.options: should have at most 30 options",
        ),
        (
            exam(section(choice(options=options(True, True)))),
            f"{A}.options: should have exactly one correct",
        ),
        (
            exam(section(item("multiple_choice", options=options(False, False)))),
            f"{A}.options: should have at least one correct",
        ),
        (
            exam(section(choice(options=[{"key": "x", "text": "X"}, {"key": "x", "text": "Y"}]))),
            f"{A}.options[1].key: is already used above",
        ),
        (
            exam(section(choice(options=[{"key": "x", "text": "X"}, {"key": "y", "text": "x"}]))),
            f"{A}.options[1].text: is already used above",
        ),
        (exam(section(item("true_false"))), f"{A}.answer: should be true or false"),
        (exam(section(item("numeric"))), f"{A}.answer: should be provided, as a number"),
        (
            exam(section(item("numeric", answer=1, tolerance=-1))),
            f"{A}.tolerance: should be between 0 and",
        ),
        (
            exam(section(item("numeric", answer="1e99"))),
            f"{A}.answer: should have at most 15 digits on either side",
        ),
        (exam(section(item("short_text"))), f"{A}.accepted: should have at least one text"),
        (
            exam(section(scale(labels=["One"]))),
            f"{A}.labels: should have at least two labels",
        ),
        (
            exam(section(scale(direction="up"))),
            f"{A}.direction: should be one of positive, reversed",
        ),
        (exam(section(scale(trait="Score"))), f"{A}.trait: should not be Score or Answered"),
        (
            exam(section(choice()), section(choice("b"), title="Two")),
            "sections[1].key: is already used above",
        ),
        (
            exam(section(choice()), section(choice("b"), key="two", title="ONE")),
            "sections[1].title: is already used above",
        ),
        (
            exam(section(choice()), section(choice(), key="two", title="Two")),
            "sections[1].items[0].key: is already used above; a key is unique in the test",
        ),
    ],
)
def test_a_slip_in_a_test_is_answered_with_its_path(content: Json, expected: str) -> None:
    assert complaint(assessment.parse, content).startswith(expected)


def test_a_small_interview_gets_the_defaults() -> None:
    parsed = interview.parse(template())
    [question] = parsed.questions
    assert (question.think_seconds, question.answer_seconds, question.takes) == (30, 120, 1)
    assert (parsed.scale.min, parsed.scale.max, parsed.scale.labels) == (1, 5, ())
    assert parsed.max_duration_seconds == 150
    assert parsed.grades is None


def test_an_interview_says_how_it_is_rated() -> None:
    parsed = interview.parse(
        template(
            scale={"min": 0, "max": 2, "labels": ["Poor", "Fair", "Good"]},
            grades={"passed": 60},
            summaries={"passed": "Good."},
        )
    )
    assert parsed.scale == interview.Scale(0, 2, ("Poor", "Fair", "Good"))
    assert parsed.grades == Grades(Decimal(60))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (template(questions=[]), "questions: should have at least one question"),
        (template(questions=[{"key": "a"}]), "questions[0].text: should be provided"),
        (
            template(questions=[{"key": "a", "text": "?", "takes": 0}]),
            "questions[0].takes: should be between 1 and 10",
        ),
        (
            template(questions=[{"key": "a", "text": "?"}, {"key": "a", "text": "!"}]),
            "questions[1].key: is already used above",
        ),
        (template(scale={"min": 5, "max": 5}), "scale.max: should be more than min"),
        (
            template(scale={"labels": ["Poor", "Good"]}),
            "scale.labels: should have a label per rating, that is 5",
        ),
        (template(summaries={"passed": "."}), "summaries: should be left out"),
    ],
)
def test_a_slip_in_an_interview_is_answered_with_its_path(content: Json, expected: str) -> None:
    assert complaint(interview.parse, content).startswith(expected)


def test_a_package_is_read_whole() -> None:
    parsed = check.parse(
        package(sections=[{"key": "rights", "title": "Your rights", "text": "Many."}])
    )
    assert parsed.screenings == (check.Screening("identity", "Identity"),)
    assert parsed.disclosure == check.Disclosure("d", "1", "We look.", sample=False)
    assert parsed.sections[0].title == "Your rights"
    assert check.parse(package()).sections == ()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (package(screenings=[]), "screenings: should have at least one screening"),
        (
            package(screenings=[{"key": "a", "name": "A"}, {"key": "b", "name": "a"}]),
            "screenings[1].name: is already used above",
        ),
        (package(disclosure={"key": "d", "version": "1"}), "disclosure.text: should be provided"),
        (
            package(disclosure={"key": "d", "version": 1, "text": "x"}),
            "disclosure.version: should be text; put a number, true or false in quotes",
        ),
        (package(sections={"a": 1}), "sections: should be a list"),
    ],
)
def test_a_slip_in_a_package_is_answered_with_its_path(content: Json, expected: str) -> None:
    assert complaint(check.parse, content).startswith(expected)
