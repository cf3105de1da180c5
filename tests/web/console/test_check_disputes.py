"""Disputes in the console: the list, the answer, the overview."""

from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.audit import Action, AuditEntry
from provider.core.kinds.check import Check
from provider.core.kinds.check.disputes import retract_dispute
from provider.services import Services
from tests import check_decision_factories, check_document_factories, check_factories
from tests.check_status_factories import DISPUTE_TEXT, dispute, has_open_dispute
from tests.web.console.test_checks import check_path
from tests.web.console_client import ConsoleClient

ANSWER = "We asked the court again"


@pytest.fixture
def order_id(services: Services) -> str:
    return check_factories.completed_check(services)


def test_open_dispute_is_counted_listed_and_shown(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    dispute_id = dispute(services, order_id)
    console = ConsoleClient.signed_in(services, client)
    assert "Dispute about a background check" in console.get_text("/console/")
    listing = console.get_text("/console/disputes/")
    assert f"/console/disputes/{dispute_id}/" in listing
    assert "It is about somebody else" in listing
    assert DISPUTE_TEXT not in listing
    assert f"/console/disputes/{dispute_id}/" in console.get_text(f"/console/checks/{order_id}/")
    page = console.get_text(f"/console/disputes/{dispute_id}/")
    assert DISPUTE_TEXT in page
    assert "One employer names another end" in page
    correction = f"{check_path(order_id)}revise/jobs"
    assert f'href="{correction}"' in page
    assert "Correct the outcome of" in console.get_text(correction)


def test_documents_of_a_dispute_are_opened_one_by_one(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    document_id = check_document_factories.send_dispute_document(services, order_id)
    draft_id = check_document_factories.send_dispute_document(services, order_id, "identity")
    path = f"/console/disputes/{dispute(services, order_id)}/"
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(path)
    assert "Dispute: Employment history, file 1" in page
    assert "<img" not in page
    document_path = check_path(order_id, f"documents/{document_id}")
    assert client.get(f"{document_path}/pages/1").status_code == 409
    assert console.submit(f"{document_path}/open", page=path, reason="dispute").status_code == 303
    assert client.get(f"{document_path}/pages/1").mimetype == "image/jpeg"
    with services.db.reading() as session:
        query = select(AuditEntry.after).where(AuditEntry.action == Action.CHECK_DOCUMENT_OPENED)
        assert session.scalars(query).all() == [{"document": document_id, "reason": "dispute"}]
    # The staff see nothing of a dispute that is not sent yet.
    assert draft_id not in console.get_text(check_path(order_id))
    draft_path = check_path(order_id, f"documents/{draft_id}")
    assert client.get(draft_path).status_code == 404
    assert console.submit(f"{draft_path}/open", page=path).status_code == 404


def test_viewer_sees_no_document_of_a_dispute(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    document_id = check_document_factories.send_dispute_document(services, order_id)
    dispute(services, order_id)
    console = ConsoleClient.signed_in(services, client, "viewer")
    assert document_id not in console.get_text(check_path(order_id))
    path = check_path(order_id, f"documents/{document_id}")
    assert client.get(path).status_code == 403
    assert client.get(f"{path}/pages/1").status_code == 403


def test_dispute_is_answered_once(services: Services, client: FlaskClient, order_id: str) -> None:
    dispute_id = dispute(services, order_id)
    console = ConsoleClient.signed_in(services, client)
    path = f"/console/disputes/{dispute_id}/"
    response = console.submit(path, page=path, answer=ANSWER, outcome="upheld")
    assert response.status_code == 303
    assert not has_open_dispute(services, order_id)
    assert ANSWER in console.get_text(path)
    assert dispute_id not in console.get_text("/console/disputes/")
    assert dispute_id in console.get_text("/console/disputes/?state=ended")
    assert "Dispute about a background check" not in console.get_text("/console/")
    response = console.submit(path, answer="Another answer", outcome="corrected")
    assert response.status_code == 409
    assert "Another answer" not in console.get_text(path)


def test_answer_without_a_text_keeps_the_dispute_open(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    path = f"/console/disputes/{dispute(services, order_id)}/"
    console = ConsoleClient.signed_in(services, client)
    response = console.submit(path, page=path, answer=" ", outcome="upheld")
    assert response.status_code == 400
    assert "Write an answer" in unescape(response.text)
    assert has_open_dispute(services, order_id)


def test_viewer_sees_no_dispute(services: Services, client: FlaskClient, order_id: str) -> None:
    dispute_id = dispute(services, order_id)
    console = ConsoleClient.signed_in(services, client, "viewer")
    assert dispute_id not in console.get_text(f"/console/checks/{order_id}/")
    for path in ("/console/disputes/", f"/console/disputes/{dispute_id}/"):
        assert client.get(path).status_code == 403


def test_list_of_disputes_has_pages(services: Services, client: FlaskClient) -> None:
    account_order = check_factories.completed_check(services)
    console = ConsoleClient.signed_in(services, client)
    for screening in ("identity", "jobs", "record"):
        dispute(services, account_order, screening)
    text = console.get_text("/console/disputes/")
    for name in ("Identity", "Employment history", "Criminal record"):
        assert name in text
    assert client.get("/console/disputes/?before=nothing").status_code == 404
    assert client.get("/console/disputes/?state=wrong").status_code == 400


def read_notice_clock(services: Services, order_id: str) -> tuple[str, bool]:
    """Return the state of the open adverse action, and whether its end is known."""
    with services.db.reading() as session:
        action = Check.find(session, order_id).open_action
        assert action
        return action.state, action.ends_at is not None


def test_answer_lets_the_clock_of_a_notice_run_again(
    services: Services, client: FlaskClient
) -> None:
    order_id = check_decision_factories.consider_check(services)
    console = ConsoleClient.signed_in(services, client)
    path = check_path(order_id, "adverse/")
    form = {"jurisdiction": "us", "days": "5", "reason": "The dates"}
    assert console.submit(path + "begin", page=path, **form).status_code == 302
    dispute_path = f"/console/disputes/{dispute(services, order_id)}/"
    assert read_notice_clock(services, order_id) == ("stopped", False)
    console.submit(dispute_path, page=dispute_path, answer=ANSWER, outcome="upheld")
    assert read_notice_clock(services, order_id) == ("waiting", True)
    dispute(services, order_id)
    assert read_notice_clock(services, order_id) == ("stopped", False)
    with services.db.writing() as session:
        check = Check.find(session, order_id)
        retract_dispute(session, check, check.disputes[-1], services.now())
    assert read_notice_clock(services, order_id) == ("waiting", True)
