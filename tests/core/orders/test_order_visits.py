"""Visits of an order: one row for each person and day, and the colleagues of now."""

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from provider.core.orders import Order
from provider.core.orders.order_visit import PRESENCE, WRITE_INTERVAL, OrderVisit
from provider.errors import NotFound
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

pytestmark = pytest.mark.both

ANA, SAM = "ana@provider.test", "sam@provider.test"


@pytest.fixture
def order_id(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services))


def visit(services: Services, order_id: str, actor: str) -> None:
    with services.db.writing() as session:
        OrderVisit.record(session, order_id, actor, services.now())


def present(services: Services, order_id: str, except_actor: str) -> list[str]:
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        visits = OrderVisit.list_present(session, order, except_actor, services.now())
        return [visit.actor for visit in visits]


def visits(services: Services, order_id: str) -> Sequence[OrderVisit]:
    with services.db.reading() as session:
        return OrderVisit.list_all(session, Order.find(session, order_id))


def test_visits_of_one_day_are_one_row(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    clock.advance(timedelta(days=1) - (clock.now() - clock.now().replace(hour=0, minute=0)))
    begin = clock.now()  # a minute after midnight at the latest
    for _ in range(3):
        visit(services, order_id, ANA)
        clock.advance(timedelta(hours=1))
    visit(services, order_id, SAM)
    clock.advance(timedelta(days=1))
    visit(services, order_id, ANA)
    assert [
        (row.actor, row.first_seen_at, row.last_seen_at) for row in visits(services, order_id)
    ] == [
        (ANA, begin, begin + timedelta(hours=2)),
        (SAM, begin + timedelta(hours=3), begin + timedelta(hours=3)),
        (ANA, clock.now(), clock.now()),
    ]


def test_first_visits_of_two_tabs_at_once_are_one_row(services: Services, order_id: str) -> None:
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        visit(services, order_id, ANA)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.actor for row in visits(services, order_id)] == [ANA]


def test_present_are_others_of_the_last_minutes(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    visit(services, order_id, ANA)
    clock.advance(timedelta(minutes=1))
    visit(services, order_id, SAM)
    assert present(services, order_id, "eve@provider.test") == [SAM, ANA]
    assert present(services, order_id, SAM) == [ANA]
    clock.advance(PRESENCE - timedelta(minutes=1))
    assert present(services, order_id, "eve@provider.test") == [SAM]


def test_person_who_stays_over_midnight_is_present_once(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    midnight = (clock.now() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    clock.advance(midnight - timedelta(minutes=1) - clock.now())
    visit(services, order_id, ANA)
    clock.advance(timedelta(minutes=2))
    visit(services, order_id, ANA)
    assert len(visits(services, order_id)) == 2
    assert present(services, order_id, SAM) == [ANA]


def test_visit_is_due_again_after_a_moment(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    def is_due() -> bool:
        with services.db.reading() as session:
            order = Order.find(session, order_id)
            return OrderVisit.is_due(session, order, ANA, services.now())

    assert is_due()
    visit(services, order_id, ANA)
    assert not is_due()
    clock.advance(WRITE_INTERVAL)
    assert is_due()


def test_visit_of_an_erased_order_is_not_found(services: Services, order_id: str) -> None:
    with pytest.raises(NotFound):
        visit(services, "nothing", ANA)
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(OrderVisit)) == 0
