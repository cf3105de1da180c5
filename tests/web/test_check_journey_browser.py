"""A check from the order to an adverse action and a dispute, in the browser.

The candidate uses the keyboard alone, at 320 pixels.
"""

from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse.adverse_work import END_NOTICE_CLOCKS
from provider.core.staff import complete_sign_in
from tests import check_decision_factories, check_document_factories, factories
from tests.conftest import LiveServer
from tests.web.candidate.test_check_browser import (
    expect_heading,
    place_check,
    press,
    sign_in,
    tab_to,
    type_into,
)
from tests.web.candidate.test_check_documents_browser import PHOTO

pytestmark = pytest.mark.machine_time

NARROW_PIXELS = 320
SCREENINGS = [
    {
        "key": "identity",
        "name": "Identity",
        "type": "identity",
        "asks": ["full_name"],
        "documents": ["identity"],
    },
    {"key": "record", "name": "Criminal record"},
]
LEGAL_TEXTS = [
    {
        "key": "us-disclosure",
        "version": "1",
        "purpose": "disclosure",
        "title": "Disclosure",
        "text": "We may obtain a report about you.",
        "countries": ["US"],
    },
    check_decision_factories.RIGHTS | {"countries": ["US"]},
]
RECORD, REPORT_TEXT = "County court, theft, 2017", "A conviction in 2017"
DISPUTE, ANSWER = "It was my brother", "We asked the court again"


