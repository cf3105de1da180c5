"""Interviews from the first take to the rated answer."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from provider import kinds, vault
from provider.errors import Conflict, Invalid, NotFound
from provider.house import House
from provider.kinds.interview import Interview, Recording
from provider.media import Kept
from tests import cast
from tests.cast import HandClock

CONTENT: dict[str, Any] = cast.INTERVIEW | {
    "questions": [
        {"key": "why", "text": "Why *this* job?", "takes": 2},
        {"key": "when", "text": "When?"},
    ],
    "scale": {"min": 1, "max": 5},
    "grades": {"passed": 50, "excelled": 80},
    "summaries": {"failed": "No.", "passed": "Yes.", "excelled": "Very much."},
}


@pytest.fixture
def placed(house: House) -> str:
    account_id, _ = cast.account(house)
    template = cast.product(house, "interview", CONTENT, "two", "Two")
    return cast.order(house, account_id, template, "interview")


@pytest.fixture
def begun(house: House, placed: str) -> str:
    with house.db.writing() as session:
        Interview.find(session, placed).start(session, house.now())
    return placed


def record(
    house: House, session: Session, interview: Interview, question: str, data: str
) -> Recording:
    kept = Kept(len(data), data)
    new = vault.public_id()
    return interview.record(session, question, new, "video/webm", kept, house.now())


def hand_in(house: House, public_id: str, *questions: str) -> None:
    with house.db.writing() as session:
        interview = Interview.find(session, public_id)
        for question in questions or ("why", "when"):
            record(house, session, interview, question, question)
        interview.send(session, house.now())


def conclude(house: House, public_id: str, ratings: dict[str, int], summary: str = "") -> None:
    with house.db.writing() as session:
        interview = Interview.find(session, public_id)
        for question, value in ratings.items():
            interview.rate(question, value, "", "sam@provider.test", house.now())
        interview.conclude(session, house.vault, summary, "sam@provider.test", house.now())


def test_before_it_begins_nothing_can_be_recorded(house: House, placed: str) -> None:
    with house.db.writing() as session, pytest.raises(Conflict, match="time"):
        record(house, session, Interview.find(session, placed), "why", "one")


def test_the_newest_take_stands_until_another_is_chosen(house: House, begun: str) -> None:
    with house.db.writing() as session:
        interview = Interview.find(session, begun)
        first = record(house, session, interview, "why", "one")
        second = record(house, session, interview, "why", "two")
        assert interview.chosen("why") is second
        assert (first.take, second.take) == (1, 2)
        interview.choose(first.public_id, house.now())
        assert interview.chosen("why") is first


def test_the_same_bytes_are_the_same_take_even_when_the_time_is_over(
    house: House, begun: str, clock: HandClock
) -> None:
    with house.db.writing() as session:
        interview = Interview.find(session, begun)
        first = record(house, session, interview, "when", "one")
        clock.pass_(timedelta(days=30))
        assert record(house, session, interview, "when", "one") is first
        with pytest.raises(Conflict, match="The time for this interview is over"):
            record(house, session, interview, "why", "one")


def test_takes_are_limited_per_question(house: House, begun: str) -> None:
    with house.db.writing() as session:
        interview = Interview.find(session, begun)
        record(house, session, interview, "when", "one")
        with pytest.raises(Conflict, match="cannot be recorded again"):
            record(house, session, interview, "when", "two")
        record(house, session, interview, "why", "two")


def test_a_question_or_a_take_that_is_not_there_is_not_found(house: House, begun: str) -> None:
    with house.db.writing() as session:
        interview = Interview.find(session, begun)
        with pytest.raises(NotFound):
            record(house, session, interview, "nothing", "one")
        with pytest.raises(NotFound):
            interview.choose("A" * 22, house.now())


def test_handing_in_needs_an_answer_to_every_question(house: House, begun: str) -> None:
    with house.db.writing() as session:
        interview = Interview.find(session, begun)
        record(house, session, interview, "why", "one")
        with pytest.raises(Conflict, match="1 of the questions"):
            interview.send(session, house.now())


def test_what_is_handed_in_is_neither_declined_begun_nor_changed(
    house: House, begun: str, clock: HandClock
) -> None:
    hand_in(house, begun)
    with house.db.writing() as session:
        interview = Interview.find(session, begun)
        with pytest.raises(Conflict, match="handed in"):
            interview.decline(session, "", house.now())
        with pytest.raises(Conflict, match="handed in"):
            interview.start(session, house.now())
        with pytest.raises(Conflict):
            record(house, session, interview, "why", "another")
        interview.send(session, house.now())
        assert [event.word for event in interview.events].count("submitted") == 1
    clock.pass_(timedelta(days=60))
    with house.db.writing() as session:
        kinds.pass_time(session, house.vault, house.now())
    assert cast.status(house, begun) == "pending"  # it waits on the staff, however long


@pytest.mark.parametrize(("answered", "status"), [(True, "pending"), (False, "expired")])
def test_when_the_time_is_over_what_was_recorded_is_handed_in(
    house: House, begun: str, clock: HandClock, answered: bool, status: str
) -> None:
    with house.db.writing() as session:
        interview = Interview.find(session, begun)
        if answered:
            record(house, session, interview, "why", "one")
        assert interview.attempt_ends_at
        clock.at = interview.attempt_ends_at
    with house.db.writing() as session:
        kinds.pass_time(session, house.vault, house.now())
    assert cast.status(house, begun) == status


@pytest.mark.parametrize(
    ("ratings", "score", "grade", "summary"),
    [
        ({"why": 1, "when": 1}, 0, "failed", "No."),
        ({"why": 3, "when": 3}, 50, "passed", "Yes."),
        ({"why": 5, "when": 4}, 87.5, "excelled", "Very much."),
    ],
)
def test_score_and_grade_follow_the_templates_scale(
    house: House, begun: str, ratings: dict[str, int], score: float, grade: str, summary: str
) -> None:
    hand_in(house, begun)
    conclude(house, begun, ratings)
    with house.db.reading() as session:
        result = Interview.find(session, begun).result
        assert result
        assert (result.score, result.grade, result.summary) == (score, grade, summary)
    assert cast.status(house, begun) == "completed"


def test_what_the_staff_write_comes_before_the_templates_sentence(house: House, begun: str) -> None:
    hand_in(house, begun)
    conclude(house, begun, {"why": 5, "when": 5}, " Hire. ")
    with house.db.reading() as session:
        result = Interview.find(session, begun).result
        assert result
        assert result.summary == "Hire."


def test_every_answer_needs_a_rating_and_ratings_stay_on_the_scale(
    house: House, begun: str
) -> None:
    with house.db.writing() as session, pytest.raises(Conflict, match="handed in"):
        Interview.find(session, begun).rate("why", 3, "", "sam", house.now())
    hand_in(house, begun)
    with house.db.writing() as session, pytest.raises(Invalid, match="from 1 to 5"):
        Interview.find(session, begun).rate("why", 6, "", "sam", house.now())
    with pytest.raises(Conflict, match="no rating yet"):
        conclude(house, begun, {"why": 3})


def test_a_reopened_interview_keeps_its_takes_and_counts_on(house: House, begun: str) -> None:
    hand_in(house, begun)
    conclude(house, begun, {"why": 3, "when": 3})
    with house.db.writing() as session:
        interview = Interview.find(session, begun)
        interview.reopen(session, house.vault, "sam", "again", house.now())
        interview.start(session, house.now())
        assert interview.unanswered() == []
        left = {each.key: interview.takes_left(each) for each in interview.content.questions}
        assert left == {"why": 1, "when": 0}
        interview.send(session, house.now())
        assert interview.progress == "submitted"
