"""E-mails in the outbox: rendered once, sent once, with the responses in their attempts."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
from sqlalchemy import select

from provider.config import Settings
from provider.core.orders import Order, expire_overdue_orders
from provider.core.orders.reminders import send_due_reminders
from provider.delivery import Dispatcher
from provider.outbox import Message, active_pauses, history, requeue
from provider.services import Services
from tests import factories
from tests.core.emails.test_emails import bodies
from tests.core.emails.test_emails import smtp_server as smtp_server
from tests.factories import ManualClock
from tests.smtp_server import SmtpServer


@pytest.fixture
def services(settings: Settings, clock: ManualClock, smtp_server: SmtpServer) -> Iterator[Services]:
    """Services whose e-mails go to the test's mail server."""
    services = factories.build_services(replace(settings, mail_url=smtp_server.url), clock)
    yield services
    services.db.close()


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(services)
    yield dispatcher
    dispatcher.stop()


def email_message(services: Services, order: str) -> Message:
    """Return the message of an order's invitation, with its attempts."""
    with services.db.reading() as session:
        (message,) = (entry for entry in history(session, order) if entry.topic == "invitation")
        assert message.attempt_history is not None
        return message


def test_each_order_sends_one_invitation_by_email(
    services: Services, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services, timezone="Europe/Athens")
    test = factories.create_test(services)
    urls = [f"https://groove-tech.workable.com/assessments/{number}" for number in range(3)]
    orders = [factories.place_order(services, account, test, callback_url=url) for url in urls]

    dispatcher.drain(f"{account}/email")
    dispatcher.drain(f"{account}/email")

    assert len(smtp_server.emails) == len(orders)
    for order in orders:
        message = email_message(services, order)
        assert message.state == "delivered"
        (email,) = (
            email for email in smtp_server.emails if message.public_id in str(email["Message-ID"])
        )
        assert email["To"] == "lakita_marrero@gmail.com"
        assert all(factories.invitation_url(services, order) in body for body in bodies(email))


