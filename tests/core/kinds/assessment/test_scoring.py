"""Scoring of answers: totals, grades, sections and details."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import provider
from provider.core.kinds.assessment import content, scoring
from provider.core.kinds.assessment.items import (
    Item,
    Likert,
    MultipleChoice,
    Option,
    SingleChoice,
    TrueFalse,
)
from provider.core.kinds.assessment.scoring import score
from provider.core.kinds.grading import Grades, to_number, to_percent
from provider.core.products import documents

SAMPLES = Path(provider.__file__).parent / "samples"


def sample(name: str) -> content.TestContent:
    [document] = documents.read_file(SAMPLES / f"{name}.yaml")
    return content.parse(document.content)


NUMERICAL = sample("numerical-reasoning")
SERVICE = sample("customer-service")
RIGHT_ANSWERS: dict[str, Any] = {
    "growth": "south",
    "east-halves": True,
    "strong-quarters": ["q2", "q3", "q4"],
    "north-share": "37.5",
    "jacket": "61.2",
    "machine": "c",
    "delivery": "friday",
    "ratio": "620",
}


def statements(count: int, **more: Any) -> tuple[Item, ...]:
    return tuple(
        TrueFalse(key=f"s{number}", prompt="?", answer=True, **more) for number in range(count)
    )


def exam(*sections: content.Section, **more: Any) -> content.TestContent:
    return content.TestContent(name="Exam", sections=sections, **more)


def test_score_all_right_is_100_and_excelled() -> None:
    result = score(NUMERICAL, RIGHT_ANSWERS)
    assert (result.percent, result.grade) == (Decimal(100), "excelled")
    assert (
        result.summary == "Reads tables quickly and calculates accurately, also in several steps."
    )
    assert result.details == {
        "Reading tables": {"Score": 100, "Answered": "4 of 4"},
        "Money and time": {"Score": 100, "Answered": "4 of 4"},
    }


def test_score_without_answers_is_0_and_failed() -> None:
    result = score(NUMERICAL, {})
    assert (result.percent, result.grade) == (Decimal(0), "failed")
    assert result.details["Reading tables"] == {"Score": 0, "Answered": "0 of 4"}


def test_score_counts_points_and_partial_credit_rounded_half_up() -> None:
    # tables: 1 + 0 + 2 × 1/3 of 5 points = 33.3 %; money: 2 of 5 points = 40 %
    answers = {
        "growth": "south",
        "strong-quarters": ["q2"],
        "east-halves": False,
        "jacket": "61.20",
    }
    result = score(NUMERICAL, answers)
    assert [section.percent for section in result.sections] == [Decimal("33.3"), 40]
    assert result.percent == Decimal("36.7")
    assert result.details["Reading tables"] == {"Score": 33.3, "Answered": "3 of 4"}


def test_score_weights_the_sections() -> None:
    answers = {"late-parcel": "find-out", "shouting": "listen", "exception": "ask"}
    answers |= {"unknown-answer": True, "handover": ["wants", "promised", "tried"]}  # type: ignore[dict-item]
    situations, style = SERVICE.sections
    assert style.weight == 0  # nobody passes or fails the sample by personality
    result = score(
        replace(SERVICE, sections=(situations, replace(style, weight=Decimal(1)))), answers
    )
    assert [section.percent for section in result.sections] == [100, 0]
    assert result.percent == 75


def test_details_traits_ignore_blank_answers() -> None:
    answers = {"patience-1": 5, "patience-2": 2, "team-1": 4}
    details = score(SERVICE, answers).details["How you like to work"]
    assert details == {"Answered": "3 of 6", "Patience": 87.5, "Teamwork": 75}


def test_score_unscored_section_is_shown_but_not_counted() -> None:
    scale = Likert(key="l", prompt="?", labels=("No", "Yes"), trait="Calm")
    survey = content.Section("two", "Survey", (scale,), weight=Decimal(0))
    result = score(
        exam(content.Section("one", "Sums", statements(2)), survey), {"s0": True, "l": 2}
    )
    assert result.percent == 50
    assert result.details["Survey"] == {"Answered": "1 of 1", "Calm": 100}
    assert result.figures() == {
        "bars": [
            {
                "label": "Sums",
                "percent": 50,
                "note": ["%(number)d of %(total)d answered", {"number": 1, "total": 2}],
            },
            {"label": "Calm", "percent": 100, "section": "Survey"},
        ]
    }


def test_score_without_scored_sections_has_no_percent_or_grade() -> None:
    survey = exam(content.Section("one", "Survey", statements(1), weight=Decimal(0)))
    result = score(survey, {"s0": True})
    assert (result.percent, result.grade, result.summary) == (None, None, None)
    assert scoring.score_items(survey, {"s0": True})[0].points is None


def test_score_without_cut_scores_has_no_grade() -> None:
    result = score(exam(content.Section("one", "Sums", statements(3))), {"s0": True})
    assert (result.percent, result.grade, result.summary) == (Decimal("33.3"), None, None)


@pytest.mark.parametrize(
    ("right_count", "grade"), [(0, "failed"), (998, "failed"), (999, "passed"), (1599, "excelled")]
)
def test_grade_uses_the_rounded_percentage(right_count: int, grade: str) -> None:
    test = exam(
        content.Section("one", "Sums", statements(2000)), grades=Grades(Decimal(50), Decimal(80))
    )
    # 999 of 2000 is 49.95 %. People see 50 %, so the grade is passed.
    answers = {f"s{number}": True for number in range(right_count)}
    assert score(test, answers).grade == grade


def test_grade_without_excelled_cut_score_is_at_most_passed() -> None:
    assert Grades(Decimal(50)).grade_for(Decimal(100)) == "passed"
    assert Grades(Decimal(50)).grade_for(Decimal("49.9")) == "failed"


@pytest.mark.parametrize(
    ("share", "json_number"),
    [
        (Fraction(78, 100), 78),
        (Fraction(1, 3), 33.3),
        (Fraction(2, 3), 66.7),
        (Fraction(6665, 10000), 66.7),
        (Fraction(0), 0),
        (Fraction(1), 100),
    ],
)
def test_to_percent_has_at_most_one_decimal(share: Fraction, json_number: float) -> None:
    assert to_number(to_percent(share)) == json_number


def test_score_items_returns_answers_and_points() -> None:
    scored_items = scoring.score_items(NUMERICAL, {"strong-quarters": ["q2"]})
    items_by_key = {item.key: item for item in scored_items}
    quarters, jacket = items_by_key["strong-quarters"], items_by_key["jacket"]
    assert (quarters.section, quarters.answer, quarters.solution) == (
        "Reading tables",
        "Q2",
        "Q2; Q3; Q4",
    )
    assert (quarters.points, quarters.max_points) == (Decimal("0.67"), Decimal(2))
    assert quarters.prompt.startswith("In which quarters did North and South together")
    assert (jacket.answer, jacket.points) == (None, Decimal(0))


def test_score_items_marks_answers_to_scored_items_with_a_solution() -> None:
    answers = {"strong-quarters": ["q2"], "growth": "south", "jacket": "61", "east-halves": False}
    marks = {item.key: item.mark for item in scoring.score_items(NUMERICAL, answers)}
    expected_marks = {
        "strong-quarters": "partly_right",
        "growth": "right",
        "jacket": "wrong",
        "east-halves": "wrong",
    }
    assert marks == dict.fromkeys(marks, "") | expected_marks
    survey = exam(content.Section("one", "Survey", statements(1), weight=Decimal(0)))
    assert [item.mark for item in scoring.score_items(survey, {"s0": True})] == [""]
    scale = Likert(key="l", prompt="?", labels=("No", "Yes"))
    rated = exam(content.Section("one", "Rated", (scale,)))
    assert [item.mark for item in scoring.score_items(rated, {"l": 2})] == [""]


def test_score_items_full_points_that_were_rounded_are_right() -> None:
    item = TrueFalse(key="s", prompt="?", answer=True, points=Decimal("0.333"))
    (scored,) = scoring.score_items(exam(content.Section("one", "One", (item,))), {"s": True})
    assert (scored.points, scored.mark) == (Decimal("0.33"), "right")


def test_wrong_answer_costs_points_and_blank_costs_nothing() -> None:
    items = statements(4, points=Decimal(2), wrong_points=Decimal("0.5"))
    section = content.Section("one", "One", items)
    answers = {"s0": True, "s1": False, "s2": False}
    assert score(exam(section), answers).percent == Decimal("12.5")  # (2 − 0.5 − 0.5) of 8
    scored_items = scoring.score_items(exam(section), answers)
    assert [item.points for item in scored_items] == [2, Decimal("-0.5"), Decimal("-0.5"), 0]
    assert [item.mark for item in scored_items] == ["right", "wrong", "wrong", ""]
    assert scored_items[1].points_text == "-0.5 of 2"


def test_section_is_never_below_0_and_takes_nothing_from_another() -> None:
    wrong = content.Section("one", "One", statements(2, wrong_points=Decimal(5)))
    right = content.Section("two", "Two", (TrueFalse(key="t", prompt="?", answer=True),))
    result = score(exam(wrong, right), {"s0": False, "s1": False, "t": True})
    assert [section.percent for section in result.sections] == [0, 100]
    assert result.percent == 50


def test_multiple_choice_without_partial_marks_needs_the_exact_answer() -> None:
    options = tuple(Option(key, key, correct=key in "ab") for key in "abc")
    item = MultipleChoice(key="m", prompt="?", options=options, partial=False)
    assert [item.score(answer) for answer in (["a", "b"], ["a"], ["a", "b", "c"])] == [1, 0, 0]


def answers_to(item: Item) -> st.SearchStrategy[Any]:
    if isinstance(item, SingleChoice | MultipleChoice):
        keys = st.sampled_from([option.key for option in item.options])
        return keys if isinstance(item, SingleChoice) else st.lists(keys, min_size=1, unique=True)
    if isinstance(item, Likert):
        return st.integers(1, len(item.labels))
    if isinstance(item, TrueFalse):
        return st.booleans()
    return st.sampled_from(["620", "61.2", "37.75", "-1"])


ATTEMPTS = st.sampled_from([NUMERICAL, SERVICE]).flatmap(
    lambda test: st.tuples(
        st.just(test),
        st.fixed_dictionaries(
            {}, optional={item.key: st.none() | answers_to(item) for item in test.items}
        ),
    )
)


@settings(deadline=None)
@given(ATTEMPTS)
def test_score_any_answers_is_0_to_100_and_serialisable(
    attempt: tuple[content.TestContent, dict[str, Any]],
) -> None:
    result = score(*attempt)
    percents = [result.percent, *(section.percent for section in result.sections)]
    assert result.percent is not None
    assert all(0 <= percent <= 100 for percent in percents if percent is not None)
    assert [section.percent is None for section in result.sections] == [
        section.weight == 0 for section in attempt[0].sections
    ]
    assert result.grade in {"failed", "passed", "excelled"}
    for figures in result.details.values():
        assert all(isinstance(value, int | float | str) for value in figures.values())
    assert json.loads(json.dumps(result.details)) == result.details
    earned_points = sum(item.points or 0 for item in scoring.score_items(*attempt))
    assert earned_points <= sum(item.points for item in attempt[0].items)


@settings(deadline=None)
@given(ATTEMPTS)
def test_score_is_not_lowered_by_another_right_answer(
    attempt: tuple[content.TestContent, dict[str, Any]],
) -> None:
    test, answers = attempt
    best_likert_answers = [
        {item.key: 5} for item in test.items if isinstance(item, Likert) and not item.reversed
    ]
    better_answers = answers | {"jacket": "61.2"}
    for likert_answer in best_likert_answers[:1]:
        better_answers |= likert_answer
    before, after = score(test, answers).percent, score(test, better_answers).percent
    assert before is not None
    assert after is not None
    assert after >= before
