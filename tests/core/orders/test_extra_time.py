"""Extra time: before the start and during the attempt, and shown to nobody else."""

from datetime import timedelta

import pytest

from provider.core.kinds.assessment import Assessment
from provider.core.kinds.interview import Interview
from provider.core.orders import REPORT, Order, TimedOrder, close_overdue_orders, staff_acts
from provider.core.orders.given_time import ARRIVAL_GRACE
from provider.core.report import build_report
from provider.errors import Conflict, Invalid
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.interview_factories import submitted_interview

ACTOR = "sam@provider.test"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def order_id(services: Services) -> str:
    """Return a test of 20 minutes."""
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services))


@pytest.fixture
def interview_id(services: Services) -> str:
    """Return an interview with one question: 30 seconds to think, 90 to answer."""
    account_id, _ = factories.create_account(services)
    template_id = factories.create_interview(services)
    return factories.place_order(services, account_id, template_id, "interview")


def give(services: Services, order_id: str, percent: int | None = None, minutes: int = 0) -> None:
    with services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        timed_order = staff_acts.require_extra_time_possible(order, services.now())
        seconds = (
            minutes * 60 if percent is None else staff_acts.percent_of_time(timed_order, percent)
        )
        staff_acts.give_extra_time(session, order, seconds, ACTOR, services.now())


def start(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        TimedOrder.find(session, order_id).start(session, services.now())


def minutes_of_attempt(services: Services, order_id: str) -> float:
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        assert order.attempt_ends_at
        assert order.started_at
        return (order.attempt_ends_at - order.started_at) / MINUTE


@pytest.mark.parametrize(("percent", "minutes"), [(0, 20), (25, 25), (50, 30), (100, 40)])
def test_extra_time_before_the_start_makes_the_attempt_longer(
    services: Services, order_id: str, percent: int, minutes: int
) -> None:
    give(services, order_id, minutes=3)
    give(services, order_id, percent)
    start(services, order_id)
    assert minutes_of_attempt(services, order_id) == minutes


def test_extra_time_in_minutes_is_recorded(services: Services, order_id: str) -> None:
    give(services, order_id, minutes=7)
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        assert order.duration_seconds == 27 * 60
        event = order.events[-1]
        assert (event.type, event.actor, event.note) == ("extra time", ACTOR, "7 minutes")


@pytest.mark.both
def test_extra_time_during_the_attempt_moves_its_end(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    give(services, order_id, 25)
    start(services, order_id)
    clock.advance(24 * MINUTE)
    give(services, order_id, 50)
    assert minutes_of_attempt(services, order_id) == 30
    for minutes, closed_count in ((5, 0), (1, 1)):
        now = clock.advance(minutes * MINUTE) + ARRIVAL_GRACE
        with services.db.writing() as session:
            assert close_overdue_orders(session, services.secret_box, now) == closed_count


def test_extra_time_of_a_running_attempt_never_shrinks(services: Services, order_id: str) -> None:
    give(services, order_id, 50)
    start(services, order_id)
    with pytest.raises(Conflict, match="cannot become shorter"):
        give(services, order_id, 25)
    assert minutes_of_attempt(services, order_id) == 30


def test_extra_time_after_the_end_is_refused(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    start(services, order_id)
    clock.advance(20 * MINUTE)
    with pytest.raises(Conflict, match="time for this test is over"):
        give(services, order_id, 25)


def test_extra_time_of_a_finished_test_is_refused(services: Services, order_id: str) -> None:
    factories.finish_test(services, order_id)
    with pytest.raises(Conflict, match="has finished"):
        give(services, order_id, 25)


def test_extra_time_of_a_submitted_interview_is_refused(services: Services) -> None:
    interview_id, _ = submitted_interview(services)
    with pytest.raises(Conflict, match="has finished"):
        give(services, interview_id, 25)


def test_extra_time_without_a_time_limit_is_refused(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    test_id = factories.create_test(services, time_limit=None)
    package_id = factories.create_package(services)
    url = "https://groove-tech.workable.com/checks/1"
    for order_id in (
        factories.place_order(services, account_id, test_id),
        factories.place_order(services, account_id, package_id, "check", callback_url=url),
    ):
        with pytest.raises(Conflict, match="has no time limit"):
            give(services, order_id, 25)


@pytest.mark.parametrize("minutes", [-1, 1441])
def test_extra_time_outside_a_day_is_refused(
    services: Services, order_id: str, minutes: int
) -> None:
    with pytest.raises(Invalid, match="at most 1440 minutes"):
        give(services, order_id, minutes=minutes)


@pytest.mark.both
def test_extra_time_survives_reopening(services: Services, order_id: str) -> None:
    give(services, order_id, 50)
    start(services, order_id)
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        order.cancel(session, ACTOR, "was ill", services.now())
        order.reopen(session, services.secret_box, ACTOR, "is well", services.now())
    start(services, order_id)
    assert minutes_of_attempt(services, order_id) == 30


def finish_after(services: Services, clock: ManualClock, order_id: str, minutes: int) -> None:
    start(services, order_id)
    clock.advance(minutes * MINUTE)
    with services.db.writing() as session:
        Assessment.find(session, order_id).submit(session, services.secret_box, services.now())


@pytest.mark.parametrize(("minutes", "duration"), [(28, None), (12, 12 * 60)])
def test_report_does_not_tell_of_extra_time(
    services: Services, order_id: str, clock: ManualClock, minutes: int, duration: int | None
) -> None:
    give(services, order_id, 50)
    finish_after(services, clock, order_id, minutes)
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        assert order.result
        assert order.result.duration == duration
        labels = [label for label, _ in build_report(order, services.secret_box, {REPORT}).facts]
    assert "Time allowed" not in labels
    assert ("Time taken" in labels) == (duration is not None)


def test_report_without_extra_time_has_the_time_allowed(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    finish_after(services, clock, order_id, 12)
    with services.db.reading() as session:
        facts = dict(
            build_report(Order.find(session, order_id), services.secret_box, {REPORT}).facts
        )
    assert facts["Time allowed"] == "20 minutes"


def test_extra_time_of_an_interview_lengthens_each_question(
    services: Services, interview_id: str
) -> None:
    give(services, interview_id, 50)
    start(services, interview_id)
    with services.db.reading() as session:
        (question,) = Interview.find(session, interview_id).questions
        assert (question.think_seconds, question.answer_seconds) == (45, 135)