def expect_to_fit(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW_PIXELS


def give_consent(page: Page, url: str) -> None:
    """Go from the invitation to the signature, with a name and a document."""
    page.goto(url)
    press(page, "Read and decide")
    expect_heading(page, "Where do you live?")
    type_into(page, "Country", "United States")
    press(page, "Continue")
    expect(page.get_by_label("State or region")).to_be_visible()
    type_into(page, "State or region", "Calif")
    press(page, "Continue")
    expect_heading(page, "Disclosure")
    expect(page.get_by_text("We may obtain a report")).to_be_visible()
    expect_to_fit(page)
    press(page, "Continue")
    expect_heading(page, "A summary of your rights")
    press(page, "Continue")
    expect_heading(page, "Your names")
    type_into(page, "Family name optional", "Marrero")
    press(page, "Save and continue")
    expect_heading(page, "Your documents")
    tab_to(page, "Choose a file")
    page.locator("input[type=file]:focus").set_input_files(PHOTO)
    expect(page.get_by_role("img", name="Page 1 of 1")).to_be_visible()
    expect_to_fit(page)
    press(page, "Continue")
    expect_heading(page, "Check and sign")
    type_into(page, "Type your full name to agree", "Lakita Marrero")
    press(page, "I agree")
    expect(page.get_by_role("heading", name="What happens next")).to_be_visible()


def decide(page: Page, check_url: str) -> None:
    """Record what was found, complete the check, and send the first notice."""
    page.goto(f"{check_url}screenings/identity/")
    page.get_by_text("Clear", exact=True).click()
    page.get_by_role("button", name="Save the outcome").click()
    expect(page.get_by_text("The outcome is saved.")).to_be_visible()
    page.goto(f"{check_url}screenings/record/")
    page.get_by_text("Add a record").click()
    page.get_by_label("Kind").select_option("Conviction")
    page.get_by_label("Severity").select_option("high")
    page.locator("[name=public_text]").fill(RECORD)
    page.get_by_role("button", name="Add the record").click()
    expect(page.locator("article").get_by_text(RECORD)).to_be_visible()
    page.get_by_text("To consider", exact=True).click()
    page.locator("#text").fill(REPORT_TEXT)
    page.get_by_role("button", name="Save the outcome").click()
    expect(page.get_by_text("The outcome is saved.")).to_be_visible()
    page.goto(f"{check_url}complete")
    page.get_by_role("button", name="Complete and notify the ATS").click()
    expect(page.get_by_text("The check is completed.")).to_be_visible()
    page.goto(f"{check_url}adverse/")
    expect(page.get_by_label("Place whose law applies")).to_have_value("us-ca")
    page.get_by_label("Reason").fill("The conviction")
    page.get_by_role("button", name="Send the notice").click()
    expect(page.get_by_role("heading", name="The candidate’s time runs")).to_be_visible()


def read_letter(page: Page, name: str) -> None:
    """Go to the link of a letter by the keyboard, and load it."""
    tab_to(page, name)
    response = page.request.get(str(page.evaluate("document.activeElement.href")))
    assert response.body().startswith(b"%PDF")


def open_dispute(page: Page) -> None:
    page.reload()
    expect(page.get_by_text(RECORD)).to_be_visible()
    read_letter(page, "Notice before a decision")
    press(page, "(?s)Something is wrong here.*Criminal record")
    page.wait_for_url("**/check/disputes/record")
    tab_to(page, "It is about somebody else")
    page.keyboard.press("Space")
    type_into(page, "Please describe it", DISPUTE)
    press(page, "Send")
    expect(page.get_by_text(DISPUTE)).to_be_visible()
    expect(page.get_by_text("The time to answer stands still")).to_be_visible()
    expect_to_fit(page)


def answer_dispute(page: Page, console_url: str, outcome: str) -> None:
    """Answer the only dispute; correct the outcome before, if it is wrong."""
    page.goto(f"{console_url}disputes/")
    page.get_by_role("link", name="Lakita Marrero").click()
    expect(page.get_by_text(DISPUTE)).to_be_visible()
    dispute_url = page.url
    if outcome == "corrected":
        page.get_by_role("link", name="Correct the outcome…").click()
        page.get_by_text("Clear", exact=True).click()
        page.get_by_label("Why it is corrected").fill("Another person")
        page.get_by_role("button", name="Correct the outcome").click()
        expect(page.get_by_text("The outcome is corrected, and the ATS")).to_be_visible()
        page.goto(dispute_url)
    page.get_by_label("Answer to the candidate").fill(ANSWER)
    button = "The outcome is corrected" if outcome == "corrected" else "The outcome stays"
    page.get_by_role("button", name=button).click()
    expect(page.get_by_text("The dispute is answered.")).to_be_visible()


def send_final_notice(page: Page, live_server: LiveServer, check_url: str) -> None:
    """Send the final notice after the candidate's time."""
    page.goto(f"{check_url}adverse/")
    expect(page.get_by_role("heading", name="The candidate’s time runs")).to_be_visible()
    expect(page.get_by_role("button", name="Send the final notice")).to_have_count(0)
    now = live_server.clock.advance(timedelta(days=25))
    END_NOTICE_CLOCKS.run(live_server.services)
    with live_server.services.db.writing() as session:
        cookie = complete_sign_in(session, "sam@provider.test", "127.0.0.1", now)
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": live_server.url}])
    page.reload()
    page.get_by_role("button", name="Send the final notice").click()
    expect(page.get_by_role("heading", name="Final notice sent")).to_be_visible()


@pytest.mark.parametrize(
    ("outcome", "letter", "state"),
    [
        ("upheld", "Notice of the decision", "final"),
        ("corrected", "Notice that nothing follows", "withdrawn"),
    ],
)
def test_check_from_order_to_dispute_ends_the_adverse_action(
    live_server: LiveServer, browser: Browser, page: Page, outcome: str, letter: str, state: str
) -> None:
    services = live_server.services
    public_id = place_check(live_server, screenings=SCREENINGS, legal_texts=LEGAL_TEXTS)
    console_url = f"{live_server.url}/console/"
    check_url = f"{console_url}checks/{public_id}/"
    page.set_viewport_size({"width": NARROW_PIXELS, "height": 640})
    give_consent(page, factories.invitation_url(services, public_id))
    assert len(check_document_factories.documents_of(services, public_id)) == 1
    with browser.new_context() as context:
        staff_page = context.new_page()
        staff_page.set_default_timeout(10_000)
        sign_in(staff_page, live_server)
        decide(staff_page, check_url)
        open_dispute(page)
        answer_dispute(staff_page, console_url, outcome)
        if outcome == "upheld":
            send_final_notice(staff_page, live_server, check_url)
    page.goto(factories.invitation_url(services, public_id))
    expect(page.get_by_text(ANSWER)).to_be_visible()
    read_letter(page, letter)
    expect_to_fit(page)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert [action.state for action in check.adverse_actions] == [state]
        assert [dispute.outcome for dispute in check.disputes] == [outcome]
        assert check.overall_status == ("clear" if outcome == "corrected" else "consider")
