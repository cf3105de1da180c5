"""Every failure on the page of a question fits a small phone and is accessible, in Arabic too.

The camera's failures before the start are in `test_interview_before_browser.py`.
"""

import pytest
from playwright.sync_api import Browser, Page, expect

from provider.core.kinds.interview import Interview
from tests import factories
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker
from tests.web.recording import (
    expect_saved,
    order_interview,
    press,
    start_interview,
    wait_for_chunks,
)

QUESTIONS = [
    {"key": "why", "text": "Why us?", "think_seconds": 60, "answer_seconds": 90, "takes": 3}
]
FAILURES = (
    "not shown",
    "heard nothing",
    "device lost",
    "interrupted",
    "to review",
    "line is lost",
    "signed out",
    "too large",
    "broken take",
)
# Shows one failure as the scripts do, with the texts of the page's language.
SHOW_SCRIPT = """name => {
    const texts = JSON.parse(document.querySelector("[data-texts]").textContent);
    const find = selector => document.querySelector(selector);
    for (const step of document.querySelectorAll("[data-step]")) step.hidden = true;
    for (const part of ["show-failed", "watch", "failed", "broken", "problems"])
        find(`[data-${part}]`).hidden = true;
    const step = value => { find(`[data-step="${value}"]`).hidden = false; };
    const problem = (text, isFinal) => {
        step("uploading");
        find("[data-failed]").hidden = false;
        find("[data-failed-title]").textContent =
            isFinal ? texts.answerNotSaved : texts.answerNotSavedYet;
        find("[data-failed-text]").textContent = text;
        find("[data-give-up]").hidden = !isFinal;
        find('[data-action="retry-upload"]').hidden = isFinal;
        find("[data-saved]").textContent = isFinal ? texts.notSaved : texts.trying;
    };
    ({
        "not shown": () => {
            step("ready");
            find("[data-show-failed]").hidden = false;
            find("[data-show-failed-text]").textContent = texts.signedOutBeforeShow;
            find("[data-show-next]").hidden = false;
            find("[data-show-next]").href = "/";
        },
        "heard nothing": () => {
            step("live");
            find("[data-watch]").hidden = false;
            find("[data-watch]").textContent = texts.hearNothing + " " + texts.mutedSound;
            find("[data-saved]").textContent = texts.recordingOffline;
        },
        "device lost": () => {
            find("[data-problems]").hidden = false;
            find('[data-problem="stopped"]').hidden = false;
        },
        "interrupted": () => step("kept"),
        "to review": () => {
            step("review");
            find("[data-review-title]").textContent = texts.heardNothing;
            find("[data-review-text]").textContent = texts.leftPage + " " + texts.deviceEnded;
        },
        "line is lost": () => problem(texts.connectionLost, false),
        "signed out": () => problem(texts.signedOut, false),
        "too large": () => problem(texts.tooLarge, true),
        "broken take": () => {
            step("ready");
            find("[data-broken]").hidden = false;
            find("[data-broken-link]").href = "/";
        },
    })[name]();
}"""


@pytest.fixture
def invited(live_server: LiveServer) -> str:
    return order_interview(live_server.services, QUESTIONS)


@pytest.mark.parametrize("locale", ["en", "ar"])
def test_failures_of_a_question_fit_a_small_phone_and_are_accessible(
    live_server: LiveServer, browser: Browser, invited: str, locale: str
) -> None:
    services = live_server.services
    with browser.new_context(locale=locale) as context:
        page = context.new_page()
        page.goto(factories.invitation_url(services, invited))
        with services.db.writing() as session:
            Interview.find(session, invited).start(session, services.now())
        page.goto(f"{live_server.url}/c/o/{invited}/questions/1")
        assert page.evaluate("document.documentElement.dir") == ("rtl" if locale == "ar" else "ltr")
        checker = AccessibilityChecker(page, in_turn=True)
        for name in FAILURES:
            page.evaluate(SHOW_SCRIPT, name)
            shown = page.locator("[data-step]:visible, [data-problem]:visible")
            expect(shown).to_have_count(1)
            page.set_viewport_size({"width": 320, "height": 640})
            assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), name
            checker.check_page(f"{locale} {name}")
        page.goto(f"{live_server.url}/c/o/{invited}/answers")
        page.evaluate("document.querySelector('[data-unsent]').hidden = false")
        page.set_viewport_size({"width": 320, "height": 640})
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
        checker.check_page(f"{locale} unsent answer")
        assert checker.problems == []


def test_recording_asks_the_browser_to_keep_what_is_stored(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    page.add_init_script(
        "window.asked = [];"
        "navigator.storage.persist = async () => { asked.push('persist'); return true; };"
        "const begin = IDBDatabase.prototype.transaction;"
        "IDBDatabase.prototype.transaction = function(stores, mode, options) {"
        "  if (mode === 'readwrite') asked.push(options?.durability);"
        "  return begin.call(this, stores, mode, options); };"
    )
    start_interview(page, live_server.services, invited)
    press(page, "Show the question")
    press(page, "Record now")
    wait_for_chunks(page, 2)
    assert set(page.evaluate("asked")) == {"persist", "strict"}
    press(page, "Stop and save")
    expect_saved(page)
    expect(page.locator("[data-step=saved] article")).to_have_count(1)
