"""What deliveries wait for, at the console: said plainly, and tried when staff say so."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider import outbox
from provider.app import create_app
from provider.core.accounts import Account
from provider.core.labels import format_datetime
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.delivery.policy import FAILURE_THRESHOLD
from provider.outbox import Message, Pause
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.fake_ats import FakeAts
from tests.web.console_client import ConsoleClient

LIST, TRY = "/console/deliveries/", "/console/deliveries/try"
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture
def services(services: Services) -> Services:
    """The house, with callbacks to this machine allowed."""
    return replace(services, settings=replace(services.settings, private_callbacks=True))


@pytest.fixture
def client(services: Services) -> FlaskClient:
    return create_app(services).test_client()


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(
        services, max_concurrent_sends=4
    )  # one by one to a host that nobody knows
    yield dispatcher
    dispatcher.stop()


def declined(services: Services, ats: FakeAts, count: int = 1, name: str = "Groove Tech") -> str:
    """Have candidates decline an account's orders, and return the account's address."""
    account_id, _ = factories.create_account(services, name)
    product = factories.create_test(services)
    for number in range(count):
        url = f"{ats.url}/{name}/{number}".replace(" ", "-")
        order = factories.place_order(services, account_id, product, callback_url=url)
        with services.db.writing() as session:
            Order.find(session, order).decline(session, "", services.now())
    with services.db.reading() as session:
        return f"/console/accounts/{Order.find(session, order).account.public_id}"


def hold(services: Services, subject: str, why: str = "The ATS refuses with 401") -> None:
    with services.db.writing() as session:
        outbox.pause(session, subject, why, services.now() + HALF_AN_HOUR, services.now())


def held(services: Services) -> list[str]:
    with services.db.reading() as session:
        return list(session.scalars(select(Pause.scope).order_by(Pause.scope)))


def test_when_nothing_is_held_no_page_speaks_of_it(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    account = declined(services, ats)
    desk = ConsoleClient.signed_in(services, client)
    assert "On hold" not in desk.get_text(LIST)
    assert "On hold" not in desk.get_text(account)


def test_a_dead_host_is_said_with_why_since_and_next_try(
    services: Services,
    client: FlaskClient,
    ats: FakeAts,
    dispatcher: Dispatcher,
    clock: ManualClock,
) -> None:
    account = declined(services, ats, FAILURE_THRESHOLD)
    ats.responses.extend([503] * FAILURE_THRESHOLD)
    dispatcher.drain(*factories.queue_names(services))
    desk = ConsoleClient.signed_in(services, client)
    for page in (desk.get_text(LIST), desk.get_text(account)):
        assert f"{ats.url.removeprefix('http://')} does not take what is sent" in page
        assert "It answers 503. Since" in page
        assert format_datetime(clock.now()) in page
        assert "next try" in page
        assert "callback_token=" not in page
    clock.advance(timedelta(minutes=1))
    assert "it is being tried" in desk.get_text(LIST)


def test_a_refused_token_is_said_with_the_command_that_mends_it(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    account, other = declined(services, ats), declined(services, ats, name="Other")
    hold(services, "account/1/callback")
    desk = ConsoleClient.signed_in(services, client)
    for page in (desk.get_text(LIST), desk.get_text(account)):
        assert "he callback token is refused" in page
        assert "provider account set 'Groove Tech' callback_token=…" in page
        assert "next try" in page
        assert format_datetime(services.now() + HALF_AN_HOUR) in page
    assert f'href="{account}">Groove Tech' in desk.get_text(LIST)
    assert "Everything that is not on hold has arrived" in desk.get_text(LIST)
    assert "On hold" not in desk.get_text(other)


def test_an_account_shows_a_dead_host_only_when_something_of_its_waits_for_it(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    account = declined(services, ats)
    hold(services, "destination/elsewhere.test", "The receiver could not be reached")
    desk = ConsoleClient.signed_in(services, client)
    assert "elsewhere.test does not take" in desk.get_text(LIST)
    assert "On hold" not in desk.get_text(account)


def test_a_wish_to_be_left_alone_and_a_mail_server_are_said_too(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    declined(services, ats)
    hold(services, "lane/1/callback/x.workable.com", "It asks to be left alone")
    hold(services, "destination/email", "It does not answer")
    page = ConsoleClient.signed_in(services, client).get_text(LIST)
    assert "x.workable.com wants a pause from" in page
    assert "The mail server does not take what is sent" in page


def test_many_holds_are_not_all_listed(services: Services, client: FlaskClient) -> None:
    for number in range(13):
        hold(services, f"destination/x{number:02}.test")
    page = ConsoleClient.signed_in(services, client).get_text(LIST)
    assert page.count("does not take") == 10
    assert "And 3 more" in page


def test_what_is_in_a_hold_cannot_be_markup(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    declined(services, ats, name="<b>Bold & co</b>")
    hold(services, "account/1/callback", "<i>why</i>")
    answer = ConsoleClient.signed_in(services, client).client.get(LIST).text
    assert "<i>why" not in answer
    assert "<b>Bold" not in answer
    assert "&lt;i&gt;why" in answer


def test_a_try_that_succeeds_lets_all_go_though_their_next_try_was_far(
    services: Services,
    client: FlaskClient,
    ats: FakeAts,
    dispatcher: Dispatcher,
    clock: ManualClock,
) -> None:
    declined(services, ats, FAILURE_THRESHOLD + 2)
    ats.responses.extend([503] * (FAILURE_THRESHOLD + 2))
    lanes = factories.queue_names(services)
    dispatcher.drain(*lanes)
    for _ in range(3):  # by now everything waits for its next try, and the host for its probe
        clock.advance(timedelta(minutes=2))
        ats.responses.append(503)
        dispatcher.drain(*lanes)
    ats.responses.clear()
    before = len(ats.received)
    assert dispatcher.drain(*lanes) == 0
    (subject,) = held(services)
    answer = ConsoleClient.signed_in(services, client).submit(TRY, page=LIST, subject=subject)
    assert answer.location == LIST
    assert dispatcher.drain(*lanes) >= 1
    assert len(ats.received) > before
    assert held(services) == []


def test_a_try_that_fails_leaves_the_hold_as_old_as_it_is(
    services: Services,
    client: FlaskClient,
    ats: FakeAts,
    dispatcher: Dispatcher,
    clock: ManualClock,
) -> None:
    account = declined(services, ats)
    hold(services, "account/1/callback")
    clock.advance(timedelta(minutes=10))
    ats.responses.append(401)
    desk = ConsoleClient.signed_in(services, client)
    account_id = account.rsplit("/", 1)[1]
    answer = desk.submit(TRY, page=account, subject="account/1/callback", account=account_id)
    assert answer.location == account
    assert dispatcher.drain(*factories.queue_names(services)) == 1
    with services.db.reading() as session:
        standing = session.get_one(Pause, "account/1/callback")
        assert standing.paused_at == services.now() - timedelta(minutes=10)
        assert standing.retry_at > services.now() + timedelta(minutes=20)
    assert "Since" in desk.get_text(account)


def test_a_try_is_of_the_subject_that_was_named_alone(
    services: Services, client: FlaskClient, ats: FakeAts, dispatcher: Dispatcher
) -> None:
    declined(services, ats)
    declined(services, ats, name="Other")
    hold(services, "account/1/callback")
    hold(services, "account/2/callback")
    ConsoleClient.signed_in(services, client).submit(TRY, page=LIST, subject="account/2/callback")
    assert dispatcher.drain(*factories.queue_names(services)) == 1
    assert [one.path for one in ats.received] == ["/Other/0"]
    assert held(services) == ["account/1/callback"]


def test_where_nothing_waits_a_try_ends_the_hold(services: Services, client: FlaskClient) -> None:
    hold(services, "destination/nobody.test")
    ConsoleClient.signed_in(services, client).submit(
        TRY, page=LIST, subject="destination/nobody.test"
    )
    assert held(services) == []


@pytest.mark.parametrize("subject", ["destination/x", "", "x", "account/1\x00/callback"])
def test_what_is_not_held_cannot_be_tried(
    services: Services, client: FlaskClient, subject: str
) -> None:
    hold(services, "destination/elsewhere.test")
    answer = ConsoleClient.signed_in(services, client).submit(TRY, page=LIST, subject=subject)
    assert answer.status_code == 404
    assert "Nothing is held there" in answer.text


def test_a_viewer_sees_what_is_held_and_cannot_have_it_tried(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    declined(services, ats)
    hold(services, "account/1/callback")
    desk = ConsoleClient.signed_in(services, client, "viewer")
    assert "On hold" in desk.get_text(LIST)
    assert "Try now" not in desk.get_text(LIST)
    assert desk.submit(TRY, page=LIST, subject="account/1/callback").status_code == 403
    with services.db.reading() as session:
        assert (
            session.get_one(Pause, "account/1/callback").retry_at == services.now() + HALF_AN_HOUR
        )


def test_a_form_of_somebody_else_tries_nothing(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    declined(services, ats)
    hold(services, "account/1/callback")
    desk = ConsoleClient.signed_in(services, client)
    assert desk.client.post(TRY, data={"subject": "account/1/callback"}).status_code == 400
    with services.db.reading() as session:
        waiting = session.scalars(select(Message).where(Message.state == "waiting")).all()
        assert len(waiting) == 2
        assert (
            session.get_one(Pause, "account/1/callback").retry_at == services.now() + HALF_AN_HOUR
        )


@pytest.mark.parametrize(
    ("rate", "said"), [(None, "As many as each host takes"), (2.5, "At most 2.5 a second")]
)
def test_an_account_shows_its_pace(
    services: Services, client: FlaskClient, ats: FakeAts, rate: float | None, said: str
) -> None:
    page = declined(services, ats)
    with services.db.writing() as session:
        session.get_one(Account, 1).callback_rate = rate
    assert said in ConsoleClient.signed_in(services, client).get_text(page)


@pytest.mark.parametrize(
    ("rate", "said"),
    [(None, "As many as its ATS makes"), (20, "At most 20 a second are answered")],
)
def test_an_account_shows_how_many_calls_it_may_make(
    services: Services, client: FlaskClient, ats: FakeAts, rate: int | None, said: str
) -> None:
    page = declined(services, ats)
    with services.db.writing() as session:
        session.get_one(Account, 1).request_rate = rate
    assert said in ConsoleClient.signed_in(services, client).get_text(page)
