"""The candidate's page with questions of the staff, and the e-mail that leads to it."""

import io
from email import message_from_bytes, policy
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from provider.core.kinds.check import Check
from provider.core.kinds.check.added_email import ADDED_EMAIL
from provider.core.kinds.check.added_screening import add_screening
from provider.errors import Invalid
from provider.outbox import SUPERSEDED, Message
from provider.services import Services
from tests import check_document_factories, check_factories, factories
from tests.check_way import open_invitation
from tests.check_work_factories import (
    ANSWER,
    QUESTION,
    SAM,
    SECRET_WORDS,
    ask_candidate,
    check_of_another_account,
    consented_check,
)


@pytest.fixture
def check_id(services: Services, client: FlaskClient) -> str:
    """A check with a question about a screening; its candidate has a session."""
    check_id = consented_check(services)
    ask_candidate(services, check_id)
    open_invitation(services, client, check_id)
    return check_id


def page_path(check_id: str) -> str:
    return f"/c/o/{check_id}/questions"


def question_id(services: Services, check_id: str) -> str:
    with services.db.reading() as session:
        return Check.find(session, check_id).questions[-1].public_id


def read_body(path: Path, subtype: str) -> str:
    email = message_from_bytes(path.read_bytes(), policy=policy.default)
    body = email.get_body((subtype,))
    assert body
    return " ".join(body.get_content().split())


def test_status_page_leads_to_the_open_question(client: FlaskClient, check_id: str) -> None:
    page = unescape(client.get(f"/c/o/{check_id}/").text)
    assert "We have a question for you" in page
    assert page_path(check_id) in page
    assert "There is nothing more for you to do" not in page
    page = unescape(client.get(page_path(check_id)).text)
    assert QUESTION in page
    assert "Employment history" in page


def test_answer_returns_the_screening_to_the_staff(
    services: Services, client: FlaskClient, check_id: str
) -> None:
    path = page_path(check_id)
    request_id = question_id(services, check_id)
    token = factories.csrf_token(client.get(path).text)
    form = {"csrf_token": token, "answer": ANSWER}
    response = client.post(f"{path}/{request_id}", data=form, follow_redirects=True)
    assert "your answer has been sent" in response.text
    assert "We have a question for you" not in response.text
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        assert check.find_task("jobs").state == "in progress"
        assert check.waiting_for == "staff"
    # The same form from another tab: the status page says that nothing is asked any more.
    assert client.post(f"{path}/{request_id}", data=form).status_code == 409
    assert client.get(path).status_code == 303


def test_empty_answer_is_shown_again(
    services: Services, client: FlaskClient, check_id: str
) -> None:
    path = page_path(check_id)
    token = factories.csrf_token(client.get(path).text)
    form = {"csrf_token": token, "answer": "  "}
    response = client.post(f"{path}/{question_id(services, check_id)}", data=form)
    assert response.status_code == 400
    assert "Write a text first" in response.text


def test_question_of_another_check_is_not_found(
    services: Services, client: FlaskClient, check_id: str
) -> None:
    other = check_of_another_account(services)
    foreign = ask_candidate(services, other)
    token = factories.csrf_token(client.get(page_path(check_id)).text)
    form = {"csrf_token": token, "answer": ANSWER}
    assert client.post(f"{page_path(check_id)}/{foreign}", data=form).status_code == 404
    assert client.get(page_path(other)).status_code == 403


def test_email_has_a_link_and_not_the_question(services: Services, check_id: str) -> None:
    factories.deliver_emails(services)
    emails = [path.read_text("utf-8") for path in (services.settings.instance / "mail").glob("*")]
    [question_email] = [email for email in emails if "a question about your background" in email]
    link = urlsplit(factories.invitation_url(services, check_id)).path
    assert link.rpartition("/")[2][:20] in question_email.replace("=\n", "")
    for word in SECRET_WORDS:
        assert not any(word in email for email in emails)


