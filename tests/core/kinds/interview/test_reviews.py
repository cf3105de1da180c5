"""Reviewers of an interview: scorecards, blindness, assignments, completion."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.scorecards import NewerSave
from provider.core.marking import MarkingTask
from provider.core.marking.queue import is_claimed_by, is_free, list_queued
from provider.errors import Conflict
from provider.services import Services
from tests import interview_factories
from tests.factories import ManualClock

ANN, BEN, CAT = "ann@provider.test", "ben@provider.test", "cat@provider.test"


@pytest.fixture
def interview(services: Services) -> str:
    return interview_factories.submitted_interview(services)[0]


def rate(services: Services, interview: str, reviewer: str, *values: int) -> None:
    interview_factories.rate_answers(
        services, interview, *values, note=f"Note of {reviewer}", reviewer=reviewer
    )


def submit(services: Services, interview: str, reviewer: str) -> None:
    interview_factories.submit_scorecard(services, interview, reviewer)


def assign(services: Services, interview: str, *reviewers: str) -> None:
    with services.db.writing() as session:
        for reviewer in reviewers:
            Interview.find(session, interview).assign(session, reviewer, CAT, services.now())


def conclude(services: Services, interview: str, actor: str) -> None:
    with services.db.writing() as session:
        order = Interview.find(session, interview, lock=True)
        order.conclude(session, services.secret_box, "", actor, services.now())


def sees(services: Services, interview: str, *, may_rate: bool = True) -> list[str]:
    """Return which of the three see the scorecards of others."""
    with services.db.reading() as session:
        order = Interview.find(session, interview)
        return [
            staff for staff in (ANN, BEN, CAT) if order.sees_scorecards(staff, may_rate=may_rate)
        ]


def test_scorecards_are_averaged_once_they_are_in(services: Services, interview: str) -> None:
    rate(services, interview, ANN, 5, 4, 3)
    rate(services, interview, BEN, 4, 4, 2)
    rate(services, interview, CAT, 1, 1, 1)  # never submitted
    submit(services, interview, ANN)
    submit(services, interview, BEN)
    conclude(services, interview, BEN)
    with services.db.reading() as session:
        order = Interview.find(session, interview)
        assert order.result
        # (4.5 + 4 + 2.5) / 3 on the scale from 1 to 5
        assert order.result.score == 66.7
        answers = order.evidence(services.secret_box).video_answers
        assert [answer.rating for answer in answers] == ["4.5 of 5", "4 of 5, Good", "2.5 of 5"]
        assert [answer.spread for answer in answers] == [
            "2 reviewers, from 4 to 5",
            "2 reviewers, from 4 to 4",
            "2 reviewers, from 2 to 3",
        ]
        assert answers[0].notes == (f"Note of {ANN}", f"Note of {BEN}")


def test_reviewer_sees_others_only_after_the_own_scorecard(
    services: Services, interview: str
) -> None:
    assert sees(services, interview) == []
    rate(services, interview, ANN, 5, 4, 3)
    rate(services, interview, BEN, 4, 4, 2)
    submit(services, interview, ANN)
    assert sees(services, interview) == [ANN]
    submit(services, interview, BEN)
    assert sees(services, interview) == [ANN, BEN]
    assert sees(services, interview, may_rate=False) == [ANN, BEN, CAT]
    conclude(services, interview, ANN)
    assert sees(services, interview) == [ANN, BEN, CAT]


def test_observer_sees_scorecards_and_never_rates(services: Services, interview: str) -> None:
    rate(services, interview, ANN, 5, 4, 3)
    submit(services, interview, ANN)
    for _ in range(2):  # a second press of the button changes nothing
        with services.db.writing() as session:
            Interview.find(session, interview).observe(CAT, services.now())
    assert sees(services, interview) == [ANN, CAT]
    with pytest.raises(Conflict, match="cannot rate any more"):
        rate(services, interview, CAT, 1, 1, 1)
    with pytest.raises(Conflict, match="has seen the scorecards"):
        assign(services, interview, CAT)
    conclude(services, interview, CAT)


def test_assigned_reviewer_cannot_observe(services: Services, interview: str) -> None:
    assign(services, interview, BEN)
    with services.db.writing() as session, pytest.raises(Conflict, match="submit your scorecard"):
        Interview.find(session, interview).observe(BEN, services.now())


def test_interview_waits_for_each_assigned_scorecard(services: Services, interview: str) -> None:
    assign(services, interview, ANN, BEN)
    rate(services, interview, ANN, 5, 4, 3)
    submit(services, interview, ANN)
    with pytest.raises(Conflict, match=BEN):
        conclude(services, interview, ANN)
    with services.db.writing() as session:
        Interview.find(session, interview).unassign(session, BEN)
    conclude(services, interview, ANN)


def test_reviewer_with_open_scorecard_cannot_complete(services: Services, interview: str) -> None:
    rate(services, interview, ANN, 5, 4, 3)
    submit(services, interview, ANN)
    rate(services, interview, BEN, 4, 4, 2)
    with pytest.raises(Conflict, match="Submit your scorecard first"):
        conclude(services, interview, BEN)


def test_submitted_scorecard_is_locked(services: Services, interview: str) -> None:
    rate(services, interview, ANN, 5, 4, 3)
    submit(services, interview, ANN)
    with pytest.raises(Conflict, match="cannot be changed"):
        rate(services, interview, ANN, 1, 1, 1)


def test_scorecard_is_taken_back_only_while_it_is_the_only_one(
    services: Services, interview: str
) -> None:
    rate(services, interview, ANN, 5, 4, 3)
    submit(services, interview, ANN)
    with services.db.writing() as session:
        Interview.find(session, interview).take_back_scorecard(session, ANN, services.now())
    assert sees(services, interview) == []
    rate(services, interview, ANN, 5, 5, 5)
    submit(services, interview, ANN)
    rate(services, interview, BEN, 4, 4, 2)
    submit(services, interview, BEN)
    with services.db.writing() as session, pytest.raises(Conflict, match="Another scorecard"):
        Interview.find(session, interview).take_back_scorecard(session, ANN, services.now())


def test_incomplete_scorecard_is_refused(services: Services, interview: str) -> None:
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        order.rate("why", 4, "", ANN, services.now())
        order.rate("proud", None, "A note without a rating", ANN, services.now())
    with pytest.raises(Conflict, match="2 of the answers"):
        submit(services, interview, ANN)


def test_older_save_never_overwrites_a_newer_one(services: Services, interview: str) -> None:
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        assert order.rate("why", 2, "first", ANN, services.now(), 0).save_number == 1
        assert order.rate("why", 4, "newer", ANN, services.now(), 1).save_number == 2
        # The same save again, as after an answer that the network lost.
        assert order.rate("why", 4, "newer", ANN, services.now(), 1).save_number == 2
        with pytest.raises(NewerSave):
            order.rate("why", 2, "first", ANN, services.now(), 0)
        with pytest.raises(NewerSave):
            order.rate("why", 1, "older", ANN, services.now(), 1)
        rating = order.ratings_by_question(ANN)["why"]
        assert (rating.value, rating.note) == (4, "newer")
        assert order.rate_overall(3, "", ANN, services.now(), 0).save_number == 1
        with pytest.raises(NewerSave):
            order.rate_overall(5, "", ANN, services.now(), 0)


def test_reopened_interview_forgets_scorecards(
    services: Services, clock: ManualClock, interview: str
) -> None:
    rate(services, interview, ANN, 5, 4, 3)
    with services.db.writing() as session:
        Interview.find(session, interview).rate_overall(4, "", ANN, services.now())
    conclude(services, interview, ANN)
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        order.reopen(session, services.secret_box, CAT, "the line broke", services.now())
    clock.advance(timedelta(minutes=1))
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        order.start(session, services.now())
        order.submit(session, services.now())
        assert order.current_scorecards() == []
        # The page shows no save of before the reopening.
        order.rate("why", 1, "", ANN, services.now(), 0)
        (card,) = order.current_scorecards()
        assert (card.state, card.overall, card.submitted_at) == ("open", None, None)
        assert order.rate_overall(3, "", ANN, services.now(), 0).save_number == 1


def test_question_without_answer_is_not_rated(services: Services) -> None:
    interview = interview_factories.place_interview(services)
    interview_factories.record_answer(services, interview, "why")
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        order.close_at_deadline(session, services.secret_box, services.now())
        with pytest.raises(Conflict, match="no answer to rate"):
            order.rate("proud", 5, "", ANN, services.now())


def test_queue_shows_assignments_and_hides_finished_ones(
    services: Services, interview: str
) -> None:
    def listed(condition: object) -> int:
        with services.db.reading() as session:
            query = list_queued().where(condition)  # type: ignore[arg-type]
            return len(session.scalars(query).all())

    now = services.now()
    assign(services, interview, ANN)
    assert [listed(is_claimed_by(staff, now)) for staff in (ANN, BEN)] == [1, 0]
    assert [listed(is_free(staff, now)) for staff in (ANN, BEN)] == [1, 1]
    rate(services, interview, ANN, 5, 4, 3)
    submit(services, interview, ANN)
    assert [listed(is_claimed_by(staff, now)) for staff in (ANN, BEN)] == [0, 0]
    assert [listed(is_free(staff, now)) for staff in (ANN, BEN)] == [0, 1]
    with services.db.writing() as session:
        Interview.find(session, interview).take_back_scorecard(session, ANN, now)
    assert [listed(is_claimed_by(staff, now)) for staff in (ANN, BEN)] == [1, 0]
    submit(services, interview, ANN)
    conclude(services, interview, ANN)
    with services.db.reading() as session:
        assert session.scalars(select(MarkingTask.state)).all() == ["marked"]
