"""The console's pages of orders: list, filters, timeline, cancel, reopen."""

import re
import threading
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select

from provider import outbox
from provider.core.accounts import Account
from provider.core.kinds import KINDS
from provider.core.orders import Order, OrderEvent, TimedOrder
from provider.delivery.dispatcher import Dispatcher
from provider.outbox import Message
from provider.services import Services
from provider.web.console import pagination
from tests import check_factories, factories, interview_factories
from tests.factories import ManualClock
from tests.kind_factories import KIND_FACTORIES
from tests.web.console_client import ORDERS_PATH, ConsoleClient

CALLBACK_URL = "https://groove-tech.workable.com/assessments/{}"


def place_orders(services: Services, clock: ManualClock, count: int) -> list[str]:
    """Place orders one minute apart; return their ids, oldest first."""
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services)
    ids = []
    for number in range(count):
        clock.advance(timedelta(minutes=1))
        ids.append(
            factories.place_order(
                services,
                account_id,
                product_id,
                callback_url=CALLBACK_URL.format(number),
                email=f"candidate{number}@example.com",
                first_name="Candidate",
                last_name=str(number),
            )
        )
    return ids


def place_order(services: Services, **fields: str) -> str:
    account_id, _ = factories.create_account(services, timezone="Europe/Athens")
    return factories.place_order(services, account_id, factories.create_test(services), **fields)


def listed_order_ids(page: str) -> list[str]:
    return re.findall(r'<th scope="row">.*?<a href="/console/orders/([\w-]+)"', page, re.DOTALL)


def page_link(page: str, rel: str) -> str | None:
    match = re.search(rf'rel="{rel}" href="([^"]+)"', page)
    return match[1] if match else None


def order_events(services: Services, order_id: str) -> list[tuple[str, str, str]]:
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        return [(event.type, event.actor, event.note) for event in order.events]


def order_messages(services: Services, order_id: str) -> list[tuple[str, str]]:
    with services.db.reading() as session:
        rows = session.scalars(
            select(Message).where(Message.ordering_key == order_id).order_by(Message.id)
        )
        return [
            (row.topic, str(row.get_payload(services.secret_box).get("status", ""))) for row in rows
        ]


def perform_action(
    console: ConsoleClient, order_id: str, name: str, reason: str = "The job is filled", **form: Any
) -> tuple[int, str]:
    path = f"{ORDERS_PATH}{order_id}/{name}"
    seen = console.read_field(path, "seen")
    response = console.submit(path, page=path, reason=reason, seen=seen, **form)
    return response.status_code, response.text


def test_order_list_when_empty_explains_itself(services: Services, client: FlaskClient) -> None:
    assert "No order has been placed yet" in ConsoleClient.signed_in(services, client).get_text(
        ORDERS_PATH
    )


