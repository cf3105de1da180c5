"""The candidate's page of documents in a test client: sending, seeing, replacing, removing."""

import io
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from provider.app import create_app
from provider.core.kinds.check import Check
from provider.core.kinds.check.document_reading import document_pages
from provider.core.kinds.check.documents import ask_again, find_document
from provider.delivery.dispatcher import Dispatcher
from provider.services import Services
from provider.web.candidate import check_documents
from tests import check_document_factories as documents
from tests import check_factories, factories, hostile_documents
from tests.check_way import open_invitation, walk
from tests.fake_clamd import EICAR, running_clamd
from tests.web.candidate.test_check import email_texts, read_email

JSON = {"Accept": "application/json"}


@pytest.fixture
def public_id(services: Services, client: FlaskClient) -> str:
    """A check that needs documents, whose candidate has a session."""
    placed = documents.place_check(services)
    open_invitation(services, client, placed)
    return placed


def page_path(public_id: str, path: str = "") -> str:
    return f"/c/o/{public_id}/documents{path}"


def get_page(client: FlaskClient, public_id: str) -> str:
    response = client.get(page_path(public_id))
    assert response.status_code == 200
    return unescape(response.text)


def send(
    client: FlaskClient,
    public_id: str,
    content: bytes = b"",
    slot: str = "identity",
    headers: dict[str, str] | None = None,
    **fields: str,
) -> TestResponse:
    token = factories.csrf_token(client.get(page_path(public_id)).text)
    data: dict[str, Any] = {"csrf_token": token, **fields}
    data["file"] = (io.BytesIO(content or documents.jpeg()), "Lakita passport.jpg")
    path = page_path(public_id, f"/{slot}")
    return client.post(path, data=data, headers=headers, buffered=True)


def post(client: FlaskClient, public_id: str, path: str) -> TestResponse:
    token = factories.csrf_token(client.get(page_path(public_id)).text)
    return client.post(page_path(public_id, path), data={"csrf_token": token})


