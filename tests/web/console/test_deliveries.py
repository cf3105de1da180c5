"""The console's pages of deliveries and e-mails: filters, attempts, requeueing."""

import re
from datetime import timedelta
from hashlib import sha256

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from provider import outbox
from provider.core.orders import Order
from provider.delivery.dispatcher import Dispatcher
from provider.outbox import BODY_RETENTION, Message, Outcome
from provider.services import Services
from provider.web.console import deliveries, message_list, pagination, timeline
from tests import factories
from tests.web.console_client import ConsoleClient

LIST = "/console/deliveries/"
CALLBACK_QUEUE = "1/callback/x.workable.com"


def cancelled_orders(services: Services, count: int, name: str = "Groove Tech") -> list[str]:
    """Return the ids of cancelled orders, each with a status update to send."""
    account_id, _ = factories.create_account(services, name)
    product_id = factories.create_test(services)
    ids = []
    for number in range(count):
        url = f"https://x.workable.com/{number}"
        ids.append(factories.place_order(services, account_id, product_id, callback_url=url))
        with services.db.writing() as session:
            Order.find(session, ids[-1]).cancel(session, "sam@provider.test", "why", services.now())
    return ids


def settle(services: Services, queue: str, outcome: Outcome) -> None:
    """Settle all messages of a queue with the same outcome."""
    with services.db.writing() as session:
        for claim in outbox.claim(session, queue, services.now(), 1000):
            outbox.store_body(session, claim, b'{"status": "expired"}')
            factories.settle_attempt(services, session, claim, outcome)


def park(services: Services, queue: str = CALLBACK_QUEUE) -> None:
    rejected = Outcome("rejected", None, 422, "no such candidate", "The ATS refuses with 422")
    settle(services, queue, rejected)


def message_states(services: Services, channel: str = "callback") -> list[str]:
    with services.db.reading() as session:
        query = (
            select(Message.state).where(Message.queue.contains(f"/{channel}")).order_by(Message.id)
        )
        return list(session.scalars(query))


def count_rows(page: str) -> int:
    return page.count('<th scope="row">')


def listed_ids(page: str) -> list[str]:
    return re.findall(r'href="/console/deliveries/([\w-]{22})"', page)


def test_delivery_list_without_failures_says_so(services: Services, client: FlaskClient) -> None:
    assert "No delivery has failed" in ConsoleClient.signed_in(services, client).get_text(LIST)


def test_failed_delivery_is_shown_on_all_its_pages(services: Services, client: FlaskClient) -> None:
    (order_id,) = cancelled_orders(services, 1)
    park(services)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(LIST)
    assert count_rows(page) == 1
    assert "Status update: cancelled" in page
    assert "response 422: The ATS refuses with 422" in page
    assert "Delivery failed" in console.get_text("/console/orders/")
    page = console.get_text(f"/console/orders/{order_id}")
    assert "https://x.workable.com/0" in page
    for text in ("no such candidate", "422", '"status": "expired"', "Send again"):
        assert text in page


def test_delivery_list_filters_by_state_channel_account(
    services: Services, client: FlaskClient
) -> None:
    cancelled_orders(services, 2)
    cancelled_orders(services, 1, "Other Ltd")
    park(services)
    settle(services, "1/email", Outcome("delivered", status_code=250))
    with services.db.reading() as session:
        newest_order = session.scalars(select(Order).order_by(Order.id.desc())).first()
        assert newest_order
        assert newest_order.account_id == 2
        account = newest_order.account.public_id
    console = ConsoleClient.signed_in(services, client)
    counts = {
        "": 2,
        "?state=any": 6,
        "?state=delivered": 2,
        "?state=waiting": 2,
        "?state=any&channel=email": 3,
        f"?state=any&account={account}": 2,
        "?state=superseded": 0,
    }
    assert {query: count_rows(console.get_text(LIST + query)) for query in counts} == counts


@pytest.mark.parametrize("query", ["?state=x", "?channel=x", "?account=x", "?before=x"])
def test_delivery_list_with_unknown_filter_is_refused(
    services: Services, client: FlaskClient, query: str
) -> None:
    response = ConsoleClient.signed_in(services, client).client.get(LIST + query)
    assert response.status_code in (400, 404)


def test_delivery_list_pages_all_deliveries(services: Services, client: FlaskClient) -> None:
    cancelled_orders(services, 60)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(f"{LIST}?state=any")
    ids = listed_ids(page)
    while next_link := re.search(r'rel="next" href="([^"]+)"', page):
        assert "state=any" in next_link[1]
        page = console.get_text(next_link[1])
        ids += listed_ids(page)
    assert len(ids) == len(set(ids)) == 120


