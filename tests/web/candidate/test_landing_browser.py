"""The landing page on a phone: the button that starts is on the first screen."""

import pytest
from playwright.sync_api import Page, expect

from tests import factories
from tests.conftest import LiveServer
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
