"""Interviews: recordings, submission, ratings and reopening."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from provider.core.kinds.interview import BROKEN, Interview, Recording
from provider.core.labels import MAX_DETAIL_LABEL_LENGTH
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
def placed_interview(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    template = factories.create_product(services, "interview", CONTENT, "two", "Two")
    return factories.place_order(services, account_id, template, "interview")


@pytest.fixture
def started_interview(services: Services, placed_interview: str) -> str:
    with services.db.writing() as session:
        Interview.find(session, placed_interview).start(session, services.now())
    return placed_interview


def record(
    services: Services, session: Session, interview: Interview, question: str, data: str
) -> Recording:
    stored_file = StoredFile(len(data), data)
    public_id = secrets.generate_public_id()
    return interview.add_recording(
        session, question, public_id, "video/webm", stored_file, services.now()
    )


def record_and_submit(services: Services, public_id: str, *questions: str) -> None:
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


def test_add_recording_before_start_is_refused(services: Services, placed_interview: str) -> None:
    with services.db.writing() as session, pytest.raises(Conflict, match="time"):
        record(services, session, Interview.find(session, placed_interview), "why", "one")


def test_selected_recording_is_the_newest_until_another_is_selected(
    services: Services, started_interview: str
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, started_interview)
        first = record(services, session, interview, "why", "one")
        second = record(services, session, interview, "why", "two")
        assert interview.selected_recording("why") is second
        assert (first.take, second.take) == (1, 2)
        interview.select_recording(first.public_id, services.now())
        assert interview.selected_recording("why") is first


def test_add_recording_same_file_after_deadline_returns_the_first(
    services: Services, started_interview: str, clock: ManualClock
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, started_interview)
        first = record(services, session, interview, "when", "one")
        clock.advance(timedelta(days=30))
        assert record(services, session, interview, "when", "one") is first
        with pytest.raises(Conflict, match="The time for this interview is over"):
            record(services, session, interview, "why", "one")


def test_add_recording_takes_are_limited_per_question(
    services: Services, started_interview: str
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, started_interview)
        record(services, session, interview, "when", "one")
        with pytest.raises(Conflict, match="cannot be recorded again"):
            record(services, session, interview, "when", "two")
        record(services, session, interview, "why", "two")


def test_interview_unknown_question_or_recording_is_not_found(
    services: Services, started_interview: str
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, started_interview)
        with pytest.raises(NotFound):
            record(services, session, interview, "nothing", "one")
        with pytest.raises(NotFound):
            interview.select_recording("A" * 22, services.now())


def test_submit_with_unanswered_question_is_refused(
    services: Services, started_interview: str
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, started_interview)
        record(services, session, interview, "why", "one")
        with pytest.raises(Conflict, match="1 of the questions"):
            interview.submit(session, services.now())


def test_submitted_interview_cannot_be_declined_started_or_changed(
    services: Services, started_interview: str, clock: ManualClock
) -> None:
    record_and_submit(services, started_interview)
    with services.db.writing() as session:
        interview = Interview.find(session, started_interview)
        with pytest.raises(Conflict, match="already been submitted"):
            interview.decline(session, "", services.now())
        with pytest.raises(Conflict, match="already been submitted"):
            interview.start(session, services.now())
        with pytest.raises(Conflict):
            record(services, session, interview, "why", "another")
        interview.submit(session, services.now())
        assert [event.type for event in interview.events].count("submitted") == 1
    clock.advance(timedelta(days=60))
    with services.db.writing() as session:
        factories.apply_deadlines(services, session, services.now())
    # A submitted interview waits for the staff without a deadline.
    assert factories.order_status(services, started_interview) == "pending"


@pytest.mark.parametrize(("has_answer", "status"), [(True, "pending"), (False, "expired")])
def test_deadline_submits_recorded_answers_or_expires(
    services: Services, started_interview: str, clock: ManualClock, has_answer: bool, status: str
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, started_interview)
        if has_answer:
            record(services, session, interview, "why", "one")
        assert interview.closes_at
        clock.current_time = interview.closes_at
    with services.db.writing() as session:
        factories.apply_deadlines(services, session, services.now())
    assert factories.order_status(services, started_interview) == status


@pytest.mark.parametrize(
    ("ratings", "score", "grade", "summary"),
    [
        ({"why": 1, "when": 1}, 0, "failed", "No."),
        ({"why": 3, "when": 3}, 50, "passed", "Yes."),
        ({"why": 5, "when": 4}, 87.5, "excelled", "Very much."),
    ],
)
def test_conclude_scores_by_the_scale_of_the_template(
    services: Services,
    started_interview: str,
    ratings: dict[str, int],
    score: float,
    grade: str,
    summary: str,
) -> None:
    record_and_submit(services, started_interview)
    conclude(services, started_interview, ratings)
    with services.db.reading() as session:
        result = Interview.find(session, started_interview).result
        assert result
        assert (result.score, result.grade, result.summary) == (score, grade, summary)
    assert factories.order_status(services, started_interview) == "completed"


def test_rating_of_a_long_question_is_labelled_by_whole_words(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    question = {"key": "why", "text": "Describe a difficult customer " * 4}
    content = CONTENT | {"questions": [question]}
    template = factories.create_product(services, "interview", content, "long", "Long")
    public_id = factories.place_order(services, account_id, template, "interview")
    with services.db.writing() as session:
        Interview.find(session, public_id).start(session, services.now())
    record_and_submit(services, public_id, "why")
    conclude(services, public_id, {"why": 4})
    with services.db.reading() as session:
        result = Interview.find(session, public_id).result
        assert result
        (label,) = result.details["Ratings"]
    assert label.removesuffix("…").split()[-1] in question["text"].split()
    assert 60 < len(label) <= MAX_DETAIL_LABEL_LENGTH


def test_conclude_summary_of_staff_replaces_the_one_of_the_template(
    services: Services, started_interview: str
) -> None:
    record_and_submit(services, started_interview)
    conclude(services, started_interview, {"why": 5, "when": 5}, " Hire. ")
    with services.db.reading() as session:
        result = Interview.find(session, started_interview).result
        assert result
        assert result.summary == "Hire."


def test_rating_outside_scale_or_missing_is_refused(
    services: Services, started_interview: str
) -> None:
    with services.db.writing() as session, pytest.raises(Conflict, match="submitted interview"):
        Interview.find(session, started_interview).rate("why", 3, "", "sam", services.now())
    record_and_submit(services, started_interview)
    with services.db.writing() as session, pytest.raises(Invalid, match="from 1 to 5"):
        Interview.find(session, started_interview).rate("why", 6, "", "sam", services.now())
    with pytest.raises(Conflict, match="no rating yet"):
        conclude(services, started_interview, {"why": 3})


def test_broken_recordings_use_up_no_take_twice(services: Services, started_interview: str) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, started_interview)
        question = interview.find_question("when")
        takes_left = []
        for number in range(3):
            stored_file = StoredFile(9, f"{number:064}")
            recording = interview.add_recording(
                session, "when", f"broken-{number}", "video/webm", stored_file, services.now()
            )
            recording.state = BROKEN
            takes_left.append(interview.takes_left(question))
        assert takes_left == [question.takes, question.takes, question.takes - 1] == [1, 1, 0]


def test_broken_recording_is_no_answer_while_a_take_is_left(
    services: Services, started_interview: str
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, started_interview)
        for question in ("why", "when"):
            record(services, session, interview, question, question).state = BROKEN
        assert len(interview.unanswered_questions()) == 2
        with pytest.raises(Conflict, match="2 of the questions have no answer"):
            interview.submit(session, services.now())
        assert interview.evidence(services.secret_box).facts[0][1] == "0 of 2"
        for number in range(5):
            if interview.takes_left(interview.find_question("when")):
                record(services, session, interview, "when", str(number)).state = BROKEN
        # Nothing else can be recorded, so the candidate may submit the interview as it is.
        assert [question.key for question in interview.unanswered_questions()] == ["why"]


def test_reopened_interview_keeps_recordings(services: Services, started_interview: str) -> None:
    record_and_submit(services, started_interview)
    conclude(services, started_interview, {"why": 3, "when": 3})
    with services.db.writing() as session:
        interview = Interview.find(session, started_interview)
        interview.reopen(session, services.secret_box, "sam", "again", services.now())
        interview.start(session, services.now())
        assert interview.unanswered_questions() == []
        takes_left = {
            question.key: interview.takes_left(question) for question in interview.content.questions
        }
        assert takes_left == {"why": 1, "when": 0}
        interview.submit(session, services.now())
        assert interview.progress == "submitted"
