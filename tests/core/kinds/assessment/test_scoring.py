"""From answers to a result: totals, grades, sections, details."""

import json
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
    SingleChoice,
    TrueFalse,
)
from provider.core.kinds.assessment.scoring import score
from provider.core.kinds.grading import Grades, to_number, to_number_text, to_percent
from provider.core.products import documents

SAMPLES = Path(provider.__file__).parent / "samples"


def sample(name: str) -> content.TestContent:
    [found] = documents.read_file(SAMPLES / f"{name}.yaml")
    return content.parse(found.content)


NUMERICAL = sample("numerical-reasoning")
SERVICE = sample("customer-service")
ALL_RIGHT: dict[str, Any] = {
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
    return tuple(TrueFalse(key=f"s{n}", prompt="?", answer=True, **more) for n in range(count))


def exam(*sections: content.Section, **more: Any) -> content.TestContent:
    return content.TestContent(name="Exam", sections=sections, **more)


def test_everything_right_is_100_and_excelled() -> None:
    result = score(NUMERICAL, ALL_RIGHT)
    assert (result.percent, result.grade) == (Decimal(100), "excelled")
    assert (
        result.summary == "Reads tables quickly and calculates accurately, also in several steps."
    )
    assert result.details == {
        "Reading tables": {"Score": 100, "Answered": "4 of 4"},
        "Money and time": {"Score": 100, "Answered": "4 of 4"},
    }


def test_nothing_answered_is_0_and_failed() -> None:
    result = score(NUMERICAL, {})
    assert (result.percent, result.grade) == (Decimal(0), "failed")
    assert result.details["Reading tables"] == {"Score": 0, "Answered": "0 of 4"}


def test_points_and_partial_credit_count_and_rounding_is_half_up() -> None:
    # tables: 1 + 0 + 2 × 1/3 of 5 points = 33.3 %; money: 2 of 5 points = 40 %
    answers = {
        "growth": "south",
        "strong-quarters": ["q2"],
        "east-halves": False,
        "jacket": "61.20",
    }
    result = score(NUMERICAL, answers)
    assert [each.percent for each in result.sections] == [Decimal("33.3"), 40]
    assert result.percent == Decimal("36.7")
    assert result.details["Reading tables"] == {"Score": 33.3, "Answered": "3 of 4"}


def test_sections_count_by_their_weight() -> None:
    best = {"late-parcel": "find-out", "shouting": "listen", "exception": "ask"}
    best |= {"unknown-answer": True, "handover": ["wants", "promised", "tried"]}  # type: ignore[dict-item]
    result = score(SERVICE, best)
    assert [each.percent for each in result.sections] == [100, 0]
    assert result.percent == 75


def test_traits_are_told_under_their_section_from_what_was_answered() -> None:
    answers = {"patience-1": 5, "patience-2": 2, "team-1": 4}
    details = score(SERVICE, answers).details["How you like to work"]
    assert details == {"Score": 41.7, "Answered": "3 of 6", "Patience": 87.5, "Teamwork": 75}


def test_a_section_that_is_not_scored_is_told_but_does_not_count() -> None:
    scale = Likert(key="l", prompt="?", labels=("No", "Yes"), trait="Calm")
    survey = content.Section("two", "Survey", (scale,), weight=Decimal(0))
    result = score(
        exam(content.Section("one", "Sums", statements(2)), survey), {"s0": True, "l": 2}
    )
    assert result.percent == 50
    assert result.details["Survey"] == {"Answered": "1 of 1", "Calm": 100}
    assert result.figures() == {
        "bars": [
            {"label": "Sums", "percent": 50, "note": "1 of 2 answered"},
            {"label": "Calm", "percent": 100, "note": "Survey"},
        ]
    }


def test_a_test_without_a_scored_section_has_no_score_and_no_grade() -> None:
    survey = exam(content.Section("one", "Survey", statements(1), weight=Decimal(0)))
    result = score(survey, {"s0": True})
    assert (result.percent, result.grade, result.summary) == (None, None, None)
    assert scoring.score_items(survey, {"s0": True})[0].points is None


def test_a_test_without_cut_scores_has_a_score_and_no_grade() -> None:
    result = score(exam(content.Section("one", "Sums", statements(3))), {"s0": True})
    assert (result.percent, result.grade, result.summary) == (Decimal("33.3"), None, None)


@pytest.mark.parametrize(
    ("right", "grade"), [(0, "failed"), (998, "failed"), (999, "passed"), (1599, "excelled")]
)
def test_a_cut_score_is_reached_when_the_percentage_shown_meets_it(right: int, grade: str) -> None:
    test = exam(
        content.Section("one", "Sums", statements(2000)), grades=Grades(Decimal(50), Decimal(80))
    )
    # 999 of 2000 is 49.95 %, which reads 50: the grade agrees with what people see.
    assert score(test, {f"s{n}": True for n in range(right)}).grade == grade


def test_without_a_second_cut_score_nobody_excels() -> None:
    assert Grades(Decimal(50)).grade_for(Decimal(100)) == "passed"
    assert Grades(Decimal(50)).grade_for(Decimal("49.9")) == "failed"


@pytest.mark.parametrize(
    ("share", "shown", "json_number"),
    [
        (Fraction(78, 100), "78", 78),
        (Fraction(1, 3), "33.3", 33.3),
        (Fraction(2, 3), "66.7", 66.7),
        (Fraction(6665, 10000), "66.7", 66.7),
        (Fraction(0), "0", 0),
        (Fraction(1), "100", 100),
    ],
)
def test_a_percentage_reads_short(share: Fraction, shown: str, json_number: float) -> None:
    assert to_number_text(to_percent(share)) == shown
    assert to_number(to_percent(share)) == json_number


def test_the_evidence_shows_every_item_with_answer_and_points() -> None:
    shown = {each.key: each for each in scoring.score_items(NUMERICAL, {"strong-quarters": ["q2"]})}
    quarters, jacket = shown["strong-quarters"], shown["jacket"]
    assert (quarters.section, quarters.answer, quarters.solution) == (
        "Reading tables",
        "Q2",
        "Q2; Q3; Q4",
    )
    assert (quarters.points, quarters.max_points) == (Decimal("0.67"), Decimal(2))
    assert quarters.prompt.startswith("In which quarters did North and South together")
    assert (jacket.answer, jacket.points) == (None, Decimal(0))


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
def test_any_attempt_scores_0_to_100_in_figures_that_the_wire_can_carry(
    attempt: tuple[content.TestContent, dict[str, Any]],
) -> None:
    result = score(*attempt)
    percents = [result.percent, *(each.percent for each in result.sections)]
    assert all(each is not None and 0 <= each <= 100 for each in percents)
    assert result.grade in {"failed", "passed", "excelled"}
    for section in result.details.values():
        assert all(isinstance(value, int | float | str) for value in section.values())
    assert json.loads(json.dumps(result.details)) == result.details
    gained = sum(each.points or 0 for each in scoring.score_items(*attempt))
    assert gained <= sum(item.points for item in attempt[0].items)


@settings(deadline=None)
@given(ATTEMPTS)
def test_a_right_answer_more_never_lowers_a_score(
    attempt: tuple[content.TestContent, dict[str, Any]],
) -> None:
    test, answers = attempt
    before = score(test, answers).percent
    best = {item.key: 5 for item in test.items if isinstance(item, Likert) and not item.reversed}
    after = score(test, answers | {key: best[key] for key in list(best)[:1]} | {"jacket": "61.2"})
    assert before is not None
    assert after.percent is not None
    assert after.percent >= before
