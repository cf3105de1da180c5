"""Scheduled work on orders: an order that fails must not stop the others of its batch."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from provider.core.kinds.assessment import Assessment
from provider.core.orders import Order, StatusChange
from provider.core.orders.attempt_ends import CLOSE_ATTEMPTS
from provider.core.orders.expiry import EXPIRE_ORDERS
from provider.core.scheduled import ScheduledWork, list_states, run_if_due
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

pytestmark = pytest.mark.both


def fail_for(order_id: str) -> Any:
    """Return a subscriber that fails for one order, after others have done their work."""

    def subscriber(_session: Session, change: StatusChange) -> None:
        if change.order.public_id == order_id:
            raise ValueError("a subscriber's bug")

    return subscriber


@pytest.fixture
def order_ids(services: Services) -> list[str]:
    account_id, _ = factories.create_account(services)
    test_id = factories.create_test(services)
    return [
        factories.place_order(
            services, account_id, test_id, callback_url=f"https://a.workable.com/{number}"
        )
        for number in range(3)
    ]


def make_first_order_fail(services: Services, order_ids: list[str]) -> None:
    subscribers = services.db.session_info["status_subscribers"]
    services.db.session_info["status_subscribers"] = (*subscribers, fail_for(order_ids[0]))


def statuses(services: Services, order_ids: list[str]) -> list[str]:
    return [factories.order_status(services, order_id) for order_id in order_ids]


def last_error(services: Services, work: ScheduledWork) -> str:
    with services.db.reading() as session:
        return {state.name: state.last_error for state in list_states(session)}[work.name]


def test_expiry_that_fails_for_one_order_expires_the_others(
    services: Services, order_ids: list[str], clock: ManualClock
) -> None:
    make_first_order_fail(services, order_ids)
    clock.advance(timedelta(days=8))
    assert not run_if_due(services, EXPIRE_ORDERS)
    assert statuses(services, order_ids) == ["pending", "expired", "expired"]
    assert "RuntimeError" in last_error(services, EXPIRE_ORDERS)
    services.db.session_info["status_subscribers"] = ()
    clock.advance(timedelta(seconds=2))
    assert run_if_due(services, EXPIRE_ORDERS)
    assert statuses(services, order_ids) == ["expired"] * 3
    assert last_error(services, EXPIRE_ORDERS) == ""


def test_closing_that_fails_for_one_order_closes_the_others(
    services: Services, order_ids: list[str], clock: ManualClock
) -> None:
    with services.db.writing() as session:
        for order_id in order_ids:
            Assessment.find(session, order_id).start(session, services.now())
    make_first_order_fail(services, order_ids)
    clock.advance(timedelta(hours=1))
    assert not run_if_due(services, CLOSE_ATTEMPTS)
    assert statuses(services, order_ids) == ["pending", "completed", "completed"]


def test_failed_expiry_leaves_nothing_of_the_order_changed(
    services: Services, order_ids: list[str], clock: ManualClock
) -> None:
    before = event_types(services, order_ids[0])
    make_first_order_fail(services, order_ids)
    clock.advance(timedelta(days=8))
    run_if_due(services, EXPIRE_ORDERS)
    assert event_types(services, order_ids[0]) == before


def event_types(services: Services, order_id: str) -> list[str]:
    with services.db.reading() as session:
        return [event.type for event in Order.find(session, order_id).events]
