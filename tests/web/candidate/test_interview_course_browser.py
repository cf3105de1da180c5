"""The course of an interview in a browser: introduction, practice, written answers, pause, closing.

The pages are used by keyboard on a narrow screen, in Arabic, and without scripts.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Page, Request, expect

from provider.core.kinds.interview import Interview
from provider.core.sample_video import webm
from provider.services import Services
from tests import factories
from tests.conftest import LiveServer
from tests.pictures import make_png
from tests.wait_for import wait_for
from tests.web.accessibility import AccessibilityChecker

QUESTIONS: list[dict[str, Any]] = [
    {
        "key": "letter",
        "text": "Write a sentence.",
        "answer": "text",
        "max_words": 5,
        "media": {"video": "anna.webm", "transcript": "Please write."},
    },
    {
        "key": "days",
        "text": "Which days?",
        "answer": "choice",
        "options": ["Weekdays", "Weekends", "Both"],
        "media": {"picture": "shop.png", "alt": "The shop"},
    },
    {"key": "paper", "text": "Send your certificate.", "answer": "file"},
]
CONTENT: dict[str, Any] = {
    "schema": 1,
    "questions": QUESTIONS,
    "introduction": {"text": "Welcome to **Groove**.", "media": {"video": "anna.webm"}},
    "practice": {"text": "What is your name?", "think_seconds": 5, "answer_seconds": 20},
    "closing": {"text": "We answer soon.", "media": {"video": "anna.webm"}},
    "time_limit": 60,
}
FILES = {"anna.webm": webm(), "shop.png": make_png()}
IS_PLAYABLE_SCRIPT = "video => video.videoWidth > 0 && video.readyState > 1"
PAPER = FilePayload(name="paper.pdf", mimeType="application/pdf", buffer=b"%PDF-1.7 certificate")


@pytest.fixture
def invited(live_server: LiveServer) -> str:
    services = live_server.services
    account_id, _ = factories.create_account(services, branding={"colour": "#ffd400"})
    template = factories.create_product(
        services, "interview", CONTENT, "course", "Course", files=FILES
    )
    return factories.place_order(services, account_id, template, "interview")


@pytest.fixture
def narrow_page(page: Page) -> Page:
    page.set_viewport_size({"width": 320, "height": 640})
    return page


def values(services: Services, public_id: str) -> dict[str, Any]:
    with services.db.reading() as session:
        order = Interview.find(session, public_id)
        return {answer.question: answer.value for answer in order.given_answers}


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.locator(f"{selector}:focus").count():
            return
    pytest.fail(f"Tab never reached {selector}")


def press_by_keyboard(page: Page, selector: str) -> None:
    tab_to(page, selector)
    page.keyboard.press("Enter")


class NarrowChecker:
    """Checks each page with axe, and that it is not wider than 320 pixels."""

    def __init__(self, page: Page) -> None:
        self.page, self.checker = page, AccessibilityChecker(page, in_turn=True)

    def check(self, name: str) -> None:
        self.page.set_viewport_size({"width": 320, "height": 640})
        is_wider = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not is_wider, f"{name} is wider than the screen"
        self.checker.check_page(name)
        self.page.set_viewport_size({"width": 320, "height": 640})
        self.page.emulate_media(color_scheme="light")


def test_course_is_taken_by_keyboard_on_a_narrow_screen(
    live_server: LiveServer, narrow_page: Page, invited: str
) -> None:
    page, services = narrow_page, live_server.services
    checker = NarrowChecker(page)
    page.goto(factories.invitation_url(services, invited))
    checker.check("landing")
    press_by_keyboard(page, ".start button")
    page.wait_for_url("**/introduction")
    checker.check("introduction")
    press_by_keyboard(page, "form .btn-primary")
    page.wait_for_url("**/practice")
    checker.check("practice")
    press_by_keyboard(page, "[data-start]")
    page.wait_for_url("**/questions/1")
    checker.check("text")
    tab_to(page, "textarea")
    page.keyboard.type("I like to work here")
    expect(page.locator("[data-saved=saved]")).to_be_visible()
    assert values(services, invited) == {"letter": "I like to work here"}
    page.reload()
    expect(page.locator("textarea")).to_have_value("I like to work here")
    press_by_keyboard(page, "button[value=next]")
    page.wait_for_url("**/questions/2")
    checker.check("choice")
    tab_to(page, "[type=radio]")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-saved=saved]")).to_be_visible()
    wait_for(lambda: values(services, invited).get("days") == "Weekends")
    press_by_keyboard(page, "button[value=next]")
    page.wait_for_url("**/questions/3")
    checker.check("file")
    page.locator("input[type=file]").set_input_files(PAPER)
    expect(page.get_by_text("paper.pdf (1 kB)")).to_be_visible()
    checker.check("file that is sent")
    press_by_keyboard(page, "button[value=next]")
    page.wait_for_url("**/answers")
    checker.check("overview")
    press_by_keyboard(page, ".pause button")
    expect(page.get_by_role("heading", name="The time is paused")).to_be_visible()
    checker.check("paused")
    press_by_keyboard(page, "main .btn-primary")
    page.wait_for_url("**/answers")
    press_by_keyboard(page, "main .btn-primary")
    expect(page.get_by_text("We answer soon.")).to_be_visible()
    checker.check("submitted")
    assert checker.checker.problems == []


def test_practice_answer_never_leaves_the_browser(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    page.goto(factories.invitation_url(live_server.services, invited))
    page.goto(f"{live_server.url}/c/o/{invited}/practice")
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    for button in ("Practise", "Practise again"):
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_text("What is your name?")).to_be_visible()
        page.get_by_role("button", name="Record now").click()
        expect(page.locator("[data-recording-sign]")).to_be_visible()
        expect(page.locator("[data-time]")).to_have_text(re.compile("0:1[0-8]"))
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.get_by_role("heading", name="Your practice answer")).to_be_focused()
        wait_for(lambda: page.locator("[data-replay]").evaluate(IS_PLAYABLE_SCRIPT))
    checker = NarrowChecker(page)
    checker.check("practice with an answer")
    assert checker.checker.problems == []
    assert [request.url for request in requests if not request.url.startswith("blob:")] == []
    stored = page.evaluate("indexedDB.databases().then(list => list.length)")
    assert stored == 0
    page.get_by_role("button", name="Start the interview").click()
    page.wait_for_url("**/questions/1")
    assert [
        key for key, _ in live_server.services.media.list_files() if "product-files" not in key
    ] == []


def test_practice_starts_and_ends_its_recording_by_itself(
    live_server: LiveServer, page: Page
) -> None:
    services = live_server.services
    practice = {"text": "Your name?", "think_seconds": 1, "answer_seconds": 10, "answer": "audio"}
    account_id, _ = factories.create_account(services)
    template = factories.create_product(
        services, "interview", CONTENT | {"practice": practice}, "c", "C", files=FILES
    )
    public_id = factories.place_order(services, account_id, template, "interview")
    page.goto(factories.invitation_url(services, public_id))
    page.goto(f"{live_server.url}/c/o/{public_id}/practice")
    page.get_by_role("button", name="Practise", exact=True).click()
    expect(page.locator("[data-recording-sign]")).to_be_visible()
    expect(page.locator("[data-step=replay]")).to_be_visible(timeout=20_000)


@pytest.fixture
def arabic_page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(locale="ar-EG", viewport={"width": 320, "height": 640})
    yield context.new_page()
    context.close()


def test_course_in_arabic_fits_a_narrow_screen(
    live_server: LiveServer, arabic_page: Page, invited: str
) -> None:
    page = arabic_page
    checker = NarrowChecker(page)
    page.goto(factories.invitation_url(live_server.services, invited))
    for name in ("introduction", "practice"):
        page.goto(f"{live_server.url}/c/o/{invited}/{name}")
        assert page.locator("html").get_attribute("dir") == "rtl"
        checker.check(name)
    page.locator("[data-start]").click()
    page.wait_for_url("**/questions/1")
    for path in ("questions/1", "questions/2", "questions/3", "answers"):
        page.goto(f"{live_server.url}/c/o/{invited}/{path}")
        checker.check(path)
    page.locator(".pause button").click()
    page.wait_for_url(f"**/{invited}/")
    checker.check("paused")
    assert checker.checker.problems == []


@pytest.fixture
def page_without_scripts(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_course_without_scripts_is_plain_forms(
    live_server: LiveServer, page_without_scripts: Page, invited: str
) -> None:
    page = page_without_scripts
    page.goto(factories.invitation_url(live_server.services, invited))
    page.locator(".start button").click()
    page.locator("main form .btn-primary").click()
    page.locator("[data-start]").click()
    page.locator("textarea").fill("One two three four five six")
    page.locator("button[value=next]").click()
    expect(page.get_by_text("This answer has 6 words. Shorten it to 5")).to_be_visible()
    page.locator("textarea").fill("One two")
    page.locator("button[value=next]").click()
    page.get_by_label("Both").check()
    page.locator("button[value=next]").click()
    page.locator("input[type=file]").set_input_files(PAPER)
    page.get_by_role("button", name="Send the file").click()
    expect(page.get_by_text("paper.pdf (1 kB)")).to_be_visible()
    page.locator("button[value=next]").click()
    page.get_by_role("button", name="Submit my answers").click()
    expect(page.get_by_text("Your interview has been submitted.")).to_be_visible()
