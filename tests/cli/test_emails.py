"""`provider email`: previews, a test of the mail server, and e-mails that came back."""

from collections.abc import Callable

import pytest
from click.testing import Result

from provider import outbox
from provider.core.emails import EMAIL_SUBJECTS
from provider.core.kinds import KINDS
from provider.core.orders import Order
from provider.core.staff import staff_link
from provider.delivery import Dispatcher
from provider.outbox import Message, history
from provider.services import Services
from tests import factories
from tests.cli.test_commands import error_message
from tests.cli.test_commands import run as run
from tests.core.emails.reports import EXIM, POSTFIX, about, full_mailbox
from tests.core.emails.test_emails import smtp_server as smtp_server
from tests.smtp_server import SmtpServer

Run = Callable[..., Result]
TEMPLATES = [
    (template, kind)
    for kind in KINDS
    for template in (*EMAIL_SUBJECTS, *KINDS[kind].email_subjects)
]


def send_invitation(services: Services) -> tuple[str, str]:
    """Return the public ids of an order and of its invitation, which is delivered."""
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    dispatcher = Dispatcher(services)
    dispatcher.drain(f"{account}/email")
    dispatcher.stop()
    with services.db.reading() as session:
        (message,) = history(session, order)
        return order, message.public_id


def bounce_notes(services: Services, order: str) -> list[str]:
    with services.db.reading() as session:
        events = Order.find(session, order).events
        return [event.note for event in events if event.type == "invitation bounced"]


@pytest.mark.both
@pytest.mark.parametrize("report", [EXIM, POSTFIX, full_mailbox("5.2.2", "failed")])
def test_bounce_of_an_invitation_is_recorded_once(
    run: Run, services: Services, report: str
) -> None:
    order, message = send_invitation(services)
    raw_email = about(report, message)
    first = run("email", "bounce", stdin=raw_email.decode()).stdout.splitlines()[-1]
    assert first.startswith(f"Recorded on order {order}: The ")
    assert "before" in run("email", "bounce", stdin=raw_email.decode()).stdout
    assert len(bounce_notes(services, order)) == 1
    with services.db.reading() as session:
        bounced = Order.find(session, order)
        assert bounced.is_invitation_bounced
        (stored,) = history(session, order)
        outcomes = [attempt.outcome for attempt in stored.attempt_history]
        assert (stored.state, stored.attempts, outcomes) == (
            "delivered",
            2,
            ["delivered", "bounced"],
        )


def test_bounce_that_is_temporary_is_ignored(run: Run, services: Services) -> None:
    order, message = send_invitation(services)
    report = about(full_mailbox("4.2.2", "delayed"), message).decode()
    assert run("email", "bounce", stdin=report).stdout.startswith("Ignored: ")
    assert bounce_notes(services, order) == []


@pytest.mark.parametrize("stdin", ["", "Subject: Hello\n\nI am away"])
def test_bounce_refuses_another_email_in_one_line(run: Run, services: Services, stdin: str) -> None:
    result = run("email", "bounce", stdin=stdin, code=1)
    assert error_message(result) == "This e-mail is no delivery report (RFC 3464)"


def test_bounce_refuses_a_message_that_is_unknown(run: Run, services: Services) -> None:
    result = run("email", "bounce", stdin=about(EXIM, "q" * 22).decode(), code=1)
    assert error_message(result) == "This delivery report is not about an e-mail to a candidate"


def test_bounce_refuses_messages_that_are_no_emails_to_candidates(
    run: Run, services: Services
) -> None:
    order, _ = send_invitation(services)
    factories.finish_test(services, order)
    with services.db.writing() as session:
        staff_link.invite(
            session, services.secret_box, "new@provider.test", "viewer", "sam", services.now()
        )
        outbox.append(
            session,
            queue=staff_link.STAFF_QUEUE,
            ordering_key="alert/1",
            sequence=0,
            topic="alert began",
            payload={},
            now=services.now(),
        )
        session.flush()
        topics = {message.topic: message.public_id for message in session.query(Message)}
    for topic in ("status", "staff invitation", "alert began"):
        result = run("email", "bounce", stdin=about(EXIM, topics[topic]).decode(), code=1)
        assert "is not about an e-mail to a candidate" in error_message(result)


def test_bounce_without_database_asks_the_mail_server_to_wait(
    run: Run, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_INSTANCE", "/nowhere/provider")
    monkeypatch.delenv("PROVIDER_DATABASE_URL", raising=False)
    result = run("email", "bounce", stdin=about(EXIM, "q" * 22).decode(), code=75)
    assert error_message(result).startswith("The database does not answer")


@pytest.mark.parametrize(("template", "kind"), TEMPLATES)
def test_preview_prints_each_email_of_each_kind(
    run: Run, services: Services, template: str, kind: str
) -> None:
    text = run("email", "preview", template, "--kind", kind).stdout
    assert text.startswith("From: Example company <")
    assert "Hello Alex," in text
    assert "http://provider.test/c/sample" in text
    html = run("email", "preview", template, "--kind", kind, "--html").stdout
    assert html.startswith("<!doctype html>")
    assert "Hello Alex" in html


def test_preview_has_the_name_and_colour_of_an_account(run: Run, services: Services) -> None:
    factories.create_account(services, branding={"colour": "#1a3b5c"})
    words = ("email", "preview", "invitation", "--kind", "check", "--account", "Groove Tech")
    assert "Groove Tech asks for your consent" in run(*words).stdout
    assert "#1a3b5c" in run(*words, "--html").stdout


def test_preview_of_an_unknown_template_lists_those_of_the_kind(
    run: Run, services: Services
) -> None:
    message = error_message(run("email", "preview", "thanks", "--kind", "check", code=1))
    assert message.startswith("There is no e-mail “thanks” of this kind: there are invitation")
    own = ("consent", "question", "document", "pre_adverse", "final_adverse")
    assert all(f", {name}" in message for name in own)


@pytest.mark.both
def test_test_email_is_sent_and_prints_the_answer(
    run: Run, services: Services, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_MAIL_URL", smtp_server.url)
    words = ("email", "test", "staff@example.com")
    assert run(*words).stdout == "The mail server accepted the e-mail\n"
    (email,) = smtp_server.emails
    assert email["To"] == "staff@example.com"
    smtp_server.rcpt_replies.append("550 5.7.1 Relaying denied")
    message = error_message(run(*words, code=1))
    assert message == "The mail server answers 550 5.7.1 Relaying denied"
    with services.db.reading() as session:
        assert session.query(Message).count() == 0


def test_test_email_without_mail_server_says_where_it_is(run: Run, services: Services) -> None:
    assert "Saved in the instance folder" in run("email", "test", "staff@example.com").stdout
    assert len(list((services.settings.instance / "mail").glob("test-*.eml"))) == 1


@pytest.mark.parametrize("address", ["staff", "a@b@c", "a\n@example.com"])
def test_test_email_refuses_what_is_no_address(run: Run, services: Services, address: str) -> None:
    assert "is not an e-mail address" in error_message(run("email", "test", address, code=1))