def refuse_document(services: Services, public_id: str, document_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        document = find_document(session, check, document_id)
        ask_again(session, check, document, "sam@provider.test", services.now())


def test_page_lists_needed_documents_with_reasons(client: FlaskClient, public_id: str) -> None:
    page = get_page(client, public_id)
    assert "Passport or identity card" in page
    assert "The page with your photo, or both sides of the card" in page
    assert "A document and your details show that you are the person who applied." in page
    assert "Identity document of group 1" in page
    assert "Photocard driving licence" in page
    assert "Driving licence</h2>" not in page
    assert 'accept="image/jpeg,image/png,image/webp,application/pdf"' in page
    assert " capture" not in page


def test_documents_are_a_step_before_the_signature(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    assert walk(client, public_id).endswith("/consent/review")
    assert page_path(public_id) in client.get(f"/c/o/{public_id}/consent/review").text


def test_check_without_documents_has_no_page(services: Services, client: FlaskClient) -> None:
    public_id = check_factories.place_check(services)
    open_invitation(services, client, public_id)
    assert "documents" not in client.get(f"/c/o/{public_id}/consent").text
    assert client.get(page_path(public_id)).location == f"/c/o/{public_id}/"


def test_sent_document_is_shown_as_small_picture(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    response = send(client, public_id, documents.pdf(2))
    assert (response.status_code, response.location) == (
        303,
        f"{page_path(public_id)}#slot-identity",
    )
    (document,) = documents.documents_of(services, public_id)
    page = get_page(client, public_id)
    assert "File 1" in page
    assert "2 pages" in page
    assert "Lakita passport" not in page
    picture = client.get(page_path(public_id, f"/{document.public_id}/pages/2"))
    assert picture.mimetype == "image/jpeg"
    assert picture.headers["Cache-Control"] == "no-store"
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    with Image.open(io.BytesIO(picture.data)) as opened:
        assert max(opened.size) == 320
    for number in (0, 3):
        missing = client.get(page_path(public_id, f"/{document.public_id}/pages/{number}"))
        assert missing.status_code == 404


def test_document_of_another_candidate_is_not_found(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    other = documents.place_check(services, "Rival Corp")
    document_id = documents.send_document(services, other)
    path = f"/{document_id}/pages/1"
    assert client.get(page_path(public_id, path)).status_code == 404
    assert client.get(page_path(other, path)).status_code == 403
    assert post(client, public_id, f"/identity/{document_id}/remove").status_code == 404
    assert len(documents.documents_of(services, other)) == 1


def test_document_is_removed_and_replaced(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    send(client, public_id)
    (first,) = documents.documents_of(services, public_id)
    send(client, public_id, documents.png(), replaces=first.public_id)
    (second,) = documents.documents_of(services, public_id)
    assert second.public_id != first.public_id
    assert len(documents.stored_keys(services)) == 2
    wrong_slot = post(client, public_id, f"/dbs_group_1/{second.public_id}/remove")
    assert wrong_slot.status_code == 404
    removed = post(client, public_id, f"/identity/{second.public_id}/remove")
    assert removed.location == f"{page_path(public_id)}#slot-identity"
    assert documents.documents_of(services, public_id) == []
    assert documents.stored_keys(services) == []


def test_group_document_needs_its_name(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    refused = send(client, public_id, slot="dbs_group_1")
    assert refused.status_code == 400
    assert "Please choose which document this is" in unescape(refused.text)
    send(client, public_id, slot="dbs_group_1", label="birth_certificate")
    (document,) = documents.documents_of(services, public_id)
    assert document.label == "birth_certificate"
    assert "<strong>Birth certificate</strong>" in get_page(client, public_id)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (hostile_documents.OTHER_FILES["svg"], "Please send a PDF, or a JPEG, PNG or WebP picture"),
        (
            hostile_documents.OTHER_FILES["heic"],
            "Please send a PDF, or a JPEG, PNG or WebP picture",
        ),
        (b"%PDF-1.7 broken", "This file cannot be read. Please send another one"),
    ],
    ids=["svg", "heic", "broken"],
)
def test_refused_file_is_explained_and_stores_nothing(
    services: Services, client: FlaskClient, public_id: str, content: bytes, problem: str
) -> None:
    response = send(client, public_id, content)
    assert response.status_code == 400
    assert problem in unescape(response.text)
    by_script = send(client, public_id, content, headers=JSON)
    assert (by_script.status_code, by_script.json) == (400, {"error": problem})
    assert documents.stored_keys(services) == []


def test_too_large_body_is_explained(
    client: FlaskClient, public_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_documents, "MAX_DOCUMENT_BODY_BYTES", 1000)
    response = send(client, public_id, b"\xff\xd8\xff" * 1000, headers=JSON)
    assert response.status_code == 400
    assert response.json == {"error": "This file is too large. It may have 20 MB"}


def test_large_file_is_taken(services: Services, client: FlaskClient, public_id: str) -> None:
    content = documents.jpeg() + b"\0" * 19_000_000
    token = factories.csrf_token(client.get(page_path(public_id)).text)
    # The test client would leave the temporary file of a large form open.
    parts = (
        f'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{token}\r\n'
        '--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    )
    response = client.post(
        page_path(public_id, "/identity"),
        data=parts.encode() + content + b"\r\n--x--\r\n",
        content_type="multipart/form-data; boundary=x",
    )
    assert response.status_code == 303
    (document,) = documents.documents_of(services, public_id)
    assert document.upload_size == len(content)


def test_form_without_file_and_expired_form_say_so(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    token = factories.csrf_token(client.get(page_path(public_id)).text)
    path = page_path(public_id, "/identity")
    empty = client.post(path, data={"csrf_token": token})
    assert "Please choose a file first" in empty.text
    expired = client.post(path, data={"csrf_token": "old"})
    assert expired.status_code == 400
    assert "Please send it again" in expired.text
    by_script = client.post(path, data={"csrf_token": "old"}, headers=JSON)
    assert set(by_script.json or {}) == {"csrf_token"}
    other = documents.place_check(services, "Rival Corp")
    assert client.post(page_path(other, "/identity")).status_code == 403


def test_many_uploads_are_refused_for_a_while(
    client: FlaskClient, public_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_documents, "MAX_UPLOADS", 1)
    assert send(client, public_id).status_code == 303
    response = send(client, public_id, documents.png())
    assert "You have sent many files" in response.text


def test_busy_reader_answers_with_503(
    client: FlaskClient, public_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_pages, "MAX_WAIT_SECONDS", 0.01)
    for _ in range(document_pages.MAX_PROCESSES):
        document_pages._processes.acquire()
    try:
        response = send(client, public_id)
    finally:
        document_pages._processes.release(document_pages.MAX_PROCESSES)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "Many files arrive just now" in response.text


def test_upload_is_scanned_for_viruses_first(services: Services) -> None:
    with running_clamd() as daemon:
        settings = factories.make_settings(
            services.settings.instance,
            PROVIDER_DATABASE_URL=services.settings.database_url,
            PROVIDER_CLAMD=daemon.address,
        )
        scanned = factories.build_services(settings, services.clock)
        try:
            client = create_app(scanned).test_client()
            public_id = documents.place_check(scanned)
            open_invitation(scanned, client, public_id)
            infected = send(client, public_id, documents.jpeg() + EICAR)
            assert infected.status_code == 400
            assert "A virus scanner refuses this file" in infected.text
            assert send(client, public_id, documents.png()).status_code == 303
            daemon.answer = b"ERROR\0"
            failed = send(client, public_id, documents.webp(), headers=JSON)
            assert failed.status_code == 503
            assert failed.json == {
                "error": "Files cannot be accepted just now: please send yours again in a moment"
            }
            assert len(documents.documents_of(scanned, public_id)) == 1
        finally:
            scanned.db.close()


def test_continue_goes_to_the_review_with_documents_missing(
    client: FlaskClient, public_id: str
) -> None:
    assert "Some documents are still missing" in get_page(client, public_id)
    assert post(client, public_id, "/done").location == f"/c/o/{public_id}/consent/review"


def sign(client: FlaskClient, public_id: str) -> TestResponse:
    token = factories.csrf_token(client.get(page_path(public_id)).text)
    data = {"csrf_token": token, "name": "Lakita Marrero"}
    return client.post(f"/c/o/{public_id}/consent/review", data=data)


def test_signature_is_not_offered_while_a_document_is_missing(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    path = walk(client, public_id)
    send(client, public_id)
    review = unescape(client.get(path).text)
    assert f'href="{page_path(public_id)}#slot-dbs_group_1"' in review
    assert "Please send: Identity document of group 1" in review
    assert "Please send: Passport" not in review
    assert "I agree" not in review
    refused = sign(client, public_id)
    assert refused.status_code == 400
    assert "Please send: Identity document of group 1" in unescape(refused.text)
    assert order_status(services, public_id) == "pending"
    send(client, public_id, slot="dbs_group_1", label="passport")
    assert "I agree" in client.get(path).text
    assert sign(client, public_id).status_code == 303
    assert order_status(services, public_id) == "consented"


def test_document_of_another_candidate_does_not_count_for_the_signature(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    other = documents.place_check(services, "Rival Corp")
    documents.send_document(services, other)
    documents.send_document(services, other, "dbs_group_1", label="passport")
    walk(client, public_id)
    assert sign(client, public_id).status_code == 400
    assert client.get(f"/c/o/{other}/consent/review").status_code == 403
    assert order_status(services, public_id) == "pending"


def order_status(services: Services, public_id: str) -> str:
    with services.db.reading() as session:
        return Check.find(session, public_id).status


def test_invitation_names_the_needed_documents(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    text = unescape(client.get(f"/c/o/{public_id}/").text)
    assert "You send us a photo or a PDF of: Passport or identity card" in text


def test_page_is_closed_after_consent_until_asked(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    send(client, public_id)
    (document,) = documents.documents_of(services, public_id)
    token = factories.csrf_token(client.get(page_path(public_id)).text)
    check_factories.give_consent(services, public_id)
    assert client.get(page_path(public_id)).location == f"/c/o/{public_id}/"
    for path in ("/identity", f"/identity/{document.public_id}/remove"):
        late = client.post(page_path(public_id, path), data={"csrf_token": token})
        assert late.status_code == 409
    refuse_document(services, public_id, document.public_id)
    landing = client.get(f"/c/o/{public_id}/").text
    assert "we need these documents from you" in landing
    assert f'href="{page_path(public_id)}"' in landing
    page = get_page(client, public_id)
    assert "We cannot read this one" in page
    assert "group 1" not in page
    missing = post(client, public_id, "/done")
    assert missing.status_code == 400
    assert "Please send every document that is asked for" in missing.text
    send(client, public_id, documents.png(), replaces=document.public_id)
    assert post(client, public_id, "/done").location == f"/c/o/{public_id}/"
    assert documents.task_states(services, public_id)["identity"] == "to do"
    assert client.get(page_path(public_id)).status_code == 303


def test_order_ends_while_file_arrives_stores_nothing(
    services: Services, client: FlaskClient, public_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_file = check_documents._read_file

    def cancel_meanwhile() -> bytes:
        with services.db.writing() as session:
            Check.find(session, public_id).cancel(session, "ats", "", services.now())
        return read_file()

    monkeypatch.setattr(check_documents, "_read_file", cancel_meanwhile)
    assert send(client, public_id).status_code == 409
    assert documents.stored_keys(services) == []


def test_email_asks_for_document_again(services: Services, public_id: str) -> None:
    document_id = documents.send_document(services, public_id)
    check_factories.give_consent(services, public_id)
    refuse_document(services, public_id, document_id)
    Dispatcher(services).drain("1/email")
    emails = map(read_email, (services.settings.instance / "mail").glob("*.eml"))
    (sent,) = (entry for entry in emails if "document again" in str(entry["Subject"]))
    assert sent["Subject"] == "Groove Tech: please send a document again"
    for body in email_texts(sent):
        assert "cannot be read" in body
        assert "http://provider.test/c/" in body
