"""Callbacks that an account does not allow any more when they are sent."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select

from provider import outbox
from provider.accounts import Account
from provider.courier import Courier
from provider.house import House
from provider.orders import Order
from provider.outbox import Attempt, Hold, Message
from tests import cast
from tests.courier.receivers import Answers
from tests.fake_ats import FakeAts

PUBLIC = ["93.184.215.14"]


@pytest.mark.parametrize(
    ("url", "hosts", "told"),
    [
        ("https://groove-tech.workable.com/1", ["other.test"],
         "The callback's host is not on the account's list any more"),
        ("https://groove-tech.workable.com:8443/1", ["*.workable.com"],
         "The callback's address is not https on port 443"),
        ("http://groove-tech.workable.com/1", ["*.workable.com"],
         "The callback's address is not https on port 443"),
        ("https://groove-tech.workable.com\\@evil.test/1", ["evil.test"],
         "The callback's host is not on the account's list any more"),
        ("nowhere", ["*.workable.com"], "The callback's address is neither http nor https"),
    ],
)  # fmt: skip
def test_what_an_account_does_not_allow_any_more_is_parked_and_not_dialled(
    house: House,
    dialled: list[str],
    resolve: Callable[[Answers], list[str]],
    url: str,
    hosts: list[str],
    told: str,
) -> None:
    asked = resolve(lambda: PUBLIC)
    account, _ = cast.account(house, hosts=hosts)
    order = cast.order(house, account, cast.test(house), callback_url=url)
    with house.db.writing() as session:
        Order.find(session, order).decline(session, "", house.now())
    courier = Courier(replace(house, settings=replace(house.settings, private_callbacks=False)))
    for lane in _lanes(house):
        courier.drain(lane)
    courier.stop()
    assert (asked, dialled) == ([], [])
    with house.db.reading() as session:
        message = session.scalars(select(Message).where(Message.topic == "status")).one()
        assert (message.state, message.attempts) == ("parked", 1)
        attempt = session.scalars(select(Attempt).where(Attempt.message_id == message.id)).one()
        assert attempt.error == told


def test_every_account_is_told_with_its_own_token(house: House, ats: FakeAts) -> None:
    house = replace(house, settings=replace(house.settings, private_callbacks=True))
    test = cast.test(house)
    for name in ("first", "second"):
        account, _ = cast.account(house, name, callback_token=f"{name}s")
        order = cast.order(house, account, test, callback_url=f"{ats.url}/{name}")
        with house.db.writing() as session:
            Order.find(session, order).decline(session, "", house.now())
    courier = Courier(house)
    courier.drain(*_lanes(house))
    courier.stop()
    told = {put.path: put.headers["Authorization"] for put in ats.received}
    assert told == {"/first": "Bearer firsts", "/second": "Bearer seconds"}


def test_an_account_whose_token_cannot_be_opened_waits_alone_and_loses_nothing(
    house: House, ats: FakeAts
) -> None:
    house = replace(house, settings=replace(house.settings, private_callbacks=True))
    test = cast.test(house)
    accounts = {}
    for name in ("broken", "sound"):
        accounts[name], _ = cast.account(house, name)
        order = cast.order(house, accounts[name], test, callback_url=f"{ats.url}/{name}")
        with house.db.writing() as session:
            Order.find(session, order).decline(session, "", house.now())
    with house.db.writing() as session:
        account = session.get_one(Account, accounts["broken"])
        assert account.callback_token
        account.callback_token = b"\0" + account.callback_token[1:]
    courier = Courier(house)
    courier.drain(*_lanes(house))
    assert [put.path for put in ats.received] == ["/sound"]
    with house.db.reading() as session:
        hold = session.scalars(select(Hold)).one()
        assert hold.subject == f"account/{accounts['broken']}/callback"
        assert hold.why.startswith("The account's callback token cannot be opened: ")
        waits = select(Message.state, Message.rendered).where(Message.state != "delivered")
        assert session.execute(waits.where(Message.topic == "status")).all() == [("waiting", None)]
    with house.db.writing() as session:
        account = session.get_one(Account, accounts["broken"])
        account.set_callback_token(house.vault, "sound-again")
        outbox.lift(session, hold.subject)
    courier.drain(*_lanes(house))
    courier.stop()
    assert ats.received[1].headers["Authorization"] == "Bearer sound-again"


def _lanes(house: House) -> list[str]:
    with house.db.reading() as session:
        return list(session.scalars(select(Message.lane).where(Message.topic == "status")))
