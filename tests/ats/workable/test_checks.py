"""Checks in Workable's contract: statuses in order, and no personal data or findings."""

import io
from typing import Any

import pytest
from flask.testing import FlaskClient
from pypdf import PdfReader

from provider.core.orders import PDF, REPORT, Link, Order
from provider.delivery.dispatcher import Dispatcher
from provider.services import Services
from tests import check_factories, factories
from tests.ats.workable_client import CHECKS, WorkableClient, callback_bodies
from tests.conftest import LiveServer
from tests.fake_ats import FakeAts

RESULT = {
    "overall_status": "consider",
    "result": [
        {"name": "Identity", "status": "clear"},
        {"name": "Employment history", "status": "consider"},
        {"name": "Criminal record", "status": "clear"},
    ],
}


@pytest.fixture
def order_id(services: Services, groove: WorkableClient) -> str:
    return groove.place_order(CHECKS, CHECKS.order_body(check_factories.create_package(services)))


def token(services: Services, order_id: str, purpose: str) -> str:
    with services.db.reading() as session:
        link = Link.find_permanent(session, Order.find(session, order_id), purpose)
        assert link
        return link.get_token(services.secret_box)


def finish(services: Services, order_id: str) -> None:
    check_factories.give_consent(services, order_id)
    check_factories.record_findings(services, order_id)
    check_factories.complete_check(services, order_id)


def has_no_secret(data: bytes | str) -> bool:
    raw = data.encode() if isinstance(data, str) else data
    return not any(
        secret.encode() in raw
        for secret in (*check_factories.SECRET_WORDS, check_factories.SIGNED_NAME)
    )


def test_poll_shows_each_status_of_check(
    services: Services, groove: WorkableClient, order_id: str
) -> None:
    assert groove.poll(CHECKS, order_id) == {"status": "pending"}
    check_factories.give_consent(services, order_id)
    assert groove.poll(CHECKS, order_id) == {"status": "consented"}
    check_factories.record_findings(services, order_id)
    assert groove.poll(CHECKS, order_id) == {"status": "consented"}
    check_factories.complete_check(services, order_id)
    body = groove.poll(CHECKS, order_id)
    assert (body["status"], body["check"]) == ("completed", RESULT)
    assert callback_bodies(services, order_id) == [{"status": "consented"}, body]


def test_cancelled_check_is_reported_as_expired(
    services: Services, groove: WorkableClient, order_id: str
) -> None:
    check_factories.give_consent(services, order_id)
    with services.db.writing() as session:
        Order.find(session, order_id).cancel(session, "sam", "Withdrawn", services.now())
    assert groove.poll(CHECKS, order_id) == {"status": "expired"}


def test_reopened_check_is_pending_until_new_consent(
    services: Services, groove: WorkableClient, order_id: str
) -> None:
    finish(services, order_id)
    with services.db.writing() as session:
        Order.find(session, order_id).reopen(
            session, services.secret_box, "sam", "Mix-up", services.now()
        )
    assert groove.poll(CHECKS, order_id) == {"status": "pending"}
    finish(services, order_id)
    statuses = [body["status"] for body in callback_bodies(services, order_id)]
    assert statuses == ["consented", "completed", "pending", "consented", "completed"]


def test_sample_package_can_only_be_ordered_by_sandbox(
    services: Services, groove: WorkableClient, client: FlaskClient
) -> None:
    sample = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True, "key": "sample"}
    product = check_factories.create_package(services, disclosure=sample)
    assert groove.get("/packages").get_json() == {"packages": []}
    answer = groove.post("/checks", CHECKS.order_body(product))
    assert answer.status_code == 422
    assert "Unknown package" in answer.text
    sandbox = WorkableClient(client, factories.create_account(services, "Trial", sandbox=True)[1])
    (listed,) = sandbox.get("/packages").get_json()["packages"]
    assert listed == {"id": product, "name": "Full screening"}
    assert sandbox.place_order(CHECKS, CHECKS.order_body(product))


def test_no_response_contains_findings_or_personal_data(
    services: Services, groove: WorkableClient, client: FlaskClient, order_id: str
) -> None:
    finish(services, order_id)
    polled = groove.get(f"/checks/{order_id}")
    shared = groove.get(f"/checks/{order_id}/shared-link").get_json()["url"]
    page = client.get(f"/r/{token(services, order_id, REPORT)}")
    shared_page = client.get(shared.removeprefix("http://provider.test"))
    pdf = client.get(f"/r/{token(services, order_id, PDF)}/report.pdf")
    text = "\n".join(pdf_page.extract_text() for pdf_page in PdfReader(io.BytesIO(pdf.data)).pages)
    for answer in (polled, page, shared_page, pdf):
        assert answer.status_code == 200
        assert has_no_secret(answer.data)
    assert has_no_secret(text)
    for visible_text in (page.text, shared_page.text, text):
        for name in ("Identity", "Employment history", "Criminal record", "To consider", "Clear"):
            assert name in visible_text
        assert "1 of 3 screenings to consider." in visible_text
    assert all(has_no_secret(str(body)) for body in callback_bodies(services, order_id))


def test_callbacks_contain_only_status_and_outcomes(live_server: LiveServer, ats: FakeAts) -> None:
    account_id, _ = factories.create_account(live_server.services)
    public_id = factories.place_order(
        live_server.services,
        account_id,
        check_factories.create_package(live_server.services),
        "check",
        callback_url=f"{ats.url}/checks/1",
    )
    check_factories.give_consent(live_server.services, public_id)
    Dispatcher(live_server.services).drain(*factories.queue_names(live_server.services))
    ats.wait_for(1)
    check_factories.record_findings(live_server.services, public_id)
    check_factories.complete_check(live_server.services, public_id)
    Dispatcher(live_server.services).drain(*factories.queue_names(live_server.services))
    first, last = ats.wait_for(2)
    assert first.json == {"status": "consented"}
    body: dict[str, Any] = last.json
    assert set(body) == {"status", "check", "results_url", "attachments"}
    assert (body["status"], body["check"]) == ("completed", RESULT)
    for put in (first, last):
        assert has_no_secret(put.body)
        assert has_no_secret(str(put.headers))


def test_emails_contain_no_findings_or_personal_data(
    services: Services, groove: WorkableClient, order_id: str
) -> None:
    finish(services, order_id)
    Dispatcher(services).drain("1/email")
    emails = [path.read_bytes() for path in (services.settings.instance / "mail").glob("*.eml")]
    assert len(emails) == 2
    for secret in check_factories.SECRET_WORDS:
        assert not any(secret.encode() in email for email in emails)
