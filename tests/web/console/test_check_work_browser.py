"""An adjudicator's work on a check in a browser: by keyboard, on a phone and on a desktop."""

import re

import pytest
from playwright.sync_api import Page, expect

from provider.core.kinds.check import Check
from provider.core.kinds.check.questions import answer
from provider.core.staff import complete_sign_in
from provider.services import Services
from tests import factories
from tests.check_work_factories import ANSWER, QUESTION, RECORD_TEXT, SAM, consented_check
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_check_browser import tab_to
from tests.web.console.test_browser import url as url


def sign_in(services: Services, page: Page, url: str) -> None:
    factories.create_staff(services, SAM, "adjudicator")
    with services.db.writing() as session:
        cookie = complete_sign_in(session, SAM, "127.0.0.1", services.now())
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": url}])


def press(page: Page, name: str) -> None:
    """Go to a button, a link or a title by Tab, and press Enter."""
    tab_to(page, name, 120)
    page.keyboard.press("Enter")


def choose(page: Page, label: str, option: str) -> None:
    """Choose an option of a menu by its first letters."""
    tab_to(page, label, 120)
    page.keyboard.type(option)


@pytest.mark.parametrize("width", [360, 1280])
def test_adjudicator_decides_a_check_by_keyboard(
    services: Services, page: Page, url: str, width: int
) -> None:
    check_id = consented_check(services)
    sign_in(services, page, url)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{url}/console/")
    press(page, r"(?s)3\s+Screenings that wait for the staff")
    expect(page.get_by_role("heading", level=1)).to_have_text("Screenings")
    press(page, "Employment history")
    expect(page.get_by_role("heading", level=1)).to_have_text("Employment history")
    press(page, "Claim it")
    expect(page.get_by_role("button", name="Give it back")).to_be_visible()

    press(page, "Ask the candidate")
    tab_to(page, "Question", 120)
    page.keyboard.type(QUESTION)
    tab_to(page, "Ask the candidate", 120)
    page.keyboard.press("Enter")
    expect(page.get_by_text("The candidate gets an e-mail")).to_be_visible()
    expect(page.get_by_text("Waits for the candidate, clock stopped")).to_be_visible()
    with services.db.writing() as session:
        check = Check.find(session, check_id, lock=True)
        [question] = check.questions
        box, now = services.secret_box, services.now()
        answer(session, box, check, question.public_id, ANSWER, now)
    page.reload()
    expect(page.get_by_text(ANSWER)).to_be_visible()

    press(page, "Add a record")
    choose(page, "Kind", "Gap")
    choose(page, "Severity", "Low")
    tab_to(page, "Text in the report", 120)
    page.keyboard.type(RECORD_TEXT)
    press(page, "Add the record")
    expect(page.get_by_text(RECORD_TEXT)).to_be_visible()

    tab_to(page, "Clear", 120)
    page.keyboard.press("Space")
    press(page, "Save the outcome")
    expect(page.get_by_text("The outcome is saved.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Check of Lakita Marrero")
    overflow = page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow <= 0


def test_pages_of_screenings_are_accessible(services: Services, page: Page, url: str) -> None:
    check_id = consented_check(services)
    sign_in(services, page, url)
    base = f"{url}/console/checks/{check_id}"
    checker = AccessibilityChecker(page)
    page.goto(f"{url}/console/screenings/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Screenings")
    checker.check_page()
    page.goto(f"{base}/screenings/jobs/")
    for title in ("Ask the candidate", "Add a record"):
        page.locator("summary", has_text=re.compile(title)).click()
    checker.check_page()
    page.get_by_label("Kind").select_option("gap")
    page.get_by_label("Severity").select_option("low")
    page.locator("#field-public_text").fill(RECORD_TEXT)
    page.get_by_role("button", name="Add the record").click()
    page.get_by_role("link", name="Correct or remove").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Record of")
    checker.check_page()
    page.goto(f"{base}/add-screening/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Add a screening")
    checker.check_page()
    page.goto(f"{base}/")
    checker.check_page()
    assert checker.problems == []
