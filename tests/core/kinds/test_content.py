"""The content of each kind: defaults, parsing and errors."""

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
    SingleChoice,
    TrueFalse,
)
from provider.core.kinds.check.packages import content as check
from provider.core.kinds.grading import Grades
from provider.core.kinds.interview import content as interview
from provider.core.kinds.report_options import SHOWN_EVERYWHERE
from provider.errors import Invalid

Json = dict[str, Any]


def options(*correct: bool) -> list[Json]:
    return [
        {"key": f"o{number}", "text": f"Option {number}", "correct": is_correct}
        for number, is_correct in enumerate(correct)
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


def parse_error(parse: Callable[[Mapping[str, Any]], object], content: Json) -> str:
    with pytest.raises(Invalid) as caught:
        parse(content)
    return str(caught.value)


def test_test_content_minimal_gets_defaults() -> None:
    parsed = assessment.parse(exam(section(choice())))
    [parsed_section] = parsed.sections
    [parsed_item] = parsed_section.items
    assert (parsed.name, parsed.time_limit, parsed.shuffle, parsed.grades) == (
        "Sums",
        None,
        False,
        None,
    )
    assert parsed_section.weight == Decimal(1)
    assert parsed_section.is_scored
    assert parsed_section.instructions == ""
    assert (parsed_item.points, parsed_item.required) == (Decimal(1), False)


def test_test_content_parses_every_kind_of_item() -> None:
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
    _, multiple_choice, statement, number, text, likert = parsed.items
    assert isinstance(multiple_choice, MultipleChoice)
    assert [option.correct for option in multiple_choice.options] == [True, True, False]
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


def test_options_that_differ_in_case_stay_two() -> None:
    units = [{"key": "a", "text": "mW", "correct": True}, {"key": "b", "text": "MW"}]
    (parsed_item,) = assessment.parse(exam(section(choice(options=units)))).items
    assert isinstance(parsed_item, SingleChoice)
    assert [option.text for option in parsed_item.options] == ["mW", "MW"]
    assert [parsed_item.score(key) for key in ("a", "b")] == [1, 0]


@pytest.mark.parametrize(("fields", "points"), [({"case_sensitive": True}, 0), ({}, 1)])
def test_short_text_case_counts_as_the_document_says(fields: Json, points: int) -> None:
    text_item = item("short_text", accepted=["pH"], **fields)
    (parsed_item,) = assessment.parse(exam(section(text_item))).items
    assert parsed_item.score("pH") == 1
    assert parsed_item.score("PH") == points


def test_test_content_finds_items_and_unanswered_required_ones() -> None:
    parsed = assessment.parse(
        exam(section(choice("a", required=True), choice("b"), choice("c", required=True)))
    )
    found_item = parsed.find_item("b")
    assert found_item is not None
    assert found_item.key == "b"
    assert parsed.find_item("z") is None
    unanswered_items = parsed.unanswered_required({"a": "o0", "c": None})
    assert [unanswered.key for unanswered in unanswered_items] == ["c"]


def test_unscored_section_items_need_no_right_answer() -> None:
    items_without_solution = [
        item(key="a", options=options(False, False)),
        item("multiple_choice", "b", options=options(False, False)),
        item("true_false", "c"),
        item("numeric", "d"),
        item("short_text", "e"),
    ]
    assert (
        not assessment.parse(exam(section(*items_without_solution, weight=0))).sections[0].is_scored
    )
    for item_content in items_without_solution:
        error = parse_error(assessment.parse, exam(section(item_content)))
        assert "sections[0].items[0]." in error


@pytest.mark.parametrize(
    ("parse", "content", "default"),
    [
        (assessment.parse, exam(section(choice())), set()),
        (interview.parse, template(), {"report", "pdf", "shared"}),
    ],
)
def test_report_switch_names_places_or_has_the_default_of_its_kind(
    parse: Callable[[Mapping[str, Any]], Any], content: Json, default: set[str]
) -> None:
    assert parse(content).report.answers == default
    for places in ([], ["pdf"], ["shared", "report"]):
        assert parse(content | {"report": {"answers": places}}).report.answers == set(places)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"answers": ["page"]}, "report.answers[0]: should be one of report, pdf, shared"),
        ({"answers": ["pdf", True]}, "report.answers[1]: should be one of report, pdf, shared"),
        ({"answers": "report"}, "report.answers: should be a list"),
        ({"answers": ["pdf"] * 4}, "report.answers: should have at most three places"),
        ({"answers": None}, "report.answers: should not be empty"),
        ({"answers": [], "answer": []}, "report.answer: is not known here; the names are answers"),
        ([], "report: should be a mapping of names to values"),
    ],
)
def test_report_switch_error_names_the_path(report: Any, expected: str) -> None:
    for parse, content in (
        (assessment.parse, exam(section(choice()))),
        (interview.parse, template()),
    ):
        assert expected in parse_error(parse, content | {"report": report})


def test_report_switch_of_a_test_names_places_and_of_an_interview_may_not() -> None:
    content = exam(section(choice())) | {"report": {}}
    assert "report.answers: should be provided" in parse_error(assessment.parse, content)
    assert interview.parse(template() | {"report": {}}).report == SHOWN_EVERYWHERE


