"""A check in a browser: by keyboard, without scripts, and its accessibility."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from provider.core.kinds.check import Check
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.detail_groups import DETAIL_GROUPS as GROUPS
from provider.core.kinds.check.packages.detail_samples import SAMPLE_DETAILS
from provider.core.staff import complete_sign_in
from provider.services import Services
from tests import check_factories, factories
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker

SAMPLE_DISCLOSURE = check_factories.PACKAGE_CONTENT["disclosure"] | {
    "sample": True,
    "key": "sample",
}

LEGAL_TEXTS = [
    {
        "key": "policy",
        "version": "1",
        "purpose": "privacy",
        "title": "Privacy policy",
        "text": "We keep little.",
        "countries": ["GB"],
    },
    {
        "key": "permission",
        "version": "2",
        "purpose": "authorization",
        "title": "Authorization",
        "text": "I allow it.",
        "countries": ["GB"],
    },
]


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


def type_into(page: Page, name: str, text: str) -> None:
    """Move to the field with this label by Tab, and type."""
    tab_to(page, name)
    page.keyboard.type(text)


def press(page: Page, name: str) -> None:
    """Move to the button or link by Tab, and press Enter."""
    tab_to(page, name)
    page.keyboard.press("Enter")


def expect_heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def test_way_to_the_consent_at_320_px_by_keyboard_completes(
    live_server: LiveServer, page: Page
) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    public_id = place_check(live_server, legal_texts=LEGAL_TEXTS)
    page.goto(factories.invitation_url(live_server.services, public_id))
    press(page, "Read and decide")
    expect_heading(page, "Where do you live?")
    expect(page.get_by_label("Country")).to_have_value("GB")
    press(page, "Continue")
    expect(page.get_by_label("State or region")).to_be_visible()
    type_into(page, "State or region", "Scot")
    press(page, "Continue")
    expect_heading(page, "Disclosure")
    press(page, "Continue")
    expect_heading(page, "Privacy policy")
    press(page, "Continue")
    expect_heading(page, "Your names")
    type_into(page, "Family name optional", "Marrero")
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    press(page, "Save and continue")
    expect_heading(page, "Your date of birth")
    press(page, "Save and continue")  # too early: the review says that it is missing
    expect_heading(page, "Where you have worked")
    for number, employer in enumerate(("Zyxwv Bakery", "Xylofon Ltd")):
        if number:
            press(page, "Add an employer")
            expect(page.get_by_role("group", name="Employer 2")).to_be_visible()
            page.locator("#row-employers-1 input").first.focus()
            page.keyboard.type(employer)
        else:
            type_into(page, "Employer", employer)
        type_into(page, "Town", "Athens")
        type_into(page, "Country", "Greece")
        type_into(page, "Your role", "baker")
        type_into(page, "From", "03/2015")
        type_into(page, "May we ask them now\\?", "Yes")
    press(page, "Save and continue")
    expect_heading(page, "Check and sign")
    press(page, "Please fill in: Date of birth")
    expect_heading(page, "Your date of birth")
    type_into(page, "Date of birth", "02281990")
    press(page, "Save and continue")
    expect_heading(page, "Where you have worked")
    press(page, "Save and continue")
    expect_heading(page, "Check and sign")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    type_into(page, "Type your full name to agree", "Lakita Marrero")
    press(page, "I agree")
    expect(page.get_by_role("heading", name="What happens next")).to_be_visible()
    details = stored_details(live_server.services, public_id)
    assert details["full_name"] == "Marrero"
    assert [line.split(",")[0] for line in details["employers"].splitlines()] == [
        "Zyxwv Bakery",
        "Xylofon Ltd",
    ]


def test_way_to_the_consent_in_arabic_by_keyboard_completes(
    live_server: LiveServer, page: Page
) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    page.set_extra_http_headers({"Accept-Language": "ar"})
    screenings = [{"key": "names", "name": "Names", "asks": ["full_name", "date_of_birth"]}]
    public_id = place_check(live_server, screenings=screenings)
    page.goto(factories.invitation_url(live_server.services, public_id))
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    page.goto(f"{live_server.url}/c/o/{public_id}/consent")
    expect_heading(page, "إفصاح")
    press(page, "متابعة")
    expect_heading(page, "أسماؤك")
    page.get_by_label("اسم العائلة").focus()
    page.keyboard.type("ماريرو")
    page.keyboard.press("Enter")
    expect_heading(page, "تاريخ ميلادك")
    page.locator("input[type=date]").focus()
    page.keyboard.type("02281990")
    page.keyboard.press("Enter")
    expect_heading(page, "المراجعة والتوقيع")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.locator("#field-name").focus()
    page.keyboard.type("ماريرو")
    press(page, "أوافق")
    expect(page.get_by_text("ماريرو")).to_be_visible()
    assert factories.order_status(live_server.services, public_id) == "consented"


def test_way_to_the_consent_without_scripts_completes(
    live_server: LiveServer, browser: Browser
) -> None:
    screenings = [{"key": "home", "name": "Home", "asks": ["full_name", "address"]}]
    public_id = place_check(live_server, screenings=screenings)
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.goto(factories.invitation_url(live_server.services, public_id))
        page.get_by_role("link", name="Read and decide").click()
        page.get_by_role("button", name="Continue").click()
        page.get_by_label("Family name").fill("Marrero")
        page.get_by_role("button", name="Save and continue").click()
        expect(page.get_by_label("Country")).to_have_value("GR")
        page.get_by_label("Country").select_option("US")
        page.get_by_role("button", name="Show the fields of this country").click()
        page.get_by_label("State", exact=True).select_option("CA")
        page.get_by_label("Street and number").fill("1 Main Street")
        page.get_by_label("Town or city").fill("Fresno")
        page.get_by_label("ZIP code").fill("93650")
        page.get_by_label("You have lived here since").fill("2010-01")
        page.get_by_role("button", name="Save and continue").click()
        expect(page.get_by_text("1 Main Street, Fresno, California, 93650")).to_be_visible()
        page.get_by_label("Type your full name to agree").fill("Lakita Marrero")
        page.get_by_role("button", name="I agree").click()
        expect(page.get_by_role("heading", name="What happens next")).to_be_visible()
        page.get_by_role("link", name="Correct what you typed").click()
        page.get_by_role("link", name="Change: Your names").click()
        page.get_by_label("Family name").fill("")
        page.get_by_role("button", name="Save the correction").click()
        expect(page.get_by_text("Please fill in: Family name")).to_be_visible()
        page.get_by_label("Family name").fill("Marrero-Quux")
        page.get_by_role("button", name="Save the correction").click()
        expect(page.get_by_text("Marrero-Quux")).to_be_visible()
    assert factories.order_status(live_server.services, public_id) == "consented"


def test_typed_details_survive_leaving_the_page(live_server: LiveServer, page: Page) -> None:
    public_id = place_check(live_server)
    page.goto(factories.invitation_url(live_server.services, public_id))
    page.get_by_role("link", name="Read and decide").click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Family name").press_sequentially("Marrero")
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    page.goto(f"{live_server.url}/c/o/{public_id}/")
    page.get_by_role("link", name="Read and decide").click()
    expect_heading(page, "Your date of birth")
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_label("Family name")).to_have_value("Marrero")


def test_candidate_check_pages_are_accessible(live_server: LiveServer, page: Page) -> None:
    checker = AccessibilityChecker(page, in_turn=True)
    public_id = place_check(
        live_server,
        disclosure=SAMPLE_DISCLOSURE,
        legal_texts=LEGAL_TEXTS,
        screenings=[{"key": "all", "name": "All", "asks": list(DETAIL_FIELDS)}],
    )
    page.goto(factories.invitation_url(live_server.services, public_id))
    checker.check_page("invited")
    page.get_by_role("link", name="Read and decide").click()
    page.wait_for_url("**/country")
    checker.check_page("country")
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("State or region").select_option("SCT")
    for path in ("disclosure", "texts/privacy/policy", *(f"details/{name}" for name in GROUPS)):
        page.get_by_role("button", name=re.compile("ontinue")).last.click()
        page.wait_for_url(f"**/{path}")
        checker.check_page(path)
    page.get_by_role("button", name="Save and continue").click()
    page.wait_for_url("**/review")
    checker.check_page("review")
    page.get_by_role("button", name="I agree").click()
    expect(page.get_by_text("Please type your name to agree").first).to_be_visible()
    checker.check_page("missing")
    for name in ("addresses", "employers"):
        page.goto(f"{live_server.url}/c/o/{public_id}/consent/details/{name}?check=1")
        checker.check_page(f"{name} with problems")
    page.get_by_role("link", name="I do not agree").click()
    page.wait_for_url("**/decline")
    checker.check_page("decline")
    with live_server.services.db.writing() as session:
        check = Check.find(session, public_id)
        check.save_details(live_server.services.secret_box, SAMPLE_DETAILS)
    check_factories.give_consent(live_server.services, public_id)
    page.goto(f"{live_server.url}/c/o/{public_id}/")
    checker.check_page("consented")
    page.get_by_role("link", name="Correct what you typed").click()
    page.wait_for_url("**/corrections")
    checker.check_page("corrections")
    page.get_by_role("link", name="Change: Where you live").click()
    page.wait_for_url("**/corrections/addresses")
    checker.check_page("correction")
    check_factories.record_findings(live_server.services, public_id, {"all": "clear"})
    check_factories.complete_check(live_server.services, public_id)
    page.goto(f"{live_server.url}/c/o/{public_id}/")
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
