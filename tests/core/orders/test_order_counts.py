"""Many orders are counted by a scheduled work, and a page reads the stored numbers."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from provider.core import scheduled
from provider.core.account_limits import limit_to_accounts
from provider.core.orders import (
    COUNT_ORDERS,
    Order,
    OrderCounts,
    Statistics,
    collect_statistics,
    order_counts,
)
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

pytestmark = pytest.mark.both


@pytest.fixture
def accounts(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return two accounts with one and two orders, which are more than are counted at once."""
    monkeypatch.setattr(order_counts, "MAX_COUNTED_AT_ONCE", 2)
    monkeypatch.setattr(order_counts, "MIN_STORED", 2)
    product = factories.create_test(services)
    accounts = [factories.create_account(services, name)[0] for name in ("One", "Two")]
    for number, account in enumerate((accounts[0], accounts[1], accounts[1])):
        url = f"https://groove-tech.workable.com/assessments/{number}"
        factories.place_order(services, account, product, callback_url=url)
    return accounts


def collect(services: Services, *account_ids: int) -> Statistics | None:
    with services.db.reading() as session:
        if account_ids:
            limit_to_accounts(session, account_ids)
        return collect_statistics(session, services.now(), with_scores=True)


def test_many_orders_are_counted_by_the_work_alone(
    services: Services, clock: ManualClock, accounts: list[int]
) -> None:
    assert collect(services) is None
    counted_at = services.now()
    assert scheduled.run_if_due(services, COUNT_ORDERS)
    clock.advance(timedelta(minutes=1))
    with services.db.writing() as session:
        session.execute(update(Order).values(status="completed"))
    figures = collect(services)
    assert figures
    assert (figures.order_count, figures.by_status["pending"]) == (3, 3)
    assert figures.counted_at == counted_at
    assert [product.order_count for product in figures.products] == [3]
    clock.advance(COUNT_ORDERS.every)
    assert scheduled.run_if_due(services, COUNT_ORDERS)
    figures = collect(services)
    assert figures
    assert figures.by_status["completed"] == 3


def test_stored_numbers_are_those_of_the_accounts_of_a_person(
    services: Services, accounts: list[int]
) -> None:
    scheduled.run_if_due(services, COUNT_ORDERS)
    counts = [collect(services, account) for account in (*accounts, 999)]
    assert [figures.order_count if figures else None for figures in counts] == [1, 2, 0]


def test_few_orders_are_counted_at_once_and_not_stored(
    services: Services, clock: ManualClock, accounts: list[int]
) -> None:
    scheduled.run_if_due(services, COUNT_ORDERS)
    with services.db.writing() as session:
        order = session.scalars(select(Order).limit(1)).one()
        order.placed_at = services.now() - timedelta(days=30)
    figures = collect(services)
    assert figures
    assert (figures.order_count, figures.counted_at) == (2, services.now())
    clock.advance(scheduled.IDLE_RUN_INTERVAL)
    assert scheduled.run_if_due(services, COUNT_ORDERS)
    with services.db.reading() as session:
        assert session.scalars(select(OrderCounts)).all() == []
