"""Callbacks that an account does not allow any more when they are sent."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select

from provider import outbox
from provider.core.accounts import Account
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.outbox import Attempt, Message, Pause
from provider.services import Services
from tests import factories
from tests.delivery.receivers import ResolvedAddresses
from tests.fake_ats import FakeAts

PUBLIC = ["93.184.215.14"]


@pytest.mark.parametrize(
    ("url", "hosts", "told"),
    [
        (
            "https://groove-tech.workable.com/1",
            ["other.test"],
            "The callback's host is not on the account's list any more",
        ),
        (
            "https://groove-tech.workable.com:8443/1",
            ["*.workable.com"],
            "The callback's address is not https on port 443",
        ),
        (
            "http://groove-tech.workable.com/1",
            ["*.workable.com"],
            "The callback's address is not https on port 443",
        ),
        (
            "https://groove-tech.workable.com\\@evil.test/1",
            ["evil.test"],
            "The callback's host is not on the account's list any more",
        ),
        ("nowhere", ["*.workable.com"], "The callback's address is neither http nor https"),
    ],
)
def test_what_an_account_does_not_allow_any_more_is_parked_and_not_dialled(
    services: Services,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
    url: str,
    hosts: list[str],
    told: str,
) -> None:
    asked = fake_resolver(lambda: PUBLIC)
    account, _ = factories.create_account(services, hosts=hosts)
    order = factories.place_order(
        services, account, factories.create_test(services), callback_url=url
    )
    with services.db.writing() as session:
        Order.find(session, order).decline(session, "", services.now())
    dispatcher = Dispatcher(
        replace(services, settings=replace(services.settings, private_callbacks=False))
    )
    for lane in _lanes(services):
        dispatcher.drain(lane)
    dispatcher.stop()
    assert (asked, dialled_addresses) == ([], [])
    with services.db.reading() as session:
        message = session.scalars(select(Message).where(Message.topic == "status")).one()
        assert (message.state, message.attempts) == ("parked", 1)
        attempt = session.scalars(select(Attempt).where(Attempt.message_id == message.id)).one()
        assert attempt.error == told


def test_every_account_is_told_with_its_own_token(services: Services, ats: FakeAts) -> None:
    services = replace(services, settings=replace(services.settings, private_callbacks=True))
    test = factories.create_test(services)
    for name in ("first", "second"):
        account, _ = factories.create_account(services, name, callback_token=f"{name}s")
        order = factories.place_order(services, account, test, callback_url=f"{ats.url}/{name}")
        with services.db.writing() as session:
            Order.find(session, order).decline(session, "", services.now())
    dispatcher = Dispatcher(services)
    dispatcher.drain(*_lanes(services))
    dispatcher.stop()
    told = {put.path: put.headers["Authorization"] for put in ats.received}
    assert told == {"/first": "Bearer firsts", "/second": "Bearer seconds"}


def test_an_account_whose_token_cannot_be_opened_waits_alone_and_loses_nothing(
    services: Services, ats: FakeAts
) -> None:
    services = replace(services, settings=replace(services.settings, private_callbacks=True))
    test = factories.create_test(services)
    accounts = {}
    for name in ("broken", "sound"):
        accounts[name], _ = factories.create_account(services, name)
        order = factories.place_order(
            services, accounts[name], test, callback_url=f"{ats.url}/{name}"
        )
        with services.db.writing() as session:
            Order.find(session, order).decline(session, "", services.now())
    with services.db.writing() as session:
        account = session.get_one(Account, accounts["broken"])
        assert account.callback_token
        account.callback_token = b"\0" + account.callback_token[1:]
    dispatcher = Dispatcher(services)
    dispatcher.drain(*_lanes(services))
    assert [put.path for put in ats.received] == ["/sound"]
    with services.db.reading() as session:
        hold = session.scalars(select(Pause)).one()
        assert hold.scope == f"account/{accounts['broken']}/callback"
        assert hold.reason.startswith("The account's callback token cannot be opened: ")
        waits = select(Message.state, Message.body).where(Message.state != "delivered")
        assert session.execute(waits.where(Message.topic == "status")).all() == [("waiting", None)]
    with services.db.writing() as session:
        account = session.get_one(Account, accounts["broken"])
        account.set_callback_token(services.secret_box, "sound-again")
        outbox.resume(session, hold.scope)
    dispatcher.drain(*_lanes(services))
    dispatcher.stop()
    assert ats.received[1].headers["Authorization"] == "Bearer sound-again"


def _lanes(services: Services) -> list[str]:
    with services.db.reading() as session:
        return list(session.scalars(select(Message.queue).where(Message.topic == "status")))
