"""Orders at the console: found, followed, cancelled, reopened."""

import re
import threading
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select

from provider.courier.courier import Courier
from provider.house import House
from provider.orders import Event, Order
from provider.outbox import Message
from tests import cast
from tests.cast import HandClock
from tests.pages.desk import HOME, Desk

CALLBACK = "https://groove-tech.workable.com/assessments/{}"


def many(house: House, clock: HandClock, count: int) -> list[str]:
    """Return the ids of orders that came one a minute, oldest first."""
    account_id, _ = cast.account(house)
    product_id = cast.test(house)
    ids = []
    for number in range(count):
        clock.pass_(timedelta(minutes=1))
        ids.append(
            cast.order(
                house,
                account_id,
                product_id,
                callback_url=CALLBACK.format(number),
                email=f"candidate{number}@example.com",
                first_name="Candidate",
                last_name=str(number),
            )
        )
    return ids


def one(house: House, **wish: str) -> str:
    account_id, _ = cast.account(house, timezone="Europe/Athens")
    return cast.order(house, account_id, cast.test(house), **wish)


def listed(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/console/orders/([\w-]+)"', page)


def link(page: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
    return found[1] if found else None


def events(house: House, order_id: str) -> list[tuple[str, str, str]]:
    with house.db.reading() as session:
        order = Order.find(session, order_id)
        return [(each.word, each.actor, each.note) for each in order.events]


def messages(house: House, order_id: str) -> list[tuple[str, str]]:
    with house.db.reading() as session:
        rows = session.scalars(select(Message).where(Message.key == order_id).order_by(Message.id))
        return [(row.topic, str(row.payload.get("status", ""))) for row in rows]


def act(desk: Desk, order_id: str, name: str, reason: str = "The job is filled") -> tuple[int, str]:
    path = f"{HOME}{order_id}/{name}"
    found = re.search(r'name="revision" value="(\d+)"', desk.read(path))
    assert found, "the page offers no form"
    answer = desk.submit(path, page=path, reason=reason, revision=found[1])
    return answer.status_code, answer.text


def test_an_empty_list_says_what_will_come(house: House, client: FlaskClient) -> None:
    assert "No order has been placed yet" in Desk.of(house, client).read(HOME)


def test_a_hundred_and_twenty_orders_are_paged_newest_first_and_back(
    house: House, client: FlaskClient, clock: HandClock
) -> None:
    ids = many(house, clock, 120)[::-1]
    desk = Desk.of(house, client)
    seen, page, backs = [], desk.read(HOME), []
    assert link(page, "prev") is None
    while True:
        seen += listed(page)
        on = link(page, "next")
        if on is None:
            break
        page = desk.read(on)
        backs.append(listed(page))
    assert seen == ids
    first = desk.read(str(link(page, "prev")))
    assert listed(first) == backs[0]
    first = desk.read(str(link(first, "prev")))
    assert listed(first) == ids[:50]
    assert link(first, "prev") is None


def test_a_new_order_moves_no_row_of_the_next_page(
    house: House, client: FlaskClient, clock: HandClock
) -> None:
    ids = many(house, clock, 60)[::-1]
    desk = Desk.of(house, client)
    on = str(link(desk.read(HOME), "next"))
    with house.db.reading() as session:
        order = Order.find(session, ids[0])
        account_id, product = order.account_id, order.product.public_id
    cast.order(house, account_id, product, callback_url=CALLBACK.format("new"))
    assert listed(desk.read(on)) == ids[50:]


def test_the_list_costs_the_same_statements_for_one_row_as_for_fifty(
    house: House, client: FlaskClient, clock: HandClock
) -> None:
    def statements() -> int:
        counted: list[str] = []
        engine = house.db._read

        def count(*args: object) -> None:
            counted.append(str(args[2]))

        event.listen(engine, "before_cursor_execute", count)
        desk.read(HOME)
        event.remove(engine, "before_cursor_execute", count)
        return len(counted)

    desk = Desk.of(house, client)
    account_id, _ = cast.account(house)
    product_id = cast.test(house)
    cast.order(house, account_id, product_id)
    few = statements()
    for number in range(49):
        cast.order(house, account_id, product_id, callback_url=CALLBACK.format(number))
    assert statements() == few


@pytest.mark.parametrize("query", ["before=nothing", "after=x", "before=" + "x" * 300, "after=%00"])
def test_a_page_that_is_gone_says_so(house: House, client: FlaskClient, query: str) -> None:
    assert "begin again" in Desk.of(house, client).read(f"{HOME}?{query}", 404)


@pytest.mark.parametrize("query", ["status=lost", "kind=x", "account=nobody", "product=%00"])
def test_a_filter_that_does_not_exist_is_refused(
    house: House, client: FlaskClient, query: str
) -> None:
    Desk.of(house, client).read(f"{HOME}?{query}", 400)


def test_orders_are_found_by_the_candidates_whole_address_in_any_case(
    house: House, client: FlaskClient, clock: HandClock
) -> None:
    ids = many(house, clock, 5)
    desk = Desk.of(house, client)
    assert listed(desk.read(f"{HOME}?email=%20Candidate3@Example.com")) == [ids[3]]
    assert "No order is like this" in desk.read(f"{HOME}?email=candidate")


def test_orders_are_narrowed_by_kind_status_account_and_product(
    house: House, client: FlaskClient
) -> None:
    groove, _ = cast.account(house)
    other, _ = cast.account(house, "Other Ltd")
    test, interview = cast.test(house), cast.interview(house)
    theirs = cast.order(house, other, test)
    ours = cast.order(house, groove, test, callback_url=CALLBACK.format(1))
    video = cast.order(house, groove, interview, "interview", callback_url=CALLBACK.format(2))
    with house.db.writing() as session:
        order = Order.find(session, ours)
        order.cancel(session, "sam@provider.test", "because", house.now())
        account, product = order.account.public_id, order.product.public_id
    desk = Desk.of(house, client)
    assert listed(desk.read(f"{HOME}?account={account}")) == [video, ours]
    assert listed(desk.read(f"{HOME}?product={product}")) == [ours, theirs]
    assert listed(desk.read(f"{HOME}?kind=interview")) == [video]
    assert listed(desk.read(f"{HOME}?status=cancelled&kind=assessment")) == [ours]
    assert listed(desk.read(f"{HOME}?status=completed")) == []


def test_an_order_that_does_not_exist_is_not_found(house: House, client: FlaskClient) -> None:
    desk = Desk.of(house, client)
    for order_id in ("unknown", "x" * 300, "%00"):
        page = desk.read(HOME + order_id, 404)
        assert "There is no such order." in page
        assert "Sign out" in page


def test_an_orders_page_tells_its_story_in_the_accounts_time(
    house: House, client: FlaskClient
) -> None:
    order_id = one(house, phone="+30 210 1234567")
    page = Desk.of(house, client).read(HOME + order_id)
    for said in (
        "Lakita Marrero", "lakita_marrero@gmail.com", "+30 210 1234567", "Operations Manager",
        "Groove Tech", "Reasoning, version 1", cast.athens_time(house.now()),
        "Order placed", "by the ATS", "Letter: invitation", "Waiting",
    ):  # fmt: skip
        assert said in page


def test_a_candidates_markup_stays_text(house: House, client: FlaskClient) -> None:
    order_id = one(house, first_name="<b>Lakita</b>", job_title="<script>alert(1)</script>")
    desk = Desk.of(house, client)
    for path in (HOME, HOME + order_id, f"{HOME}{order_id}/cancel"):
        raw = desk.client.get(path).text
        assert "<b>Lakita" not in raw
        assert "<script>alert" not in raw


def test_a_sent_letter_can_be_read_without_the_candidates_link(
    house: House, client: FlaskClient
) -> None:
    order_id = one(house)
    courier = Courier(house)
    courier.drain("1/mail")
    courier.stop()
    page = Desk.of(house, client).read(HOME + order_id)
    assert "lakita_marrero@gmail.com" in page
    assert "Subject" in page
    secret = cast.invitation(house, order_id).rpartition("/")[2]
    assert secret not in page
    assert "/c/…" in page


def test_a_finished_test_shows_its_result_and_answers(
    house: House, client: FlaskClient, clock: HandClock
) -> None:
    order_id = one(house)
    cast.finish(house, order_id, cast.RIGHT | {"sum": {"answer": "a"}})
    page = Desk.of(house, client).read(HOME + order_id)
    for said in ("75%", "Passed", "What is 17 + 25?", "3.5", "Result ready", "Open the report"):
        assert said in page
    assert 'href="http://provider.test/r/' in page


def test_the_candidates_link_is_shown_on_request_and_on_record(
    house: House, client: FlaskClient
) -> None:
    order_id = one(house)
    desk = Desk.of(house, client)
    address = cast.invitation(house, order_id)
    assert address not in desk.read(HOME + order_id)
    assert address in desk.submit(f"{HOME}{order_id}/link").text
    assert ("link shown", "operator@provider.test", "") in events(house, order_id)
    page = re.sub(r"</?strong>", "", desk.read(HOME + order_id))
    assert "link shown by operator@provider.test" in page


def test_cancelling_tells_the_ats_and_keeps_the_reason(house: House, client: FlaskClient) -> None:
    order_id = one(house)
    desk = Desk.of(house, client)
    page = desk.read(f"{HOME}{order_id}/cancel")
    assert "Groove Tech’s ATS is told at once" in page
    assert act(desk, order_id, "cancel")[0] == 302
    assert cast.status(house, order_id) == "cancelled"
    assert events(house, order_id)[-1] == (
        "cancelled", "operator@provider.test", "The job is filled",
    )  # fmt: skip
    assert messages(house, order_id) == [("invitation", ""), ("status", "cancelled")]
    page = desk.read(HOME + order_id)
    assert "The order is cancelled." in page
    assert "The job is filled" in page
    assert "Reopen this order" in page


def test_reopening_invites_again_with_a_new_deadline(
    house: House, client: FlaskClient, clock: HandClock
) -> None:
    order_id = one(house)
    desk = Desk.of(house, client)
    act(desk, order_id, "cancel")
    clock.pass_(timedelta(hours=3))
    deadline = cast.athens_time(clock.now() + timedelta(days=7))
    assert deadline in desk.read(f"{HOME}{order_id}/reopen")
    assert act(desk, order_id, "reopen", "It was a mistake")[0] == 302
    assert cast.status(house, order_id) == "pending"
    assert messages(house, order_id)[2:] == [("status", "pending"), ("invitation", "")]
    assert ("reopened", "operator@provider.test", "It was a mistake") in events(house, order_id)


@pytest.mark.parametrize("reason", ["", "  ", "no", " no\x00 ", "x" * 501])
def test_an_act_wants_a_reason_and_keeps_what_was_typed(
    house: House, client: FlaskClient, reason: str
) -> None:
    order_id = one(house)
    code, page = act(Desk.of(house, client), order_id, "cancel", reason)
    assert code == 400
    assert "Give a reason of 3 to 500 characters" in page
    assert cast.status(house, order_id) == "pending"
    assert len(messages(house, order_id)) == 1


def test_an_act_that_does_not_fit_is_not_offered(house: House, client: FlaskClient) -> None:
    order_id = one(house)
    desk = Desk.of(house, client)
    page = desk.read(f"{HOME}{order_id}/reopen")
    assert "Only an order that has ended can be reopened" in page
    assert 'name="reason"' not in page
    answer = desk.submit(f"{HOME}{order_id}/reopen", reason="because", revision="0")
    assert answer.status_code == 409
    assert cast.status(house, order_id) == "pending"


def test_the_second_of_two_members_of_staff_is_told_and_nothing_is_half_done(
    app: Flask, house: House, client: FlaskClient
) -> None:
    order_id = one(house)
    first = Desk.of(house, client)
    second = Desk.of(house, app.test_client(), "admin")
    path = f"{HOME}{order_id}/cancel"
    second.read(path)
    act(first, order_id, "cancel")
    act(first, order_id, "reopen")
    before = messages(house, order_id), events(house, order_id)
    answer = second.submit(path, page=path, reason="The job is filled", revision="0")
    assert answer.status_code == 409
    assert "Somebody changed this order after you opened this page" in answer.text
    assert "The job is filled" in answer.text
    assert (messages(house, order_id), events(house, order_id)) == before


def test_of_many_cancelling_at_the_same_moment_one_wins(app: Flask, house: House) -> None:
    order_id = one(house)
    desks = [Desk.of(house, app.test_client(), role) for role in ("admin", "operator")]
    path = f"{HOME}{order_id}/cancel"
    tokens = [cast.csrf(desk.read(path)) for desk in desks for _ in range(4)]
    codes: list[int] = []
    start = threading.Barrier(len(tokens))

    def post(cookies: Desk, token: str) -> None:
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
    assert messages(house, order_id) == [("invitation", ""), ("status", "cancelled")]


def test_no_page_of_an_order_shows_a_machines_words(
    house: House, client: FlaskClient, clock: HandClock
) -> None:
    order_id = one(house)
    cast.finish(house, order_id)
    page = Desk.of(house, client).read(HOME + order_id)
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
    house: House, client: FlaskClient
) -> None:
    order_id = one(house)
    desk = Desk.of(house, client)
    act(desk, order_id, "cancel")
    act(desk, order_id, "reopen")
    page = desk.read(HOME + order_id)
    with house.db.reading() as session:
        count = len(session.scalars(select(Event)).all())
    assert page.count('class="console-event"') == count
    assert page.count('class="console-sent"') == len(messages(house, order_id))
