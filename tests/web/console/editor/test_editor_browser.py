"""An author makes a test in the browser from nothing, publishes it, and a candidate takes it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from provider.core.kinds.assessment import Assessment
from provider.core.products import Product
from provider.core.products.draft import working_content
from provider.core.staff import Staff, complete_sign_in
from provider.services import Services
from tests import factories
from tests.conftest import LiveServer
from tests.wait_for import wait_for
from tests.web.accessibility import AccessibilityChecker


@pytest.fixture
def author(page: Page, live_server: LiveServer) -> Page:
    """A browser in which an author is signed in."""
    services = live_server.services
    with services.db.writing() as session:
        staff = Staff(
            email="author@provider.test",
            role="author",
            password_hash="-",
            created_at=services.now(),
        )
        session.add(staff)
        session.flush()
        cookie = complete_sign_in(session, staff.email, "127.0.0.1", services.now())
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": live_server.url}])
    return page


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def add_question(page: Page, kind: str, prompt: str) -> None:
    page.get_by_label("New question").select_option(label=kind)
    press(page, "Add a question")
    page.get_by_label("Question", exact=True).fill(prompt)


def draft_content(services: Services) -> dict[str, Any]:
    with services.db.reading() as session:
        return working_content(session, session.scalars(select(Product)).one())


def fill_rows(page: Page, field: str, *rows: str) -> None:
    for index, text in enumerate(rows):
        page.locator(f"[name='{field}.{index}.text']").fill(text)


def test_author_makes_a_test_that_a_candidate_takes(author: Page, live_server: LiveServer) -> None:
    page, services = author, live_server.services
    checker = AccessibilityChecker(page, in_turn=True)
    page.goto(f"{live_server.url}/console/products/")
    page.get_by_role("link", name="New product").click()
    page.get_by_label("What you want to make").select_option(label="Test")
    page.get_by_label("Name").fill("Shop floor")
    press(page, "Create, and open the editor")
    expect(page.get_by_text("It should be provided.")).to_be_visible()

    press(page, "Add a section")
    page.get_by_label("Title").fill("At the till")
    press(page, "Save and close")

    # The script saves and shows the preview while the author writes.
    add_question(page, "Choice of one answer", "The printer is **out of paper**.")
    fill_rows(page, "options", "Refill it", "Leave it")
    page.locator("[name='options.0.correct']").check()
    expect(page.locator("[data-save-state]")).to_contain_text("Saved at")
    expect(page.locator(".field-error")).to_have_count(0)
    preview = page.frame_locator("iframe")
    expect(preview.locator("strong")).to_have_text("out of paper")
    expect(preview.get_by_role("radio", name="Refill it")).to_be_visible()
    expect(preview.locator(".choice").first).to_have_css("display", "flex")  # its style sheet
    expect(page.get_by_text("This part is complete.", exact=True)).to_be_visible()
    checker.check_page("question")
    press(page, "Save and close")

    add_question(page, "Number", "What is 17 + 25?")
    page.get_by_label("Right answer").fill("42")
    page.get_by_role("link", name="Editor").click()  # what is not saved yet is sent now
    wait_for(lambda: "'answer': 42" in str(draft_content(services)))
    add_question(page, "Ordering", "What comes first?")
    fill_rows(page, "options", "Greet", "Serve", "Thank")
    press(page, "Save and close")
    add_question(page, "Text with gaps", "Fill it in.")
    page.get_by_label("Text with gaps").fill("We open at {{hour}}.")
    page.locator("[name='gaps.0.accepted']").fill("nine\n9")
    page.locator("#row-gaps-0 > details > summary").click()
    page.locator("[name='gaps.0.key']").fill("hour")
    press(page, "Save and close")

    page.get_by_role("button", name="Move up: What is 17 + 25?").click()
    checker.check_page("outline")
    page.get_by_role("link", name="Check and publish").click()
    press(page, "Publish version 1")
    expect(page.get_by_text("Version 1 is published.")).to_be_visible()
    assert checker.problems == []

    take_test(page, live_server)
    with services.db.reading() as session:
        order = session.scalars(select(Assessment)).one()
        assert order.result
        assert order.result.score == 75  # all but the order


def take_test(page: Page, live_server: LiveServer) -> None:
    """Take the published test: the number is the first question now."""
    services = live_server.services
    account_id, _ = factories.create_account(services)
    with services.db.reading() as session:
        product_id = session.scalars(select(Product.public_id)).one()
    order_id = factories.place_order(services, account_id, product_id)
    page.goto(factories.invitation_url(services, order_id))
    press(page, "Start the test")
    page.get_by_label("Your answer").fill("42")
    press(page, "Next")
    page.get_by_label("Refill it").check()
    press(page, "Next")
    page.wait_for_url("**/items/3")
    press(page, "Next")
    page.wait_for_url("**/items/4")
    page.get_by_role("textbox", name="Gap 1").fill("9")
    press(page, "Check your answers")
    page.wait_for_url("**/overview")
    page.get_by_role("button", name="Submit").or_(page.get_by_role("link", name="Submit")).click()
    press(page, "Submit with 1 blank")
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()


def test_trial_shows_the_running_time_and_ends_by_itself(
    author: Page, live_server: LiveServer
) -> None:
    page, services = author, live_server.services
    checker = AccessibilityChecker(page, in_turn=True)
    product_id = factories.create_test(services, time_limit=1)
    page.goto(f"{live_server.url}/console/products/{product_id}/try")
    page.get_by_role("link", name="Start the trial").click()
    expect(page.locator("[data-time-left]")).to_have_text(re.compile(r"0:5\d|1:00"))
    expect(page.get_by_role("button", name="Hide the time")).to_be_visible()
    checker.check_page("trial")
    assert checker.problems == []
    live_server.clock.advance(timedelta(minutes=1))
    # The page asks the server for the time when the window gets the focus.
    page.evaluate("dispatchEvent(new Event('focus'))")
    page.wait_for_url("**/try/end")
    expect(page.get_by_text("the time is over.")).to_be_visible()
