"""The landing page in a browser: the start on a phone, and what may be done before it."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import factories
from tests.conftest import LiveServer
from tests.core.orders.test_accommodation import decide_on
from tests.web.accessibility import AccessibilityChecker

PHONE_WIDTH, PHONE_HEIGHT = 360, 640
LONG_NAME = "Numerical, verbal and logical reasoning for shift leaders in logistics"
CONTENTS = {
    "assessment": factories.TEST_CONTENT,
    "interview": factories.INTERVIEW_CONTENT,
    "check": factories.PACKAGE_CONTENT,
}
START_LABELS = {
    "assessment": "Start the test",
    "interview": "Try camera and microphone",
    "check": "Read and decide",
}


def place_order(live_server: LiveServer, kind: str) -> str:
    account_id, _ = factories.create_account(live_server.services)
    content = CONTENTS[kind] | {"description": "A long description. " * 40}
    product = factories.create_product(live_server.services, kind, content, "long", LONG_NAME)
    return factories.place_order(
        live_server.services, account_id, product, kind, job_title="Shift leader " * 10
    )


@pytest.mark.parametrize("kind", START_LABELS)
def test_start_is_reached_without_scrolling_on_a_phone(
    live_server: LiveServer, page: Page, kind: str
) -> None:
    page.set_viewport_size({"width": PHONE_WIDTH, "height": PHONE_HEIGHT})
    page.goto(factories.invitation_url(live_server.services, place_order(live_server, kind)))
    role = "button" if kind == "assessment" else "link"
    start = page.get_by_role(role, name=START_LABELS[kind])  # type: ignore[arg-type]
    box = start.bounding_box()
    assert box
    assert page.evaluate("scrollY") == 0
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= PHONE_HEIGHT
    assert box["x"] + box["width"] <= PHONE_WIDTH
    # No other element lies over it.
    start.click(trial=True)
    privacy = page.get_by_text("Nothing tracks you.")
    expect(privacy).to_be_hidden()
    page.get_by_role("heading", name="What happens with your data").click()
    expect(privacy).to_be_visible()


@pytest.mark.parametrize("kind", START_LABELS)
def test_landing_is_accessible_folded_and_open(
    live_server: LiveServer, page: Page, kind: str
) -> None:
    page.goto(factories.invitation_url(live_server.services, place_order(live_server, kind)))
    checker = AccessibilityChecker(page)
    checker.check_page("folded")
    page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
    checker.check_page("open")
    assert checker.problems == []


def test_name_and_accommodation_by_keyboard_are_accessible(
    live_server: LiveServer, page: Page
) -> None:
    services, order_id = live_server.services, place_order(live_server, "interview")
    page.goto(factories.invitation_url(services, order_id))
    checker = AccessibilityChecker(page)
    page.get_by_role("link", name="Correct your name").press("Enter")
    checker.check_page("name")
    page.get_by_label("Last name").fill("")
    page.get_by_label("First name").fill("")
    page.get_by_label("First name").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Please write your name")
    checker.check_page("name without a name")
    page.get_by_label("First name").fill("Ana")
    page.get_by_label("First name").press("Enter")
    expect(page.get_by_text("Your name: Ana")).to_be_visible()
    page.get_by_role("link", name="Ask for more time").press("Enter")
    checker.check_page("accommodation")
    page.get_by_role("button", name="Send the request").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Please choose or write what you need")
    page.get_by_role("radio", name="50%").press("Space")
    page.get_by_role("radio", name="by telephone").press("Space")
    page.get_by_label("Minutes for pauses").fill("10")
    page.get_by_label("Something else").fill("I read slowly")
    page.get_by_role("button", name="Send the request").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Another way: by telephone")
    checker.check_page("asked")
    decide_on(services, order_id, percent=50, other_way="telephone", text="We call you.")
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("We call you.")
    checker.check_page("granted")
    decide_on(services, order_id, is_granted=False, text="It must be live.")
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("It must be live.")
    checker.check_page("refused")
    assert checker.problems == []


def test_accommodation_is_asked_for_without_scripts(
    live_server: LiveServer, browser: Browser
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(factories.invitation_url(live_server.services, place_order(live_server, "check")))
    page.get_by_role("link", name="Ask for what you need").click()
    page.get_by_label("Something else").fill("A call")
    page.get_by_role("button", name="Send the request").click()
    expect(page.get_by_role("status")).to_contain_text("A call")
    page.get_by_text("What happens with your data").click()
    expect(page.get_by_text("Nothing tracks you.")).to_be_visible()
    context.close()
