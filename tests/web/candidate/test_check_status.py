"""The candidate's pages of a check after the consent, in a test client, and its e-mails."""

import email
import email.policy
from html import unescape

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.kinds.check import Check
from provider.core.kinds.check.disputes import answer_dispute, find_dispute
from provider.core.kinds.check.documents import ask_again, find_document
from provider.core.orders import Order
from provider.services import Services
from tests import check_document_factories, check_factories, factories
from tests.check_status_factories import (
    DISPUTE_TEXT,
    RECORD_NOTE,
    RECORD_TEXT,
    add_record,
    dispute,
    has_open_dispute,
    set_case,
)
from tests.check_way import open_invitation
from tests.check_work_factories import ask_candidate
from tests.web.console_client import ConsoleClient

ANSWER = "The court has corrected its register"


@pytest.fixture
def public_id(services: Services, client: FlaskClient) -> str:
    """A check at work whose candidate has a session."""
    placed = check_factories.place_check(services)
    open_invitation(services, client, placed)
    check_factories.give_consent(services, placed)
    return placed


def complete(services: Services, public_id: str, country: str = "US") -> None:
    set_case(services, public_id, country=country)
    add_record(services, public_id)
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)


def page(client: FlaskClient, public_id: str, path: str = "", status: int = 200) -> str:
    response = client.get(f"/c/o/{public_id}/{path}")
    assert response.status_code == status, response.text
    return unescape(response.text)


def form_token(client: FlaskClient, public_id: str, path: str = "") -> str:
    return factories.csrf_token(client.get(f"/c/o/{public_id}/{path}").text)


def send(
    client: FlaskClient, public_id: str, path: str, page_path: str = "", **form: str
) -> TestResponse:
    token = form_token(client, public_id, page_path)
    return client.post(f"/c/o/{public_id}/{path}", data={"csrf_token": token, **form})


def newest_email(services: Services) -> tuple[str, str]:
    """Return the subject and the texts of the newest e-mail."""
    factories.deliver_emails(services)
    paths = (services.settings.instance / "mail").glob("*.eml")
    newest = max(paths, key=lambda path: path.stat().st_mtime_ns)
    message = email.message_from_bytes(newest.read_bytes(), policy=email.policy.default)
    texts = [
        str(part.get_content()) for part in message.walk() if part.get_content_maintype() == "text"
    ]
    return str(message["Subject"]), "\n".join(texts)