ITEM_PATH = "sections[0].items[0]"


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
        (exam(section("words")), f"{ITEM_PATH}: should be a mapping of names to values"),  # type: ignore[arg-type]
        (
            exam(section({"key": "a"})),
            f"{ITEM_PATH}.kind: should be one of single_choice, multiple",
        ),
        (
            exam(section(item("essay"))),
            f"{ITEM_PATH}.kind: should be one of single_choice, multiple",
        ),
        (
            exam(section(choice(key="Not a key"))),
            f"{ITEM_PATH}.key: should be small letters, digits",
        ),
        (exam(section(choice(key=5))), f"{ITEM_PATH}.key: should be small letters, digits"),
        (exam(section(choice(prompt=5))), f"{ITEM_PATH}.prompt: should be text; put a number"),
        (exam(section(choice(points=0))), f"{ITEM_PATH}.points: should be more than 0"),
        (exam(section(choice(points=True))), f"{ITEM_PATH}.points: should be a number"),
        (exam(section(choice(points="x"))), f"{ITEM_PATH}.points: should be a number"),
        (
            exam(section(choice(points="−5"))),
            f"{ITEM_PATH}.points: should be a number such as -1234.5; "
            "− (U+2212 MINUS SIGN) is in the way of one",
        ),
        (
            exam(section(item("numeric", answer=-1, minimum=0))),
            f"{ITEM_PATH}.minimum: should not be more than the answer",
        ),
        (exam(section(choice(points="NaN"))), f"{ITEM_PATH}.points: should be a number"),
        (exam(section(choice(answer=1))), f"{ITEM_PATH}.answer: is not known here"),
        (exam(section(choice(options="a"))), f"{ITEM_PATH}.options: should be a list"),
        (
            exam(section(choice(options=[{}]))),
            f"{ITEM_PATH}.options: should have at least two options",
        ),
        (
            exam(section(choice(options=options(*[True] * 31)))),
            f"{ITEM_PATH}.options: should have at most 30 options",
        ),
        (
            exam(section(choice(options=options(True, True)))),
            f"{ITEM_PATH}.options: should have exactly one correct",
        ),
        (
            exam(section(item("multiple_choice", options=options(False, False)))),
            f"{ITEM_PATH}.options: should have at least one correct",
        ),
        (
            exam(section(choice(options=[{"key": "x", "text": "X"}, {"key": "x", "text": "Y"}]))),
            f"{ITEM_PATH}.options[1].key: is already used above",
        ),
        (
            exam(section(choice(options=[{"key": "x", "text": "X"}, {"key": "y", "text": "X"}]))),
            f"{ITEM_PATH}.options[1].text: is already used above",
        ),
        (exam(section(item("true_false"))), f"{ITEM_PATH}.answer: should be true or false"),
        (exam(section(item("numeric"))), f"{ITEM_PATH}.answer: should be provided, as a number"),
        (
            exam(section(item("numeric", answer=1, tolerance=-1))),
            f"{ITEM_PATH}.tolerance: should be between 0 and",
        ),
        (
            exam(section(item("numeric", answer="1e99"))),
            f"{ITEM_PATH}.answer: should have at most 15 digits on either side",
        ),
        (exam(section(item("short_text"))), f"{ITEM_PATH}.accepted: should have at least one text"),
        (
            exam(section(scale(labels=["One"]))),
            f"{ITEM_PATH}.labels: should have at least two labels",
        ),
        (
            exam(section(scale(direction="up"))),
            f"{ITEM_PATH}.direction: should be one of positive, reversed",
        ),
        (
            exam(section(scale(trait="Score"))),
            f"{ITEM_PATH}.trait: should not be Score or Answered",
        ),
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
def test_test_content_error_names_the_path(content: Json, expected: str) -> None:
    assert parse_error(assessment.parse, content).startswith(expected)


def test_interview_content_minimal_gets_defaults() -> None:
    parsed = interview.parse(template())
    [question] = parsed.questions
    assert (question.think_seconds, question.answer_seconds, question.takes) == (30, 120, 1)
    assert (parsed.scale.min, parsed.scale.max, parsed.scale.labels) == (1, 5, ())
    assert parsed.max_duration_seconds == 150
    assert parsed.grades is None


def test_interview_content_parses_scale_and_grades() -> None:
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
def test_interview_content_error_names_the_path(content: Json, expected: str) -> None:
    assert parse_error(interview.parse, content).startswith(expected)


def test_package_content_parses_screenings_and_disclosure() -> None:
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
def test_package_content_error_names_the_path(content: Json, expected: str) -> None:
    assert parse_error(check.parse, content).startswith(expected)


def test_titles_lose_characters_that_turn_a_text() -> None:
    odd, clean = "Su\u202ems\u202c\ufeff", "Sums"
    test = assessment.parse(exam(section(choice(), title=odd), name=odd))
    screenings = [{"key": "identity", "name": odd}]
    texts = [{"key": "rights", "title": odd, "text": "Many."}]
    checked = check.parse(package(name=odd, screenings=screenings, sections=texts))
    assert [test.name, test.sections[0].title] == [clean, clean]
    assert interview.parse(template(name=odd)).name == clean
    titles = [checked.name, checked.screenings[0].name, checked.sections[0].title]
    assert titles == [clean, clean, clean]