def test_retried_email_has_the_same_bytes(
    services: Services, clock: ManualClock, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    rendered_at = clock.now()
    smtp_server.rcpt_replies.append("450 4.2.1 Come back later")

    dispatcher.drain(f"{account}/email")
    body = email_message(services, order).get_body(services.secret_box)
    clock.advance(timedelta(minutes=1))
    dispatcher.drain(f"{account}/email")

    (envelope,) = smtp_server.envelopes
    assert body is not None
    assert envelope.original_content == body
    assert parsedate_to_datetime(smtp_server.emails[0]["Date"]) == rendered_at


def test_attempts_store_mail_server_responses(
    services: Services, clock: ManualClock, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    smtp_server.rcpt_replies.append("450 4.2.1 Come back later")

    dispatcher.drain(f"{account}/email")
    clock.advance(timedelta(minutes=1))
    dispatcher.drain(f"{account}/email")

    refused, accepted = email_message(services, order).attempt_history
    assert (refused.outcome, refused.status_code, refused.response_excerpt) == ("retry", 450, "")
    assert "Come back later" in refused.error
    assert (accepted.outcome, accepted.status_code, accepted.error) == ("delivered", 250, "")
    assert accepted.response_excerpt == "The mail server accepted the e-mail"


def test_permanently_refused_email_is_parked(
    services: Services, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    smtp_server.rcpt_replies.append("550 5.1.1 No such user here")

    dispatcher.drain(f"{account}/email")

    message = email_message(services, order)
    (refused,) = message.attempt_history
    assert (message.state, refused.status_code) == ("parked", 550)
    assert "No such user here" in refused.error


def load_order(services: Services, order: str) -> Order:
    with services.db.reading() as session:
        loaded = Order.find(session, order)
        _ = loaded.events
        return loaded


def bounces(services: Services, order: str) -> list[tuple[str, str]]:
    events = load_order(services, order).events
    return [(event.type, event.note) for event in events if event.type.endswith("bounced")]


REFUSAL = "550 5.1.1 No such user here"
REASON = "The mailbox does not exist. The mail server answers 550 5.1.1 No such user here"


@pytest.mark.both
def test_refused_invitation_is_a_fact_of_the_order(
    services: Services, clock: ManualClock, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    smtp_server.rcpt_replies.append(REFUSAL)
    dispatcher.drain(f"{account}/email")
    dispatcher.drain(f"{account}/email")

    assert bounces(services, order) == [("invitation bounced", REASON)]
    bounced = load_order(services, order)
    assert (bounced.bounced_at, bounced.is_invitation_bounced) == (clock.now(), True)


@pytest.mark.both
def test_refused_invitation_that_is_sent_again_is_no_longer_bounced(
    services: Services, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    smtp_server.rcpt_replies.append(REFUSAL)
    dispatcher.drain(f"{account}/email")
    with services.db.writing() as session:
        message = session.scalars(select(Message)).one()
        assert requeue(session, message, services.now())
    dispatcher.drain(f"{account}/email")

    assert len(smtp_server.envelopes) == 1
    assert not load_order(services, order).is_invitation_bounced
    assert len(bounces(services, order)) == 1


def test_bounce_of_an_old_invitation_is_no_fault_of_the_new(
    services: Services, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    with services.db.writing() as session:
        Order.find(session, order).invite(session, services.secret_box, services.now())
    smtp_server.rcpt_replies.append(REFUSAL)
    dispatcher.drain(f"{account}/email")

    assert len(smtp_server.envelopes) == 1
    assert len(bounces(services, order)) == 1
    assert not load_order(services, order).is_invitation_bounced


@pytest.mark.both
def test_bounced_invitation_ends_reminders_and_other_emails(
    services: Services, clock: ManualClock, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    options = {"candidate_emails": ["expiry"]}
    account, _ = factories.create_account(services, options=options)
    order = factories.place_order(services, account, factories.create_test(services))
    smtp_server.rcpt_replies.append(REFUSAL)
    dispatcher.drain(f"{account}/email")
    for days in (6, 1, 1):
        clock.advance(timedelta(days=days))
        with services.db.writing() as session:
            send_due_reminders(session, clock.now())
            expire_overdue_orders(session, clock.now())

    assert factories.order_status(services, order) == "expired"
    with services.db.reading() as session:
        emails = [m for m in history(session, order) if m.queue.endswith("email")]
    assert [message.topic for message in emails] == ["invitation"]


@pytest.mark.both
def test_refused_receipt_leaves_the_invitation_alone(
    services: Services, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    dispatcher.drain(f"{account}/email")
    factories.finish_test(services, order)
    smtp_server.rcpt_replies.append(REFUSAL)
    dispatcher.drain(f"{account}/email")

    assert bounces(services, order) == [("email bounced", REASON)]
    assert load_order(services, order).bounced_at is None


@pytest.mark.both
def test_bounce_is_recorded_once_after_a_crash(
    services: Services, clock: ManualClock, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    smtp_server.rcpt_replies += [REFUSAL, REFUSAL]
    killed = Dispatcher(services)
    killed.wake([f"{account}/email"])
    assert killed.run_once() == 1
    killed._send_threads.stop()  # the mail server has answered, and nothing is settled
    assert bounces(services, order) == []
    clock.advance(timedelta(minutes=2))
    other = Dispatcher(services)
    other.drain(f"{account}/email")
    other.stop()
    killed.run_once()  # its lease is lost

    assert len(bounces(services, order)) == 1


def test_email_without_mail_server_is_saved_to_folder(
    settings: Settings, clock: ManualClock
) -> None:
    services = factories.build_services(settings, clock)
    dispatcher = Dispatcher(services)
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))

    dispatcher.drain(f"{account}/email")

    message = email_message(services, order)
    (saved,) = (settings.instance / "mail").iterdir()
    assert saved.name == f"{message.public_id}.eml"
    assert saved.read_bytes() == message.get_body(services.secret_box)
    dispatcher.stop()
    services.db.close()


@pytest.mark.parametrize(
    "reply",
    ["550 5.4.5 Daily limit of <lakita_marrero@gmail.com>", "554 5.7.1 Relay access denied"],
)
def test_trouble_of_the_server_pauses_and_resumes_all_emails(
    services: Services,
    clock: ManualClock,
    dispatcher: Dispatcher,
    smtp_server: SmtpServer,
    reply: str,
) -> None:
    account, _ = factories.create_account(services)
    test = factories.create_test(services)
    smtp_server.rcpt_replies.append(reply)
    first = factories.place_order(services, account, test)
    dispatcher.drain(f"{account}/email")
    second = factories.place_order(
        services, account, test, callback_url="https://groove-tech.workable.com/assessments/2"
    )
    dispatcher.drain(f"{account}/email")

    with services.db.reading() as session:
        (pause,) = active_pauses(session, {"destination/email"}).values()
    assert reply[:9] in pause.reason  # the server's words
    assert "lakita" not in pause.reason
    assert smtp_server.envelopes == []
    assert email_message(services, first).state == "waiting"

    clock.advance(timedelta(minutes=10))
    dispatcher.drain(f"{account}/email")
    dispatcher.drain(f"{account}/email")
    assert {email_message(services, order).state for order in (first, second)} == {"delivered"}
    with services.db.reading() as session:
        assert not active_pauses(session, {"destination/email"})
