"""The invitation in a browser: only a person's act opens it, and a browser without cookies."""

import pytest
from playwright.sync_api import Page, expect

from provider.core.orders import Order
from tests import factories
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker


@pytest.fixture
def invited(live_server: LiveServer) -> str:
    account_id, _ = factories.create_account(live_server.services)
    product = factories.create_test(live_server.services)
    return factories.place_order(live_server.services, account_id, product)


def progress(live_server: LiveServer, public_id: str) -> str:
    with live_server.services.db.reading() as session:
        return Order.find(session, public_id).progress


def test_invitation_is_opened_by_a_touch_not_by_its_scripts(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    page.goto(factories.invitation_url(live_server.services, invited), wait_until="networkidle")
    page.evaluate("dispatchEvent(new KeyboardEvent('keydown'))")  # a script's act, as of a scanner
    page.mouse.move(0, 0)  # a browser without windows reports this position by itself
    page.mouse.move(0, 0)
    assert progress(live_server, invited) == "invited"
    with page.expect_response(f"**/{invited}/opened") as response:
        page.keyboard.press("Tab")
    assert response.value.status == 204
    assert progress(live_server, invited) == "opened"


def test_invitation_is_opened_by_a_moved_pointer(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    page.goto(factories.invitation_url(live_server.services, invited))
    page.mouse.move(0, 0)
    with page.expect_response(f"**/{invited}/opened"):
        page.mouse.move(80, 60)
    assert progress(live_server, invited) == "opened"


def test_page_for_a_browser_without_cookies_is_accessible(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    page.goto(factories.invitation_url(live_server.services, invited))
    page.context.clear_cookies()
    page.goto(f"{live_server.url}/c/o/{invited}/?cookie-check=1")
    expect(page.get_by_role("heading", name="Your browser keeps no cookies")).to_be_visible()
    checker = AccessibilityChecker(page)
    checker.check_page("no cookies")
    assert checker.problems == []
