"""The candidate's pages in a real browser: keyboard, no scripts, bad lines, the clock, axe."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect

from provider.core.kinds.assessment import Assessment
from provider.core.orders import Order
from tests import factories
from tests.conftest import LiveServer
from tests.web.accessibility import EXTREME_VARIANTS, AccessibilityChecker
from tests.web.candidate.test_assessment import ALL_KINDS

WIDE = {
    "instructions": "| Region | First quarter | Second quarter | Third quarter | Fourth quarter |\n"
    "|---|---|---|---|---|\n| North | 1,200,000 | 1,300,000 | 1,400,000 | 1,500,000 |"
}
Inviter = Callable[..., str]


@pytest.fixture
def invite(live_server: LiveServer) -> Inviter:
    """Place an order of a test, an interview or a check; return its public id."""
    # The brightest colour that an account could choose: all must still be legible in it.
    account_id, _ = factories.create_account(live_server.services, branding={"colour": "#ffd400"})
    products = {
        "assessment": factories.create_test(live_server.services),
        "every": factories.create_test(
            live_server.services, "All", "all", sections=[ALL_KINDS[0] | WIDE]
        ),
        "interview": factories.create_interview(live_server.services),
        "check": factories.create_package(live_server.services),
    }
    placed: list[str] = []

    def place(kind: str = "assessment") -> str:
        placed.append(kind)
        url = f"https://groove-tech.workable.com/assessments/{len(placed)}"
        real = "assessment" if kind == "every" else kind
        return factories.place_order(
            live_server.services, account_id, products[kind], real, callback_url=url
        )

    return place


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    """Another device of the same candidate."""
    context = browser.new_context(viewport={"width": 360, "height": 740})
    context.set_default_timeout(10_000)
    yield context
    context.close()


def start(page: Page, live_server: LiveServer, public_id: str) -> None:
    page.goto(factories.invitation_url(live_server.services, public_id))
    press(page, "Start the test")
    page.wait_for_url("**/items/1")


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button).click()


def shows_saved(page: Page, words: str = "Saved") -> None:
    expect(page.locator("[data-saved]")).to_have_text(words)


def given(live_server: LiveServer, public_id: str) -> dict[str, Any]:
    with live_server.services.db.reading() as session:
        return Assessment.find(session, public_id).saved_answers


def score(live_server: LiveServer, public_id: str) -> float | None:
    with live_server.services.db.reading() as session:
        result = Order.find(session, public_id).result
        assert result
        return result.score


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name is focused, as somebody without a mouse does."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and name in focused.evaluate(
            "e => e.labels?.length ? [...e.labels].map(l => l.innerText).join() : e.innerText"
        ):
            return
    pytest.fail(f"Tab never reached {name}")


def test_a_keyboard_is_all_one_needs(live_server: LiveServer, page: Page, invite: Inviter) -> None:
    public_id = invite()
    page.goto(factories.invitation_url(live_server.services, public_id))
    tab_to(page, "Start the test")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/1")
    tab_to(page, "32")
    page.keyboard.press("ArrowDown")
    shows_saved(page)
    tab_to(page, "Next")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/2")
    tab_to(page, "Your answer")
    page.keyboard.type("3.5")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/3")
    tab_to(page, "Your answer")
    page.keyboard.type("late")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/4")
    tab_to(page, "True")
    page.keyboard.press("Space")
    shows_saved(page)
    tab_to(page, "Check your answers")
    page.keyboard.press("Enter")
    page.wait_for_url("**/overview")
    tab_to(page, "Hand in my answers")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Thank you, Lakita")).to_be_visible()
    assert score(live_server, public_id) == 100


def test_it_works_with_scripts_off(
    live_server: LiveServer, browser: Browser, invite: Inviter
) -> None:
    public_id = invite()
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        start(page, live_server, public_id)
        page.get_by_label("42").check()
        press(page, "Next")
        page.get_by_label("Your answer").fill("three")
        press(page, "Next")
        expect(page.get_by_role("alert")).to_contain_text("Write a number only")
        expect(page.get_by_label("Your answer")).to_have_value("three")
        expect(page.get_by_label("Your answer")).to_be_focused()
        page.get_by_label("Your answer").fill("3.5")
        press(page, "Previous")
        expect(page.get_by_label("42")).to_be_checked()
        press(page, "All questions")
        expect(page.get_by_text("You have answered 2 of 4 questions.")).to_be_visible()
        press(page, "Hand in my answers")
        press(page, "Hand in with 2 blank")
        expect(page.get_by_role("heading", name="Thank you, Lakita")).to_be_visible()
    assert score(live_server, public_id) == 50


def test_an_answer_survives_a_closed_tab_and_another_device(
    live_server: LiveServer, page: Page, phone: BrowserContext, invite: Inviter
) -> None:
    public_id = invite()
    start(page, live_server, public_id)
    page.get_by_label("42").check()
    shows_saved(page)
    page.close()
    other = phone.new_page()
    other.goto(factories.invitation_url(live_server.services, public_id))
    expect(other.get_by_text("1 of 4")).to_be_visible()
    other.get_by_role("link", name="Go on with the test").click()
    other.wait_for_url("**/items/2")
    press(other, "Previous")
    other.wait_for_url("**/items/1")
    expect(other.get_by_label("42")).to_be_checked()
    shows_saved(other)


def test_what_is_typed_is_saved_without_leaving_the_field(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start(page, live_server, public_id)
    page.goto(page.url.replace("items/1", "items/2"))
    page.get_by_label("Your answer").press_sequentially("3.5")
    shows_saved(page)
    assert given(live_server, public_id) == {"half": "3.5"}


def test_a_mistake_is_told_beside_the_field_once_it_is_left(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start(page, live_server, public_id)
    page.goto(page.url.replace("items/1", "items/2"))
    field = page.get_by_label("Your answer")
    field.press_sequentially("abc")
    shows_saved(page, "Not saved yet")
    press(page, "Next")
    expect(page.get_by_role("alert")).to_contain_text("Write a number only")
    shows_saved(page, "Not saved")
    expect(field).to_be_focused()
    expect(field).to_have_value("abc")
    field.fill("3.5")
    shows_saved(page)
    expect(page.get_by_role("alert")).to_have_text("")
    press(page, "Next")
    page.wait_for_url("**/items/3")


def test_a_cut_line_loses_nothing(live_server: LiveServer, page: Page, invite: Inviter) -> None:
    public_id = invite()
    start(page, live_server, public_id)
    page.context.set_offline(True)
    page.get_by_label("42").check()
    shows_saved(page, "Not saved – we keep trying")
    expect(page.locator("[data-saved-announce]")).to_have_text("Not saved – we keep trying")
    assert given(live_server, public_id) == {}
    page.context.set_offline(False)
    shows_saved(page)
    assert given(live_server, public_id) == {"sum": "b"}


def test_next_on_a_cut_line_goes_on_once_it_is_back(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start(page, live_server, public_id)
    page.context.set_offline(True)
    page.get_by_label("42").check()
    press(page, "Next")
    shows_saved(page, "Not saved – we keep trying")
    page.context.set_offline(False)
    page.wait_for_url("**/items/2")
    assert given(live_server, public_id) == {"sum": "b"}


def test_leaving_warns_only_while_something_is_not_saved(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    asked: list[str] = []

    def accept(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", accept)
    start(page, live_server, public_id)
    page.get_by_label("42").check()
    shows_saved(page)
    page.reload()
    assert asked == []
    page.context.set_offline(True)
    page.get_by_label("52").check()
    shows_saved(page, "Not saved – we keep trying")
    page.close(run_before_unload=True)
    page.wait_for_event("close")
    assert asked == ["beforeunload"]


def test_a_server_that_stumbles_is_tried_again(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start(page, live_server, public_id)
    answers = iter([503, 500])

    def stumble(route: Any) -> None:
        code = next(answers, None)
        route.fulfill(status=code) if code else route.continue_()

    page.route("**/items/1", stumble)
    page.get_by_label("42").check()
    shows_saved(page)
    assert given(live_server, public_id) == {"sum": "b"}


def test_a_browser_that_lost_its_cookies_is_told_what_to_do(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start(page, live_server, public_id)
    page.context.clear_cookies(name=f"c-{public_id}")
    page.get_by_label("42").check()
    shows_saved(page, "Not saved – please open the link in your e-mail again")


def test_a_stale_form_gets_a_new_page_with_the_answer_in_it(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start(page, live_server, public_id)
    page.context.clear_cookies(name="form")
    page.get_by_label("42").check()
    expect(page.get_by_role("alert")).to_contain_text("Please press the button again")
    expect(page.get_by_label("42")).to_be_checked()
    press(page, "Next")
    page.wait_for_url("**/items/2")
    assert given(live_server, public_id) == {"sum": "b"}


def test_an_answer_after_the_deadline_leads_to_the_end(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start(page, live_server, public_id)
    page.get_by_label("42").check()
    shows_saved(page)
    live_server.clock.advance(timedelta(minutes=20))
    page.get_by_label("52").check()
    expect(page.get_by_text("The time is over. What you had saved was handed in")).to_be_visible()
    assert score(live_server, public_id) == 25


def test_at_zero_the_page_leads_to_the_end_by_itself(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    page.clock.install()
    start(page, live_server, public_id)
    page.get_by_label("42").check()
    shows_saved(page)
    live_server.clock.advance(timedelta(minutes=20))
    page.clock.fast_forward("20:01")
    expect(page.get_by_text("The time is over. What you had saved was handed in")).to_be_visible()
    assert score(live_server, public_id) == 25


def test_a_device_whose_clock_runs_ahead_is_put_right(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    page.clock.install()
    start(page, live_server, public_id)
    page.clock.fast_forward("20:01")
    expect(page.locator("[data-time-left]")).to_have_text(re.compile("19:5.|20:00"))
    assert factories.order_status(live_server.services, public_id) == "pending"


def test_time_is_announced_at_five_minutes_and_at_one(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    page.clock.install()
    start(page, live_server, invite())
    said = page.locator("[data-announce]")
    page.clock.fast_forward("14:00")
    expect(page.locator("[data-time-left]")).to_have_text(re.compile("^[56]:"))
    expect(said).to_have_text("")
    live_server.clock.advance(timedelta(minutes=15, seconds=5))
    page.clock.fast_forward("01:05")
    expect(said).to_have_text("5 minutes left")
    press(page, "Next")
    page.wait_for_url("**/items/2")
    page.clock.fast_forward("00:05")
    expect(said).to_have_text("")
    page.clock.fast_forward("03:50")
    expect(said).to_have_text("1 minute left")


def test_the_back_button_after_handing_in_shows_no_question(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    start(page, live_server, invite())
    press(page, "All questions")
    press(page, "Hand in my answers")
    press(page, "Hand in with 4 blank")
    thanks = page.get_by_role("heading", name="Thank you, Lakita")
    expect(thanks).to_be_visible()
    page.go_back()
    expect(thanks).to_be_visible()
    page.goto(re.sub("(/c/o/[^/]+/).*", r"\1items/1", page.url))
    expect(thanks).to_be_visible()


def test_instructions_stay_closed_once_closed(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    start(page, live_server, invite("every"))
    page.get_by_text("Every kind").click()
    expect(page.locator("details")).not_to_have_attribute("open", "")
    press(page, "Next")
    page.wait_for_url("**/items/2")
    expect(page.locator("details")).not_to_have_attribute("open", "")


def test_a_tour_of_the_test_finds_nothing_wrong(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    eye = AccessibilityChecker(page, EXTREME_VARIANTS)
    public_id = invite("every")
    page.goto(factories.invitation_url(live_server.services, public_id))
    eye.check_page()
    page.get_by_role("link", name="I do not want to take part").click()
    eye.check_page()
    page.get_by_role("link", name="Go back").click()
    press(page, "Start the test")
    for number in range(1, 7):
        page.goto(f"{live_server.url}/c/o/{public_id}/items/{number}")
        eye.check_page()
    page.goto(f"{live_server.url}/c/o/{public_id}/items/3")
    page.get_by_label("Your answer").fill("abc")
    press(page, "Next")
    shows_saved(page, "Not saved")
    eye.check_page()
    page.get_by_label("Your answer").fill("4")
    press(page, "All questions")
    page.wait_for_url("**/overview")
    eye.check_page()
    press(page, "Hand in my answers")
    eye.check_page()
    page.goto(f"{live_server.url}/c/o/{public_id}/")
    eye.check_page()
    page.goto(f"{live_server.url}/c/o/{public_id}/items/99")
    eye.check_page()
    live_server.clock.advance(timedelta(minutes=20))
    page.goto(f"{live_server.url}/c/o/{public_id}/")
    eye.check_page()
    assert eye.problems == []


def test_a_tour_of_the_other_pages_finds_nothing_wrong(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    eye = AccessibilityChecker(page, EXTREME_VARIANTS)
    cancelled = invite()
    for kind in ("interview", "check"):
        public_id = invite(kind)
        page.goto(factories.invitation_url(live_server.services, public_id))
        eye.check_page()
    page.goto(f"{live_server.url}/c/o/{public_id}/decline")
    press(page, "Decline the invitation")
    eye.check_page()
    with live_server.services.db.writing() as session:
        Order.find(session, cancelled).cancel(session, "sam", "", live_server.clock.now())
    page.goto(factories.invitation_url(live_server.services, cancelled))
    eye.check_page()
    expired = invite()
    live_server.clock.advance(timedelta(days=8))
    page.goto(factories.invitation_url(live_server.services, expired))
    eye.check_page()
    page.goto(f"{live_server.url}/c/nonsense")
    eye.check_page()
    page.goto(f"{live_server.url}/c/o/{'x' * 22}/")
    eye.check_page()
    assert eye.problems == []
