"""Answering a question of the staff in a browser: by keyboard, without scripts."""

import pytest
from playwright.sync_api import Browser, Page, expect

from provider.services import Services
from tests import check_factories, factories
from tests.check_work_factories import ANSWER, QUESTION, ask_candidate
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_check_browser import place_check, tab_to
from tests.web.console.test_check_work import task_state


def asked_check(live_server: LiveServer) -> str:
    public_id = place_check(live_server)
    check_factories.give_consent(live_server.services, public_id)
    ask_candidate(live_server.services, public_id)
    return public_id


def state(services: Services, public_id: str) -> str:
    return task_state(services, public_id)[0]


@pytest.mark.parametrize("scripts", [True, False])
def test_question_is_answered_by_keyboard(
    live_server: LiveServer, browser: Browser, scripts: bool
) -> None:
    public_id = asked_check(live_server)
    context = browser.new_context(
        viewport={"width": 320, "height": 700}, java_script_enabled=scripts
    )
    page = context.new_page()
    page.goto(factories.invitation_url(live_server.services, public_id))
    if not scripts:
        page.get_by_role("link", name="See the question").first.click()
        page.get_by_label("Your answer").fill(ANSWER)
        page.get_by_role("button", name="Send the answer").click()
    else:
        tab_to(page, "See the question")
        page.keyboard.press("Enter")
        expect(page.get_by_text(QUESTION)).to_be_visible()
        tab_to(page, "Your answer")
        page.keyboard.type(ANSWER)
        tab_to(page, "Send the answer")
        page.keyboard.press("Enter")
    expect(page.get_by_text("Thank you, your answer has been sent.")).to_be_visible()
    assert state(live_server.services, public_id) == "in progress"
    context.close()


def test_pages_with_a_question_are_accessible(live_server: LiveServer, page: Page) -> None:
    public_id = asked_check(live_server)
    checker = AccessibilityChecker(page, in_turn=True)
    page.goto(factories.invitation_url(live_server.services, public_id))
    expect(page.get_by_role("link", name="See the question").first).to_be_visible()
    checker.check_page()
    page.goto(f"{live_server.url}/c/o/{public_id}/questions")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_text("Write a text first")).to_be_visible()
    checker.check_page()
    assert checker.problems == []
