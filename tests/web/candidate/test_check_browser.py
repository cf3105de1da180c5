"""A check in a real browser: by keyboard alone, without scripts, for every eye, on every width."""

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

SAMPLE = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True, "key": "sample"}


def tab_to(page: Page, name: str, most: int = 60) -> None:
    """Press Tab until the focus is on what is called `name`."""
    for _ in range(most):
        page.keyboard.press("Tab")
        text = page.evaluate(
            "(document.activeElement.labels?.[0] ?? document.activeElement).innerText.trim()"
        )
        if re.fullmatch(name, text):
            return
    pytest.fail(f"no way to {name} with the Tab key")


def placed(live_server: LiveServer, **more: Any) -> str:
    # The brightest colour that an account could choose: all must still be legible in it.
    account_id, _ = factories.create_account(
        live_server.services, sandbox=True, timezone="Europe/Athens", branding={"colour": "#ffd400"}
    )
    product = check_factories.create_package(live_server.services, **more)
    return factories.place_order(live_server.services, account_id, product, "check")


def sign_in(page: Page, live_server: LiveServer) -> None:
    factories.create_staff(live_server.services)
    with live_server.services.db.writing() as session:
        cookie = complete_sign_in(
            session, "sam@provider.test", "127.0.0.1", live_server.clock.now()
        )
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": live_server.url}])


def kept(services: Services, public_id: str) -> dict[str, str]:
    with services.db.reading() as session:
        return Check.find(session, public_id).decrypt_details(services.secret_box)


def test_a_candidate_agrees_with_the_keyboard_alone(live_server: LiveServer, page: Page) -> None:
    public_id = placed(live_server)
    page.goto(factories.invitation_url(live_server.services, public_id))
    tab_to(page, "Read and decide")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Do you agree?")).to_be_visible()
    tab_to(page, "Full legal name")
    page.keyboard.type("Lakita Marrero")
    page.keyboard.press("Enter")  # too early: it says what is missing, and loses nothing
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
    assert kept(live_server.services, public_id) == {
        "full_name": "Lakita Marrero",
        "date_of_birth": "1990-02-28",
        "employers": "Bakery, Athens\nLaundry, Patras",
    }


def test_it_works_with_scripts_off(live_server: LiveServer, browser: Browser) -> None:
    public_id = placed(live_server)
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


def test_a_tour_of_a_candidate_s_check_finds_nothing_wrong(
    live_server: LiveServer, page: Page
) -> None:
    eye = AccessibilityChecker(page)
    public_id = placed(live_server, disclosure=SAMPLE)
    page.goto(factories.invitation_url(live_server.services, public_id))
    eye.check_page("invited")
    page.get_by_role("link", name="Read and decide").click()
    page.wait_for_url("**/consent")
    eye.check_page("form")
    page.get_by_role("button", name="I agree").click()
    expect(page.get_by_role("alert")).to_be_visible()
    eye.check_page("missing")
    page.get_by_role("link", name="I do not agree").click()
    page.wait_for_url("**/decline")
    eye.check_page("decline")
    check_factories.give_consent(live_server.services, public_id)
    page.goto(f"{live_server.url}/c/o/{public_id}/")
    eye.check_page("consented")
    check_factories.record_findings(live_server.services, public_id)
    check_factories.complete_check(live_server.services, public_id)
    page.reload()
    eye.check_page("completed")
    assert eye.problems == []


def test_a_tour_of_a_check_at_the_console_finds_nothing_wrong(
    live_server: LiveServer, page: Page
) -> None:
    eye = AccessibilityChecker(page)
    public_id = placed(live_server, disclosure=SAMPLE)
    sign_in(page, live_server)
    console = f"{live_server.url}/console/checks/{public_id}/"
    page.goto(console)
    eye.check_page("console waiting")
    check_factories.give_consent(live_server.services, public_id)
    page.goto(f"{live_server.url}/console/orders/{public_id}")
    eye.check_page("console order")
    page.get_by_role("link", name="Work on the screenings").click()
    page.wait_for_url(console)
    eye.check_page("console check")
    page.get_by_role("button", name="Show it").click()
    expect(page.get_by_text("Zyxwv Bakery")).to_be_visible()
    eye.check_page("console shown")
    page.get_by_label("Private note").nth(1).fill("Something")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    eye.check_page("console wrong")
    check_factories.record_findings(live_server.services, public_id)
    page.goto(console + "complete")
    eye.check_page("console complete")
    check_factories.complete_check(live_server.services, public_id)
    page.goto(console)
    eye.check_page("console completed")
    assert eye.problems == []


def test_staff_enter_and_complete_with_the_keyboard_alone(
    live_server: LiveServer, page: Page
) -> None:
    public_id = placed(live_server)
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
    tab_to(page, "Save and complete…")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row", name="The check as a whole")).to_contain_text("To consider")
    tab_to(page, "Complete and tell the ATS")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The check is completed.")
    with live_server.services.db.reading() as session:
        result = Check.find(session, public_id).result
        assert result
        assert result.figures["overall_status"] == "consider"
