"""The pages with an account's own texts of e-mails."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.audit import AuditEntry
from provider.core.emails.delivery_report import parse_report
from provider.core.emails.own_text import EmailText
from provider.core.emails.returned_email import record_returned_email
from provider.errors import NotFound
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.core.emails.reports import EXIM, about
from tests.core.emails.test_emails import bodies, parse
from tests.web.console.test_accounts import add_account
from tests.web.console_client import ConsoleClient


@pytest.fixture
def admin(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "admin")


@pytest.fixture
def path(services: Services, admin: ConsoleClient) -> str:
    return f"/console/accounts/{add_account(services)}/emails/"


def stored_texts(services: Services) -> list[tuple[str, str, str, str]]:
    with services.db.reading() as session:
        return [
            (text.template, text.language, text.subject, text.opening)
            for text in session.scalars(select(EmailText).order_by(EmailText.id))
        ]


def test_text_is_saved_and_listed_and_removed(
    services: Services, admin: ConsoleClient, path: str
) -> None:
    page = f"{path}invitation/de"
    assert "Own text" not in admin.get_text(path).partition("<tbody>")[2]
    for subject in ("Ihr {product}", "Ihre Einladung"):
        response = admin.submit(page, subject=subject, opening="Willkommen, {name}!")
        assert response.headers["Location"] == path
    assert stored_texts(services) == [("invitation", "de", "Ihre Einladung", "Willkommen, {name}!")]
    assert admin.get_text(path).count("Own text<span") == 1
    assert 'value="Ihre Einladung"' in admin.get_text(page)
    admin.submit(page, subject=" ", opening="")
    assert stored_texts(services) == []
    with services.db.reading() as session:
        query = select(AuditEntry).where(AuditEntry.action == "account.changed")
        first, second, third = session.scalars(query.order_by(AuditEntry.id))
    assert first.after == {
        "invitation de subject": "Ihr {product}",
        "invitation de opening": "Willkommen, {name}!",
    }
    assert second.before == {"invitation de subject": "Ihr {product}"}
    assert third.after is None


def test_preview_shows_the_text_without_saving_it(
    services: Services, admin: ConsoleClient, path: str
) -> None:
    form = {"subject": "Für {job}", "opening": "Hallo {name}.", "act": "preview"}
    page = admin.submit(f"{path}reminder/de", kind="interview", **form).text
    assert "<strong>Für Operations Manager</strong>" in page
    assert "Hallo Alex." in page
    assert "Interview ansehen" in page
    assert stored_texts(services) == []


def test_preview_of_the_standard_text_is_in_the_language(admin: ConsoleClient, path: str) -> None:
    page = admin.get_text(f"{path}invitation/ar")
    assert "تدعوك إلى إجراء اختبار" in page


def test_text_with_unknown_parameter_is_refused_and_kept_in_the_form(
    services: Services, admin: ConsoleClient, path: str
) -> None:
    response = admin.submit(f"{path}invitation/de", subject="{salary}", opening="<b>Text</b>")
    assert response.status_code == 400
    assert "“{salary}” is not known: an e-mail can name {name}" in response.text
    assert "&lt;b&gt;Text&lt;/b&gt;</textarea>" in response.text
    assert stored_texts(services) == []


@pytest.mark.parametrize("name", ["consent/en", "invitation/pl", "x/de"])
def test_unknown_email_returns_404(admin: ConsoleClient, path: str, name: str) -> None:
    assert admin.client.get(path + name).status_code == 404


def test_sample_with_the_saved_text_is_sent_to_the_staff(
    services: Services, admin: ConsoleClient, path: str
) -> None:
    page = f"{path}invitation/de"
    admin.submit(page, subject="", opening="Willkommen, {name}!")
    assert "Send the saved text to admin@provider.test" in admin.get_text(page)
    assert admin.submit(f"{page}/sample", kind="check").headers["Location"] == page
    factories.deliver_emails(services)
    (file,) = (services.settings.instance / "mail").iterdir()
    email = parse(file.read_bytes())
    assert email["To"] == "admin@provider.test"
    assert email["Subject"] == "Groove Tech: Ihr Background-Check für die Stelle Operations Manager"
    assert "Willkommen, Alex!" in bodies(email)[0]
    assert "E-mail: sample for staff" in admin.get_text("/console/emails/")
    with services.db.reading() as session:
        message_id = session.scalars(select(Message.public_id)).one()
    assert "Willkommen, Alex!" in admin.get_text(f"/console/deliveries/{message_id}")


def test_sample_that_is_refused_changes_no_order(
    services: Services, admin: ConsoleClient, path: str
) -> None:
    admin.submit(f"{path}invitation/de/sample")
    with services.db.reading() as session:
        message = session.scalars(select(Message)).one()
        assert message.topic == "sample"
    with services.db.writing() as session:
        report = parse_report(about(EXIM, message.public_id))
        with pytest.raises(NotFound):
            record_returned_email(session, report, services.now())
