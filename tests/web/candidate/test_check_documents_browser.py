"""The page of documents in a browser: without scripts, by keyboard, with progress, on a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from provider.core.kinds.check import Check
from provider.texts import gettext, use_language
from tests import check_document_factories as documents
from tests import check_factories, factories
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_check_browser import sign_in, tab_to

PHOTO = FilePayload(name="passport.jpg", mimeType="image/jpeg", buffer=documents.jpeg())
BROKEN = FilePayload(name="passport.pdf", mimeType="application/pdf", buffer=b"%PDF-1.7")


def open_page(live_server: LiveServer, page: Page) -> str:
    """Open the page of documents as the candidate; return the check's public id."""
    account_id, _ = factories.create_account(
        live_server.services, sandbox=True, timezone="Europe/Athens", branding={"colour": "#ffd400"}
    )
    product = check_factories.create_package(live_server.services, screenings=documents.SCREENINGS)
    public_id = factories.place_order(live_server.services, account_id, product, "check")
    page.goto(factories.invitation_url(live_server.services, public_id))
    page.goto(f"{live_server.url}/c/o/{public_id}/documents")
    return public_id


def test_documents_without_scripts_are_sent_and_removed(
    live_server: LiveServer, browser: Browser
) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.set_default_timeout(15_000)
        public_id = open_page(live_server, page)
        slot = page.locator("#slot-identity")
        slot.get_by_label("Choose a file").set_input_files(BROKEN)
        slot.get_by_role("button", name="Send the file").click()
        expect(slot.get_by_text("This file cannot be read")).to_be_visible()
        slot.get_by_label("Choose a file").set_input_files(PHOTO)
        slot.get_by_role("button", name="Send the file").click()
        expect(slot.get_by_role("img", name="Page 1 of 1")).to_be_visible()
        assert len(documents.documents_of(live_server.services, public_id)) == 1
        slot.get_by_role("button", name="Remove").click()
        expect(slot.get_by_role("img")).to_have_count(0)
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", name="Disclosure")).to_be_visible()


def test_chosen_file_is_sent_by_the_script(
    live_server: LiveServer, page: Page, tmp_path: Path
) -> None:
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(20_000_001)
    public_id = open_page(live_server, page)
    slot = page.locator("#slot-identity")
    field = slot.get_by_label("Choose a file")
    expect(slot.get_by_role("button", name="Send the file")).to_be_hidden()
    field.set_input_files(large)
    expect(slot.get_by_text("It may have 20 MB")).to_be_visible()
    field.set_input_files(BROKEN)
    expect(slot.get_by_text("This file cannot be read")).to_be_visible()
    field.set_input_files(PHOTO)
    expect(slot.get_by_role("img", name="Page 1 of 1")).to_be_visible()
    group = page.locator("#slot-dbs_group_1")
    group.get_by_label("Choose a file").set_input_files(PHOTO)
    expect(group.get_by_text("Please choose which document this is")).to_be_visible()
    group.get_by_label("Which document is this?").select_option("Passport")
    expect(group.get_by_role("img", name="Page 1 of 1")).to_be_visible()
    labels = {
        document.slot: document.label
        for document in documents.documents_of(live_server.services, public_id)
    }
    assert labels == {"identity": "", "dbs_group_1": "passport"}


def test_phone_offers_camera_and_files(live_server: LiveServer, browser: Browser) -> None:
    with browser.new_context(
        has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740}
    ) as context:
        page = context.new_page()
        page.set_default_timeout(15_000)
        open_page(live_server, page)
        slot = page.locator("#slot-identity")
        assert slot.get_by_label("Choose a file").get_attribute("capture") is None
        with page.expect_file_chooser() as chooser:
            slot.get_by_role("button", name="Take a photo").click()
        chooser.value.set_files(PHOTO)
        expect(slot.get_by_role("img", name="Page 1 of 1")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "ar"])
def test_documents_by_keyboard_at_320_pixels(
    live_server: LiveServer, page: Page, language: str
) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    public_id = open_page(live_server, page)
    documents.send_document(live_server.services, public_id)
    with live_server.services.db.writing() as session:
        Check.find(session, public_id).language = language
    with use_language(language):
        remove, go_on, title = map(gettext, ("Remove", "Continue", "Disclosure"))
    page.reload()
    expect(page.get_by_role("button", name=go_on)).to_be_visible()
    width = "() => document.documentElement.scrollWidth"
    assert page.evaluate(width) <= 320
    tab_to(page, remove)
    page.keyboard.press("Enter")
    expect(page.locator("#slot-identity").get_by_role("img")).to_have_count(0)
    tab_to(page, go_on)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=title)).to_be_visible()


def test_pages_of_documents_are_accessible(live_server: LiveServer, page: Page) -> None:
    checker = AccessibilityChecker(page, in_turn=True)
    public_id = open_page(live_server, page)
    checker.check_page("empty")
    documents.send_document(live_server.services, public_id, content=documents.pdf(3))
    page.reload()
    expect(page.get_by_role("img", name="Page 3 of 3")).to_be_visible()
    checker.check_page("sent")
    page.locator("#slot-identity").get_by_label("Choose a file").set_input_files(BROKEN)
    expect(page.get_by_text("This file cannot be read")).to_be_visible()
    checker.check_page("refused")
    check_factories.give_consent(live_server.services, public_id)
    sign_in(page, live_server)
    page.goto(f"{live_server.url}/console/checks/{public_id}/")
    checker.check_page("list")
    page.get_by_role("link", name="Passport or identity card, file 1").click()
    expect(page.get_by_text("Say why you need to see the document")).to_be_visible()
    checker.check_page("reason")
    page.get_by_label("Reason", exact=True).select_option(index=1)
    page.get_by_role("button", name="Open the document").click()
    expect(page.get_by_role("img", name="Page 3 of 3")).to_be_visible()
    checker.check_page("viewer")
    page.get_by_role("button", name="Not readable, ask again").click()
    expect(page.get_by_text("is asked for another document")).to_be_visible()
    page.goto(f"{live_server.url}/c/o/{public_id}/documents")
    expect(page.get_by_text("We cannot read this one")).to_be_visible()
    checker.check_page("asked again")
    # The browser notes the refusal of the broken file.
    assert [problem for problem in checker.problems if "400 (BAD REQUEST)" not in problem] == []
