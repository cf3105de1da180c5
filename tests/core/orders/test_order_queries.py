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


def caller(services: Services, account: int) -> Caller:
    with services.db.reading() as session:
        return Caller.from_account(session.get_one(Account, account))


def names(services: Services, account: int) -> list[str]:
    rows = services.product_lists.get("assessment", caller(services, account), services.now())
    return [row.name for row in rows]


def test_what_this_process_publishes_or_archives_is_listed_so_at_once(services: Services) -> None:
    account, _ = factories.create_account(services)
    assert names(services, account) == []
    product = factories.create_test(services)
    assert names(services, account) == ["Reasoning"]
    with services.db.writing() as session:
        Product.find(session, product).archive(services.now())
    assert names(services, account) == []


def test_what_another_process_writes_is_listed_after_five_seconds(
    services: Services, clock: ManualClock
) -> None:
    account, _ = factories.create_account(services)
    factories.create_test(services)
    assert names(services, account) == ["Reasoning"]
    with services.db.writing() as session:  # as from elsewhere: no object of ours is changed
        session.execute(update(Product).values(name="Renamed"))
    clock.advance(timedelta(seconds=4, milliseconds=999))
    assert names(services, account) == ["Reasoning"]
    clock.advance(timedelta(milliseconds=1))
    assert names(services, account) == ["Renamed"]


def test_a_status_is_told_of_the_accounts_own_orders_of_the_kind_only(services: Services) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    with services.db.reading() as session:
        assert get_order_status(session, "assessment", order, account) == "pending"
        for kind, public_id, owner in (
            ("check", order, account),
            ("assessment", order, account + 1),
            ("assessment", "a" * 23, account),
            ("assessment", "\x00", account),
        ):
            with pytest.raises(NotFound):
                get_order_status(session, kind, public_id, owner)
