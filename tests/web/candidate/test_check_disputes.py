"""The documents with a dispute, on the candidate's pages in a test client."""

import io
from html import unescape

import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from provider.services import Services
from provider.web.candidate import check_disputes, check_documents
from tests import check_document_factories as documents
from tests import check_factories, factories
from tests.check_status_factories import DISPUTE_TEXT, dispute, has_open_dispute
from tests.check_way import open_invitation
from tests.check_work_factories import check_of_another_account
from tests.hostile_documents import OTHER_FILES

FORM = "check/disputes/jobs"
PAGE = f"{FORM}/documents"
JSON = {"Accept": "application/json"}


@pytest.fixture
def public_id(services: Services, client: FlaskClient) -> str:
    """A complete check whose candidate has a session."""
    placed = check_factories.completed_check(services)
    open_invitation(services, client, placed)
    return placed


def path_of(public_id: str, path: str = "") -> str:
    return f"/c/o/{public_id}/{path}"


def page(client: FlaskClient, public_id: str, path: str = FORM, status: int = 200) -> str:
    response = client.get(path_of(public_id, path))
    assert response.status_code == status, response.text
    return unescape(response.text)


def post(
    client: FlaskClient,
    public_id: str,
    path: str = FORM,
    content: bytes | None = None,
    headers: dict[str, str] | None = None,
    **fields: str,
) -> TestResponse:
    """Send a form with a token of the landing page, and with a file if there is a content."""
    token = factories.csrf_token(client.get(path_of(public_id, FORM), follow_redirects=True).text)
    data: dict[str, object] = {"csrf_token": token, **fields}
    if content is not None:
        data["file"] = (io.BytesIO(content), "Lakita court.jpg")
    return client.post(path_of(public_id, path), data=data, headers=headers, buffered=True)


