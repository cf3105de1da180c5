"""The demo's ATS in a browser, from the order to the report, and its appearance."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.demo.running_demo import RunningDemo, running_demo
from tests.web.accessibility import AccessibilityChecker


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningDemo]:
    with running_demo("--folder", str(tmp_path / "demo")) as demo:
        yield demo


def order_test(page: Page, candidate: str) -> None:
    page.get_by_role("link", name="Operations Manager").click()
    page.get_by_role("link", name=candidate).click()
    page.get_by_role("link", name="Order a test").click()
    page.get_by_label("Numerical Reasoning").check()
    page.get_by_role("button", name="Order").click()


def take_test(page: Page) -> None:
    """Start the test in the candidate's page, give one right answer and submit."""
    page.get_by_role("button", name="Start the test").click()
    page.wait_for_url("**/items/1")
    page.get_by_label("South").check()
    page.get_by_role("button", name="All questions").click()
    page.get_by_role("button", name="Submit my answers").click()
    page.get_by_role("button", name="Submit with").click()


def test_visitor_orders_test_and_opens_report(demo: RunningDemo, page: Page) -> None:
    checker = AccessibilityChecker(page)
    ats_url = demo.address("The ATS")
    page.goto(ats_url)
    checker.check_page("jobs")
    order_test(page, "Lakita Marrero")
    checker.check_page("candidate with an order")
    card = page.get_by_role("article")
    expect(card).to_contain_text("Waiting for Lakita Marrero")
    inbox = page.context.new_page()
    inbox.goto(demo.address("The inbox"))
    inbox.get_by_role("link", name="your test for Operations Manager").click()
    with page.context.expect_page() as opened:
        inbox.frame_locator("iframe").get_by_role("link", name="See the test").click()
    take_test(opened.value)
    # The page has not been loaded again since the order.
    expect(card.get_by_role("link", name="Open the report")).to_be_visible()
    expect(card.get_by_role("listitem").last).to_contain_text("Completed")
    expect(card.get_by_label("Result")).to_contain_text("of 100")
    checker.check_page("candidate with a result")
    with page.context.expect_page() as opened:
        card.get_by_role("link", name="Open the report").click()
    expect(opened.value.get_by_role("heading", name="Lakita Marrero")).to_be_visible()
    for name, url in {
        "job": "/jobs/operations-manager",
        "order": "/candidates/mei-lindqvist/order/interview",
        "error": "/candidates/nobody",
        "inbox": "/inbox",
    }.items():
        page.goto(ats_url + url)
        checker.check_page(name)
    page.get_by_role("link", name="your test is complete").click()
    # axe cannot enter a frame without scripts, and reports this in the console.
    page.locator("iframe").evaluate("frame => frame.remove()")
    checker.check_page("e-mail")
    assert checker.problems == []
