"""The signals that the page of a test reports, in a browser; the pages that show them."""

from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from provider.core.kinds.assessment import Assessment
from provider.core.kinds.assessment.integrity_signals import (
    PageEvent,
    attempt_of,
    list_signals,
    record_events,
)
from provider.core.orders.given_time import to_milliseconds
from provider.core.staff import complete_sign_in
from tests import factories
from tests.conftest import LiveServer
from tests.wait_for import wait_for
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_assessment_browser import expect_save_state, press, start_test
from tests.web.report.test_pages import report_path

# A browser without windows never hides a page. The clock of the page goes on by `passedMs`.
HIDE = """([isHidden, passedMs]) => {
  const atMs = performance.now() + passedMs;
  performance.now = () => atMs;
  Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
PASTE = """text => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text", text);
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
}"""


def place(live_server: LiveServer, **content: Any) -> str:
    account_id, _ = factories.create_account(live_server.services)
    sections = [
        {
            "key": "long",
            "title": "Long questions",
            "items": [
                {"key": f"q{number}", "kind": "true_false", "prompt": "So? " * 200, "answer": True}
                for number in (1, 2)
            ],
        }
    ]
    test = factories.create_test(
        live_server.services, integrity={"record": True}, sections=sections, **content
    )
    return factories.place_order(live_server.services, account_id, test)


def sign_in_staff(live_server: LiveServer, page: Page) -> None:
    services = live_server.services
    factories.create_staff(services)
    with services.db.writing() as session:
        cookie = complete_sign_in(session, "sam@provider.test", "127.0.0.1", services.now())
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": live_server.url}])


def place_again(live_server: LiveServer, order_id: str) -> str:
    """Order the same test for the same person."""
    with live_server.services.db.reading() as session:
        order = Assessment.find(session, order_id)
        account_id, product = order.account_id, order.product.public_id
    url = "https://groove-tech.workable.com/assessments/2"
    return factories.place_order(live_server.services, account_id, product, callback_url=url)


def stored_types(live_server: LiveServer, order_id: str) -> list[str]:
    with live_server.services.db.reading() as session:
        order = Assessment.find(session, order_id)
        assert order.started_at
        return sorted(
            signal.type for signal in list_signals(session, order, attempt_of(order.started_at))
        )


def test_page_reports_signals_and_keeps_them_while_offline(
    live_server: LiveServer, page: Page
) -> None:
    checker = AccessibilityChecker(page, in_turn=True)
    order_id = place(live_server, feedback=True)
    page.goto(factories.invitation_url(live_server.services, order_id))
    checker.check_page()
    start_test(page, live_server, order_id)
    page.get_by_role("radio", name="True").check()
    expect_save_state(page)
    page.evaluate(PASTE, "the answer")
    page.context.set_offline(True)
    page.evaluate(HIDE, [True, 0])
    page.evaluate(HIDE, [False, 3000])
    page.context.set_offline(False)
    wait_for(lambda: "left" in stored_types(live_server, order_id))
    press(page, "Next")  # another page is no absence
    page.wait_for_url("**/items/2")
    press(page, "Check your answers")
    page.wait_for_url("**/overview")
    assert stored_types(live_server, order_id) == ["connection", "fast", "left", "pasted"]
    press(page, "Submit my answers")
    press(page, "Submit")
    expect(page.get_by_role("heading", name="Your own report")).to_be_visible()
    checker.check_page()
    offline = "net::ERR_INTERNET_DISCONNECTED"
    assert [problem for problem in checker.problems if offline not in problem] == []


def test_pages_of_signals_and_retakes_are_accessible(live_server: LiveServer, page: Page) -> None:
    order_id = place(live_server, retakes={"after_days": 30})
    factories.finish_test(live_server.services, order_id, {"q1": {"answer": "true"}})
    now = live_server.clock.now()
    with live_server.services.db.writing() as session:
        order = Assessment.find(session, order_id)
        event = PageEvent("left", to_milliseconds(now), 70_000)
        record_events(session, order, [event], now)
    again_id = place_again(live_server, order_id)
    sign_in_staff(live_server, page)
    checker = AccessibilityChecker(page, in_turn=True)
    paths = [
        report_path(live_server.services, order_id),
        urlsplit(factories.invitation_url(live_server.services, again_id)).path,
        f"/console/orders/{order_id}",
        f"/console/orders/{again_id}",
        f"/console/orders/{again_id}/allow-retake",
    ]
    for path in paths:
        page.goto(live_server.url + path)
        checker.check_page()
        page.set_viewport_size({"width": 320, "height": 640})
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), path
    assert checker.problems == []