def test_document_is_added_on_the_form_and_keeps_the_text(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    response = post(
        client, public_id, content=documents.pdf(2), do="add", reason="wrong", text=DISPUTE_TEXT
    )
    assert response.status_code == 200
    text = unescape(response.text)
    assert DISPUTE_TEXT in text
    assert 'value="wrong" checked' in text
    assert "2 pages" in text
    assert "Lakita court" not in text
    assert not has_open_dispute(services, public_id)
    (document,) = documents.dispute_documents(services, public_id)
    assert document.is_draft
    picture = client.get(path_of(public_id, f"documents/{document.public_id}/pages/2"))
    with Image.open(io.BytesIO(picture.data)) as opened:
        assert max(opened.size) == 320
    assert document.public_id in page(client, public_id), "it is there when she comes back"


def test_document_of_the_form_is_removed_and_keeps_the_text(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    document_id = documents.send_dispute_document(services, public_id)
    response = post(client, public_id, do=f"remove:{document_id}", text=DISPUTE_TEXT)
    assert response.status_code == 200
    assert DISPUTE_TEXT in unescape(response.text)
    assert documents.dispute_documents(services, public_id) == []
    assert documents.stored_keys(services) == []


def test_sending_takes_the_chosen_file_and_those_before(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    documents.send_dispute_document(services, public_id)
    content = documents.png()
    # Without a reason the dispute is not sent, and the file is not lost.
    refused = post(client, public_id, content=content, do="send", reason="", text=DISPUTE_TEXT)
    assert refused.status_code == 400
    assert "Please choose a reason" in refused.text
    assert len(documents.dispute_documents(services, public_id)) == 2
    sent = post(client, public_id, content=content, do="send", reason="wrong", text=DISPUTE_TEXT)
    assert sent.status_code == 303
    assert has_open_dispute(services, public_id)
    rows = documents.dispute_documents(services, public_id)
    assert [row.is_draft for row in rows] == [False, False]
    assert "You sent 2 documents with it" in page(client, public_id, "")


@pytest.mark.parametrize("action", ["add", "send"])
def test_refused_file_keeps_the_text_and_sends_nothing(
    services: Services, client: FlaskClient, public_id: str, action: str
) -> None:
    content = OTHER_FILES["svg"]
    response = post(
        client, public_id, content=content, do=action, reason="wrong", text=DISPUTE_TEXT
    )
    assert response.status_code == 400
    text = unescape(response.text)
    assert "Please send a PDF, or a JPEG, PNG or WebP picture" in text
    assert DISPUTE_TEXT in text
    assert not has_open_dispute(services, public_id)
    assert documents.stored_keys(services) == []


def test_adding_without_a_file_says_so(client: FlaskClient, public_id: str) -> None:
    response = post(client, public_id, do="add", text=DISPUTE_TEXT)
    assert response.status_code == 400
    assert "Please choose a file first" in response.text


def test_too_large_body_is_explained_on_both_pages(
    services: Services, client: FlaskClient, public_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_disputes, "MAX_DOCUMENT_BODY_BYTES", 1000)
    content = b"\xff\xd8\xff" * 1000
    for path in (FORM, PAGE):
        response = post(client, public_id, path, content, do="add")
        assert response.status_code == 400
        assert "This file is too large. It may have 20 MB" in response.text
        dispute(services, public_id)


def test_page_of_documents_adds_and_removes_while_the_dispute_is_open(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    assert client.get(path_of(public_id, PAGE)).location == path_of(public_id)
    dispute(services, public_id)
    assert f'href="{path_of(public_id, PAGE)}"' in page(client, public_id, "")
    assert post(client, public_id, PAGE, documents.jpeg()).location == path_of(public_id, PAGE)
    by_script = post(client, public_id, PAGE, documents.png(), JSON)
    assert by_script.json == {"next": path_of(public_id, PAGE)}
    refused = post(client, public_id, PAGE, OTHER_FILES["svg"], JSON)
    assert refused.json == {"error": "Please send a PDF, or a JPEG, PNG or WebP picture"}
    first, second = documents.dispute_documents(services, public_id)
    text = page(client, public_id, PAGE)
    assert first.public_id in text
    assert second.public_id in text
    assert post(client, public_id, f"{PAGE}/{first.public_id}/remove").status_code == 303
    (rest,) = documents.dispute_documents(services, public_id)
    assert rest.public_id == second.public_id
    post(client, public_id, f"{FORM}/retract")
    for path in (PAGE, f"{PAGE}/{rest.public_id}/remove"):
        assert post(client, public_id, path, documents.webp()).status_code == 404
    assert len(documents.dispute_documents(services, public_id)) == 1
    assert "You sent 1 document with it" in page(client, public_id, "")


def test_full_dispute_offers_no_further_file(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    for width in range(60, 65):
        content = documents.jpeg(width=width)
        documents.send_dispute_document(services, public_id, content=content)
    assert 'type="file"' not in page(client, public_id)
    response = post(client, public_id, content=documents.png(), do="add")
    assert response.status_code == 400
    assert "You have sent 5 files. Remove one first" in response.text
    dispute(services, public_id)
    assert 'type="file"' not in page(client, public_id, PAGE)
    response = post(client, public_id, PAGE, documents.png())
    assert "You have sent 5 files. Remove one first" in response.text


def test_many_uploads_with_a_dispute_are_refused_for_a_while(
    client: FlaskClient, public_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_documents, "MAX_UPLOADS", 1)
    assert post(client, public_id, content=documents.jpeg(), do="add").status_code == 200
    response = post(client, public_id, content=documents.png(), do="add", text=DISPUTE_TEXT)
    assert "You have sent many files" in response.text
    assert DISPUTE_TEXT in unescape(response.text)


def test_expired_form_of_a_document_is_sent_again(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    dispute(services, public_id)
    path = path_of(public_id, PAGE)
    assert "open for too long" in client.post(path, data={"csrf_token": "old"}).text
    by_script = client.post(path, data={"csrf_token": "old"}, headers=JSON)
    assert set(by_script.json or {}) == {"csrf_token"}


def test_document_with_a_dispute_of_another_candidate_is_not_found(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    other = check_of_another_account(services)
    check_factories.record_findings(services, other)
    check_factories.complete_check(services, other)
    document_id = documents.send_dispute_document(services, other)
    dispute(services, other)
    dispute(services, public_id)
    assert post(client, public_id, f"{PAGE}/{document_id}/remove").status_code == 404
    assert client.get(path_of(public_id, f"documents/{document_id}/pages/1")).status_code == 404
    for path in (FORM, PAGE, f"documents/{document_id}/pages/1"):
        assert client.get(path_of(other, path)).status_code == 403
    token = factories.csrf_token(page(client, public_id, PAGE))
    assert client.post(path_of(other, PAGE), data={"csrf_token": token}).status_code == 403
    assert len(documents.dispute_documents(services, other)) == 1
