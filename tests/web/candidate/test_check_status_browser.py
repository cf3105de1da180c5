"""The status page of a check and a dispute: at 320 px, by keyboard alone, in two languages."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from provider.core.kinds.check.disputes import answer_dispute, find_dispute
from provider.texts import gettext, use_language
from tests import check_factories, factories
from tests.check_status_factories import (
    RECORD_TEXT,
    add_record,
    dispute,
    has_open_dispute,
    set_case,
)
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_check_browser import place_check, sign_in, tab_to

pytestmark = pytest.mark.machine_time

NARROW_PIXELS = 320
WRITTEN = {"en": "It was somebody else", "ar": "كان ذلك شخصًا آخر"}


def complete(server: LiveServer, public_id: str) -> None:
    add_record(server.services, public_id)
    check_factories.record_findings(server.services, public_id)
    check_factories.complete_check(server.services, public_id)


def fits(page: Page) -> bool:
    width = page.evaluate("document.documentElement.scrollWidth")
    return bool(width <= NARROW_PIXELS)


def press(page: Page, name: str) -> None:
    """Go to a link or a button by the keyboard, and press it."""
    tab_to(page, name)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("language", ["en", "ar"])
def test_status_page_and_dispute_work_by_keyboard_at_320_pixels(
    live_server: LiveServer, browser: Browser, language: str
) -> None:
    services = live_server.services
    public_id = place_check(live_server)
    check_factories.give_consent(services, public_id)
    set_case(services, public_id, country="US")
    viewport = {"width": NARROW_PIXELS, "height": 640}
    with use_language(language):
        texts = {
            name: re.escape(gettext(name))
            for name in ("Send me e-mails", "Stop these e-mails", "Read the report", "Send", "Back")
        }
        for name in (
            "It is about somebody else",
            "Please describe it",
            "Retract what you disputed",
        ):
            texts[name] = re.escape(gettext(name))
        link = gettext(
            'Something is wrong here<span class="visually-hidden">: %(name)s</span>', name="X"
        )
        wrong = re.escape(link.partition("<")[0])
    with browser.new_context(locale=language, viewport=viewport) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.goto(factories.invitation_url(services, public_id))
        expect(page.locator(".screening-list > li")).to_have_count(3)
        assert fits(page)
        assert page.locator("html").get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
        press(page, texts["Send me e-mails"])
        expect(
            page.get_by_role("button", name=re.compile(texts["Stop these e-mails"]))
        ).to_be_visible()
        complete(live_server, public_id)
        page.reload()
        expect(page.get_by_text(RECORD_TEXT)).to_be_visible()
        assert fits(page)
        press(page, texts["Read the report"])
        page.wait_for_url("**/check/report")
        assert fits(page)
        press(page, texts["Back"])
        page.wait_for_url(f"**/o/{public_id}/")
        press(page, f"(?s){wrong}.*")
        page.wait_for_url("**/check/disputes/*")
        assert fits(page)
        press(page, texts["Send"])  # too early: the page says what is missing
        expect(page.get_by_role("alert")).to_be_visible()
        tab_to(page, texts["It is about somebody else"])
        page.keyboard.press("Space")
        tab_to(page, texts["Please describe it"])
        page.keyboard.type(WRITTEN[language])
        press(page, texts["Send"])
        expect(page.get_by_text(WRITTEN[language])).to_be_visible()
        assert fits(page)
        assert has_open_dispute(services, public_id, "identity")
        press(page, texts["Retract what you disputed"])
        expect(page.locator(".screening-dispute form")).to_have_count(0)
    assert not has_open_dispute(services, public_id, "identity")


def test_status_page_and_dispute_pages_are_accessible(live_server: LiveServer, page: Page) -> None:
    services = live_server.services
    checker = AccessibilityChecker(page)
    public_id = place_check(live_server)
    check_factories.give_consent(services, public_id)
    set_case(services, public_id, country="US")
    page.goto(factories.invitation_url(services, public_id))
    checker.check_page("status")
    complete(live_server, public_id)
    dispute_id = dispute(services, public_id)
    page.reload()
    checker.check_page("completed")
    page.goto(f"{live_server.url}/c/o/{public_id}/check/report")
    checker.check_page("report")
    page.goto(f"{live_server.url}/c/o/{public_id}/check/disputes/identity")
    checker.check_page("dispute")
    page.locator("form .btn-primary").click()
    expect(page.get_by_role("alert")).to_be_visible()
    checker.check_page("dispute with an error")
    sign_in(page, live_server)
    page.goto(f"{live_server.url}/console/disputes/")
    checker.check_page("console list")
    page.goto(f"{live_server.url}/console/disputes/{dispute_id}/")
    checker.check_page("console dispute")
    with services.db.writing() as session:
        check, row = find_dispute(session, dispute_id, lock=True)
        box, now = services.secret_box, services.now()
        answer_dispute(session, box, check, row, "upheld", "We looked", "sam@provider.test", now)
    page.reload()
    checker.check_page("console answered")
    page.goto(f"{live_server.url}/c/o/{public_id}/")
    checker.check_page("answered")
    assert checker.problems == []
