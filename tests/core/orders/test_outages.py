"""Outages of the server: candidates get their time back, and nothing is closed before."""

from datetime import timedelta

import pytest

from provider.core.kinds.assessment import Assessment
from provider.core.orders import CLOSE_ATTEMPTS
from provider.core.orders.extend_running import extend_running
from provider.core.orders.heartbeat import MIN_OUTAGE
from provider.core.orders.outages import record_heartbeat
from provider.core.scheduled import run_if_due
from provider.errors import Conflict, Invalid
from provider.services import Services
from tests import factories
from tests.core.orders.test_accommodation import decide_on
from tests.core.orders.test_pauses import go_on, load, minutes_of_attempt, pause
from tests.factories import ManualClock

MINUTE = timedelta(minutes=1)


@pytest.fixture
def order_id(services: Services) -> str:
    """Return a test of 20 minutes that has begun; the heartbeat runs."""
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    decide_on(services, order_id, pause_minutes=10)
    start(services, order_id)
    assert beat(services) == 0
    return order_id


def start(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())


def beat(services: Services) -> int:
    return record_heartbeat(services.db, services.now())


@pytest.mark.both
def test_outage_gives_its_time_back_and_tells_it(
    services: Services, clock: ManualClock, order_id: str
) -> None:
    clock.advance(MIN_OUTAGE / 2)
    assert beat(services) == 0
    clock.advance(90 * MINUTE)  # the test would be over
    assert run_if_due(services, CLOSE_ATTEMPTS)
    assert load(services, order_id).progress == "started"
    assert beat(services) == 1
    assert minutes_of_attempt(services, order_id) == 110
    order = load(services, order_id)
    assert order.attempt
    assert order.attempt.given_back_seconds == 5400
    last = order.events[-1]
    assert (last.type, last.actor, last.note) == ("time given back", "system", "1 hour 30 minutes")
    assert beat(services) == 0
    clock.advance(20 * MINUTE)
    with services.db.writing() as session:  # another process has recorded heartbeats meanwhile
        from provider.core.orders.heartbeat import Heartbeat

        session.get_one(Heartbeat, 1).beat_at = services.now()
    run_if_due(services, CLOSE_ATTEMPTS)
    assert load(services, order_id).progress == "submitted"


def test_outage_during_a_pause_gives_only_what_ran(
    services: Services, clock: ManualClock, order_id: str
) -> None:
    pause(services, order_id)
    clock.advance(12 * MINUTE)  # the pause has 10
    beat(services)
    go_on(services, order_id)
    assert minutes_of_attempt(services, order_id) == 20 + 10 + 2


def test_heartbeat_without_attempts_is_idle_and_counts_no_outage(
    services: Services, clock: ManualClock, order_id: str
) -> None:
    with services.db.writing() as session:
        order = Assessment.find(session, order_id)
        order.submit(session, services.secret_box, clock.now())
    clock.advance(timedelta(seconds=10))
    assert beat(services) == 0
    clock.advance(timedelta(days=3))
    with services.db.writing() as session:
        order = Assessment.find(session, order_id)
        order.reopen(session, services.secret_box, "sam", "again", clock.now())
        order.start(session, clock.now())
    clock.advance(timedelta(seconds=10))
    assert beat(services) == 0
    clock.advance(MINUTE)
    assert beat(services) == 1
    assert minutes_of_attempt(services, order_id) == 21


def test_extend_running_adds_to_each_attempt_of_the_product(
    services: Services, clock: ManualClock, order_id: str
) -> None:
    product_id = load(services, order_id).product_id
    for minutes in (5, 3):
        with services.db.writing() as session:
            assert extend_running(session, product_id, minutes, "sam", clock.now()) == 1
    assert minutes_of_attempt(services, order_id) == 28
    with services.db.writing() as session, pytest.raises(Invalid):
        extend_running(session, product_id, 0, "sam", clock.now())
    with services.db.writing() as session, pytest.raises(Conflict):
        extend_running(session, product_id + 1, 5, "sam", clock.now())
