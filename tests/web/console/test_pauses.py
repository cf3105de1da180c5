"""Pauses on the console's pages, and probing a paused scope."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider import outbox
from provider.core.accounts import Account
from provider.core.formats import format_datetime
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.delivery.circuit_breaker import FAILURE_THRESHOLD
from provider.outbox import Message, Pause
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.fake_ats import FakeAts
from tests.web.console_client import ConsoleClient

LIST, PROBE_PATH = "/console/deliveries/", "/console/deliveries/try"
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture
def services(services: Services) -> Services:
    """Services that allow callbacks to this machine."""
    return replace(services, settings=replace(services.settings, private_callbacks=True))


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    # With 4 slots, a host without history gets one request at a time.
    dispatcher = Dispatcher(services, max_concurrent_sends=4)
    yield dispatcher
    dispatcher.stop()


def decline_orders(
    services: Services, ats: FakeAts, count: int = 1, name: str = "Groove Tech"
) -> str:
    """Create an account with declined orders; return the path of the account's page."""
    account_id, _ = factories.create_account(services, name)
    product = factories.create_test(services)
    for number in range(count):
        url = f"{ats.url}/{name}/{number}".replace(" ", "-")
        order = factories.place_order(services, account_id, product, callback_url=url)
        with services.db.writing() as session:
            Order.find(session, order).decline(session, "", services.now())
    with services.db.reading() as session:
        return f"/console/accounts/{Order.find(session, order).account.public_id}"


def pause(services: Services, scope: str, reason: str = "The ATS refuses with 401") -> None:
    with services.db.writing() as session:
        outbox.pause(session, scope, reason, services.now() + HALF_AN_HOUR, services.now())


def paused_scopes(services: Services) -> list[str]:
    with services.db.reading() as session:
        return list(session.scalars(select(Pause.scope).order_by(Pause.scope)))


