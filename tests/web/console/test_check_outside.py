"""The console's page of referees and vendors of a check."""

from html import unescape

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import select

from provider.core.kinds.check import Check
from provider.core.kinds.check.referees.referee_acts import answer_request
from provider.core.kinds.check.tables.referee_request import RefereeRequest
from provider.core.kinds.check.tables.vendor_order import VendorOrder
from provider.core.kinds.check.vendors.vendor_acts import apply_answer, record_failure
from provider.core.kinds.check.vendors.vendor_answer import read_answer
from provider.services import Services
from tests import check_outside_factories
from tests.check_outside_factories import (
    PATHS,
    REFEREE_SCREENING,
    RESULT,
    STATUSES,
    VENDOR_SCREENING,
    read_requests,
    task_state,
)
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_check_browser import sign_in
from tests.web.console_client import ConsoleClient

ANSWERS = {
    "knows": "Since 2015",
    "work": "Bread",
    "strengths": "Patience",
    "improve": "Nothing",
    "again": "no",
}


@pytest.fixture
def check(services: Services) -> str:
    return check_outside_factories.place_consented_check(
        services, REFEREE_SCREENING, VENDOR_SCREENING
    )


def path(public_id: str, act: str = "") -> str:
    return f"/console/checks/{public_id}/outside/{act}"


def answer_all(services: Services, public_id: str) -> None:
    """Let the first referee and the vendor answer."""
    with services.db.writing() as session:
        check, now = Check.find(session, public_id, lock=True), services.now()
        request = session.scalars(select(RefereeRequest).order_by(RefereeRequest.id)).first()
        vendor_order = session.scalars(select(VendorOrder)).one()
        assert request
        answer_request(session, services.secret_box, check, request, ANSWERS, now)
        answer = read_answer(RESULT, PATHS, STATUSES)
        apply_answer(session, services.secret_box, check, vendor_order, answer, now)


def test_page_shows_answers_and_proposal(
    services: Services, client: FlaskClient, check: str
) -> None:
    answer_all(services, check)
    page = ConsoleClient.signed_in(services, client).get_text(path(check))
    for text in (
        "Rosa Vinter",
        "What did this person do well?",
        "Patience",
        "Waits for the referee",
        "Acme Checks",
        "The vendor proposes",
        "One entry of zimtstern",
        "1 record found",
    ):
        assert text in page
    link = read_requests(services, check)[0].get_token(services.secret_box)
    assert link not in page
    assert check_outside_factories.HEADER_SECRET not in page


def test_check_page_links_only_where_others_work(
    services: Services, client: FlaskClient, check: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    assert path(check) in console.get_text(f"/console/checks/{check}/")
    usual = check_outside_factories.place_consented_check(
        services, {"key": "identity", "name": "Identity"}, account={"name": "Other"}
    )
    assert path(usual) not in console.get_text(f"/console/checks/{usual}/")
    assert "Staff do all screenings" in console.get_text(path(usual))


def test_viewer_sees_no_answers(services: Services, client: FlaskClient, check: str) -> None:
    console = ConsoleClient.signed_in(services, client, "viewer")
    console.get_text(path(check), 403)
    assert path(check) not in console.get_text(f"/console/checks/{check}/")


def test_staff_ask_another_referee(services: Services, client: FlaskClient, check: str) -> None:
    console = ConsoleClient.signed_in(services, client)
    wrong = console.submit(path(check, "references/referees"), name="Jo", email="jo")
    assert wrong.status_code == 400
    assert "Type an e-mail address" in unescape(wrong.text)
    assert 'value="Jo"' in wrong.text
    console.submit(path(check, "references/referees"), name="Jo", email="jo@old.example")
    third = read_requests(services, check)[2]
    assert third.get_referee(services.secret_box).email == "jo@old.example"
    assert third.actor == "operator@provider.test"


def test_staff_send_again_or_do_by_hand(
    services: Services, client: FlaskClient, check: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    assert "Send to the vendor again" not in console.get_text(path(check))
    assert console.submit(path(check, "record/again")).status_code == 409
    with services.db.writing() as session:
        vendor_order = session.scalars(select(VendorOrder)).one()
        record_failure(session, Check.find(session, check), vendor_order, "Refused", services.now())
    page = console.get_text(path(check))
    assert "Refused" in page
    assert "Send to the vendor again" in page
    console.submit(path(check, "record/again"))
    assert task_state(services, check, "record") == "submitted"
    console.submit(path(check, "record/by-hand"))
    assert task_state(services, check, "record") == "in progress"
    assert console.submit(path(check, "record/by-hand")).status_code == 409


def test_pages_of_deliveries_hide_what_the_vendor_gets(
    services: Services, client: FlaskClient, check: str
) -> None:
    message_id = check_outside_factories.store_vendor_body(services, b'{"born": "1990-02-28"}')
    console = ConsoleClient.signed_in(services, client, "admin")
    for page in (f"/console/deliveries/{message_id}", f"/console/orders/{check}"):
        text = console.get_text(page)
        assert "The content has the candidate’s details" in text
        assert "1990-02-28" not in text


@pytest.mark.parametrize(
    "act", ["nothing/referees", "nothing/again", "nothing/by-hand", "requests/nothing/revoke"]
)
def test_unknown_screening_or_request_gets_404(
    services: Services, client: FlaskClient, check: str, act: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    response = console.submit(path(check, act), name="Jo", email="jo@old.example")
    assert response.status_code == 404


def test_page_has_no_accessibility_problems(app_server: LiveServer, page: Page) -> None:
    services = app_server.services
    check = check_outside_factories.place_consented_check(
        services, REFEREE_SCREENING, VENDOR_SCREENING
    )
    answer_all(services, check)
    sign_in(page, app_server)
    page.goto(app_server.url + path(check))
    expect(page.get_by_role("heading", name="Referees and vendors")).to_be_visible()
    checker = AccessibilityChecker(page)
    checker.check_page("referees and vendors")
    assert checker.problems == []