# With 0, the page is read by one scan instead of queue by queue.
@pytest.mark.parametrize("max_queues", [100, 0])
def test_delivery_list_of_account_pages_forward_and_back(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, max_queues: int
) -> None:
    monkeypatch.setattr(pagination, "PAGE_SIZE", 3)
    monkeypatch.setattr(message_list, "MAX_QUEUES", max_queues)
    cancelled_orders(services, 2)
    cancelled_orders(services, 1, "Other Ltd")
    with services.db.reading() as session:
        order = session.get_one(Order, 1)
        account, prefix = order.account.public_id, f"{order.account_id}/"
        query = select(Message.public_id).where(Message.queue.startswith(prefix))
        expected = list(session.scalars(query.order_by(Message.id.desc())))
    console = ConsoleClient.signed_in(services, client)
    pages = [console.get_text(f"{LIST}?state=any&account={account}")]
    while next_link := re.search(r'rel="next" href="([^"]+)"', pages[-1]):
        pages.append(console.get_text(next_link[1]))
    ids = [listed_ids(page) for page in pages]
    assert ids == [expected[:3], expected[3:]]
    previous_link = re.search(r'rel="prev" href="([^"]+)"', pages[-1])
    assert previous_link
    assert listed_ids(console.get_text(previous_link[1])) == ids[0]


def test_requeue_sends_failed_delivery_and_records_event(
    services: Services, client: FlaskClient
) -> None:
    (order_id,) = cancelled_orders(services, 1)
    park(services)
    console = ConsoleClient.signed_in(services, client)
    (message_id,) = listed_ids(console.get_text(LIST))
    path = f"{LIST}{message_id}"
    assert "Send again" in console.get_text(path)
    response = console.submit(f"{path}/again", page=path)
    assert response.location == f"/console/orders/{order_id}"
    assert message_states(services) == ["waiting"]
    assert "Sent again by staff" in console.get_text(response.location)


def test_requeue_of_delivered_message_is_refused(services: Services, client: FlaskClient) -> None:
    cancelled_orders(services, 1)
    settle(services, CALLBACK_QUEUE, Outcome("delivered", status_code=200))
    console = ConsoleClient.signed_in(services, client)
    message_id, _ = listed_ids(console.get_text(f"{LIST}?state=any"))
    assert "Send again" not in console.get_text(f"{LIST}{message_id}")
    assert console.submit(f"{LIST}{message_id}/again").status_code == 409
    assert message_states(services) == ["delivered"]


def test_requeue_all_sends_failed_deliveries_of_the_filter(
    services: Services, client: FlaskClient
) -> None:
    cancelled_orders(services, 3)
    cancelled_orders(services, 2, "Other Ltd")
    park(services)
    park(services, "1/email")
    park(services, "2/callback/x.workable.com")
    console = ConsoleClient.signed_in(services, client)
    with services.db.reading() as session:
        order = session.scalars(select(Order).order_by(Order.id)).first()
        assert order
        account = order.account.public_id
    path = f"{LIST}again?channel=callback&account={account}"
    page = console.get_text(path)
    assert "Send 3 failed deliveries again?" in page
    assert "Only status updates to the ATS, only for Groove Tech." in page
    response = console.submit(f"{LIST}again", page=path, channel="callback", account=account)
    assert response.status_code == 302
    assert "3 deliveries will be sent again." in console.get_text(response.location)
    assert message_states(services) == ["waiting"] * 3 + ["parked"] * 2
    assert message_states(services, "email") == ["parked"] * 3 + ["waiting"] * 2