def test_order_list_pages_forward_and_back(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    ids = place_orders(services, clock, 120)[::-1]
    console = ConsoleClient.signed_in(services, client)
    seen_ids, page, later_pages = [], console.get_text(ORDERS_PATH), []
    assert page_link(page, "prev") is None
    while True:
        seen_ids += listed_order_ids(page)
        next_link = page_link(page, "next")
        if next_link is None:
            break
        page = console.get_text(next_link)
        later_pages.append(listed_order_ids(page))
    assert seen_ids == ids
    second_page = console.get_text(str(page_link(page, "prev")))
    assert listed_order_ids(second_page) == later_pages[0]
    first_page = console.get_text(str(page_link(second_page, "prev")))
    assert listed_order_ids(first_page) == ids[:50]
    assert page_link(first_page, "prev") is None


def test_new_order_does_not_shift_next_page(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    ids = place_orders(services, clock, 60)[::-1]
    console = ConsoleClient.signed_in(services, client)
    next_link = str(page_link(console.get_text(ORDERS_PATH), "next"))
    with services.db.reading() as session:
        order = Order.find(session, ids[0])
        account_id, product = order.account_id, order.product.public_id
    factories.place_order(services, account_id, product, callback_url=CALLBACK_URL.format("new"))
    assert listed_order_ids(console.get_text(next_link)) == ids[50:]


def test_order_list_runs_same_number_of_statements_for_any_length(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    def count_statements() -> int:
        statements: list[str] = []
        engine = services.db._read_engine

        def count(*args: object) -> None:
            statements.append(str(args[2]))

        event.listen(engine, "before_cursor_execute", count)
        console.get_text(ORDERS_PATH)
        event.remove(engine, "before_cursor_execute", count)
        return len(statements)

    console = ConsoleClient.signed_in(services, client)
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services)
    factories.place_order(services, account_id, product_id)
    count_for_one = count_statements()
    for number in range(49):
        factories.place_order(
            services, account_id, product_id, callback_url=CALLBACK_URL.format(number)
        )
    assert count_statements() == count_for_one


@pytest.mark.parametrize("query", ["before=nothing", "after=x", "before=" + "x" * 300, "after=%00"])
def test_order_list_with_unknown_cursor_is_not_found(
    services: Services, client: FlaskClient, query: str
) -> None:
    assert "go back to its first page" in ConsoleClient.signed_in(services, client).get_text(
        f"{ORDERS_PATH}?{query}", 404
    )


@pytest.mark.parametrize("query", ["status=lost", "kind=x", "account=nobody", "product=%00"])
def test_order_list_with_unknown_filter_is_refused(
    services: Services, client: FlaskClient, query: str
) -> None:
    ConsoleClient.signed_in(services, client).get_text(f"{ORDERS_PATH}?{query}", 400)


def test_order_list_finds_beginnings_of_words_and_pages_through_them(
    services: Services, client: FlaskClient, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = place_orders(services, clock, 12)
    monkeypatch.setattr(pagination, "PAGE_SIZE", 2)
    console = ConsoleClient.signed_in(services, client)
    for query in ("%20Candidate3@Example.com", "candidate3 workable"):
        assert listed_order_ids(console.get_text(f"{ORDERS_PATH}?q={query}")) == [ids[3]]
    first_page = console.get_text(f"{ORDERS_PATH}?q=candidate1")  # 1, 10 and 11
    assert listed_order_ids(first_page) == [ids[11], ids[10]]
    second_page = console.get_text(str(page_link(first_page, "next")))
    assert listed_order_ids(second_page) == [ids[1]]
    assert page_link(second_page, "next") is None
    assert listed_order_ids(console.get_text(str(page_link(second_page, "prev")))) == [
        ids[11],
        ids[10],
    ]
    for query in ("zenobia", "%00", "%22*", "x" * 3000):
        assert "No order matches this filter" in console.get_text(f"{ORDERS_PATH}?q={query}")


def test_order_list_filters_by_days_of_the_accounts_time_zone(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    athens, _ = factories.create_account(services, timezone="Europe/Athens")
    product = factories.create_test(services)
    midnight = datetime(2031, 11, 23, tzinfo=ZoneInfo("Europe/Athens"))
    ids = []
    for minutes in (-1, 0, 24 * 60 - 1, 24 * 60, 26 * 60):
        clock.advance(midnight + timedelta(minutes=minutes) - clock.now())
        url = CALLBACK_URL.format(minutes)
        ids.append(factories.place_order(services, athens, product, callback_url=url))
    with services.db.reading() as session:
        account = session.get_one(Account, athens).public_id
    console = ConsoleClient.signed_in(services, client)

    def listed(query: str) -> list[str]:
        return listed_order_ids(console.get_text(f"{ORDERS_PATH}?{query}"))[::-1]

    assert listed(f"account={account}&from=2031-11-23&to=2031-11-23") == ids[1:3]
    assert listed(f"account={account}&from=2031-11-24") == ids[3:]
    assert listed(f"account={account}&to=2031-11-22&q=lakita") == ids[:1]
    assert listed("from=2031-11-23&to=2031-11-23") == ids[2:4]
    assert "(Europe/Athens)" in console.get_text(f"{ORDERS_PATH}?account={account}")


@pytest.mark.parametrize(
    "query",
    [
        *("from=soon", "to=2026-02-30", "from=2026-11-02&to=2026-11-01"),
        *("from=0001-01-01", "to=9999-12-31", "from=%00"),
    ],
)
def test_order_list_with_impossible_day_is_refused(
    services: Services, client: FlaskClient, query: str
) -> None:
    page = ConsoleClient.signed_in(services, client).get_text(f"{ORDERS_PATH}?{query}", 400)
    assert "go back and correct it" in page


def needs_by_order(page: str) -> dict[str, tuple[str, str]]:
    """Return the texts of the columns Needs and Score of the list, by the order's id."""
    rows = {}
    for row in page.split("<tr>")[2:]:
        cells = dict(re.findall(r'data-label="(\w+)">(.*?)</td>', row, re.DOTALL))
        texts = [
            re.sub(r"<[^>]+>", "", cells.get(name, "no column")) for name in ("Needs", "Score")
        ]
        rows[listed_order_ids(row)[0]] = (texts[0].strip(), texts[1].strip())
    return rows


def place_in_every_state(services: Services) -> dict[str, tuple[str, str]]:
    """Return what the list should say each order needs, and its score."""
    account_id, _ = factories.create_account(services)
    products = {kind: KIND_FACTORIES[kind].create_product(services) for kind in KINDS}

    def place(kind: str, name: str) -> str:
        url = CALLBACK_URL.format(name)
        return factories.place_order(services, account_id, products[kind], kind, callback_url=url)

    expected = {place(kind, f"{kind}/new"): ("Candidate: start", "None") for kind in KINDS}
    started, done, interview, check, reopened = (
        place("assessment", "started"),
        place("assessment", "done"),
        place("interview", "given"),
        place("check", "consented"),
        place("assessment", "reopened"),
    )
    factories.finish_test(services, done, factories.CORRECT_ANSWERS | {"sum": {"answer": "a"}})
    factories.finish_test(services, reopened)
    with services.db.writing() as session:
        for order_id in (started, interview):
            order = Order.find(session, order_id)
            assert isinstance(order, TimedOrder)
            order.start(session, services.now())
        Order.find(session, reopened).reopen(
            session, services.secret_box, "sam@provider.test", "because", services.now()
        )
    interview_factories.record_answer(services, interview, "why")
    interview_factories.submit_interview(services, interview)
    check_factories.give_consent(services, check)
    return expected | {
        started: ("Candidate: finish", "None"),
        done: ("Nothing", "75%"),
        interview: ("Staff: rating", "None"),
        check: ("Staff: outcomes", "None"),
        reopened: ("Candidate: start", "None"),
    }


@pytest.mark.both
def test_order_list_says_what_each_order_needs_and_its_score(
    services: Services, client: FlaskClient
) -> None:
    expected = place_in_every_state(services)
    console = ConsoleClient.signed_in(services, client)
    assert needs_by_order(console.get_text(ORDERS_PATH)) == expected


def test_order_list_for_support_has_no_scores(services: Services, client: FlaskClient) -> None:
    expected = place_in_every_state(services)
    page = ConsoleClient.signed_in(services, client, "support").get_text(ORDERS_PATH)
    assert needs_by_order(page) == {
        order_id: (needs, "no column") for order_id, (needs, _) in expected.items()
    }
    assert "75%" not in page


def test_order_list_filters_by_kind_status_account_product(
    services: Services, client: FlaskClient
) -> None:
    groove, _ = factories.create_account(services)
    other, _ = factories.create_account(services, "Other Ltd")
    test, interview = factories.create_test(services), factories.create_interview(services)
    other_order = factories.place_order(services, other, test)
    own_order = factories.place_order(services, groove, test, callback_url=CALLBACK_URL.format(1))
    interview_order = factories.place_order(
        services, groove, interview, "interview", callback_url=CALLBACK_URL.format(2)
    )
    with services.db.writing() as session:
        order = Order.find(session, own_order)
        order.cancel(session, "sam@provider.test", "because", services.now())
        account, product = order.account.public_id, order.product.public_id
    console = ConsoleClient.signed_in(services, client)
    assert listed_order_ids(console.get_text(f"{ORDERS_PATH}?account={account}")) == [
        interview_order,
        own_order,
    ]
    assert listed_order_ids(console.get_text(f"{ORDERS_PATH}?product={product}")) == [
        own_order,
        other_order,
    ]
    assert listed_order_ids(console.get_text(f"{ORDERS_PATH}?kind=interview")) == [interview_order]
    assert listed_order_ids(
        console.get_text(f"{ORDERS_PATH}?status=cancelled&kind=assessment")
    ) == [own_order]
    assert listed_order_ids(console.get_text(f"{ORDERS_PATH}?status=completed")) == []


def test_unknown_order_is_not_found_on_a_console_page(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client)
    for order_id in ("unknown", "x" * 300, "%00"):
        page = console.get_text(ORDERS_PATH + order_id, 404)
        assert "There is no such order." in page
        assert "Sign out" in page


def test_order_page_shows_details_and_timeline_in_account_timezone(
    services: Services, client: FlaskClient
) -> None:
    order_id = place_order(services, phone="+30 210 1234567")
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + order_id)
    for text in (
        "Lakita Marrero",
        "lakita_marrero@gmail.com",
        "+30 210 1234567",
        "Operations Manager",
        "Groove Tech",
        "Reasoning, version 1",
        factories.athens_time(services.now()),
        "Order placed",
        "by the ATS",
        "E-mail: invitation",
        "Waiting",
    ):
        assert text in page


def test_order_page_says_whom_an_open_order_waits_for(
    services: Services, client: FlaskClient
) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    row = "<dt>Waiting for</dt><dd>Candidate</dd>"
    assert row in console.get_text(ORDERS_PATH + order_id)
    perform_action(console, order_id, "cancel")
    assert "Waiting for<" not in console.get_text(ORDERS_PATH + order_id)


def test_order_pages_escape_markup_of_candidates(services: Services, client: FlaskClient) -> None:
    order_id = place_order(
        services, first_name="<b>Lakita</b>", job_title="<script>alert(1)</script>"
    )
    console = ConsoleClient.signed_in(services, client)
    for path in (ORDERS_PATH, ORDERS_PATH + order_id, f"{ORDERS_PATH}{order_id}/cancel"):
        html = console.client.get(path).text
        assert "<b>Lakita" not in html
        assert "<script>alert" not in html


def test_order_page_shows_sent_email_without_invitation_link(
    services: Services, client: FlaskClient
) -> None:
    order_id = place_order(services)
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/email")
    dispatcher.stop()
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + order_id)
    assert "lakita_marrero@gmail.com" in page
    assert "Subject" in page
    token = factories.invitation_url(services, order_id).rpartition("/")[2]
    assert token not in page
    assert "/c/…" in page


def test_order_page_of_finished_test_shows_result_and_answers(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = place_order(services)
    factories.finish_test(services, order_id, factories.CORRECT_ANSWERS | {"sum": {"answer": "a"}})
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + order_id)
    for text in ("75%", "Passed", "What is 17 + 25?", "3.5", "Result ready", "Open the report"):
        assert text in page
    assert 'href="http://provider.test/r/' in page


def test_show_link_shows_invitation_link_and_records_event(
    services: Services, client: FlaskClient
) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    url = factories.invitation_url(services, order_id)
    assert url not in console.get_text(ORDERS_PATH + order_id)
    assert url in console.submit(f"{ORDERS_PATH}{order_id}/link").text
    assert ("link shown", "operator@provider.test", "") in order_events(services, order_id)
    page = re.sub(r"</?strong>", "", console.get_text(ORDERS_PATH + order_id))
    assert "link shown by operator@provider.test" in page


def test_cancel_notifies_ats_and_records_reason(services: Services, client: FlaskClient) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(f"{ORDERS_PATH}{order_id}/cancel")
    assert "Groove Tech’s ATS is notified at once" in page
    assert perform_action(console, order_id, "cancel")[0] == 302
    assert factories.order_status(services, order_id) == "cancelled"
    assert order_events(services, order_id)[-1] == (
        "cancelled",
        "operator@provider.test",
        "The job is filled",
    )
    assert order_messages(services, order_id) == [("invitation", ""), ("status", "cancelled")]
    page = console.get_text(ORDERS_PATH + order_id)
    assert "The order is cancelled." in page
    assert "The job is filled" in page
    assert "Reopen this order" in page


def test_reopen_sends_invitation_with_new_deadline(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    perform_action(console, order_id, "cancel")
    clock.advance(timedelta(hours=3))
    deadline = factories.athens_time(clock.now() + timedelta(days=7))
    assert deadline in console.get_text(f"{ORDERS_PATH}{order_id}/reopen")
    assert perform_action(console, order_id, "reopen", "It was a mistake")[0] == 302
    assert factories.order_status(services, order_id) == "pending"
    assert order_messages(services, order_id)[2:] == [("status", "pending"), ("invitation", "")]
    assert ("reopened", "operator@provider.test", "It was a mistake") in order_events(
        services, order_id
    )


@pytest.mark.parametrize("reason", ["", "  ", "no", " no\x00 ", "x" * 501])
def test_cancel_with_invalid_reason_is_refused(
    services: Services, client: FlaskClient, reason: str
) -> None:
    order_id = place_order(services)
    status_code, page = perform_action(
        ConsoleClient.signed_in(services, client), order_id, "cancel", reason
    )
    assert status_code == 400
    assert "Give a reason of 3 to 500 characters" in page
    assert factories.order_status(services, order_id) == "pending"
    assert len(order_messages(services, order_id)) == 1


def test_reopen_of_pending_order_is_refused(services: Services, client: FlaskClient) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(f"{ORDERS_PATH}{order_id}/reopen")
    assert "Only an order that has ended can be reopened" in page
    assert 'name="reason"' not in page
    response = console.submit(f"{ORDERS_PATH}{order_id}/reopen", reason="because")
    assert response.status_code == 409
    assert factories.order_status(services, order_id) == "pending"


def test_cancel_from_an_outdated_page_changes_nothing(
    app: Flask, services: Services, client: FlaskClient
) -> None:
    order_id = place_order(services)
    first = ConsoleClient.signed_in(services, client)
    second = ConsoleClient.signed_in(services, app.test_client(), "admin")
    path = f"{ORDERS_PATH}{order_id}/cancel"
    seen = second.read_field(path, "seen")
    perform_action(first, order_id, "cancel")
    perform_action(first, order_id, "reopen")
    before = order_messages(services, order_id), order_events(services, order_id)
    response = second.submit(path, page=path, reason="The job is filled", seen=seen)
    assert response.status_code == 409
    assert "This order has changed since you opened this page" in response.text
    assert "The job is filled" in response.text
    assert (order_messages(services, order_id), order_events(services, order_id)) == before


def test_concurrent_cancels_succeed_once(app: Flask, services: Services) -> None:
    order_id = place_order(services)
    consoles = [
        ConsoleClient.signed_in(services, app.test_client(), role) for role in ("admin", "operator")
    ]
    path = f"{ORDERS_PATH}{order_id}/cancel"
    tokens = [
        factories.csrf_token(console.get_text(path)) for console in consoles for _ in range(4)
    ]
    status_codes: list[int] = []
    start = threading.Barrier(len(tokens))
    seen = consoles[0].read_field(path, "seen")

    def post(signed_in: ConsoleClient, token: str) -> None:
        client = app.test_client()
        for name in ("staff", "form"):
            cookie = signed_in.client.get_cookie(name)
            assert cookie
            client.set_cookie(name, cookie.value)
        start.wait()
        response = client.post(path, data={"csrf_token": token, "reason": "why", "seen": seen})
        status_codes.append(response.status_code)

    threads = [
        threading.Thread(target=post, args=(consoles[index // 4], token))
        for index, token in enumerate(tokens)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status_codes) == [302] + [409] * 7
    assert order_messages(services, order_id) == [("invitation", ""), ("status", "cancelled")]


def test_order_page_shows_no_internal_words(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = place_order(services)
    factories.finish_test(services, order_id)
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + order_id)
    text = re.sub(r"<[^>]+>", " ", page)
    for internal in (
        "None",
        "single_choice",
        f"T{clock.now():%H:%M}",
        "+00:00",
        "pending",
        "queue",
        "parked",
        "callback",
    ):
        assert internal not in text, internal


def test_timeline_contains_every_event_and_message(services: Services, client: FlaskClient) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    perform_action(console, order_id, "cancel")
    perform_action(console, order_id, "reopen")
    page = console.get_text(ORDERS_PATH + order_id)
    with services.db.reading() as session:
        count = len(session.scalars(select(OrderEvent)).all())
    assert page.count('class="console-event"') == count
    assert page.count('class="console-delivery"') == len(order_messages(services, order_id))


@pytest.mark.sqlite
@pytest.mark.parametrize("path", [ORDERS_PATH, f"{ORDERS_PATH}?waiting_for=candidate"])
def test_list_of_orders_reads_no_whole_table_of_messages(
    services: Services, clock: ManualClock, client: FlaskClient, path: str
) -> None:
    place_orders(services, clock, 60)
    console = ConsoleClient.signed_in(services, client)
    queries: list[tuple[str, Any]] = []

    def record(_conn: object, _cursor: object, sql: str, values: Any, *_: object) -> None:
        queries.append((sql, values))

    engine = services.db._read_engine
    event.listen(engine, "before_cursor_execute", record)
    console.get_text(path)
    event.remove(engine, "before_cursor_execute", record)
    about_messages = [query for query in queries if "messages" in query[0]]
    assert about_messages
    with services.db.engine.connect() as connection:
        for sql, values in about_messages:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
            assert not any("SCAN messages" in str(step) for step in plan), (sql, plan)


@pytest.mark.both
def test_bounced_invitation_is_shown_and_found(
    services: Services, clock: ManualClock, client: FlaskClient
) -> None:
    bounced, opened, other = place_orders(services, clock, 3)
    with services.db.writing() as session:
        for order_id in (bounced, opened):
            order = Order.find(session, order_id)
            (message,) = outbox.history(session, order_id)
            reason = "The mailbox does not exist."
            order.record_bounce(session, message.public_id, "invitation", reason, services.now())
        order.mark_opened(session, services.now())  # by a link that staff gave
    console = ConsoleClient.signed_in(services, client)
    line = "The invitation could not be delivered."
    page = console.get_text(ORDERS_PATH + bounced)
    assert line in page
    assert "<strong>Invitation bounced</strong>" in page
    assert "The mailbox does not exist." in page
    assert line not in console.get_text(ORDERS_PATH + opened)
    found = console.get_text(f"{ORDERS_PATH}?invitation=bounced")
    listed = [order for order in (bounced, opened, other) if f"/console/orders/{order}" in found]
    assert listed == [bounced]
    home = console.get_text("/console/")
    assert "invitation=bounced" in home
    assert "Invitation that could not be delivered" in home


@pytest.mark.both
def test_order_with_a_failed_delivery_of_any_writer_is_marked(
    services: Services, clock: ManualClock, client: FlaskClient
) -> None:
    first, second, third = place_orders(services, clock, 3)
    with services.db.writing() as session:
        for order_id, writer in ((first, ""), (second, "notes")):
            order = Order.find(session, order_id)
            order.append_message(
                session,
                "callback",
                topic="status",
                payload={},
                now=services.now(),
                host="groove-tech.workable.com",
                writer=writer,
            )
        session.flush()
        query = select(Message).where(Message.topic == "status")
        for message in session.scalars(query):
            message.state = "parked"
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH)
    rows = page.split("<tr>")
    marked = {
        order
        for order in (first, second, third)
        for row in rows
        if f"/console/orders/{order}" in row and "Delivery failed" in row
    }
    assert marked == {first, second}
