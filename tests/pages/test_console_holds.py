"""What deliveries wait for, at the console: said plainly, and tried when staff say so."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider import outbox
from provider.accounts import Account
from provider.app import create_app
from provider.courier import Courier
from provider.courier.gate import PATIENCE
from provider.house import House
from provider.orders import Order
from provider.outbox import Hold, Message
from provider.words import when
from tests import cast
from tests.cast import HandClock
from tests.fake_ats import FakeAts
from tests.pages.desk import Desk

LIST, TRY = "/console/deliveries/", "/console/deliveries/try"
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture
def house(house: House) -> House:
    """The house, with callbacks to this machine allowed."""
    return replace(house, settings=replace(house.settings, private_callbacks=True))


@pytest.fixture
def client(house: House) -> FlaskClient:
    return create_app(house).test_client()


@pytest.fixture
def courier(house: House) -> Iterator[Courier]:
    courier = Courier(house, hands=4)  # one by one to a host that nobody knows
    yield courier
    courier.stop()


def declined(house: House, ats: FakeAts, count: int = 1, name: str = "Groove Tech") -> str:
    """Have candidates decline an account's orders, and return the account's address."""
    account_id, _ = cast.account(house, name)
    product = cast.test(house)
    for number in range(count):
        url = f"{ats.url}/{name}/{number}".replace(" ", "-")
        order = cast.order(house, account_id, product, callback_url=url)
        with house.db.writing() as session:
            Order.find(session, order).decline(session, "", house.now())
    with house.db.reading() as session:
        return f"/console/accounts/{Order.find(session, order).account.public_id}"


def hold(house: House, subject: str, why: str = "The ATS refuses with 401") -> None:
    with house.db.writing() as session:
        outbox.hold(session, subject, why, house.now() + HALF_AN_HOUR, house.now())


def held(house: House) -> list[str]:
    with house.db.reading() as session:
        return list(session.scalars(select(Hold.subject).order_by(Hold.subject)))


def test_when_nothing_is_held_no_page_speaks_of_it(
    house: House, client: FlaskClient, ats: FakeAts
) -> None:
    account = declined(house, ats)
    desk = Desk.of(house, client)
    assert "On hold" not in desk.read(LIST)
    assert "On hold" not in desk.read(account)


def test_a_dead_host_is_said_with_why_since_and_next_try(
    house: House, client: FlaskClient, ats: FakeAts, courier: Courier, clock: HandClock
) -> None:
    account = declined(house, ats, PATIENCE)
    ats.answers.extend([503] * PATIENCE)
    courier.drain(*cast.lanes(house))
    desk = Desk.of(house, client)
    for page in (desk.read(LIST), desk.read(account)):
        assert f"{ats.url.removeprefix('http://')} does not take what is sent" in page
        assert "It answers 503. Since" in page
        assert when(clock.now()) in page
        assert "next try" in page
        assert "callback_token=" not in page
    clock.pass_(timedelta(minutes=1))
    assert "it is being tried" in desk.read(LIST)


def test_a_refused_token_is_said_with_the_command_that_mends_it(
    house: House, client: FlaskClient, ats: FakeAts
) -> None:
    account, other = declined(house, ats), declined(house, ats, name="Other")
    hold(house, "account/1/callback")
    desk = Desk.of(house, client)
    for page in (desk.read(LIST), desk.read(account)):
        assert "he callback token is refused" in page
        assert "provider account set 'Groove Tech' callback_token=…" in page
        assert "next try" in page
        assert when(house.now() + HALF_AN_HOUR) in page
    assert f'href="{account}">Groove Tech' in desk.read(LIST)
    assert "Everything that is not on hold has arrived" in desk.read(LIST)
    assert "On hold" not in desk.read(other)


def test_an_account_shows_a_dead_host_only_when_something_of_its_waits_for_it(
    house: House, client: FlaskClient, ats: FakeAts
) -> None:
    account = declined(house, ats)
    hold(house, "route/elsewhere.test", "The receiver could not be reached")
    desk = Desk.of(house, client)
    assert "elsewhere.test does not take" in desk.read(LIST)
    assert "On hold" not in desk.read(account)


def test_a_wish_to_be_left_alone_and_a_mail_server_are_said_too(
    house: House, client: FlaskClient, ats: FakeAts
) -> None:
    declined(house, ats)
    hold(house, "lane/1/callback/x.workable.com", "It asks to be left alone")
    hold(house, "route/mail", "It does not answer")
    page = Desk.of(house, client).read(LIST)
    assert "x.workable.com wants a pause from" in page
    assert "The mail server does not take what is sent" in page


def test_many_holds_are_not_all_listed(house: House, client: FlaskClient) -> None:
    for number in range(13):
        hold(house, f"route/x{number:02}.test")
    page = Desk.of(house, client).read(LIST)
    assert page.count("does not take") == 10
    assert "And 3 more" in page


def test_what_is_in_a_hold_cannot_be_markup(
    house: House, client: FlaskClient, ats: FakeAts
) -> None:
    declined(house, ats, name="<b>Bold & co</b>")
    hold(house, "account/1/callback", "<i>why</i>")
    answer = Desk.of(house, client).client.get(LIST).text
    assert "<i>why" not in answer
    assert "<b>Bold" not in answer
    assert "&lt;i&gt;why" in answer


def test_a_try_that_succeeds_lets_all_go_though_their_next_try_was_far(
    house: House, client: FlaskClient, ats: FakeAts, courier: Courier, clock: HandClock
) -> None:
    declined(house, ats, PATIENCE + 2)
    ats.answers.extend([503] * (PATIENCE + 2))
    lanes = cast.lanes(house)
    courier.drain(*lanes)
    for _ in range(3):  # by now everything waits for its next try, and the host for its probe
        clock.pass_(timedelta(minutes=2))
        ats.answers.append(503)
        courier.drain(*lanes)
    ats.answers.clear()
    before = len(ats.received)
    assert courier.drain(*lanes) == 0
    (subject,) = held(house)
    answer = Desk.of(house, client).submit(TRY, page=LIST, subject=subject)
    assert answer.location == LIST
    assert courier.drain(*lanes) >= 1
    assert len(ats.received) > before
    assert held(house) == []


def test_a_try_that_fails_leaves_the_hold_as_old_as_it_is(
    house: House, client: FlaskClient, ats: FakeAts, courier: Courier, clock: HandClock
) -> None:
    account = declined(house, ats)
    hold(house, "account/1/callback")
    clock.pass_(timedelta(minutes=10))
    ats.answers.append(401)
    desk = Desk.of(house, client)
    account_id = account.rsplit("/", 1)[1]
    answer = desk.submit(TRY, page=account, subject="account/1/callback", account=account_id)
    assert answer.location == account
    assert courier.drain(*cast.lanes(house)) == 1
    with house.db.reading() as session:
        standing = session.get_one(Hold, "account/1/callback")
        assert standing.since == house.now() - timedelta(minutes=10)
        assert standing.until > house.now() + timedelta(minutes=20)
    assert "Since" in desk.read(account)


def test_a_try_is_of_the_subject_that_was_named_alone(
    house: House, client: FlaskClient, ats: FakeAts, courier: Courier
) -> None:
    declined(house, ats)
    declined(house, ats, name="Other")
    hold(house, "account/1/callback")
    hold(house, "account/2/callback")
    Desk.of(house, client).submit(TRY, page=LIST, subject="account/2/callback")
    assert courier.drain(*cast.lanes(house)) == 1
    assert [one.path for one in ats.received] == ["/Other/0"]
    assert held(house) == ["account/1/callback"]


def test_where_nothing_waits_a_try_ends_the_hold(house: House, client: FlaskClient) -> None:
    hold(house, "route/nobody.test")
    Desk.of(house, client).submit(TRY, page=LIST, subject="route/nobody.test")
    assert held(house) == []


@pytest.mark.parametrize("subject", ["route/x", "", "x", "account/1\x00/callback"])
def test_what_is_not_held_cannot_be_tried(house: House, client: FlaskClient, subject: str) -> None:
    hold(house, "route/elsewhere.test")
    answer = Desk.of(house, client).submit(TRY, page=LIST, subject=subject)
    assert answer.status_code == 404
    assert "Nothing is held there" in answer.text


def test_a_viewer_sees_what_is_held_and_cannot_have_it_tried(
    house: House, client: FlaskClient, ats: FakeAts
) -> None:
    declined(house, ats)
    hold(house, "account/1/callback")
    desk = Desk.of(house, client, "viewer")
    assert "On hold" in desk.read(LIST)
    assert "Try now" not in desk.read(LIST)
    assert desk.submit(TRY, page=LIST, subject="account/1/callback").status_code == 403
    with house.db.reading() as session:
        assert session.get_one(Hold, "account/1/callback").until == house.now() + HALF_AN_HOUR


def test_a_form_of_somebody_else_tries_nothing(
    house: House, client: FlaskClient, ats: FakeAts
) -> None:
    declined(house, ats)
    hold(house, "account/1/callback")
    desk = Desk.of(house, client)
    assert desk.client.post(TRY, data={"subject": "account/1/callback"}).status_code == 400
    with house.db.reading() as session:
        waiting = session.scalars(select(Message).where(Message.state == "waiting")).all()
        assert len(waiting) == 2
        assert session.get_one(Hold, "account/1/callback").until == house.now() + HALF_AN_HOUR


@pytest.mark.parametrize(
    ("rate", "said"), [(None, "As many as each host takes"), (2.5, "At most 2.5 a second")]
)
def test_an_account_shows_its_pace(
    house: House, client: FlaskClient, ats: FakeAts, rate: float | None, said: str
) -> None:
    page = declined(house, ats)
    with house.db.writing() as session:
        session.get_one(Account, 1).callback_rate = rate
    assert said in Desk.of(house, client).read(page)


@pytest.mark.parametrize(
    ("rate", "said"),
    [(None, "As many as its ATS makes"), (20, "At most 20 a second are answered")],
)
def test_an_account_shows_how_many_calls_it_may_make(
    house: House, client: FlaskClient, ats: FakeAts, rate: int | None, said: str
) -> None:
    page = declined(house, ats)
    with house.db.writing() as session:
        session.get_one(Account, 1).request_rate = rate
    assert said in Desk.of(house, client).read(page)
