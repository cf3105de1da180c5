"""The staff's list and viewer of documents: who may open one, and what is recorded."""

import io
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy import select

from provider.core.audit import Action, AuditEntry
from provider.core.kinds.check import Check
from provider.services import Services
from tests import check_document_factories as documents
from tests import check_factories
from tests.factories import ManualClock
from tests.web.console.test_checks import check_path
from tests.web.console_client import ConsoleClient


@pytest.fixture
def order_id(services: Services) -> str:
    """A check with a document and the candidate's consent."""
    check_id = documents.place_check(services)
    documents.send_document(services, check_id, "dbs_group_1", documents.pdf(2), "passport")
    check_factories.give_consent(services, check_id)
    return check_id


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client)


def document_path(services: Services, order_id: str, path: str = "") -> str:
    (document,) = documents.documents_of(services, order_id)
    return check_path(order_id, f"documents/{document.public_id}{path}")


def openings(services: Services) -> int:
    with services.db.reading() as session:
        query = select(AuditEntry).where(AuditEntry.action == Action.CHECK_DOCUMENT_OPENED)
        return len(session.scalars(query).all())


def event_types(services: Services, order_id: str) -> list[str]:
    with services.db.reading() as session:
        return [event.type for event in Check.find(session, order_id).events]


def test_list_names_documents_and_opening_shows_pages(
    services: Services, console: ConsoleClient, order_id: str
) -> None:
    page = console.get_text(check_path(order_id))
    assert "Identity document of group 1, file 1 (Passport)" in page
    path = document_path(services, order_id)
    closed = console.get_text(path)
    assert "Open the document" in closed
    assert "<img" not in closed
    response = console.submit(f"{path}/open", page=path, reason="screening")
    assert response.location == path
    opened = console.get_text(path)
    assert opened.count("<img") == 2
    assert "Lakita" not in opened.partition("</title>")[0]
    picture = console.client.get(f"{path}/pages/2")
    assert picture.mimetype == "image/jpeg"
    assert picture.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in picture.headers["Content-Security-Policy"]
    with Image.open(io.BytesIO(picture.data)) as shown:
        assert documents.is_red(shown.getpixel((2, 2)))
    assert console.client.get(f"{path}/pages/3").status_code == 404


def test_each_opening_is_recorded_and_ends_after_a_while(
    services: Services, console: ConsoleClient, order_id: str, clock: ManualClock
) -> None:
    path = document_path(services, order_id)
    picture = f"{path}/pages/1"
    assert console.client.get(picture).status_code == 409
    for _ in range(2):
        console.submit(f"{path}/open", page=path, reason="screening")
    assert openings(services) == 1
    assert event_types(services, order_id).count("document opened") == 1
    assert console.client.get(picture).status_code == 200
    clock.advance(timedelta(minutes=15, seconds=1))
    assert console.client.get(picture).status_code == 409
    assert "Open the document" in console.get_text(path)
    console.submit(f"{path}/open", page=path, reason="screening")
    assert openings(services) == 2


@pytest.mark.parametrize(
    "form",
    [{}, {"reason": "unknown"}, {"reason": "other", "text": " "}],
    ids=["absent", "unknown", "empty"],
)
def test_document_without_a_reason_stays_closed(
    services: Services, console: ConsoleClient, order_id: str, form: dict[str, str]
) -> None:
    path = document_path(services, order_id)
    response = console.submit(f"{path}/open", page=path, **form)
    assert response.status_code == 400
    assert "Say why you need to see the details." in response.text
    assert openings(services) == 0
    assert console.client.get(f"{path}/pages/1").status_code == 409


def test_reason_of_an_opening_is_recorded(
    services: Services, console: ConsoleClient, order_id: str
) -> None:
    path = document_path(services, order_id)
    console.submit(f"{path}/open", page=path, reason="other", text="Lakita asked by phone")
    with services.db.reading() as session:
        query = select(AuditEntry).where(AuditEntry.action == Action.CHECK_DOCUMENT_OPENED)
        after = session.scalars(query).one().after
        event = Check.find(session, order_id).events[-1]
        assert "(Lakita asked by phone)" in event.note
    # A typed reason may name the candidate, and the audit log is never erased.
    assert after == {"document": path.rpartition("/")[2], "reason": "other"}


def test_opening_of_a_colleague_shows_nothing_to_others(
    services: Services, console: ConsoleClient, client: FlaskClient, order_id: str
) -> None:
    path = document_path(services, order_id)
    console.submit(f"{path}/open", page=path, reason="screening")
    ConsoleClient.signed_in(services, client, "admin")
    assert client.get(f"{path}/pages/1").status_code == 409


def test_viewer_sees_neither_list_nor_pages(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    viewer = ConsoleClient.signed_in(services, client, "viewer")
    assert "group 1" not in viewer.get_text(check_path(order_id))
    path = document_path(services, order_id)
    assert client.get(path).status_code == 403
    assert client.get(f"{path}/pages/1").status_code == 403


def test_document_of_another_check_is_not_found(
    services: Services, console: ConsoleClient, order_id: str
) -> None:
    other = documents.place_check(services, "Rival Corp")
    document_id = documents.send_document(services, other)
    assert console.client.get(check_path(order_id, f"documents/{document_id}")).status_code == 404


def test_unreadable_document_is_asked_for_again(
    services: Services, console: ConsoleClient, order_id: str
) -> None:
    path = document_path(services, order_id)
    console.submit(f"{path}/open", page=path, reason="screening")
    assert "Not readable, ask again" in console.get_text(path)
    response = console.submit(f"{path}/ask-again", page=path)
    assert response.location == check_path(order_id)
    assert "is asked for another document" in console.get_text(check_path(order_id))
    assert documents.task_states(services, order_id)["dbs"] == "asked"
    assert console.submit(f"{path}/ask-again", page=path).status_code == 409
    assert event_types(services, order_id)[-1] == "document refused"
