"""A check in a browser: by keyboard, without scripts, and its accessibility."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from provider.core.kinds.check import Check
from provider.core.staff import complete_sign_in
from provider.services import Services
from tests import check_factories, factories
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker

SAMPLE_DISCLOSURE = check_factories.PACKAGE_CONTENT["disclosure"] | {
    "sample": True,
    "key": "sample",
}


def tab_to(page: Page, name: str, max_presses: int = 60) -> None:
    """Press Tab until the element with this name has the focus."""
    for _ in range(max_presses):
        page.keyboard.press("Tab")
        text = page.evaluate(
            "(document.activeElement.labels?.[0] ?? document.activeElement).innerText.trim()"
        )
        if re.fullmatch(name, text):
            return
    pytest.fail(f"Tab never reached {name}")


def place_check(live_server: LiveServer, **fields: Any) -> str:
    # The brightest colour that an account can have: every text must be legible in it.
    account_id, _ = factories.create_account(
        live_server.services, sandbox=True, timezone="Europe/Athens", branding={"colour": "#ffd400"}
    )
    product = check_factories.create_package(live_server.services, **fields)
    return factories.place_order(live_server.services, account_id, product, "check")


def sign_in(page: Page, live_server: LiveServer) -> None:
    factories.create_staff(live_server.services)
    with live_server.services.db.writing() as session:
        cookie = complete_sign_in(
            session, "sam@provider.test", "127.0.0.1", live_server.clock.now()
        )
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": live_server.url}])


def stored_details(services: Services, public_id: str) -> dict[str, str]:
    with services.db.reading() as session:
        return Check.find(session, public_id).decrypt_details(services.secret_box)


def test_consent_form_by_keyboard_completes(live_server: LiveServer, page: Page) -> None:
    public_id = place_check(live_server)
    page.goto(factories.invitation_url(live_server.services, public_id))
    tab_to(page, "Read and decide")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Do you agree?")).to_be_visible()
    tab_to(page, "Full legal name")
    page.keyboard.type("Lakita Marrero")
    page.keyboard.press(
        "Enter"
    )  # too early: the page lists what is missing, and keeps what was typed
    expect(page.get_by_role("alert")).to_contain_text("Some things are still missing")
    tab_to(page, "Please fill in: Date of birth")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Date of birth")).to_be_focused()
    page.keyboard.type("02281990")
    tab_to(page, "Last two employers")
    page.keyboard.type("Bakery, Athens")
    page.keyboard.press("Enter")
    page.keyboard.type("Laundry, Patras")
    tab_to(page, "Type your full name to agree")
    page.keyboard.type("Lakita Marrero")
    tab_to(page, "I agree")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What happens next")).to_be_visible()
    assert stored_details(live_server.services, public_id) == {
        "full_name": "Lakita Marrero",
        "date_of_birth": "1990-02-28",
        "employers": "Bakery, Athens\nLaundry, Patras",
    }


def test_consent_form_without_scripts_completes(live_server: LiveServer, browser: Browser) -> None:
    public_id = place_check(live_server)
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.goto(factories.invitation_url(live_server.services, public_id))
        page.get_by_role("link", name="Read and decide").click()
        page.get_by_label("Last two employers").fill("One\nTwo")
        page.get_by_role("button", name="I agree").click()
        expect(page.get_by_role("alert")).to_contain_text("Please fill in: Full legal name")
        expect(page.get_by_label("Last two employers")).to_have_value("One\nTwo")
        page.get_by_label("Full legal name").fill("Lakita Marrero")
        page.get_by_label("Date of birth").fill("1990-02-28")
        page.get_by_label("Type your full name to agree").fill("Lakita Marrero")
        page.get_by_role("button", name="I agree").click()
        expect(page.get_by_role("heading", name="What happens next")).to_be_visible()
    assert factories.order_status(live_server.services, public_id) == "consented"


def test_candidate_check_pages_are_accessible(live_server: LiveServer, page: Page) -> None:
    checker = AccessibilityChecker(page, in_turn=True)
    public_id = place_check(live_server, disclosure=SAMPLE_DISCLOSURE)
    page.goto(factories.invitation_url(live_server.services, public_id))
    checker.check_page("invited")
    page.get_by_role("link", name="Read and decide").click()
    page.wait_for_url("**/consent")
    checker.check_page("form")
    page.get_by_role("button", name="I agree").click()
    expect(page.get_by_role("alert")).to_be_visible()
    checker.check_page("missing")
    page.get_by_role("link", name="I do not agree").click()
    page.wait_for_url("**/decline")
    checker.check_page("decline")
    check_factories.give_consent(live_server.services, public_id)
    page.goto(f"{live_server.url}/c/o/{public_id}/")
    checker.check_page("consented")
    check_factories.record_findings(live_server.services, public_id)
    check_factories.complete_check(live_server.services, public_id)
    page.reload()
    checker.check_page("completed")
    assert checker.problems == []


def test_console_check_pages_are_accessible(live_server: LiveServer, page: Page) -> None:
    checker = AccessibilityChecker(page, in_turn=True)
    public_id = place_check(live_server, disclosure=SAMPLE_DISCLOSURE)
    sign_in(page, live_server)
    console = f"{live_server.url}/console/checks/{public_id}/"
    page.goto(console)
    checker.check_page("console waiting")
    check_factories.give_consent(live_server.services, public_id)
    page.goto(f"{live_server.url}/console/orders/{public_id}")
    checker.check_page("console order")
    page.get_by_role("link", name="Work on the screenings").click()
    page.wait_for_url(console)
    checker.check_page("console check")
    page.get_by_role("link", name="Show details…").click()
    page.wait_for_url("**/details")
    checker.check_page("console masked")
    page.get_by_label("Reason", exact=True).select_option("screening")
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_text("Zyxwv Bakery")).to_be_visible()
    checker.check_page("console shown")
    page.get_by_role("link", name="Back to the check").click()
    page.wait_for_url(console)
    page.get_by_label("Private note").nth(1).fill("Something")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    checker.check_page("console wrong")
    check_factories.record_findings(live_server.services, public_id)
    page.goto(console + "complete")
    checker.check_page("console complete")
    check_factories.complete_check(live_server.services, public_id)
    page.goto(console)
    checker.check_page("console completed")
    assert checker.problems == []


def test_console_check_by_keyboard_completes(live_server: LiveServer, page: Page) -> None:
    public_id = place_check(live_server)
    check_factories.give_consent(live_server.services, public_id)
    sign_in(page, live_server)
    page.goto(f"{live_server.url}/console/orders/{public_id}")
    tab_to(page, "Work on the screenings")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Screenings")).to_be_visible()
    for choice in ("Clear", "To consider", "Clear"):
        tab_to(page, "Clear")
        page.keyboard.press("Space")
        if choice == "To consider":
            page.keyboard.press("ArrowDown")
            page.keyboard.press("Tab")  # to the text in the report
            page.keyboard.type("One employer names another year.")
    tab_to(page, "Save and complete…")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row", name="Overall result")).to_contain_text("To consider")
    tab_to(page, "Complete and notify the ATS")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The check is completed.")
    with live_server.services.db.reading() as session:
        result = Check.find(session, public_id).result
        assert result
        assert result.figures["overall_status"] == "consider"
