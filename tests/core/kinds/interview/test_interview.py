"""Interviews from the first take to the rated answer."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from provider.core import kinds
from provider.core.kinds.interview import Interview, Recording
from provider.errors import Conflict, Invalid, NotFound
from provider.services import Services
from provider.storage import secrets
from provider.storage.media import StoredFile
from tests import factories
from tests.factories import ManualClock

CONTENT: dict[str, Any] = factories.INTERVIEW_CONTENT | {
    "questions": [
        {"key": "why", "text": "Why *this* job?", "takes": 2},
        {"key": "when", "text": "When?"},
    ],
    "scale": {"min": 1, "max": 5},
    "grades": {"passed": 50, "excelled": 80},
    "summaries": {"failed": "No.", "passed": "Yes.", "excelled": "Very much."},
}


@pytest.fixture
def placed(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    template = factories.create_product(services, "interview", CONTENT, "two", "Two")
    return factories.place_order(services, account_id, template, "interview")


@pytest.fixture
def begun(services: Services, placed: str) -> str:
    with services.db.writing() as session:
        Interview.find(session, placed).start(session, services.now())
    return placed


def record(
    services: Services, session: Session, interview: Interview, question: str, data: str
) -> Recording:
    kept = StoredFile(len(data), data)
    new = secrets.generate_public_id()
    return interview.add_recording(session, question, new, "video/webm", kept, services.now())


def hand_in(services: Services, public_id: str, *questions: str) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, public_id)
        for question in questions or ("why", "when"):
            record(services, session, interview, question, question)
        interview.submit(session, services.now())


def conclude(
    services: Services, public_id: str, ratings: dict[str, int], summary: str = ""
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, public_id)
        for question, value in ratings.items():
            interview.rate(question, value, "", "sam@provider.test", services.now())
        interview.conclude(
            session, services.secret_box, summary, "sam@provider.test", services.now()
        )


def test_before_it_begins_nothing_can_be_recorded(services: Services, placed: str) -> None:
    with services.db.writing() as session, pytest.raises(Conflict, match="time"):
        record(services, session, Interview.find(session, placed), "why", "one")


def test_the_newest_take_stands_until_another_is_chosen(services: Services, begun: str) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, begun)
        first = record(services, session, interview, "why", "one")
        second = record(services, session, interview, "why", "two")
        assert interview.selected_recording("why") is second
        assert (first.take, second.take) == (1, 2)
        interview.select_recording(first.public_id, services.now())
        assert interview.selected_recording("why") is first


def test_the_same_bytes_are_the_same_take_even_when_the_time_is_over(
    services: Services, begun: str, clock: ManualClock
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, begun)
        first = record(services, session, interview, "when", "one")
        clock.advance(timedelta(days=30))
        assert record(services, session, interview, "when", "one") is first
        with pytest.raises(Conflict, match="The time for this interview is over"):
            record(services, session, interview, "why", "one")


def test_takes_are_limited_per_question(services: Services, begun: str) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, begun)
        record(services, session, interview, "when", "one")
        with pytest.raises(Conflict, match="cannot be recorded again"):
            record(services, session, interview, "when", "two")
        record(services, session, interview, "why", "two")


def test_a_question_or_a_take_that_is_not_there_is_not_found(
    services: Services, begun: str
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, begun)
        with pytest.raises(NotFound):
            record(services, session, interview, "nothing", "one")
        with pytest.raises(NotFound):
            interview.select_recording("A" * 22, services.now())


def test_handing_in_needs_an_answer_to_every_question(services: Services, begun: str) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, begun)
        record(services, session, interview, "why", "one")
        with pytest.raises(Conflict, match="1 of the questions"):
            interview.submit(session, services.now())


def test_what_is_handed_in_is_neither_declined_begun_nor_changed(
    services: Services, begun: str, clock: ManualClock
) -> None:
    hand_in(services, begun)
    with services.db.writing() as session:
        interview = Interview.find(session, begun)
        with pytest.raises(Conflict, match="handed in"):
            interview.decline(session, "", services.now())
        with pytest.raises(Conflict, match="handed in"):
            interview.start(session, services.now())
        with pytest.raises(Conflict):
            record(services, session, interview, "why", "another")
        interview.submit(session, services.now())
        assert [event.type for event in interview.events].count("submitted") == 1
    clock.advance(timedelta(days=60))
    with services.db.writing() as session:
        kinds.apply_deadlines(session, services.secret_box, services.now())
    assert (
        factories.order_status(services, begun) == "pending"
    )  # it waits on the staff, however long


@pytest.mark.parametrize(("answered", "status"), [(True, "pending"), (False, "expired")])
def test_when_the_time_is_over_what_was_recorded_is_handed_in(
    services: Services, begun: str, clock: ManualClock, answered: bool, status: str
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, begun)
        if answered:
            record(services, session, interview, "why", "one")
        assert interview.attempt_ends_at
        clock.current_time = interview.attempt_ends_at
    with services.db.writing() as session:
        kinds.apply_deadlines(session, services.secret_box, services.now())
    assert factories.order_status(services, begun) == status


@pytest.mark.parametrize(
    ("ratings", "score", "grade", "summary"),
    [
        ({"why": 1, "when": 1}, 0, "failed", "No."),
        ({"why": 3, "when": 3}, 50, "passed", "Yes."),
        ({"why": 5, "when": 4}, 87.5, "excelled", "Very much."),
    ],
)
def test_score_and_grade_follow_the_templates_scale(
    services: Services, begun: str, ratings: dict[str, int], score: float, grade: str, summary: str
) -> None:
    hand_in(services, begun)
    conclude(services, begun, ratings)
    with services.db.reading() as session:
        result = Interview.find(session, begun).result
        assert result
        assert (result.score, result.grade, result.summary) == (score, grade, summary)
    assert factories.order_status(services, begun) == "completed"


def test_what_the_staff_write_comes_before_the_templates_sentence(
    services: Services, begun: str
) -> None:
    hand_in(services, begun)
    conclude(services, begun, {"why": 5, "when": 5}, " Hire. ")
    with services.db.reading() as session:
        result = Interview.find(session, begun).result
        assert result
        assert result.summary == "Hire."


def test_every_answer_needs_a_rating_and_ratings_stay_on_the_scale(
    services: Services, begun: str
) -> None:
    with services.db.writing() as session, pytest.raises(Conflict, match="handed in"):
        Interview.find(session, begun).rate("why", 3, "", "sam", services.now())
    hand_in(services, begun)
    with services.db.writing() as session, pytest.raises(Invalid, match="from 1 to 5"):
        Interview.find(session, begun).rate("why", 6, "", "sam", services.now())
    with pytest.raises(Conflict, match="no rating yet"):
        conclude(services, begun, {"why": 3})


def test_a_reopened_interview_keeps_its_takes_and_counts_on(services: Services, begun: str) -> None:
    hand_in(services, begun)
    conclude(services, begun, {"why": 3, "when": 3})
    with services.db.writing() as session:
        interview = Interview.find(session, begun)
        interview.reopen(session, services.secret_box, "sam", "again", services.now())
        interview.start(session, services.now())
        assert interview.unanswered_questions() == []
        left = {each.key: interview.takes_left(each) for each in interview.content.questions}
        assert left == {"why": 1, "when": 0}
        interview.submit(session, services.now())
        assert interview.progress == "submitted"
