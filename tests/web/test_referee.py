"""A referee's form in a test client and in a browser."""

from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select
from werkzeug.test import TestResponse

from provider.core.kinds.check import Check
from provider.core.kinds.check.tables.referee_request import LINK_LIFETIME, RefereeRequest
from provider.delivery import Dispatcher
from provider.outbox import Message, QueueName
from provider.services import Services
from tests import check_factories, check_outside_factories, factories
from tests.check_outside_factories import (
    REFEREE_LINES,
    REFEREE_SCREENING,
    read_requests,
    task_state,
)
from tests.conftest import LiveServer
from tests.factories import ManualClock, queue_names
from tests.web.accessibility import AccessibilityChecker

ANSWERS = {
    "knows": "Since 2015",
    "work": "Bread",
    "strengths": "Patience",
    "improve": "Nothing",
    "again": "yes",
}
TASK = "references"
CHOICE = {
    "key": "pace",
    "text": "How fast?",
    "kind": "choice",
    "options": ["Fast", "Slow"],
}


@pytest.fixture
def check(services: Services) -> str:
    return check_outside_factories.place_consented_check(services, REFEREE_SCREENING)


def link(services: Services, public_id: str, number: int = 0) -> str:
    return f"/f/{read_requests(services, public_id)[number].get_token(services.secret_box)}"


def submit(client: FlaskClient, path: str, page: str = "", **form: Any) -> TestResponse:
    token = factories.csrf_token(client.get(page or path).text)
    return client.post(path, data={"csrf_token": token, **form}, follow_redirects=True)


def states(services: Services, public_id: str) -> list[str]:
    return [request.state for request in read_requests(services, public_id)]


def test_page_names_candidate_and_nothing_else(
    services: Services, client: FlaskClient, check: str
) -> None:
    page = unescape(client.get(link(services, check)).text)
    assert "Questions about Lakita Marrero" in page
    assert "Rosa Vinter" in page
    for secret in ("Quux", "1990", "gmail", "Operations Manager", "Omar", "References", check):
        assert secret not in page


def test_get_starts_nothing(services: Services, client: FlaskClient, check: str) -> None:
    for _ in range(2):
        response = client.get(link(services, check))
        assert response.headers["Referrer-Policy"] == "no-referrer"
    assert client.get(f"{link(services, check)}/decline").status_code == 200
    assert client.get(f"{link(services, check)}/unknown").status_code == 404
    assert states(services, check) == ["sent", "sent"]


def test_answers_are_stored_once(services: Services, client: FlaskClient, check: str) -> None:
    path = link(services, check)
    token = factories.csrf_token(client.get(path).text)
    for patience in ("Patience", "Another"):
        form = ANSWERS | {"csrf_token": token, "strengths": patience}
        response = client.post(path, data=form, follow_redirects=True)
        assert "Your answers have been sent" in response.text
    answers = read_requests(services, check)[0].get_answers(services.secret_box)
    assert "Patience" in {answer.answer for answer in answers}
    assert states(services, check) == ["answered", "sent"]


def test_missing_answer_keeps_what_was_typed(
    services: Services, client: FlaskClient, check: str
) -> None:
    response = submit(client, link(services, check), **(ANSWERS | {"again": "", "work": "Rye"}))
    assert response.status_code == 400
    assert "Something is still missing" in response.text
    assert "Rye" in response.text
    assert states(services, check) == ["sent", "sent"]


def test_form_without_cookie_keeps_what_was_typed(
    services: Services, client: FlaskClient, check: str
) -> None:
    response = client.post(link(services, check), data=ANSWERS)
    assert response.status_code == 400
    assert "Please press the button again" in response.text
    assert "Patience" in response.text
    assert submit(client, link(services, check), **ANSWERS).status_code == 200
    assert states(services, check) == ["answered", "sent"]


def test_referee_may_decline(services: Services, client: FlaskClient, check: str) -> None:
    path = f"{link(services, check)}/decline"
    for _ in range(2):
        response = submit(client, path, page=link(services, check, 1))
        assert "You have declined" in response.text
    assert states(services, check) == ["declined", "sent"]


@pytest.mark.parametrize("end", ["expired", "revoked", "cancelled", "outcome"])
def test_link_that_has_ended_says_so(
    services: Services, client: FlaskClient, clock: ManualClock, check: str, end: str
) -> None:
    path, other = link(services, check), link(services, check, 1)
    token = factories.csrf_token(client.get(path).text)
    with services.db.writing() as session:
        order = Check.find(session, check, lock=True)
        if end == "revoked":
            session.scalars(select(RefereeRequest)).first().settle("revoked", clock.now())  # type: ignore[union-attr]
        elif end == "cancelled":
            order.cancel(session, "sam", "", clock.now())
        elif end == "outcome":
            order.record_finding(
                session, services.secret_box, TASK, "clear", "", "sam", clock.now()
            )
    if end == "expired":
        clock.advance(LINK_LIFETIME)
    for suffix in ("", "/decline"):
        response = client.post(
            path + suffix, data=ANSWERS | {"csrf_token": token}, follow_redirects=True
        )
        assert "These questions are closed" in response.text
    assert ("Send the answers" in client.get(other).text) == (end == "revoked")
    assert read_requests(services, check)[0].answers_encrypted is None