def test_pages_without_pauses_do_not_mention_them(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    account_path = decline_orders(services, ats)
    console = ConsoleClient.signed_in(services, client)
    assert ">Paused<" not in console.get_text(LIST)
    assert ">Paused<" not in console.get_text(account_path)


def test_paused_host_is_shown_with_reason_and_times(
    services: Services,
    client: FlaskClient,
    ats: FakeAts,
    dispatcher: Dispatcher,
    clock: ManualClock,
) -> None:
    account_path = decline_orders(services, ats, FAILURE_THRESHOLD)
    ats.responses.extend([503] * FAILURE_THRESHOLD)
    dispatcher.drain(*factories.queue_names(services))
    console = ConsoleClient.signed_in(services, client)
    for page in (console.get_text(LIST), console.get_text(account_path)):
        assert f"{ats.url.removeprefix('http://')} does not accept deliveries" in page
        assert "It answers 503. Since" in page
        assert format_datetime(clock.now()) in page
        assert "next attempt" in page
        assert "callback_token=" not in page
    clock.advance(timedelta(minutes=1))
    assert "the next attempt is running" in console.get_text(LIST)


def test_rejected_token_is_shown_with_the_command_to_fix_it(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    account_path, other_path = (
        decline_orders(services, ats),
        decline_orders(services, ats, name="Other"),
    )
    pause(services, "account/1/callback")
    console = ConsoleClient.signed_in(services, client)
    for page in (console.get_text(LIST), console.get_text(account_path)):
        assert "he callback token is rejected" in page
        assert "provider account set 'Groove Tech' callback_token=…" in page
        assert "next attempt" in page
        assert format_datetime(services.now() + HALF_AN_HOUR) in page
    assert f'href="{account_path}">Groove Tech' in console.get_text(LIST)
    assert "All deliveries that are not paused have arrived" in console.get_text(LIST)
    assert ">Paused<" not in console.get_text(other_path)


def test_account_page_hides_pauses_of_hosts_it_does_not_use(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    account_path = decline_orders(services, ats)
    pause(services, "destination/elsewhere.test", "The receiver could not be reached")
    console = ConsoleClient.signed_in(services, client)
    assert "elsewhere.test does not accept" in console.get_text(LIST)
    assert ">Paused<" not in console.get_text(account_path)


def test_paused_queue_and_mail_server_are_shown(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    decline_orders(services, ats)
    pause(services, "queue/1/callback/x.workable.com", "The receiver asked for a pause")
    pause(services, "destination/email", "It does not answer")
    page = ConsoleClient.signed_in(services, client).get_text(LIST)
    assert "x.workable.com asked for a pause of" in page
    assert "The mail server does not accept deliveries" in page


def test_pause_list_shows_ten_and_counts_the_rest(services: Services, client: FlaskClient) -> None:
    for number in range(13):
        pause(services, f"destination/x{number:02}.test")
    page = ConsoleClient.signed_in(services, client).get_text(LIST)
    assert page.count("does not accept") == 10
    assert "And 3 more" in page


def test_pause_list_escapes_markup(services: Services, client: FlaskClient, ats: FakeAts) -> None:
    decline_orders(services, ats, name="<b>Bold & co</b>")
    pause(services, "account/1/callback", "<i>why</i>")
    html = ConsoleClient.signed_in(services, client).client.get(LIST).text
    assert "<i>why" not in html
    assert "<b>Bold" not in html
    assert "&lt;i&gt;why" in html


def test_successful_probe_resumes_all_deliveries(
    services: Services,
    client: FlaskClient,
    ats: FakeAts,
    dispatcher: Dispatcher,
    clock: ManualClock,
) -> None:
    decline_orders(services, ats, FAILURE_THRESHOLD + 2)
    ats.responses.extend([503] * (FAILURE_THRESHOLD + 2))
    queues = factories.queue_names(services)
    dispatcher.drain(*queues)
    # Afterwards every message waits for its retry, and the host waits for its probe.
    for _ in range(3):
        clock.advance(timedelta(minutes=2))
        ats.responses.append(503)
        dispatcher.drain(*queues)
    ats.responses.clear()
    received_before = len(ats.received)
    assert dispatcher.drain(*queues) == 0
    (scope,) = paused_scopes(services)
    response = ConsoleClient.signed_in(services, client).submit(
        PROBE_PATH, page=LIST, subject=scope
    )
    assert response.location == LIST
    assert dispatcher.drain(*queues) >= 1
    assert len(ats.received) > received_before
    assert paused_scopes(services) == []


def test_failed_probe_keeps_the_start_of_the_pause(
    services: Services,
    client: FlaskClient,
    ats: FakeAts,
    dispatcher: Dispatcher,
    clock: ManualClock,
) -> None:
    account_path = decline_orders(services, ats)
    pause(services, "account/1/callback")
    clock.advance(timedelta(minutes=10))
    ats.responses.append(401)
    console = ConsoleClient.signed_in(services, client)
    account_id = account_path.rsplit("/", 1)[1]
    response = console.submit(
        PROBE_PATH, page=account_path, subject="account/1/callback", account=account_id
    )
    assert response.location == account_path
    assert dispatcher.drain(*factories.queue_names(services)) == 1
    with services.db.reading() as session:
        row = session.get_one(Pause, "account/1/callback")
        assert row.paused_at == services.now() - timedelta(minutes=10)
        assert row.retry_at > services.now() + timedelta(minutes=20)
    assert "Since" in console.get_text(account_path)


def test_probe_affects_only_the_submitted_scope(
    services: Services, client: FlaskClient, ats: FakeAts, dispatcher: Dispatcher
) -> None:
    decline_orders(services, ats)
    decline_orders(services, ats, name="Other")
    pause(services, "account/1/callback")
    pause(services, "account/2/callback")
    ConsoleClient.signed_in(services, client).submit(
        PROBE_PATH, page=LIST, subject="account/2/callback"
    )
    assert dispatcher.drain(*factories.queue_names(services)) == 1
    assert [received.path for received in ats.received] == ["/Other/0"]
    assert paused_scopes(services) == ["account/1/callback"]


def test_probe_without_waiting_messages_ends_the_pause(
    services: Services, client: FlaskClient
) -> None:
    pause(services, "destination/nobody.test")
    ConsoleClient.signed_in(services, client).submit(
        PROBE_PATH, page=LIST, subject="destination/nobody.test"
    )
    assert paused_scopes(services) == []


@pytest.mark.parametrize("scope", ["destination/x", "", "x", "account/1\x00/callback"])
def test_probe_of_scope_without_pause_is_not_found(
    services: Services, client: FlaskClient, scope: str
) -> None:
    pause(services, "destination/elsewhere.test")
    response = ConsoleClient.signed_in(services, client).submit(
        PROBE_PATH, page=LIST, subject=scope
    )
    assert response.status_code == 404
    assert "Sign out" in response.text


def test_viewer_sees_pauses_but_cannot_probe(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    decline_orders(services, ats)
    pause(services, "account/1/callback")
    console = ConsoleClient.signed_in(services, client, "viewer")
    assert ">Paused<" in console.get_text(LIST)
    assert "Try now" not in console.get_text(LIST)
    assert console.submit(PROBE_PATH, page=LIST, subject="account/1/callback").status_code == 403
    with services.db.reading() as session:
        assert (
            session.get_one(Pause, "account/1/callback").retry_at == services.now() + HALF_AN_HOUR
        )


def test_probe_without_csrf_token_is_refused(
    services: Services, client: FlaskClient, ats: FakeAts
) -> None:
    decline_orders(services, ats)
    pause(services, "account/1/callback")
    console = ConsoleClient.signed_in(services, client)
    assert (
        console.client.post(PROBE_PATH, data={"subject": "account/1/callback"}).status_code == 400
    )
    with services.db.reading() as session:
        waiting = (Message.state == "waiting", Message.queue.contains("/callback/"))
        assert len(session.scalars(select(Message).where(*waiting)).all()) == 1
        assert (
            session.get_one(Pause, "account/1/callback").retry_at == services.now() + HALF_AN_HOUR
        )


@pytest.mark.parametrize(
    ("rate", "text"), [(None, "No limit"), (2.5, "At most 2.5 per second to each host")]
)
def test_account_page_shows_callback_rate(
    services: Services, client: FlaskClient, ats: FakeAts, rate: float | None, text: str
) -> None:
    path = decline_orders(services, ats)
    with services.db.writing() as session:
        session.get_one(Account, 1).callback_rate = rate
    assert text in ConsoleClient.signed_in(services, client).get_text(path)


@pytest.mark.parametrize(
    ("rate", "text"),
    [(None, "No limit"), (20, "At most 20 per second<")],
)
def test_account_page_shows_request_rate(
    services: Services, client: FlaskClient, ats: FakeAts, rate: int | None, text: str
) -> None:
    path = decline_orders(services, ats)
    with services.db.writing() as session:
        session.get_one(Account, 1).request_rate = rate
    assert text in ConsoleClient.signed_in(services, client).get_text(path)
