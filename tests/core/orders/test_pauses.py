"""Pauses of an attempt: the clock stands still, at most for what was granted."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from provider.core.kinds.assessment import Assessment
from provider.core.orders import REPORT, GivenTime, Order, close_overdue_orders, staff_acts
from provider.core.orders.attempt_ends import _ended_pauses, record_ended_pauses
from provider.core.orders.given_time import ARRIVAL_GRACE
from provider.core.orders.timed_order import PAUSED, WENT_ON
from provider.core.report import build_report
from provider.errors import Conflict
from provider.services import Services
from tests import factories
from tests.core.orders.test_accommodation import decide_on
from tests.factories import ManualClock

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
PAUSED_MESSAGE = "The time is paused"


@pytest.fixture
def order_id(services: Services) -> str:
    """Return a test of 20 minutes that has begun, with 10 minutes for pauses."""
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    decide_on(services, order_id, pause_minutes=10)
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())
    return order_id


def pause(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Assessment.find(session, order_id, lock=True).pause(session, services.now())


def go_on(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Assessment.find(session, order_id, lock=True).go_on(session, services.now())


def save(services: Services, order_id: str, given: GivenTime | None = None) -> None:
    with services.db.writing() as session:
        order = Assessment.find(session, order_id, lock=True)
        order.save("sum", {"answer": "b"}, services.now(), given)


def close_attempts(services: Services, now: datetime) -> int:
    with services.db.writing() as session:
        return close_overdue_orders(session, services.secret_box, now)


def record_pauses(services: Services, now: datetime) -> int:
    with services.db.writing() as session:
        return record_ended_pauses(session, now, set())


def load(services: Services, order_id: str) -> Assessment:
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        assert order.events
        assert order.attempt
        assert order.saved_answers is not None
        return order


def minutes_of_attempt(services: Services, order_id: str) -> float:
    order = load(services, order_id)
    assert order.attempt_ends_at
    assert order.started_at
    return (order.attempt_ends_at - order.started_at) / MINUTE


def pause_events(services: Services, order_id: str) -> list[tuple[str, str, datetime, str]]:
    return [
        (event.type, event.actor, event.occurred_at, event.note)
        for event in load(services, order_id).events
        if event.type in (PAUSED, WENT_ON)
    ]


def test_pause_moves_the_end_by_its_length(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    paused_at = clock.advance(5 * MINUTE)
    pause(services, order_id)
    went_on_at = clock.advance(3 * MINUTE)
    go_on(services, order_id)
    assert minutes_of_attempt(services, order_id) == 23
    assert load(services, order_id).pause_left(services.now()) == 7 * MINUTE
    assert pause_events(services, order_id) == [
        (PAUSED, "candidate", paused_at, ""),
        (WENT_ON, "candidate", went_on_at, "Paused for 180 s"),
    ]


def test_pause_ends_by_itself_at_the_exact_moment(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    ends_at = clock.advance(5 * MINUTE) + 10 * MINUTE
    pause(services, order_id)
    order = load(services, order_id)
    before = ends_at - timedelta(microseconds=1)
    assert (order.is_paused(before), order.is_clock_running(before)) == (True, False)
    assert (order.is_paused(ends_at), order.is_clock_running(ends_at)) == (False, True)
    clock.current_time = ends_at
    save(services, order_id)  # though nobody has recorded the end
    assert minutes_of_attempt(services, order_id) == 30


@pytest.mark.both
def test_pause_that_ended_by_itself_is_recorded_with_its_moment(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    ends_at = services.now() + 10 * MINUTE
    pause(services, order_id)
    assert record_pauses(services, ends_at - SECOND) == 0
    clock.advance(15 * MINUTE)
    assert record_pauses(services, services.now()) == 1
    assert record_pauses(services, services.now()) == 0
    assert pause_events(services, order_id)[1:] == [
        (WENT_ON, "system", ends_at, "Paused for 600 s")
    ]
    assert minutes_of_attempt(services, order_id) == 30


def test_pause_in_two_tabs_is_one_pause(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    pause(services, order_id)
    clock.advance(MINUTE)
    pause(services, order_id)
    go_on(services, order_id)
    go_on(services, order_id)
    assert minutes_of_attempt(services, order_id) == 21
    assert len(pause_events(services, order_id)) == 2


@pytest.mark.both
def test_pause_at_the_same_moment_is_one_pause(services: Services, order_id: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: pause(services, order_id), range(4)))
    assert len(pause_events(services, order_id)) == 1
    assert minutes_of_attempt(services, order_id) == 30


def test_answer_during_a_pause_is_refused_and_saved_ones_stay(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    save(services, order_id)
    pause(services, order_id)
    clock.advance(SECOND)
    with pytest.raises(Conflict, match=PAUSED_MESSAGE):
        save(services, order_id)
    assert load(services, order_id).saved_answers == {"sum": "b"}


def test_answer_given_before_a_pause_may_arrive_during_it(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    given_at = services.now()
    clock.advance(SECOND)
    pause(services, order_id)
    clock.advance(SECOND)
    save(services, order_id, GivenTime(given_at))
    assert load(services, order_id).saved_answers == {"sum": "b"}


def test_pause_without_anything_left_is_refused(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    pause(services, order_id)
    clock.advance(11 * MINUTE)
    assert not load(services, order_id).can_pause(services.now())
    with pytest.raises(Conflict, match="used up your pauses"):
        pause(services, order_id)


@pytest.mark.parametrize("minutes", [20, 25])
def test_pause_after_the_end_is_refused(
    services: Services, order_id: str, clock: ManualClock, minutes: int
) -> None:
    clock.advance(minutes * MINUTE)
    with pytest.raises(Conflict, match="time for this test is over"):
        pause(services, order_id)


def test_pause_without_a_grant_is_refused(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())
    with pytest.raises(Conflict, match="used up your pauses"):
        pause(services, order_id)


@pytest.mark.both
def test_closing_of_attempts_waits_for_the_pause(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    end = services.now() + 20 * MINUTE
    clock.advance(19 * MINUTE)
    pause(services, order_id)
    assert close_attempts(services, end + ARRIVAL_GRACE) == 0
    pause_ends_at = services.now() + 10 * MINUTE
    assert close_attempts(services, pause_ends_at + MINUTE + ARRIVAL_GRACE - SECOND) == 0
    assert close_attempts(services, pause_ends_at + MINUTE + ARRIVAL_GRACE) == 1
    order = load(services, order_id)
    assert (order.status, order.paused_at, order.pause_used_ms) == ("completed", None, 600_000)
    assert pause_events(services, order_id)[1][1:3] == ("system", pause_ends_at)


def test_attempt_ended_by_staff_ends_the_pause(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    pause(services, order_id)
    now = clock.advance(MINUTE)
    with services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        staff_acts.end_attempt(session, services.secret_box, order, "sam@provider.test", "Ill", now)
    order = load(services, order_id)
    assert (order.status, order.paused_at) == ("completed", None)
    assert pause_events(services, order_id)[1][1:3] == ("sam@provider.test", now)


def test_reopened_order_has_its_whole_pause_again(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    pause(services, order_id)
    clock.advance(MINUTE)
    with services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        order.cancel(session, "sam@provider.test", "", services.now())
        order.reopen(session, services.secret_box, "sam@provider.test", "", services.now())
        assert isinstance(order, Assessment)
        order.start(session, services.now())
    assert load(services, order_id).pause_left(services.now()) == 10 * MINUTE
    assert minutes_of_attempt(services, order_id) == 20


def test_result_after_a_pause_tells_neither_times(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    pause(services, order_id)
    clock.advance(MINUTE)
    go_on(services, order_id)
    with services.db.writing() as session:
        order = Assessment.find(session, order_id, lock=True)
        order.submit(session, services.secret_box, services.now())
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        assert order.result
        assert order.result.duration is None
        facts = dict(build_report(order, services.secret_box, {REPORT}).facts)
        assert facts.keys().isdisjoint({"Time taken", "Time allowed"})


@dataclass
class Model:
    """Two countdowns: that of the test stands still while that of the pauses runs."""

    test_ms: int = 20 * 60_000
    pause_ms: int = 10 * 60_000
    is_paused: bool = False

    def advance(self, milliseconds: int) -> None:
        if self.is_paused:
            used_ms = min(milliseconds, self.pause_ms)
            self.pause_ms -= used_ms
            milliseconds -= used_ms
            self.is_paused = self.pause_ms > 0
        if not self.is_paused:
            self.test_ms = max(0, self.test_ms - milliseconds)


class RolledBackError(Exception):
    """Ends a transaction without a commit."""


# Each step waits some milliseconds; then the candidate pauses (True) or goes on.
STEPS = st.lists(st.tuples(st.integers(0, 400_000), st.booleans()), max_size=10)


def take_steps(services: Services, order_id: str, steps: list[tuple[int, bool]]) -> None:
    """Compare an attempt with the model after each step. Each call begins with the same row."""
    now, model = services.now(), Model()
    with services.db.writing() as session:
        order = Assessment.find(session, order_id)
        for milliseconds, wants_pause in steps:
            now += timedelta(milliseconds=milliseconds)
            model.advance(milliseconds)
            if wants_pause and order.can_pause(now):
                order.pause(session, now)
            elif not wants_pause:
                order.go_on(session, now)
            model.is_paused = wants_pause and model.test_ms > 0 and model.pause_ms > 0
            assert order.is_paused(now) == model.is_paused
            assert order.is_running(now) == (model.test_ms > 0)
            assert order.time_left(now) == timedelta(milliseconds=model.test_ms)
            assert order.pause_left(now) == timedelta(milliseconds=model.pause_ms)
        raise RolledBackError


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_pauses_in_any_order_stop_the_clock_like_two_countdowns(
    services: Services, order_id: str, steps: list[tuple[int, bool]]
) -> None:
    with pytest.raises(RolledBackError):
        take_steps(services, order_id, steps)


@pytest.mark.both
def test_search_for_ended_pauses_uses_its_index(services: Services, order_id: str) -> None:
    pause(services, order_id)
    query = _ended_pauses(services.now()).with_only_columns(Order.id).limit(1)
    with services.db.reading() as session:
        sql = query.compile(session.connection(), compile_kwargs={"literal_binds": True})
        if services.db.is_sqlite:
            explain = "EXPLAIN QUERY PLAN"
        else:
            session.execute(text("SET LOCAL enable_seqscan = off"))
            explain = "EXPLAIN"
        plan = str(session.connection().exec_driver_sql(f"{explain} {sql}").all())
    assert "ix_orders_pause" in plan
