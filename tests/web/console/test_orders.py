"""Orders at the console: found, followed, cancelled, reopened."""

import re
import threading
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select

from provider.core.orders import Order, OrderEvent
from provider.delivery.dispatcher import Dispatcher
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.web.console_client import ORDERS_PATH, ConsoleClient

CALLBACK = "https://groove-tech.workable.com/assessments/{}"


def many(services: Services, clock: ManualClock, count: int) -> list[str]:
    """Return the ids of orders that came one a minute, oldest first."""
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
                callback_url=CALLBACK.format(number),
                email=f"candidate{number}@example.com",
                first_name="Candidate",
                last_name=str(number),
            )
        )
    return ids


def one(services: Services, **wish: str) -> str:
    account_id, _ = factories.create_account(services, timezone="Europe/Athens")
    return factories.place_order(services, account_id, factories.create_test(services), **wish)


def listed(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/console/orders/([\w-]+)"', page)


def link(page: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
    return found[1] if found else None


def events(services: Services, order_id: str) -> list[tuple[str, str, str]]:
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        return [(each.type, each.actor, each.note) for each in order.events]


def messages(services: Services, order_id: str) -> list[tuple[str, str]]:
    with services.db.reading() as session:
        rows = session.scalars(
            select(Message).where(Message.ordering_key == order_id).order_by(Message.id)
        )
        return [(row.topic, str(row.payload.get("status", ""))) for row in rows]


def act(
    desk: ConsoleClient, order_id: str, name: str, reason: str = "The job is filled"
) -> tuple[int, str]:
    path = f"{ORDERS_PATH}{order_id}/{name}"
    found = re.search(r'name="revision" value="(\d+)"', desk.get_text(path))
    assert found, "the page offers no form"
    answer = desk.submit(path, page=path, reason=reason, revision=found[1])
    return answer.status_code, answer.text


def test_an_empty_list_says_what_will_come(services: Services, client: FlaskClient) -> None:
    assert "No order has been placed yet" in ConsoleClient.signed_in(services, client).get_text(
        ORDERS_PATH
    )


def test_a_hundred_and_twenty_orders_are_paged_newest_first_and_back(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    ids = many(services, clock, 120)[::-1]
    desk = ConsoleClient.signed_in(services, client)
    seen, page, backs = [], desk.get_text(ORDERS_PATH), []
    assert link(page, "prev") is None
    while True:
        seen += listed(page)
        on = link(page, "next")
        if on is None:
            break
        page = desk.get_text(on)
        backs.append(listed(page))
    assert seen == ids
    first = desk.get_text(str(link(page, "prev")))
    assert listed(first) == backs[0]
    first = desk.get_text(str(link(first, "prev")))
    assert listed(first) == ids[:50]
    assert link(first, "prev") is None


def test_a_new_order_moves_no_row_of_the_next_page(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    ids = many(services, clock, 60)[::-1]
    desk = ConsoleClient.signed_in(services, client)
    on = str(link(desk.get_text(ORDERS_PATH), "next"))
    with services.db.reading() as session:
        order = Order.find(session, ids[0])
        account_id, product = order.account_id, order.product.public_id
    factories.place_order(services, account_id, product, callback_url=CALLBACK.format("new"))
    assert listed(desk.get_text(on)) == ids[50:]


def test_the_list_costs_the_same_statements_for_one_row_as_for_fifty(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    def statements() -> int:
        counted: list[str] = []
        engine = services.db._read_engine

        def count(*args: object) -> None:
            counted.append(str(args[2]))

        event.listen(engine, "before_cursor_execute", count)
        desk.get_text(ORDERS_PATH)
        event.remove(engine, "before_cursor_execute", count)
        return len(counted)

    desk = ConsoleClient.signed_in(services, client)
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services)
    factories.place_order(services, account_id, product_id)
    few = statements()
    for number in range(49):
        factories.place_order(
            services, account_id, product_id, callback_url=CALLBACK.format(number)
        )
    assert statements() == few


@pytest.mark.parametrize("query", ["before=nothing", "after=x", "before=" + "x" * 300, "after=%00"])
def test_a_page_that_is_gone_says_so(services: Services, client: FlaskClient, query: str) -> None:
    assert "begin again" in ConsoleClient.signed_in(services, client).get_text(
        f"{ORDERS_PATH}?{query}", 404
    )


@pytest.mark.parametrize("query", ["status=lost", "kind=x", "account=nobody", "product=%00"])
def test_a_filter_that_does_not_exist_is_refused(
    services: Services, client: FlaskClient, query: str
) -> None:
    ConsoleClient.signed_in(services, client).get_text(f"{ORDERS_PATH}?{query}", 400)


def test_orders_are_found_by_the_candidates_whole_address_in_any_case(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    ids = many(services, clock, 5)
    desk = ConsoleClient.signed_in(services, client)
    assert listed(desk.get_text(f"{ORDERS_PATH}?email=%20Candidate3@Example.com")) == [ids[3]]
    assert "No order is like this" in desk.get_text(f"{ORDERS_PATH}?email=candidate")


def test_orders_are_narrowed_by_kind_status_account_and_product(
    services: Services, client: FlaskClient
) -> None:
    groove, _ = factories.create_account(services)
    other, _ = factories.create_account(services, "Other Ltd")
    test, interview = factories.create_test(services), factories.create_interview(services)
    theirs = factories.place_order(services, other, test)
    ours = factories.place_order(services, groove, test, callback_url=CALLBACK.format(1))
    video = factories.place_order(
        services, groove, interview, "interview", callback_url=CALLBACK.format(2)
    )
    with services.db.writing() as session:
        order = Order.find(session, ours)
        order.cancel(session, "sam@provider.test", "because", services.now())
        account, product = order.account.public_id, order.product.public_id
    desk = ConsoleClient.signed_in(services, client)
    assert listed(desk.get_text(f"{ORDERS_PATH}?account={account}")) == [video, ours]
    assert listed(desk.get_text(f"{ORDERS_PATH}?product={product}")) == [ours, theirs]
    assert listed(desk.get_text(f"{ORDERS_PATH}?kind=interview")) == [video]
    assert listed(desk.get_text(f"{ORDERS_PATH}?status=cancelled&kind=assessment")) == [ours]
    assert listed(desk.get_text(f"{ORDERS_PATH}?status=completed")) == []


def test_an_order_that_does_not_exist_is_not_found(services: Services, client: FlaskClient) -> None:
    desk = ConsoleClient.signed_in(services, client)
    for order_id in ("unknown", "x" * 300, "%00"):
        page = desk.get_text(ORDERS_PATH + order_id, 404)
        assert "There is no such order." in page
        assert "Sign out" in page


def test_an_orders_page_tells_its_story_in_the_accounts_time(
    services: Services, client: FlaskClient
) -> None:
    order_id = one(services, phone="+30 210 1234567")
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + order_id)
    for said in (
        "Lakita Marrero",
        "lakita_marrero@gmail.com",
        "+30 210 1234567",
        "Operations Manager",
        "Groove Tech",
        "Reasoning, version 1",
        factories.athens_time(services.now()),
        "Order placed",
        "by the ATS",
        "Letter: invitation",
        "Waiting",
    ):
        assert said in page


def test_a_candidates_markup_stays_text(services: Services, client: FlaskClient) -> None:
    order_id = one(services, first_name="<b>Lakita</b>", job_title="<script>alert(1)</script>")
    desk = ConsoleClient.signed_in(services, client)
    for path in (ORDERS_PATH, ORDERS_PATH + order_id, f"{ORDERS_PATH}{order_id}/cancel"):
        raw = desk.client.get(path).text
        assert "<b>Lakita" not in raw
        assert "<script>alert" not in raw


def test_a_sent_letter_can_be_read_without_the_candidates_link(
    services: Services, client: FlaskClient
) -> None:
    order_id = one(services)
    courier = Dispatcher(services)
    courier.drain("1/email")
    courier.stop()
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + order_id)
    assert "lakita_marrero@gmail.com" in page
    assert "Subject" in page
    secret = factories.invitation_url(services, order_id).rpartition("/")[2]
    assert secret not in page
    assert "/c/…" in page


def test_a_finished_test_shows_its_result_and_answers(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = one(services)
    factories.finish_test(services, order_id, factories.CORRECT_ANSWERS | {"sum": {"answer": "a"}})
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + order_id)
    for said in ("75%", "Passed", "What is 17 + 25?", "3.5", "Result ready", "Open the report"):
        assert said in page
    assert 'href="http://provider.test/r/' in page


def test_the_candidates_link_is_shown_on_request_and_on_record(
    services: Services, client: FlaskClient
) -> None:
    order_id = one(services)
    desk = ConsoleClient.signed_in(services, client)
    address = factories.invitation_url(services, order_id)
    assert address not in desk.get_text(ORDERS_PATH + order_id)
    assert address in desk.submit(f"{ORDERS_PATH}{order_id}/link").text
    assert ("link shown", "operator@provider.test", "") in events(services, order_id)
    page = re.sub(r"</?strong>", "", desk.get_text(ORDERS_PATH + order_id))
    assert "link shown by operator@provider.test" in page


def test_cancelling_tells_the_ats_and_keeps_the_reason(
    services: Services, client: FlaskClient
) -> None:
    order_id = one(services)
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(f"{ORDERS_PATH}{order_id}/cancel")
    assert "Groove Tech’s ATS is told at once" in page
    assert act(desk, order_id, "cancel")[0] == 302
    assert factories.order_status(services, order_id) == "cancelled"
    assert events(services, order_id)[-1] == (
        "cancelled",
        "operator@provider.test",
        "The job is filled",
    )
    assert messages(services, order_id) == [("invitation", ""), ("status", "cancelled")]
    page = desk.get_text(ORDERS_PATH + order_id)
    assert "The order is cancelled." in page
    assert "The job is filled" in page
    assert "Reopen this order" in page


def test_reopening_invites_again_with_a_new_deadline(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = one(services)
    desk = ConsoleClient.signed_in(services, client)
    act(desk, order_id, "cancel")
    clock.advance(timedelta(hours=3))
    deadline = factories.athens_time(clock.now() + timedelta(days=7))
    assert deadline in desk.get_text(f"{ORDERS_PATH}{order_id}/reopen")
    assert act(desk, order_id, "reopen", "It was a mistake")[0] == 302
    assert factories.order_status(services, order_id) == "pending"
    assert messages(services, order_id)[2:] == [("status", "pending"), ("invitation", "")]
    assert ("reopened", "operator@provider.test", "It was a mistake") in events(services, order_id)


@pytest.mark.parametrize("reason", ["", "  ", "no", " no\x00 ", "x" * 501])
def test_an_act_wants_a_reason_and_keeps_what_was_typed(
    services: Services, client: FlaskClient, reason: str
) -> None:
    order_id = one(services)
    code, page = act(ConsoleClient.signed_in(services, client), order_id, "cancel", reason)
    assert code == 400
    assert "Give a reason of 3 to 500 characters" in page
    assert factories.order_status(services, order_id) == "pending"
    assert len(messages(services, order_id)) == 1


def test_an_act_that_does_not_fit_is_not_offered(services: Services, client: FlaskClient) -> None:
    order_id = one(services)
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(f"{ORDERS_PATH}{order_id}/reopen")
    assert "Only an order that has ended can be reopened" in page
    assert 'name="reason"' not in page
    answer = desk.submit(f"{ORDERS_PATH}{order_id}/reopen", reason="because", revision="0")
    assert answer.status_code == 409
    assert factories.order_status(services, order_id) == "pending"


def test_the_second_of_two_members_of_staff_is_told_and_nothing_is_half_done(
    app: Flask, services: Services, client: FlaskClient
) -> None:
    order_id = one(services)
    first = ConsoleClient.signed_in(services, client)
    second = ConsoleClient.signed_in(services, app.test_client(), "admin")
    path = f"{ORDERS_PATH}{order_id}/cancel"
    second.get_text(path)
    act(first, order_id, "cancel")
    act(first, order_id, "reopen")
    before = messages(services, order_id), events(services, order_id)
    answer = second.submit(path, page=path, reason="The job is filled", revision="0")
    assert answer.status_code == 409
    assert "Somebody changed this order after you opened this page" in answer.text
    assert "The job is filled" in answer.text
    assert (messages(services, order_id), events(services, order_id)) == before


def test_of_many_cancelling_at_the_same_moment_one_wins(app: Flask, services: Services) -> None:
    order_id = one(services)
    desks = [
        ConsoleClient.signed_in(services, app.test_client(), role) for role in ("admin", "operator")
    ]
    path = f"{ORDERS_PATH}{order_id}/cancel"
    tokens = [factories.csrf_token(desk.get_text(path)) for desk in desks for _ in range(4)]
    codes: list[int] = []
    start = threading.Barrier(len(tokens))

    def post(cookies: ConsoleClient, token: str) -> None:
        client = app.test_client()
        for name in ("staff", "form"):
            cookie = cookies.client.get_cookie(name)
            assert cookie
            client.set_cookie(name, cookie.value)
        start.wait()
        answer = client.post(path, data={"csrf_token": token, "reason": "why", "revision": "0"})
        codes.append(answer.status_code)

    threads = [
        threading.Thread(target=post, args=(desks[index // 4], token))
        for index, token in enumerate(tokens)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [302] + [409] * 7
    assert messages(services, order_id) == [("invitation", ""), ("status", "cancelled")]


def test_no_page_of_an_order_shows_a_machines_words(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = one(services)
    factories.finish_test(services, order_id)
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + order_id)
    text = re.sub(r"<[^>]+>", " ", page)
    for machine in (
        "None",
        "single_choice",
        f"T{clock.now():%H:%M}",
        "+00:00",
        "pending",
        "lane",
        "callback",
    ):
        assert machine not in text, machine


def test_the_events_of_an_order_are_never_lost_in_the_story(
    services: Services, client: FlaskClient
) -> None:
    order_id = one(services)
    desk = ConsoleClient.signed_in(services, client)
    act(desk, order_id, "cancel")
    act(desk, order_id, "reopen")
    page = desk.get_text(ORDERS_PATH + order_id)
    with services.db.reading() as session:
        count = len(session.scalars(select(OrderEvent)).all())
    assert page.count('class="console-event"') == count
    assert page.count('class="console-sent"') == len(messages(services, order_id))
