"""Letters in the outbox: whose they are, that they are written once, what their tries keep."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest

from provider.config import Settings
from provider.delivery import Dispatcher
from provider.outbox import Message, history
from provider.services import Services
from tests import factories
from tests.core.emails.test_emails import bodies
from tests.core.emails.test_emails import smtp_server as smtp_server
from tests.factories import ManualClock
from tests.smtp_server import SmtpServer


@pytest.fixture
def services(settings: Settings, clock: ManualClock, smtp_server: SmtpServer) -> Iterator[Services]:
    """A house whose letters go to the mail server."""
    services = Services.build(replace(settings, mail_url=smtp_server.url), clock)
    yield services
    services.db.close()


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(services)
    yield dispatcher
    dispatcher.stop()


def letter_of(services: Services, order: str) -> Message:
    """The message of an order's invitation, with its tries."""
    with services.db.reading() as session:
        (message,) = (each for each in history(session, order) if each.topic == "invitation")
        assert message.attempt_history is not None
        return message


def test_each_order_becomes_its_own_letter_at_the_mail_server_once(
    services: Services, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services, timezone="Europe/Athens")
    test = factories.create_test(services)
    asked = [f"https://groove-tech.workable.com/assessments/{each}" for each in range(3)]
    placed = [factories.place_order(services, account, test, callback_url=each) for each in asked]

    dispatcher.drain(f"{account}/email")
    dispatcher.drain(f"{account}/email")

    assert len(smtp_server.emails) == len(placed)
    for order in placed:
        message = letter_of(services, order)
        assert message.state == "delivered"
        (letter,) = (
            each for each in smtp_server.emails if message.public_id in str(each["Message-ID"])
        )
        assert letter["To"] == "lakita_marrero@gmail.com"
        assert all(factories.invitation_url(services, order) in body for body in bodies(letter))


def test_a_letter_is_written_once_however_often_it_is_tried(
    services: Services, clock: ManualClock, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    written = clock.now()
    smtp_server.rcpt_replies.append("450 4.2.1 Come back later")

    dispatcher.drain(f"{account}/email")
    kept = letter_of(services, order).body
    clock.advance(timedelta(minutes=1))
    dispatcher.drain(f"{account}/email")

    (envelope,) = smtp_server.envelopes
    assert kept is not None
    assert envelope.original_content == kept
    assert parsedate_to_datetime(smtp_server.emails[0]["Date"]) == written


def test_each_try_keeps_what_the_mail_server_said(
    services: Services, clock: ManualClock, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    smtp_server.rcpt_replies.append("450 4.2.1 Come back later")

    dispatcher.drain(f"{account}/email")
    clock.advance(timedelta(minutes=1))
    dispatcher.drain(f"{account}/email")

    busy, took = letter_of(services, order).attempt_history
    assert (busy.outcome, busy.status_code, busy.response_excerpt) == ("retry", 450, "")
    assert "Come back later" in busy.error
    assert (took.outcome, took.status_code, took.error) == ("delivered", 250, "")
    assert took.response_excerpt == "The mail server took it"


def test_a_letter_that_is_refused_for_good_waits_for_a_person(
    services: Services, dispatcher: Dispatcher, smtp_server: SmtpServer
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    smtp_server.rcpt_replies.append("550 5.1.1 No such user here")

    dispatcher.drain(f"{account}/email")

    message = letter_of(services, order)
    (refused,) = message.attempt_history
    assert (message.state, refused.status_code) == ("parked", 550)
    assert "No such user here" in refused.error


def test_without_a_mail_server_letters_lie_in_the_instance_folder(
    settings: Settings, clock: ManualClock
) -> None:
    services = Services.build(settings, clock)
    dispatcher = Dispatcher(services)
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))

    dispatcher.drain(f"{account}/email")

    message = letter_of(services, order)
    (kept,) = (settings.instance / "mail").iterdir()
    assert kept.name == f"{message.public_id}.eml"
    assert kept.read_bytes() == message.body
    dispatcher.stop()
    services.db.close()
