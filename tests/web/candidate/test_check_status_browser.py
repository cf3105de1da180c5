"""The status page of a check and a dispute: at 320 px, by keyboard alone, in two languages."""

import re

import pytest
from playwright.sync_api import Browser, FilePayload, Page, ViewportSize, expect

from provider.core.kinds.check.disputes import answer_dispute, find_dispute
from provider.texts import gettext, use_language
from tests import check_document_factories, check_factories, factories
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


def test_dispute_with_documents_works_without_scripts_at_320_pixels(
    live_server: LiveServer, browser: Browser
) -> None:
    services = live_server.services
    public_id = place_check(live_server)
    check_factories.give_consent(services, public_id)
    complete(live_server, public_id)
    viewport: ViewportSize = {"width": NARROW_PIXELS, "height": 640}
    picture: FilePayload = {
        "name": "a.jpg",
        "mimeType": "image/jpeg",
        "buffer": check_document_factories.jpeg(),
    }
    letter: FilePayload = {
        "name": "b.pdf",
        "mimeType": "application/pdf",
        "buffer": check_document_factories.pdf(),
    }
    with browser.new_context(viewport=viewport, java_script_enabled=False) as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.goto(factories.invitation_url(services, public_id))
        page.goto(f"{live_server.url}/c/o/{public_id}/check/disputes/identity")
        page.get_by_label("Please describe it").fill("That was my brother")
        page.get_by_role("button", name="Add the file").click()
        expect(page.get_by_role("alert")).to_have_text("Please choose a file first")
        page.get_by_label("Choose a file").set_input_files([picture])
        page.get_by_role("button", name="Add the file").click()
        expect(page.locator(".document img")).to_have_count(1)
        page.get_by_label("Another reason").check()
        page.get_by_label("Choose a file").set_input_files([letter])
        page.get_by_role("button", name="Send", exact=True).last.click()
        expect(page.get_by_text("That was my brother")).to_be_visible()
        expect(page.get_by_text("You sent 2 documents with it.")).to_be_visible()
        page.get_by_role("link", name="Add or remove documents").click()
        expect(page.locator(".document img")).to_have_count(2)
        page.get_by_role("button", name="Remove: File 1").click()
        expect(page.locator(".document img")).to_have_count(1)
        page.get_by_label("Choose a file").set_input_files([picture])
        page.get_by_role("button", name="Send the file").click()
        expect(page.locator(".document img")).to_have_count(2)
    assert has_open_dispute(services, public_id, "identity")


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
    for screening in ("identity", "jobs"):
        check_document_factories.send_dispute_document(services, public_id, screening)
    page.reload()
    checker.check_page("completed")
    page.goto(f"{live_server.url}/c/o/{public_id}/check/report")
    checker.check_page("report")
    page.goto(f"{live_server.url}/c/o/{public_id}/check/disputes/identity")
    checker.check_page("dispute")
    page.locator("form .btn-primary").click()
    expect(page.get_by_role("alert")).to_be_visible()
    checker.check_page("dispute with an error")
    page.goto(f"{live_server.url}/c/o/{public_id}/check/disputes/jobs/documents")
    checker.check_page("documents of a dispute")
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