def test_added_screening_is_shown_with_its_reason(
    services: Services, client: FlaskClient, check_id: str
) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id, lock=True)
        reason = "The dates differ."
        add_screening(session, check, "other", "Registers", reason, SAM, services.now())
    page = unescape(client.get(f"/c/o/{check_id}/").text)
    assert "Added later: Registers. The dates differ." in page


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("A part was added", "Why: The dates differ.", "It uses: Full legal name")),
        ("de", ("ist ein Teil hinzugekommen", "Warum: The dates differ.", "Verwendet: ")),
    ],
)
def test_added_screening_is_told_in_an_email(
    services: Services, language: str, words: tuple[str, ...]
) -> None:
    check_id = consented_check(
        services, product_id=check_factories.create_package(services, language=language)
    )
    reason, now = "The dates differ.", services.now()
    with services.db.writing() as session:
        check = Check.find(session, check_id, lock=True)
        add_screening(session, check, "employment", "Registers", reason, SAM, now)
    ((text, html),) = (pair for pair in deliver(services) if "Registers" in pair[0])
    for word in (*words, "Registers", factories.invitation_url(services, check_id)):
        assert word in text
    assert reason in html


def deliver(services: Services) -> list[tuple[str, str]]:
    """Deliver the e-mails; return the text and the HTML of each."""
    factories.deliver_emails(services)
    paths = (services.settings.instance / "mail").glob("*")
    return [(read_body(path, "plain"), read_body(path, "html")) for path in paths]


@pytest.mark.parametrize("is_reopened", [True, False])
def test_email_about_an_addition_is_not_sent_after_the_check(
    services: Services, is_reopened: bool
) -> None:
    check_id, now = consented_check(services), services.now()
    with services.db.writing() as session:
        check = Check.find(session, check_id, lock=True)
        add_screening(session, check, "employment", "Registers", "They differ.", SAM, now)
        check.cancel(session, SAM, "A mistake", now)
        if is_reopened:
            check.reopen(session, services.secret_box, SAM, "A mistake", now)
    bodies = deliver(services)
    assert bodies
    assert not any("Registers" in text for text, _ in bodies)
    with services.db.reading() as session:
        message = session.query(Message).filter_by(ordering_key=check_id, topic=ADDED_EMAIL).one()
        assert message.state == SUPERSEDED


def test_refused_addition_sends_no_email(services: Services, check_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id, lock=True)
        with pytest.raises(Invalid):
            add_screening(session, check, "credit", "", "Hm", SAM, services.now())
    with services.db.reading() as session:
        query = session.query(Message).filter_by(ordering_key=check_id, topic=ADDED_EMAIL)
        assert query.count() == 0


def test_documents_that_a_question_asks_for_can_be_sent(
    services: Services, client: FlaskClient
) -> None:
    check_id = consented_check(services)
    other_id = check_of_another_account(services)
    request_id = ask_candidate(services, check_id, documents=("address_proof",))
    open_invitation(services, client, check_id)
    path = f"/c/o/{check_id}/documents"
    assert f'href="{path}"' in client.get(page_path(check_id)).text
    page = client.get(path).text
    assert "Proof of your address" in page
    form = {"csrf_token": factories.csrf_token(page)}
    assert client.post(f"{path}/done", data=form).status_code == 400, "it is not sent yet"
    picture = (io.BytesIO(check_document_factories.jpeg()), "bill.jpg")
    sent = client.post(f"{path}/address_proof", data=form | {"file": picture}, buffered=True)
    assert sent.status_code == 303
    (document,) = check_document_factories.documents_of(services, check_id)
    assert document.slot == "address_proof"
    for slot, status in (("licence", 404), ("identity", 404)):
        assert client.post(f"{path}/{slot}", data=form).status_code == status
    assert client.get(f"/c/o/{other_id}/documents").status_code == 403
    assert client.post(f"{path}/done", data=form).status_code == 303
    with services.db.reading() as session:
        task = Check.find(session, check_id).find_task("jobs")
        assert task.state == "asked", "the question waits for its answer"
    answer = form | {"answer": ANSWER}
    assert client.post(f"{page_path(check_id)}/{request_id}", data=answer).status_code == 303
    late = client.post(f"{path}/address_proof", data=form)
    assert late.status_code == 409
    assert client.get(path).status_code == 303


def test_question_without_documents_asks_for_none(services: Services, client: FlaskClient) -> None:
    check_id = check_document_factories.place_check(services)
    open_invitation(services, client, check_id)
    check_factories.give_consent(services, check_id)
    ask_candidate(services, check_id, "identity")
    assert client.get(f"/c/o/{check_id}/documents").status_code == 303
    assert "we need these documents" not in client.get(f"/c/o/{check_id}/").text