def test_unknown_token_gets_404(client: FlaskClient, check: str) -> None:
    for token in ("nothing", "x" * 43, "%00"):
        for suffix in ("", "/decline"):
            assert client.get(f"/f/{token}{suffix}").status_code == 404
            assert client.post(f"/f/{token}{suffix}").status_code == 404


def test_email_has_link_and_candidates_name_only(
    services: Services, client: FlaskClient, check: str
) -> None:
    dispatcher = Dispatcher(services)
    dispatcher.drain(*queue_names(services, channel="email"))
    dispatcher.stop()
    with services.db.reading() as session:
        messages = session.scalars(
            select(Message).where(Message.topic == "referee request").order_by(Message.id)
        ).all()
        bodies = [message.get_body(services.secret_box) or b"" for message in messages]
        assert {message.state for message in messages} == {"delivered"}
        assert {QueueName.parse(message.queue).channel for message in messages} == {"email"}
    assert b"To: rosa.vinter@former.example" in bodies[0]
    token = link(services, check).removeprefix("/f/").encode()
    text = b"".join(line.removesuffix(b"=") for line in bodies[0].split(b"\r\n"))
    assert token in text
    assert b"Lakita Marrero" in text
    for secret in (b"Quux", b"gmail", b"Operations Manager", check.encode()):
        assert secret not in text


def test_refused_address_is_a_failure_for_staff(services: Services, check: str) -> None:
    with services.db.writing() as session:
        account = Check.find(session, check).account
        account.sandbox = True
        Check.find(session, check).candidate.email = "bounce@example.com"
    dispatcher = Dispatcher(services)
    dispatcher.drain(*queue_names(services, channel="email"))
    dispatcher.stop()
    assert states(services, check) == ["bounced", "bounced"]
    assert task_state(services, check, TASK) == "error"


def place_live_check(live_server: LiveServer) -> str:
    account_id, _ = factories.create_account(
        live_server.services, sandbox=True, timezone="Europe/Athens", branding={"colour": "#ffd400"}
    )
    questions = [
        {"key": "how", "text": "How was the work?"},
        {"key": "again", "text": "Again?", "kind": "yes_no"},
        CHOICE,
    ]
    package = check_factories.create_package(
        live_server.services, screenings=[REFEREE_SCREENING | {"questions": questions}]
    )
    public_id = factories.place_order(live_server.services, account_id, package, "check")
    check_factories.give_consent(live_server.services, public_id, referees=REFEREE_LINES)
    return public_id


def test_form_without_scripts_at_320_px_completes(
    live_server: LiveServer, browser: Browser
) -> None:
    public_id = place_live_check(live_server)
    context = browser.new_context(
        java_script_enabled=False, viewport={"width": 320, "height": 600}, locale="de"
    )
    page = context.new_page()
    page.goto(live_server.url + link(live_server.services, public_id))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Lakita Marrero")
    assert page.locator("html").get_attribute("lang") == "de"
    page.get_by_label("How was the work?").fill("Good")
    page.locator("form button").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("How was the work?")).to_have_value("Good")
    page.locator("input[name=again][value=no]").check()
    page.get_by_label("Slow").check()
    page.locator("form button").click()
    expect(page.locator("form")).to_have_count(0)
    request = read_requests(live_server.services, public_id)[0]
    answers = request.get_answers(live_server.services.secret_box)
    assert [answer.answer for answer in answers] == ["Good", "no", "Slow"]
    context.close()


@pytest.mark.parametrize("locale", ["en", "ar"])
def test_pages_have_no_accessibility_problems(
    live_server: LiveServer, browser: Browser, locale: str
) -> None:
    public_id = place_live_check(live_server)
    context = browser.new_context(viewport={"width": 320, "height": 600}, locale=locale)
    page: Page = context.new_page()
    checker = AccessibilityChecker(page)
    path = live_server.url + link(live_server.services, public_id)
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    checker.check_page("questions")
    with page.expect_navigation():
        page.locator("form button").click()
    checker.check_page("questions with problems")
    page.goto(f"{path}/decline")
    checker.check_page("decline")
    with page.expect_navigation():
        page.locator("form button").click()
    checker.check_page("declined")
    assert checker.problems == []
    context.close()
