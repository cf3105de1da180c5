"""Deliveries and letters at the console: seen by state, and sent again."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from provider import outbox
from provider.courier.courier import Courier
from provider.house import House
from provider.orders import Order
from provider.outbox import Message, Outcome
from provider.pages.console import deliveries, mailbag, paging
from tests import cast
from tests.pages.desk import Desk

LIST = "/console/deliveries/"


def cancelled(house: House, count: int, name: str = "Groove Tech") -> list[str]:
    """Return the ids of cancelled orders, each with news for its ATS."""
    account_id, _ = cast.account(house, name)
    product_id = cast.test(house)
    ids = []
    for number in range(count):
        url = f"https://x.workable.com/{number}"
        ids.append(cast.order(house, account_id, product_id, callback_url=url))
        with house.db.writing() as session:
            Order.find(session, ids[-1]).cancel(session, "sam@provider.test", "why", house.now())
    return ids


CALLBACKS = "1/callback/x.workable.com"


def settle(house: House, lane: str, outcome: Outcome) -> None:
    """Have everything in a lane end like this."""
    with house.db.writing() as session:
        for claim in outbox.claim(session, lane, house.now(), 1000):
            outbox.keep_rendered(session, claim, b'{"status": "expired"}')
            cast.settle(house, session, claim, outcome)


def park(house: House, lane: str = CALLBACKS) -> None:
    refused = Outcome("never", None, 422, "no such candidate", "The ATS refuses with 422")
    settle(house, lane, refused)


def states(house: House, sink: str = "callback") -> list[str]:
    with house.db.reading() as session:
        query = select(Message.state).where(Message.lane.contains(f"/{sink}")).order_by(Message.id)
        return list(session.scalars(query))


def rows(page: str) -> int:
    return page.count('<th scope="row">')


def test_when_nothing_is_parked_the_page_says_so(house: House, client: FlaskClient) -> None:
    assert "Nothing is parked" in Desk.of(house, client).read(LIST)


def test_a_parked_delivery_is_seen_everywhere(house: House, client: FlaskClient) -> None:
    (order_id,) = cancelled(house, 1)
    park(house)
    desk = Desk.of(house, client)
    page = desk.read(LIST)
    assert rows(page) == 1
    assert "News for the ATS: cancelled" in page
    assert "answer 422: The ATS refuses with 422" in page
    assert "Delivery parked" in desk.read("/console/orders/")
    page = desk.read(f"/console/orders/{order_id}")
    assert "https://x.workable.com/0" in page
    for said in ("no such candidate", "422", '"status": "expired"', "Refused", "Send it again"):
        assert said in page


def test_deliveries_are_listed_by_state_sink_and_account(house: House, client: FlaskClient) -> None:
    cancelled(house, 2)
    cancelled(house, 1, "Other Ltd")
    park(house)
    settle(house, "1/mail", Outcome("done", code=250))
    with house.db.reading() as session:
        other = session.scalars(select(Order.account_id).order_by(Order.id.desc())).first()
        assert other == 2
        key = session.scalars(select(Order).order_by(Order.id.desc())).first()
        assert key
        account = key.account.public_id
    desk = Desk.of(house, client)
    counts = {
        "": 2, "?state=any": 6, "?state=delivered": 2, "?state=waiting": 2,
        "?state=any&sink=mail": 3, f"?state=any&account={account}": 2,
        "?state=superseded": 0,
    }  # fmt: skip
    assert {query: rows(desk.read(LIST + query)) for query in counts} == counts


@pytest.mark.parametrize("query", ["?state=x", "?sink=x", "?account=x", "?before=x"])
def test_a_list_that_cannot_be_is_refused(house: House, client: FlaskClient, query: str) -> None:
    answer = Desk.of(house, client).client.get(LIST + query)
    assert answer.status_code in (400, 404)


def test_deliveries_are_paged(house: House, client: FlaskClient) -> None:
    cancelled(house, 60)
    desk = Desk.of(house, client)
    page = desk.read(f"{LIST}?state=any")
    found = re.findall(r'href="/console/deliveries/([\w-]{22})"', page)
    while on := re.search(r'rel="next" href="([^"]+)"', page):
        assert "state=any" in on[1]
        page = desk.read(on[1])
        found += re.findall(r'href="/console/deliveries/([\w-]{22})"', page)
    assert len(found) == len(set(found)) == 120


@pytest.mark.parametrize("many", [100, 0])  # lanes that are looked at one by one
def test_an_accounts_deliveries_are_paged_there_and_back(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(paging, "SIZE", 3)
    monkeypatch.setattr(mailbag, "MANY", many)
    cancelled(house, 2)
    cancelled(house, 1, "Other Ltd")
    with house.db.reading() as session:
        mine = session.get_one(Order, 1)
        account, begins = mine.account.public_id, f"{mine.account_id}/"
        sent = select(Message.public_id).where(Message.lane.startswith(begins))
        expected = list(session.scalars(sent.order_by(Message.id.desc())))
    desk = Desk.of(house, client)
    pages = [desk.read(f"{LIST}?state=any&account={account}")]
    while on := re.search(r'rel="next" href="([^"]+)"', pages[-1]):
        pages.append(desk.read(on[1]))
    ids = [re.findall(r'href="/console/deliveries/([\w-]{22})"', page) for page in pages]
    assert ids == [expected[:3], expected[3:]]
    back = re.search(r'rel="prev" href="([^"]+)"', pages[-1])
    assert back
    assert re.findall(r'href="/console/deliveries/([\w-]{22})"', desk.read(back[1])) == ids[0]


def test_one_parked_delivery_is_sent_again_on_record(house: House, client: FlaskClient) -> None:
    (order_id,) = cancelled(house, 1)
    park(house)
    desk = Desk.of(house, client)
    (message_id,) = re.findall(r'href="/console/deliveries/([\w-]{22})"', desk.read(LIST))
    page = f"{LIST}{message_id}"
    assert "Send it again" in desk.read(page)
    answer = desk.submit(f"{page}/again", page=page)
    assert answer.location == f"/console/orders/{order_id}"
    assert states(house) == ["waiting"]
    assert "Sent again by staff" in desk.read(answer.location)


def test_a_delivery_that_is_not_parked_is_not_sent_again(house: House, client: FlaskClient) -> None:
    cancelled(house, 1)
    settle(house, CALLBACKS, Outcome("done", code=200))
    desk = Desk.of(house, client)
    (message_id, _) = re.findall(
        r'href="/console/deliveries/([\w-]{22})"', desk.read(f"{LIST}?state=any")
    )
    assert "Send it again" not in desk.read(f"{LIST}{message_id}")
    assert desk.submit(f"{LIST}{message_id}/again").status_code == 409
    assert states(house) == ["delivered"]


def test_all_parked_ones_of_a_filter_are_sent_again(house: House, client: FlaskClient) -> None:
    cancelled(house, 3)
    cancelled(house, 2, "Other Ltd")
    park(house)
    park(house, "1/mail")
    park(house, "2/callback/x.workable.com")
    desk = Desk.of(house, client)
    with house.db.reading() as session:
        order = session.scalars(select(Order).order_by(Order.id)).first()
        assert order
        account = order.account.public_id
    ask = f"{LIST}again?sink=callback&account={account}"
    page = desk.read(ask)
    assert "Send 3 parked deliveries again?" in page
    assert "Only news for the ATS, only of Groove Tech." in page
    answer = desk.submit(f"{LIST}again", page=ask, sink="callback", account=account)
    assert answer.status_code == 302
    assert "3 deliveries are on the way again." in desk.read(answer.location)
    assert states(house) == ["waiting"] * 3 + ["parked"] * 2
    assert states(house, "mail") == ["parked"] * 3 + ["waiting"] * 2


def test_very_many_are_sent_again_in_batches(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BATCH", 2)
    cancelled(house, 3)
    park(house)
    desk = Desk.of(house, client)
    page = desk.read(f"{LIST}again")
    assert "Send the oldest 2 parked deliveries again?" in page
    assert "More than 2 are parked" in page
    desk.submit(f"{LIST}again")
    assert states(house) == ["waiting", "waiting", "parked"]
    desk.submit(f"{LIST}again")
    assert states(house) == ["waiting"] * 3
    assert "Nothing is parked here" in desk.read(f"{LIST}again")


def test_two_members_of_staff_sending_all_again_send_each_once(
    app: Flask, house: House, client: FlaskClient
) -> None:
    cancelled(house, 2)
    park(house)
    first, second = Desk.of(house, client), Desk.of(house, app.test_client(), "admin")
    first.submit(f"{LIST}again")
    answer = second.submit(f"{LIST}again")
    assert "Nothing was parked any more" in second.read(answer.location)
    with house.db.reading() as session:
        order = session.scalars(select(Order)).first()
        assert order
        assert [each.word for each in order.events].count("retried") == 1


def test_a_delivery_that_does_not_exist_is_not_found(house: House, client: FlaskClient) -> None:
    desk = Desk.of(house, client)
    for message_id in ("unknown", "x" * 300, "%00"):
        desk.read(LIST + message_id, 404)
        assert desk.submit(f"{LIST}{message_id}/again").status_code == 404


def test_a_body_that_is_no_json_is_shown_as_it_is(house: House, client: FlaskClient) -> None:
    (order_id,) = cancelled(house, 1)
    with house.db.writing() as session:
        for claim in outbox.claim(session, CALLBACKS, house.now(), 9):
            outbox.keep_rendered(session, claim, b"\xff<b>not json")
    page = Desk.of(house, client).client.get(f"/console/orders/{order_id}").text
    assert "�&lt;b&gt;not json" in page


def test_the_token_for_the_ats_is_on_no_page(house: House, client: FlaskClient) -> None:
    (order_id,) = cancelled(house, 1)
    park(house)
    desk = Desk.of(house, client)
    (message_id,) = re.findall(r'href="/console/deliveries/([\w-]{22})"', desk.read(LIST))
    for path in (LIST, f"{LIST}{message_id}", f"/console/orders/{order_id}"):
        assert "cb-token" not in desk.read(path)


def test_letters_are_listed_and_read(house: House, client: FlaskClient) -> None:
    account_id, _ = cast.account(house)
    order_id = cast.order(house, account_id, cast.test(house))
    desk = Desk.of(house, client)
    assert rows(desk.read("/console/letters/")) == 1
    assert "written when it is sent" in desk.read(f"/console/orders/{order_id}")
    courier = Courier(house)
    courier.drain("1/mail")
    courier.stop()
    page = desk.read("/console/letters/?state=delivered")
    assert "lakita_marrero@gmail.com" in page
    (message_id,) = re.findall(r'href="/console/deliveries/([\w-]{22})"', page)
    page = desk.read(f"{LIST}{message_id}")
    assert "Groove Tech" in page
    assert cast.invitation(house, order_id) not in page


def test_without_letters_the_page_says_when_there_will_be_one(
    house: House, client: FlaskClient
) -> None:
    assert "The first one is written when" in Desk.of(house, client).read("/console/letters/")


def overtake(house: House, order_id: str) -> None:
    """Have a later status of an order go out, and fail for now."""
    with house.db.writing() as session:
        order = Order.find(session, order_id)
        order.reopen(session, house.vault, "sam@provider.test", "again", house.now())
    settle(house, CALLBACKS, Outcome("again", after=timedelta(hours=1)))


def test_what_a_later_status_overtook_is_not_sent_again(house: House, client: FlaskClient) -> None:
    late, _ = cancelled(house, 2)
    park(house)
    overtake(house, late)
    with house.db.reading() as session:
        message = outbox.story(session, late)[1].public_id
    desk = Desk.of(house, client)
    desk.submit(f"{LIST}{message}/again")
    page = desk.read(f"/console/orders/{late}")
    assert "It is not sent: a later status has gone out" in page
    assert "Sent again by staff" not in page
    assert sorted(states(house)) == ["parked", "superseded", "waiting"]


def test_all_are_sent_again_but_what_was_overtaken(house: House, client: FlaskClient) -> None:
    late, _ = cancelled(house, 2)
    park(house)
    overtake(house, late)
    desk = Desk.of(house, client)
    desk.submit(f"{LIST}again", page=f"{LIST}again")
    assert "1 delivery is on the way again. Not sent: 1, for a later status" in desk.read(LIST)
    assert sorted(states(house)) == ["superseded", "waiting", "waiting"]
