"""Callbacks: URLs that are no longer allowed, and tokens of accounts."""

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
    ("url", "hosts", "error"),
    [
        (
            "https://groove-tech.workable.com/1",
            ["other.test"],
            "The callback's host is no longer one of the account's callback hosts",
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
            "The callback's host is no longer one of the account's callback hosts",
        ),
        ("nowhere", ["*.workable.com"], "The address is neither http nor https"),
    ],
)
def test_url_that_is_no_longer_allowed_parks_without_connection(
    services: Services,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
    url: str,
    hosts: list[str],
    error: str,
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
    for queue in _queues(services):
        dispatcher.drain(queue)
    dispatcher.stop()
    assert (asked, dialled_addresses) == ([], [])
    with services.db.reading() as session:
        message = session.scalars(select(Message).where(Message.topic == "status")).one()
        assert (message.state, message.attempts) == ("parked", 1)
        attempt = session.scalars(select(Attempt).where(Attempt.message_id == message.id)).one()
        assert attempt.error == error


def test_each_account_uses_its_own_token(services: Services, ats: FakeAts) -> None:
    services = replace(services, settings=replace(services.settings, private_callbacks=True))
    test = factories.create_test(services)
    for name in ("first", "second"):
        account, _ = factories.create_account(services, name, callback_token=f"{name}s")
        order = factories.place_order(services, account, test, callback_url=f"{ats.url}/{name}")
        with services.db.writing() as session:
            Order.find(session, order).decline(session, "", services.now())
    dispatcher = Dispatcher(services)
    dispatcher.drain(*_queues(services))
    dispatcher.stop()
    authorizations = {put.path: put.headers["Authorization"] for put in ats.received}
    assert authorizations == {"/first": "Bearer firsts", "/second": "Bearer seconds"}


def test_undecryptable_token_pauses_only_its_account(services: Services, ats: FakeAts) -> None:
    services = replace(services, settings=replace(services.settings, private_callbacks=True))
    test = factories.create_test(services)
    accounts = {}
    for name in ("broken", "intact"):
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
    dispatcher.drain(*_queues(services))
    assert [put.path for put in ats.received] == ["/intact"]
    with services.db.reading() as session:
        pause = session.scalars(select(Pause)).one()
        assert pause.scope == f"account/{accounts['broken']}/callback"
        assert pause.reason.startswith("The account's callback token cannot be decrypted: ")
        unsent = select(Message.state, Message.body_encrypted).where(Message.state != "delivered")
        assert session.execute(unsent.where(Message.topic == "status")).all() == [("waiting", None)]
    with services.db.writing() as session:
        account = session.get_one(Account, accounts["broken"])
        account.set_callback_token(services.secret_box, "new-token")
        outbox.resume(session, pause.scope)
    dispatcher.drain(*_queues(services))
    dispatcher.stop()
    assert ats.received[1].headers["Authorization"] == "Bearer new-token"


def _queues(services: Services) -> list[str]:
    with services.db.reading() as session:
        return list(session.scalars(select(Message.queue).where(Message.topic == "status")))
