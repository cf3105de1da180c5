"""Deliveries and letters at the console: seen by state, and sent again."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from provider import outbox
from provider.core.orders import Order
from provider.delivery.dispatcher import Dispatcher
from provider.outbox import Message, Outcome
from provider.services import Services
from provider.web.console import deliveries, message_list, pagination
from tests import factories
from tests.web.console_client import ConsoleClient

LIST = "/console/deliveries/"


def cancelled(services: Services, count: int, name: str = "Groove Tech") -> list[str]:
    """Return the ids of cancelled orders, each with news for its ATS."""
    account_id, _ = factories.create_account(services, name)
    product_id = factories.create_test(services)
    ids = []
    for number in range(count):
        url = f"https://x.workable.com/{number}"
        ids.append(factories.place_order(services, account_id, product_id, callback_url=url))
        with services.db.writing() as session:
            Order.find(session, ids[-1]).cancel(session, "sam@provider.test", "why", services.now())
    return ids


CALLBACKS = "1/callback/x.workable.com"


def settle(services: Services, lane: str, outcome: Outcome) -> None:
    """Have everything in a lane end like this."""
    with services.db.writing() as session:
        for claim in outbox.claim(session, lane, services.now(), 1000):
            outbox.store_body(session, claim, b'{"status": "expired"}')
            factories.settle_attempt(services, session, claim, outcome)


def park(services: Services, lane: str = CALLBACKS) -> None:
    refused = Outcome("rejected", None, 422, "no such candidate", "The ATS refuses with 422")
    settle(services, lane, refused)


def states(services: Services, sink: str = "callback") -> list[str]:
    with services.db.reading() as session:
        query = select(Message.state).where(Message.queue.contains(f"/{sink}")).order_by(Message.id)
        return list(session.scalars(query))


def rows(page: str) -> int:
    return page.count('<th scope="row">')


def test_when_nothing_is_parked_the_page_says_so(services: Services, client: FlaskClient) -> None:
    assert "Nothing is parked" in ConsoleClient.signed_in(services, client).get_text(LIST)


def test_a_parked_delivery_is_seen_everywhere(services: Services, client: FlaskClient) -> None:
    (order_id,) = cancelled(services, 1)
    park(services)
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(LIST)
    assert rows(page) == 1
    assert "News for the ATS: cancelled" in page
    assert "answer 422: The ATS refuses with 422" in page
    assert "Delivery parked" in desk.get_text("/console/orders/")
    page = desk.get_text(f"/console/orders/{order_id}")
    assert "https://x.workable.com/0" in page
    for said in ("no such candidate", "422", '"status": "expired"', "Refused", "Send it again"):
        assert said in page


def test_deliveries_are_listed_by_state_sink_and_account(
    services: Services, client: FlaskClient
) -> None:
    cancelled(services, 2)
    cancelled(services, 1, "Other Ltd")
    park(services)
    settle(services, "1/email", Outcome("delivered", status_code=250))
    with services.db.reading() as session:
        other = session.scalars(select(Order.account_id).order_by(Order.id.desc())).first()
        assert other == 2
        key = session.scalars(select(Order).order_by(Order.id.desc())).first()
        assert key
        account = key.account.public_id
    desk = ConsoleClient.signed_in(services, client)
    counts = {
        "": 2,
        "?state=any": 6,
        "?state=delivered": 2,
        "?state=waiting": 2,
        "?state=any&sink=mail": 3,
        f"?state=any&account={account}": 2,
        "?state=superseded": 0,
    }
    assert {query: rows(desk.get_text(LIST + query)) for query in counts} == counts


@pytest.mark.parametrize("query", ["?state=x", "?sink=x", "?account=x", "?before=x"])
def test_a_list_that_cannot_be_is_refused(
    services: Services, client: FlaskClient, query: str
) -> None:
    answer = ConsoleClient.signed_in(services, client).client.get(LIST + query)
    assert answer.status_code in (400, 404)


def test_deliveries_are_paged(services: Services, client: FlaskClient) -> None:
    cancelled(services, 60)
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(f"{LIST}?state=any")
    found = re.findall(r'href="/console/deliveries/([\w-]{22})"', page)
    while on := re.search(r'rel="next" href="([^"]+)"', page):
        assert "state=any" in on[1]
        page = desk.get_text(on[1])
        found += re.findall(r'href="/console/deliveries/([\w-]{22})"', page)
    assert len(found) == len(set(found)) == 120


@pytest.mark.parametrize("many", [100, 0])  # lanes that are looked at one by one
def test_an_accounts_deliveries_are_paged_there_and_back(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(pagination, "PAGE_SIZE", 3)
    monkeypatch.setattr(message_list, "MAX_QUEUES", many)
    cancelled(services, 2)
    cancelled(services, 1, "Other Ltd")
    with services.db.reading() as session:
        mine = session.get_one(Order, 1)
        account, begins = mine.account.public_id, f"{mine.account_id}/"
        sent = select(Message.public_id).where(Message.queue.startswith(begins))
        expected = list(session.scalars(sent.order_by(Message.id.desc())))
    desk = ConsoleClient.signed_in(services, client)
    pages = [desk.get_text(f"{LIST}?state=any&account={account}")]
    while on := re.search(r'rel="next" href="([^"]+)"', pages[-1]):
        pages.append(desk.get_text(on[1]))
    ids = [re.findall(r'href="/console/deliveries/([\w-]{22})"', page) for page in pages]
    assert ids == [expected[:3], expected[3:]]
    back = re.search(r'rel="prev" href="([^"]+)"', pages[-1])
    assert back
    assert re.findall(r'href="/console/deliveries/([\w-]{22})"', desk.get_text(back[1])) == ids[0]


def test_one_parked_delivery_is_sent_again_on_record(
    services: Services, client: FlaskClient
) -> None:
    (order_id,) = cancelled(services, 1)
    park(services)
    desk = ConsoleClient.signed_in(services, client)
    (message_id,) = re.findall(r'href="/console/deliveries/([\w-]{22})"', desk.get_text(LIST))
    page = f"{LIST}{message_id}"
    assert "Send it again" in desk.get_text(page)
    answer = desk.submit(f"{page}/again", page=page)
    assert answer.location == f"/console/orders/{order_id}"
    assert states(services) == ["waiting"]
    assert "Sent again by staff" in desk.get_text(answer.location)


def test_a_delivery_that_is_not_parked_is_not_sent_again(
    services: Services, client: FlaskClient
) -> None:
    cancelled(services, 1)
    settle(services, CALLBACKS, Outcome("delivered", status_code=200))
    desk = ConsoleClient.signed_in(services, client)
    (message_id, _) = re.findall(
        r'href="/console/deliveries/([\w-]{22})"', desk.get_text(f"{LIST}?state=any")
    )
    assert "Send it again" not in desk.get_text(f"{LIST}{message_id}")
    assert desk.submit(f"{LIST}{message_id}/again").status_code == 409
    assert states(services) == ["delivered"]


def test_all_parked_ones_of_a_filter_are_sent_again(
    services: Services, client: FlaskClient
) -> None:
    cancelled(services, 3)
    cancelled(services, 2, "Other Ltd")
    park(services)
    park(services, "1/email")
    park(services, "2/callback/x.workable.com")
    desk = ConsoleClient.signed_in(services, client)
    with services.db.reading() as session:
        order = session.scalars(select(Order).order_by(Order.id)).first()
        assert order
        account = order.account.public_id
    ask = f"{LIST}again?sink=callback&account={account}"
    page = desk.get_text(ask)
    assert "Send 3 parked deliveries again?" in page
    assert "Only news for the ATS, only of Groove Tech." in page
    answer = desk.submit(f"{LIST}again", page=ask, sink="callback", account=account)
    assert answer.status_code == 302
    assert "3 deliveries are on the way again." in desk.get_text(answer.location)
    assert states(services) == ["waiting"] * 3 + ["parked"] * 2
    assert states(services, "mail") == ["parked"] * 3 + ["waiting"] * 2


def test_very_many_are_sent_again_in_batches(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BATCH_SIZE", 2)
    cancelled(services, 3)
    park(services)
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(f"{LIST}again")
    assert "Send the oldest 2 parked deliveries again?" in page
    assert "More than 2 are parked" in page
    desk.submit(f"{LIST}again")
    assert states(services) == ["waiting", "waiting", "parked"]
    desk.submit(f"{LIST}again")
    assert states(services) == ["waiting"] * 3
    assert "Nothing is parked here" in desk.get_text(f"{LIST}again")


def test_two_members_of_staff_sending_all_again_send_each_once(
    app: Flask, services: Services, client: FlaskClient
) -> None:
    cancelled(services, 2)
    park(services)
    first, second = (
        ConsoleClient.signed_in(services, client),
        ConsoleClient.signed_in(services, app.test_client(), "admin"),
    )
    first.submit(f"{LIST}again")
    answer = second.submit(f"{LIST}again")
    assert "Nothing was parked any more" in second.get_text(answer.location)
    with services.db.reading() as session:
        order = session.scalars(select(Order)).first()
        assert order
        assert [each.type for each in order.events].count("retried") == 1


def test_a_delivery_that_does_not_exist_is_not_found(
    services: Services, client: FlaskClient
) -> None:
    desk = ConsoleClient.signed_in(services, client)
    for message_id in ("unknown", "x" * 300, "%00"):
        desk.get_text(LIST + message_id, 404)
        assert desk.submit(f"{LIST}{message_id}/again").status_code == 404


def test_a_body_that_is_no_json_is_shown_as_it_is(services: Services, client: FlaskClient) -> None:
    (order_id,) = cancelled(services, 1)
    with services.db.writing() as session:
        for claim in outbox.claim(session, CALLBACKS, services.now(), 9):
            outbox.store_body(session, claim, b"\xff<b>not json")
    page = ConsoleClient.signed_in(services, client).client.get(f"/console/orders/{order_id}").text
    assert "�&lt;b&gt;not json" in page


def test_the_token_for_the_ats_is_on_no_page(services: Services, client: FlaskClient) -> None:
    (order_id,) = cancelled(services, 1)
    park(services)
    desk = ConsoleClient.signed_in(services, client)
    (message_id,) = re.findall(r'href="/console/deliveries/([\w-]{22})"', desk.get_text(LIST))
    for path in (LIST, f"{LIST}{message_id}", f"/console/orders/{order_id}"):
        assert "cb-token" not in desk.get_text(path)


def test_letters_are_listed_and_read(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    desk = ConsoleClient.signed_in(services, client)
    assert rows(desk.get_text("/console/letters/")) == 1
    assert "written when it is sent" in desk.get_text(f"/console/orders/{order_id}")
    courier = Dispatcher(services)
    courier.drain("1/email")
    courier.stop()
    page = desk.get_text("/console/letters/?state=delivered")
    assert "lakita_marrero@gmail.com" in page
    (message_id,) = re.findall(r'href="/console/deliveries/([\w-]{22})"', page)
    page = desk.get_text(f"{LIST}{message_id}")
    assert "Groove Tech" in page
    assert factories.invitation_url(services, order_id) not in page


def test_without_letters_the_page_says_when_there_will_be_one(
    services: Services, client: FlaskClient
) -> None:
    assert "The first one is written when" in ConsoleClient.signed_in(services, client).get_text(
        "/console/letters/"
    )


def overtake(services: Services, order_id: str) -> None:
    """Have a later status of an order go out, and fail for now."""
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        order.reopen(session, services.secret_box, "sam@provider.test", "again", services.now())
    settle(services, CALLBACKS, Outcome("retry", retry_after=timedelta(hours=1)))


def test_what_a_later_status_overtook_is_not_sent_again(
    services: Services, client: FlaskClient
) -> None:
    late, _ = cancelled(services, 2)
    park(services)
    overtake(services, late)
    with services.db.reading() as session:
        message = outbox.history(session, late)[1].public_id
    desk = ConsoleClient.signed_in(services, client)
    desk.submit(f"{LIST}{message}/again")
    page = desk.get_text(f"/console/orders/{late}")
    assert "It is not sent: a later status has gone out" in page
    assert "Sent again by staff" not in page
    assert sorted(states(services)) == ["parked", "superseded", "waiting"]


def test_all_are_sent_again_but_what_was_overtaken(services: Services, client: FlaskClient) -> None:
    late, _ = cancelled(services, 2)
    park(services)
    overtake(services, late)
    desk = ConsoleClient.signed_in(services, client)
    desk.submit(f"{LIST}again", page=f"{LIST}again")
    assert "1 delivery is on the way again. Not sent: 1, for a later status" in desk.get_text(LIST)
    assert sorted(states(services)) == ["superseded", "waiting", "waiting"]
