"""The read model of orders, and the cache of product lists."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from provider.core.accounts import Account, Caller
from provider.core.orders.queries import get_order_status
from provider.core.products import Product
from provider.errors import NotFound
from provider.services import Services
from tests import factories
from tests.factories import ManualClock


def load_caller(services: Services, account_id: int) -> Caller:
    with services.db.reading() as session:
        return Caller.from_account(session.get_one(Account, account_id))


def product_names(services: Services, account_id: int) -> list[str]:
    caller = load_caller(services, account_id)
    rows = services.product_lists.get("assessment", caller, services.now())
    return [row.name for row in rows]


def test_product_list_shows_own_writes_at_once(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    assert product_names(services, account_id) == []
    product_id = factories.create_test(services)
    assert product_names(services, account_id) == ["Reasoning"]
    with services.db.writing() as session:
        Product.find(session, product_id).archive(services.now())
    assert product_names(services, account_id) == []


def test_product_list_shows_other_processes_writes_after_the_ttl(
    services: Services, clock: ManualClock
) -> None:
    account_id, _ = factories.create_account(services)
    factories.create_test(services)
    assert product_names(services, account_id) == ["Reasoning"]
    # A Core statement does not clear the cache, like a write of another process.
    with services.db.writing() as session:
        session.execute(update(Product).values(name="Renamed"))
    clock.advance(timedelta(seconds=4, milliseconds=999))
    assert product_names(services, account_id) == ["Reasoning"]
    clock.advance(timedelta(milliseconds=1))
    assert product_names(services, account_id) == ["Renamed"]


def test_get_order_status_other_account_or_kind_is_not_found(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    with services.db.reading() as session:
        assert get_order_status(session, "assessment", order_id, account_id) == "pending"
        for kind, public_id, other_account_id in (
            ("check", order_id, account_id),
            ("assessment", order_id, account_id + 1),
            ("assessment", "a" * 23, account_id),
            ("assessment", "\x00", account_id),
        ):
            with pytest.raises(NotFound):
                get_order_status(session, kind, public_id, other_account_id)