def test_status_page_lists_screenings_with_their_states(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    check_factories.record_findings(services, public_id, {"jobs": "consider"})
    text = page(client, public_id)
    expected_texts = (
        "How your check stands",
        "Not begun yet",
        "Completed",
        "Expected by",
        "Made by",
    )
    for expected in expected_texts:
        assert expected in text
    for secret in ("To consider", check_factories.REPORT_TEXT, *check_factories.SECRET_WORDS):
        assert secret not in text
    assert "Once the check is complete, you can dispute an outcome on this page" in text
    assert "check/disputes" not in text


def test_status_page_says_what_waits_for_the_candidate(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        check.find_task("jobs").state = "asked"
        check.update_progress(session)
    text = page(client, public_id)
    assert "We need something more from you" in text
    assert "There is nothing more for you to do" not in text
    assert "The e-mail that we sent you says what it is" in text


def test_status_page_leads_to_the_question_that_is_open(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    ask_candidate(services, public_id)
    text = page(client, public_id)
    assert text.count(f'href="/c/o/{public_id}/questions"') == 2  # above, and in the list
    assert "The e-mail that we sent you" not in text


def test_status_page_leads_to_the_documents_that_are_asked_for(
    services: Services, client: FlaskClient
) -> None:
    public_id = check_document_factories.place_check(services)
    document_id = check_document_factories.send_document(services, public_id)
    check_factories.give_consent(services, public_id)
    open_invitation(services, client, public_id)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        document = find_document(session, check, document_id)
        ask_again(session, check, document, "sam@provider.test", services.now())
    text = page(client, public_id)
    assert text.count(f'href="/c/o/{public_id}/documents"') == 2
    assert "The e-mail that we sent you" not in text


def test_options_of_a_screening_are_shown_to_candidate_and_staff(
    services: Services, client: FlaskClient
) -> None:
    entry = {
        "key": "dbs",
        "name": "DBS check",
        "type": "dbs_enhanced",
        "workforce": "child",
        "asks": ["full_name"],
        "documents": [],
    }
    package = check_factories.create_package(services, screenings=[entry])
    public_id = check_factories.place_check(services, package)
    assert "Workforce: Work with children" in open_invitation(services, client, public_id)
    check_factories.give_consent(services, public_id)
    console = ConsoleClient.signed_in(services, client)
    text = console.get_text(f"/console/checks/{public_id}/screenings/dbs/")
    assert "<dt>Workforce</dt><dd>Work with children</dd>" in text


def test_step_emails_are_switched_on_and_off_on_the_page(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    assert "Send me e-mails" in page(client, public_id)
    assert send(client, public_id, "check/messages", messages="yes").status_code == 303
    assert "Stop these e-mails" in page(client, public_id)
    check_factories.record_findings(services, public_id, {"jobs": "consider"})
    subject, text = newest_email(services)
    for word in ("Employment", "consider", "clear"):
        assert word not in subject
        assert word not in text.replace("clear: both", "")
    assert "A part of your background check" in text
    assert send(client, public_id, "check/messages", messages="no").status_code == 303
    assert "Send me e-mails" in page(client, public_id)


def test_step_emails_of_a_complete_check_are_refused(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    token = form_token(client, public_id)
    complete(services, public_id)
    path = f"/c/o/{public_id}/check/messages"
    response = client.post(path, data={"csrf_token": token, "messages": "yes"})
    assert response.status_code == 409
    assert "There are no more steps" in response.text


def test_completed_page_shows_the_copy_with_records_and_no_notes(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    complete(services, public_id)
    for path in ("", "check/report"):
        text = page(client, public_id, path)
        for expected in ("To consider", "One employer names another end", RECORD_TEXT):
            assert expected in text
        for secret in (RECORD_NOTE, *check_factories.SECRET_WORDS):
            assert secret not in text
    response = client.get(f"/c/o/{public_id}/check/report.pdf")
    assert response.status_code == 200
    assert response.mimetype == "application/pdf"
    assert response.data.startswith(b"%PDF")


@pytest.mark.parametrize("path", ["check/report", "check/report.pdf"])
def test_copy_without_a_right_to_it_is_not_found(
    services: Services, client: FlaskClient, public_id: str, path: str
) -> None:
    with services.db.writing() as session:
        account = Check.find(session, public_id).account
        account.options = account.options | {"check_copies": False}
    page(client, public_id, path, 404)
    complete(services, public_id, country="DE")
    page(client, public_id, path, 404)
    text = page(client, public_id)
    for secret in ("To consider", "One employer", RECORD_TEXT, "Read the report"):
        assert secret not in text
    assert "Something is wrong here" in text


def test_copy_is_in_the_language_of_the_candidate(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    complete(services, public_id)
    assert send(client, public_id, "language", language="de").status_code == 303
    text = page(client, public_id, "check/report")
    assert "Ihre Kopie des Berichts" in text
    assert "Zu beachten" in text


def test_dispute_form_opens_a_dispute(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    complete(services, public_id)
    form = "check/disputes/jobs"
    assert "Employment history" in page(client, public_id, form)
    response = send(client, public_id, form, form, reason="wrong", text=DISPUTE_TEXT)
    assert response.status_code == 303
    assert has_open_dispute(services, public_id)
    text = page(client, public_id)
    assert DISPUTE_TEXT in text
    assert "It is about me, but it is wrong" in text
    assert client.get(f"/c/o/{public_id}/{form}").status_code == 303


def test_dispute_form_with_an_error_keeps_the_text(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    complete(services, public_id)
    form = "check/disputes/jobs"
    response = send(client, public_id, form, form, reason="", text=DISPUTE_TEXT)
    assert response.status_code == 400
    assert "Please choose a reason" in response.text
    assert DISPUTE_TEXT in response.text
    assert not has_open_dispute(services, public_id)


def test_dispute_form_without_its_cookie_keeps_the_text(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    complete(services, public_id)
    path = f"/c/o/{public_id}/check/disputes/jobs"
    response = client.post(path, data={"reason": "wrong", "text": DISPUTE_TEXT})
    assert response.status_code == 400
    assert DISPUTE_TEXT in response.text
    assert "open for too long" in response.text
    assert not has_open_dispute(services, public_id)


def test_dispute_is_retracted_on_the_status_page(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    complete(services, public_id)
    dispute(services, public_id)
    path = "check/disputes/jobs/retract"
    for _ in range(2):
        assert send(client, public_id, path).status_code == 303
    assert not has_open_dispute(services, public_id)
    assert "You retracted it" in page(client, public_id)


def test_answer_is_on_the_page_and_not_in_the_email(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    complete(services, public_id)
    dispute_id = dispute(services, public_id)
    with services.db.writing() as session:
        check, row = find_dispute(session, dispute_id, lock=True)
        actor, now = "sam@provider.test", services.now()
        answer_dispute(session, services.secret_box, check, row, "corrected", ANSWER, actor, now)
    subject, text = newest_email(services)
    assert "the answer to what you disputed" in subject
    for secret in (ANSWER, DISPUTE_TEXT, "Employment history", "corrected"):
        assert secret not in text
    shown = page(client, public_id)
    assert ANSWER in shown
    assert "The outcome is corrected." in shown


@pytest.mark.parametrize("screening", ["nothing", "x" * 70, "a%00b"])
def test_dispute_of_an_unknown_screening_is_not_found(
    services: Services, client: FlaskClient, public_id: str, screening: str
) -> None:
    complete(services, public_id)
    page(client, public_id, f"check/disputes/{screening}", 404)
    for path in (f"check/disputes/{screening}", f"check/disputes/{screening}/retract"):
        form = {"reason": "wrong", "text": DISPUTE_TEXT}
        assert send(client, public_id, path, "check/disputes/jobs", **form).status_code == 404


def test_dispute_of_a_check_at_work_shows_the_status_page(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    text = page(client, public_id, "check/disputes/jobs", 409)
    assert "How your check stands" in text
    assert "once the check is complete" in text
    with services.db.reading() as session:
        assert Order.find(session, public_id).status == "consented"