def test_requeue_all_sends_one_batch_at_a_time(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BATCH_SIZE", 2)
    cancelled_orders(services, 3)
    park(services)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(f"{LIST}again")
    assert "Send the oldest 2 failed deliveries again?" in page
    assert "More than 2 deliveries have failed" in page
    console.submit(f"{LIST}again")
    assert message_states(services) == ["waiting", "waiting", "parked"]
    console.submit(f"{LIST}again")
    assert message_states(services) == ["waiting"] * 3
    assert "No failed deliveries" in console.get_text(f"{LIST}again")


def test_requeue_all_twice_sends_each_delivery_once(
    app: Flask, services: Services, client: FlaskClient
) -> None:
    cancelled_orders(services, 2)
    park(services)
    first, second = (
        ConsoleClient.signed_in(services, client),
        ConsoleClient.signed_in(services, app.test_client(), "admin"),
    )
    first.submit(f"{LIST}again")
    response = second.submit(f"{LIST}again")
    assert "Nothing to send again" in second.get_text(response.location)
    with services.db.reading() as session:
        order = session.scalars(select(Order)).first()
        assert order
        assert [event.type for event in order.events].count("retried") == 1


def test_unknown_delivery_is_not_found(services: Services, client: FlaskClient) -> None:
    console = ConsoleClient.signed_in(services, client)
    for message_id in ("unknown", "x" * 300, "%00"):
        console.get_text(LIST + message_id, 404)
        assert console.submit(f"{LIST}{message_id}/again").status_code == 404


def test_body_that_is_not_json_is_shown_unchanged(services: Services, client: FlaskClient) -> None:
    (order_id,) = cancelled_orders(services, 1)
    with services.db.writing() as session:
        for claim in outbox.claim(session, CALLBACK_QUEUE, services.now(), 9):
            outbox.store_body(session, claim, b"\xff<b>not json")
    page = ConsoleClient.signed_in(services, client).client.get(f"/console/orders/{order_id}").text
    assert "�&lt;b&gt;not json" in page


def test_delivery_pages_never_show_callback_token(services: Services, client: FlaskClient) -> None:
    (order_id,) = cancelled_orders(services, 1)
    park(services)
    console = ConsoleClient.signed_in(services, client)
    (message_id,) = listed_ids(console.get_text(LIST))
    for path in (LIST, f"{LIST}{message_id}", f"/console/orders/{order_id}"):
        assert "cb-token" not in console.get_text(path)


def test_email_list_and_page_show_email_without_link(
    services: Services, client: FlaskClient
) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    console = ConsoleClient.signed_in(services, client)
    assert count_rows(console.get_text("/console/emails/")) == 1
    assert "created at the first attempt" in console.get_text(f"/console/orders/{order_id}")
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/email")
    dispatcher.stop()
    page = console.get_text("/console/emails/?state=delivered")
    assert "lakita_marrero@gmail.com" in page
    (message_id,) = listed_ids(page)
    page = console.get_text(f"{LIST}{message_id}")
    assert "Groove Tech" in page
    assert factories.invitation_url(services, order_id) not in page


def test_email_list_when_empty_explains_itself(services: Services, client: FlaskClient) -> None:
    assert "The first e-mail is created when" in ConsoleClient.signed_in(services, client).get_text(
        "/console/emails/"
    )


def supersede(services: Services, order_id: str) -> None:
    """Reopen an order, and let the later status update wait for its retry."""
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        order.reopen(session, services.secret_box, "sam@provider.test", "again", services.now())
    settle(services, CALLBACK_QUEUE, Outcome("retry", retry_after=timedelta(hours=1)))


def test_requeue_of_superseded_delivery_sends_nothing(
    services: Services, client: FlaskClient
) -> None:
    order_id, _ = cancelled_orders(services, 2)
    park(services)
    supersede(services, order_id)
    with services.db.reading() as session:
        message_id = outbox.history(session, order_id)[1].public_id
    console = ConsoleClient.signed_in(services, client)
    console.submit(f"{LIST}{message_id}/again")
    page = console.get_text(f"/console/orders/{order_id}")
    assert "It is not sent again: a later status update has replaced it" in page
    assert "Sent again by staff" not in page
    assert sorted(message_states(services)) == ["parked", "superseded", "waiting"]


def test_requeue_all_skips_superseded_deliveries(services: Services, client: FlaskClient) -> None:
    order_id, _ = cancelled_orders(services, 2)
    park(services)
    supersede(services, order_id)
    console = ConsoleClient.signed_in(services, client)
    console.submit(f"{LIST}again", page=f"{LIST}again")
    assert (
        "1 delivery will be sent again. Not sent: 1, replaced by a later status"
        in console.get_text(LIST)
    )
    assert sorted(message_states(services)) == ["superseded", "waiting", "waiting"]


def test_role_without_permission_sees_no_body(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (order_id,) = cancelled_orders(services, 1)
    park(services)
    monkeypatch.setattr(timeline, "may", lambda permission: False)
    console = ConsoleClient.signed_in(services, client)
    (message_id,) = listed_ids(console.get_text(LIST))
    for path in (f"{LIST}{message_id}", f"/console/orders/{order_id}"):
        page = console.get_text(path)
        assert "&#34;expired&#34;" not in page
        assert '"expired"' not in page
        assert "Your role may not see the content" in page


@pytest.mark.parametrize(
    ("role", "sees_body"), [("operator", True), ("viewer", True), ("support", False)]
)
def test_role_without_the_permission_sees_no_body(
    services: Services, client: FlaskClient, role: str, sees_body: bool
) -> None:
    (order_id,) = cancelled_orders(services, 1)
    park(services)
    console = ConsoleClient.signed_in(services, client, role=role)
    assert ('"status": "expired"' in console.get_text(f"/console/orders/{order_id}")) == sees_body


def test_removed_body_is_shown_as_its_digest(
    services: Services, client: FlaskClient, clock: factories.ManualClock
) -> None:
    cancelled_orders(services, 1)
    settle(services, CALLBACK_QUEUE, Outcome("delivered", status_code=200))
    clock.advance(BODY_RETENTION)
    with services.db.writing() as session:
        assert outbox.drop_old_bodies(session, services.now()) == 1
    console = ConsoleClient.signed_in(services, client)
    (message_id,) = listed_ids(console.get_text(f"{LIST}?state=delivered"))
    page = console.get_text(f"{LIST}{message_id}")
    assert "removed 30 days after the delivery" in page
    assert sha256(b'{"status": "expired"}').hexdigest() in page


def test_message_of_missing_key_hides_no_list(services: Services, client: FlaskClient) -> None:
    (order_id,) = cancelled_orders(services, 1)
    park(services)
    with services.db.writing() as session:
        session.execute(update(Message).values(payload_encrypted=b"x" * 40, body_encrypted=b"x"))
    console = ConsoleClient.signed_in(services, client)
    assert count_rows(console.get_text(LIST)) == 1
    assert "cannot be decrypted" in console.get_text(f"/console/orders/{order_id}")
