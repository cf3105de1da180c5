from datetime import timedelta

import pytest
from sqlalchemy import update

from provider.accounts import Account, Caller
from provider.errors import NotFound
from provider.house import House
from provider.orders import Product
from provider.orders.glance import status_of
from tests import cast
from tests.cast import HandClock


def caller(house: House, account: int) -> Caller:
    with house.db.reading() as session:
        return Caller.of(session.get_one(Account, account))


def names(house: House, account: int) -> list[str]:
    rows = house.catalogue.listed("assessment", caller(house, account), house.now())
    return [row.name for row in rows]


def test_what_this_process_publishes_or_archives_is_listed_so_at_once(house: House) -> None:
    account, _ = cast.account(house)
    assert names(house, account) == []
    product = cast.test(house)
    assert names(house, account) == ["Reasoning"]
    with house.db.writing() as session:
        Product.find(session, product).archive(house.now())
    assert names(house, account) == []


def test_what_another_process_writes_is_listed_after_five_seconds(
    house: House, clock: HandClock
) -> None:
    account, _ = cast.account(house)
    cast.test(house)
    assert names(house, account) == ["Reasoning"]
    with house.db.writing() as session:  # as from elsewhere: no object of ours is changed
        session.execute(update(Product).values(name="Renamed"))
    clock.pass_(timedelta(seconds=4, milliseconds=999))
    assert names(house, account) == ["Reasoning"]
    clock.pass_(timedelta(milliseconds=1))
    assert names(house, account) == ["Renamed"]


def test_a_status_is_told_of_the_accounts_own_orders_of_the_kind_only(house: House) -> None:
    account, _ = cast.account(house)
    order = cast.order(house, account, cast.test(house))
    with house.db.reading() as session:
        assert status_of(session, "assessment", order, account) == "pending"
        for kind, public_id, owner in (
            ("check", order, account),
            ("assessment", order, account + 1),
            ("assessment", "a" * 23, account),
            ("assessment", "\x00", account),
        ):
            with pytest.raises(NotFound):
                status_of(session, kind, public_id, owner)
