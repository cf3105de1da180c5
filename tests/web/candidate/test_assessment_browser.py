"""The candidate's pages in a browser: keyboard, no scripts, offline, the timer, accessibility."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Route, expect

from provider.core.kinds.assessment import Assessment
from provider.core.orders import Order
from provider.core.orders.extend_running import extend_running
from provider.core.orders.given_time import ARRIVAL_GRACE
from tests import factories
from tests.conftest import LiveServer
from tests.core.kinds.assessment.test_form import item, section
from tests.core.orders.test_accommodation import decide_on
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_assessment import ALL_KINDS

WIDE_TABLE = {
    "instructions": "| Region | First quarter | Second quarter | Third quarter | Fourth quarter |\n"
    "|---|---|---|---|---|\n| North | 1,200,000 | 1,300,000 | 1,400,000 | 1,500,000 |"
}
Inviter = Callable[..., str]
OFFLINE = "No connection – we save as soon as it is back"


@pytest.fixture
def invite(live_server: LiveServer) -> Inviter:
    """Place an order of a test, an interview or a check; return its public id."""
    # The brightest colour that an account can have: every text must be legible in it.
    account_id, _ = factories.create_account(live_server.services, branding={"colour": "#ffd400"})
    products = {
        "assessment": factories.create_test(live_server.services),
        "every": factories.create_test(
            live_server.services, "All", "all", sections=[ALL_KINDS[0] | WIDE_TABLE]
        ),
        "interview": factories.create_interview(live_server.services),
        "check": factories.create_package(live_server.services),
    }
    placed: list[str] = []

    def place(kind: str = "assessment") -> str:
        placed.append(kind)
        url = f"https://groove-tech.workable.com/assessments/{len(placed)}"
        order_kind = "assessment" if kind == "every" else kind
        return factories.place_order(
            live_server.services, account_id, products[kind], order_kind, callback_url=url
        )

    return place


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    """A phone: another device of the same candidate."""
    context = browser.new_context(viewport={"width": 360, "height": 740})
    context.set_default_timeout(10_000)
    yield context
    context.close()


def start_test(page: Page, live_server: LiveServer, public_id: str) -> None:
    page.goto(factories.invitation_url(live_server.services, public_id))
    press(page, "Start the test")
    page.wait_for_url("**/items/1")


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button).click()


def expect_save_state(page: Page, text: str = "Saved") -> None:
    expect(page.locator("[data-saved]")).to_have_text(text)


def saved_answers(live_server: LiveServer, public_id: str) -> dict[str, Any]:
    with live_server.services.db.reading() as session:
        return Assessment.find(session, public_id).saved_answers


def score(live_server: LiveServer, public_id: str) -> float | None:
    with live_server.services.db.reading() as session:
        result = Order.find(session, public_id).result
        assert result
        return result.score


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element with this name has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and name in focused.evaluate(
            "e => e.labels?.length ? [...e.labels].map(l => l.innerText).join() : e.innerText"
        ):
            return
    pytest.fail(f"Tab never reached {name}")


def test_assessment_by_keyboard_completes(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    page.goto(factories.invitation_url(live_server.services, public_id))
    tab_to(page, "Start the test")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/1")
    tab_to(page, "32")
    page.keyboard.press("ArrowDown")
    expect_save_state(page)
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
    expect_save_state(page)
    tab_to(page, "Check your answers")
    page.keyboard.press("Enter")
    page.wait_for_url("**/overview")
    tab_to(page, "Submit my answers")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Thank you, Lakita")).to_be_visible()
    assert score(live_server, public_id) == 100


def test_assessment_without_scripts_completes(
    live_server: LiveServer, browser: Browser, invite: Inviter
) -> None:
    public_id = invite()
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        start_test(page, live_server, public_id)
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
        press(page, "Submit my answers")
        press(page, "Submit with 2 blank")
        expect(page.get_by_role("heading", name="Thank you, Lakita")).to_be_visible()
    assert score(live_server, public_id) == 50


def test_answer_closed_tab_is_shown_on_another_device(
    live_server: LiveServer, page: Page, phone: BrowserContext, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    page.get_by_label("42").check()
    expect_save_state(page)
    page.close()
    phone_page = phone.new_page()
    phone_page.goto(factories.invitation_url(live_server.services, public_id))
    expect(phone_page.get_by_text("1 of 4")).to_be_visible()
    phone_page.get_by_role("link", name="Continue the test").click()
    phone_page.wait_for_url("**/items/2")
    press(phone_page, "Previous")
    phone_page.wait_for_url("**/items/1")
    expect(phone_page.get_by_label("42")).to_be_checked()
    expect_save_state(phone_page)


def test_autosave_typed_answer_is_saved_in_the_field(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    page.goto(page.url.replace("items/1", "items/2"))
    page.get_by_label("Your answer").press_sequentially("3.5")
    expect_save_state(page)
    assert saved_answers(live_server, public_id) == {"half": "3.5"}


def test_autosave_invalid_answer_shows_error_on_leaving(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    page.goto(page.url.replace("items/1", "items/2"))
    field = page.get_by_label("Your answer")
    field.press_sequentially("abc")
    expect_save_state(page, "Not saved yet")
    press(page, "Next")
    expect(page.get_by_role("alert")).to_contain_text("Write a number only")
    expect_save_state(page, "Kept – please check it")
    expect(field).to_be_focused()
    expect(field).to_have_value("abc")
    field.fill("1,234")
    press(page, "Next")
    expect(page.get_by_text("Read as 1234. If you mean 1.234, write 1.234.")).to_be_visible()
    expect(page).to_have_url(re.compile("items/2$"))
    field.fill("3.5")
    expect_save_state(page)
    expect(page.get_by_role("alert")).to_have_text("")
    press(page, "Next")
    page.wait_for_url("**/items/3")


def test_autosave_offline_retries_until_saved(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    page.context.set_offline(True)
    page.get_by_label("42").check()
    expect_save_state(page, OFFLINE)
    expect(page.locator("[data-saved-announce]")).to_have_text(OFFLINE)
    assert saved_answers(live_server, public_id) == {}
    page.context.set_offline(False)
    expect_save_state(page)
    assert saved_answers(live_server, public_id) == {"sum": "b"}


def test_next_button_offline_opens_next_page_when_online(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    page.context.set_offline(True)
    page.get_by_label("42").check()
    press(page, "Next")
    expect_save_state(page, OFFLINE)
    page.context.set_offline(False)
    page.wait_for_url("**/items/2")
    assert saved_answers(live_server, public_id) == {"sum": "b"}


def test_leaving_page_warns_only_with_unsaved_answer(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    dialogs: list[str] = []

    def accept(dialog: Dialog) -> None:
        dialogs.append(dialog.type)
        dialog.accept()

    page.on("dialog", accept)
    start_test(page, live_server, public_id)
    page.get_by_label("42").check()
    expect_save_state(page)
    page.reload()
    assert dialogs == []
    page.context.set_offline(True)
    page.get_by_label("52").check()
    expect_save_state(page, OFFLINE)
    page.close(run_before_unload=True)
    page.wait_for_event("close")
    assert dialogs == ["beforeunload"]


def test_autosave_server_error_is_retried(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    status_codes = iter([503, 500])

    def fail_twice(route: Any) -> None:
        status_code = next(status_codes, None)
        route.fulfill(status=status_code) if status_code else route.continue_()

    page.route("**/items/1", fail_twice)
    page.get_by_label("42").check()
    expect_save_state(page)
    assert saved_answers(live_server, public_id) == {"sum": "b"}


def test_autosave_without_session_says_to_open_the_link(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    page.context.clear_cookies(name=f"c-{public_id}")
    page.get_by_label("42").check()
    expect_save_state(page, "Not saved – please open the link in your e-mail again")


def test_autosave_expired_form_reloads_with_the_answer(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    page.context.clear_cookies(name="form")
    with page.expect_navigation():
        page.get_by_label("42").check()
    expect_save_state(page)  # the new page has saved it by itself
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.get_by_label("42")).to_be_checked()
    press(page, "Next")
    page.wait_for_url("**/items/2")
    assert saved_answers(live_server, public_id) == {"sum": "b"}


def test_autosave_after_deadline_opens_the_end_page(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    page.get_by_label("42").check()
    expect_save_state(page)
    live_server.clock.advance(timedelta(minutes=20) + ARRIVAL_GRACE)
    page.get_by_label("52").check()
    expect(
        page.get_by_text("The time is over. The answers you had saved were submitted")
    ).to_be_visible()
    assert score(live_server, public_id) == 25


def test_autosave_held_back_save_does_not_overwrite_a_newer_one(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    held_requests: list[dict[str, Any]] = []

    def hold_first(route: Any) -> None:
        if held_requests:
            route.continue_()
            return
        held_requests.append(
            {"data": route.request.post_data_buffer, "headers": route.request.headers}
        )
        route.abort()

    page.route("**/items/1", hold_first)
    page.get_by_label("32").check()
    page.get_by_label("42").check()
    expect_save_state(page)
    late = page.request.post(page.url, **held_requests[0])
    assert late.status == 409
    assert late.json()["standing"] == [["answer", "b"]]
    assert saved_answers(live_server, public_id) == {"sum": "b"}


def test_autosave_stale_save_shows_the_answer_that_stands(
    live_server: LiveServer, page: Page, phone: BrowserContext, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    page.context.set_offline(True)
    page.get_by_label("32").check()
    expect_save_state(page, OFFLINE)
    phone_page = phone.new_page()
    live_server.clock.advance(timedelta(seconds=30))
    phone_page.goto(factories.invitation_url(live_server.services, public_id))
    phone_page.get_by_role("link", name="Continue the test").click()
    phone_page.get_by_label("42").check()
    expect_save_state(phone_page)
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_contain_text("A newer answer from another window")
    expect(page.get_by_label("42")).to_be_checked()
    page.get_by_label("52").check()
    expect(page.get_by_role("alert")).to_have_text("")
    expect_save_state(page)
    page.reload()
    page.get_by_label("32").check()
    expect_save_state(page)
    assert saved_answers(live_server, public_id) == {"sum": "a"}


def test_autosave_saves_an_answer_given_before_the_script_runs(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    page.goto(factories.invitation_url(live_server.services, public_id))
    autosave_script = "**/candidate-autosave.js*"
    page.route(autosave_script, lambda route: None)  # Holds the request.
    press(page, "Start the test")
    page.wait_for_url("**/items/1", wait_until="commit")
    page.get_by_label("32").check()
    assert saved_answers(live_server, public_id) == {}
    page.unroute(autosave_script)  # Lets the held request go on, and one that comes only now.
    expect_save_state(page)
    assert saved_answers(live_server, public_id) == {"sum": "a"}


def test_autosave_answer_given_in_time_counts_over_a_slow_line(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)

    def deliver_late(route: Any) -> None:
        live_server.clock.advance(timedelta(minutes=20, seconds=3))
        route.continue_()

    page.route("**/items/1", deliver_late, times=1)
    page.get_by_label("42").check()
    expect(page.get_by_role("heading", name="The time is over")).to_be_visible()
    assert saved_answers(live_server, public_id) == {"sum": "b"}


def test_timer_ignores_the_date_of_the_device_and_asks_after_sleep(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    # A device whose monotonic clock stands still, as some do while they sleep.
    page.add_init_script("performance.now = () => 1000")
    start_test(page, live_server, public_id)
    live_server.clock.advance(timedelta(minutes=5))
    page.evaluate("{ const now = Date.now; Date.now = () => now() + 60 * 60 * 1000 }")
    expect(page.locator("[data-time-left]")).to_have_text("15:00")
    assert factories.order_status(live_server.services, public_id) == "pending"


def test_timer_at_zero_opens_the_end_page(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    page.clock.install()
    start_test(page, live_server, public_id)
    page.get_by_label("42").check()
    expect_save_state(page)
    live_server.clock.advance(timedelta(minutes=20))
    page.clock.fast_forward("20:01")
    expect(page.get_by_role("heading", name="The time is over")).to_be_visible()
    live_server.clock.advance(ARRIVAL_GRACE)
    page.clock.fast_forward("00:11")
    expect(
        page.get_by_text("The time is over. The answers you had saved were submitted")
    ).to_be_visible()
    assert score(live_server, public_id) == 25


def test_timer_with_fast_device_clock_is_corrected(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    page.clock.install()
    start_test(page, live_server, public_id)
    page.clock.fast_forward("20:01")
    expect(page.locator("[data-time-left]")).to_have_text(re.compile("19:5.|20:00"))
    assert factories.order_status(live_server.services, public_id) == "pending"


def test_timer_announces_ten_five_and_one_minute_and_hides(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    page.clock.install()
    # The page counts on its own clock: the time of before could arrive after the clock has passed.
    page.route("**/time*", lambda route: route.abort())
    start_test(page, live_server, invite())
    announcement, shown = page.locator("[data-announce]"), page.locator("[data-time-left]")

    def pass_time(minutes: int, seconds: int = 0) -> None:
        live_server.clock.advance(timedelta(minutes=minutes, seconds=seconds))
        page.clock.fast_forward(f"{minutes:02}:{seconds:02}")

    expect(page.get_by_role("button", name="Hide the time")).to_be_visible()  # the script runs
    pass_time(9, 30)
    expect(shown).to_have_text(re.compile("^10:"))
    expect(announcement).to_have_text("")
    press(page, "Hide the time")
    expect(shown).to_be_hidden()
    pass_time(0, 35)
    expect(announcement).to_have_text("10 minutes left")
    expect(announcement).not_to_have_class(re.compile("visually-hidden"))
    pass_time(1)
    expect(announcement).to_have_text("")
    pass_time(4)
    expect(announcement).to_have_text("5 minutes left")
    press(page, "Next")
    page.wait_for_url("**/items/2")
    expect(shown).to_be_hidden()
    press(page, "Show the time")
    expect(announcement).to_have_class(re.compile("visually-hidden"))
    page.clock.fast_forward("00:05")
    expect(announcement).to_have_text("")
    pass_time(3, 55)
    expect(announcement).to_have_text("1 minute left")


def test_extension_is_shown_without_reloading(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    page.clock.install()
    start_test(page, live_server, public_id)
    with live_server.services.db.writing() as session:
        order = Assessment.find(session, public_id)
        extend_running(session, order.product_id, 5, "sam", live_server.clock.now())
    page.clock.fast_forward("00:21")
    expect(page.get_by_text("You have got more time: 5:00")).to_be_visible()
    expect(page.locator("[data-time-left]")).to_have_text(re.compile("^24:|^25:"))


def test_time_is_announced_again_after_an_extension(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    page.clock.install()
    start_test(page, live_server, public_id)
    announcement = page.locator("[data-announce]")
    live_server.clock.advance(timedelta(minutes=15, seconds=10))
    page.clock.fast_forward("15:10")
    expect(announcement).to_have_text("5 minutes left")
    with live_server.services.db.writing() as session:
        order = Assessment.find(session, public_id)
        extend_running(session, order.product_id, 2, "sam", live_server.clock.now())
    page.clock.fast_forward("00:21")
    expect(page.get_by_text("You have got more time: 2:00")).to_be_visible()
    expect(announcement).to_have_text("")
    live_server.clock.advance(timedelta(minutes=1, seconds=55))
    page.clock.fast_forward("01:55")
    expect(announcement).to_have_text("5 minutes left")


def test_second_device_is_told_to_the_first(
    live_server: LiveServer, page: Page, phone: BrowserContext, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    notice = "This test was opened on another device too."
    expect(page.get_by_text(notice)).to_be_hidden()
    phone_page = phone.new_page()
    with phone_page.expect_response("**/device"):
        phone_page.goto(factories.invitation_url(live_server.services, public_id))
        phone_page.get_by_role("link", name="Continue the test").click()
    page.get_by_label("42").check()
    expect(page.get_by_text(notice)).to_be_visible()
    expect(phone_page.get_by_text(notice)).to_be_hidden()


def test_answer_of_a_reloaded_page_without_connection_is_saved_later(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    start_test(page, live_server, public_id)
    page.on("dialog", lambda dialog: dialog.accept())
    page.route("**/items/1", lambda route: route.abort() if is_post(route) else route.continue_())
    page.get_by_label("42").check()
    expect_save_state(page, "Not saved – we keep trying")
    page.unroute("**/items/1")
    page.reload()
    expect(page.get_by_label("42")).to_be_checked()
    expect_save_state(page)
    assert saved_answers(live_server, public_id) == {"sum": "b"}


def is_post(route: Route) -> bool:
    return route.request.method == "POST"


def test_pause_hides_the_question_in_every_window_until_going_on(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    public_id = invite()
    decide_on(live_server.services, public_id, pause_minutes=10)
    start_test(page, live_server, public_id)
    other = page.context.new_page()
    other.goto(page.url)
    page.get_by_text("32").check()
    press(page, "Pause the time")
    for window in (page, other):
        expect(window.get_by_role("heading", name="The time is paused")).to_be_visible()
    expect(page.locator("[data-pause-left]")).to_have_text(re.compile("^9:5[0-9]$"))
    AccessibilityChecker(page, in_turn=True).check_page()
    press(page, "Go on")
    page.wait_for_url("**/items/1")
    expect(page.get_by_label("32")).to_be_checked()


def test_back_button_after_submit_shows_no_question(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    start_test(page, live_server, invite())
    press(page, "All questions")
    press(page, "Submit my answers")
    press(page, "Submit with 4 blank")
    thanks = page.get_by_role("heading", name="Thank you, Lakita")
    expect(thanks).to_be_visible()
    page.go_back()
    expect(thanks).to_be_visible()
    page.goto(re.sub("(/c/o/[^/]+/).*", r"\1items/1", page.url))
    expect(thanks).to_be_visible()


def test_instructions_closed_once_stay_closed(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    start_test(page, live_server, invite("every"))
    page.get_by_text("Every kind").click()
    expect(page.locator("details")).not_to_have_attribute("open", "")
    press(page, "Next")
    page.wait_for_url("**/items/2")
    expect(page.locator("details")).not_to_have_attribute("open", "")


def test_assessment_pages_are_accessible(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    checker = AccessibilityChecker(page, in_turn=True)
    public_id = invite("every")
    page.goto(factories.invitation_url(live_server.services, public_id))
    checker.check_page()
    page.get_by_role("link", name="I do not want to take part").click()
    checker.check_page()
    page.get_by_role("link", name="Go back").click()
    press(page, "Start the test")
    for number in range(1, 7):
        page.goto(f"{live_server.url}/c/o/{public_id}/items/{number}")
        checker.check_page()
    page.goto(f"{live_server.url}/c/o/{public_id}/items/3")
    page.get_by_label("Your answer").fill("abc")
    press(page, "Next")
    expect_save_state(page, "Kept – please check it")
    checker.check_page()
    page.get_by_label("Your answer").fill("4")
    press(page, "All questions")
    page.wait_for_url("**/overview")
    checker.check_page()
    press(page, "Submit my answers")
    checker.check_page()
    page.goto(f"{live_server.url}/c/o/{public_id}/")
    checker.check_page()
    page.goto(f"{live_server.url}/c/o/{public_id}/items/99")
    checker.check_page()
    live_server.clock.advance(timedelta(minutes=20))
    page.goto(f"{live_server.url}/c/o/{public_id}/")
    checker.check_page()
    live_server.clock.advance(ARRIVAL_GRACE)
    page.goto(f"{live_server.url}/c/o/{public_id}/")
    checker.check_page()
    assert checker.problems == []


@pytest.mark.parametrize("is_scripted", [True, False])
def test_pages_between_questions_are_accessible_and_fit_320_pixels(
    live_server: LiveServer, browser: Browser, is_scripted: bool
) -> None:
    """The instructions of a part, a question whose time is over, and a question for a file."""
    items = [item("q1", time_limit_seconds=30), item("q2")]
    table = WIDE_TABLE["instructions"]
    first = section("warm", items, navigation="forward", time_limit=5, instructions=table)
    upload = {"kind": "file", "key": "plan", "prompt": "Send a plan."}
    account_id, _ = factories.create_account(live_server.services, branding={"colour": "#ffd400"})
    test_id = factories.create_test(
        live_server.services, sections=[first, section("last", [upload])], grades=None
    )
    public_id = factories.place_order(live_server.services, account_id, test_id)
    options: dict[str, Any] = {"viewport": {"width": 320, "height": 640}}
    with browser.new_context(java_script_enabled=is_scripted, **options) as context:
        page = context.new_page()
        checker = AccessibilityChecker(page)

        def check(heading: str) -> None:
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
            if is_scripted:
                checker.check_page()
                page.set_viewport_size({"width": 320, "height": 640})
                width = page.evaluate("document.documentElement.scrollWidth")
                assert width <= 320

        page.goto(factories.invitation_url(live_server.services, public_id))
        press(page, "Start the test")
        check("Warm")
        press(page, "Start this part")
        live_server.clock.advance(timedelta(seconds=31))
        page.goto(f"{live_server.url}/c/o/{public_id}/now")
        check("The time for this question is over")
        # The time of the part goes on, and the page stays.
        expect(page.get_by_role("timer")).to_have_text(re.compile("^4(:2| minutes)"))
        page.keyboard.press("Tab")  # the link to the content
        press(page, "Next question")
        press(page, "Finish this part")
        page.wait_for_url("**/overview")
        press(page, "Finish this part")
        check("Last")
        press(page, "Start this part")
        check("Question 3 of 3")
        assert checker.problems == []


def test_other_candidate_pages_are_accessible(
    live_server: LiveServer, page: Page, invite: Inviter
) -> None:
    checker = AccessibilityChecker(page, in_turn=True)
    cancelled = invite()
    for kind in ("interview", "check"):
        public_id = invite(kind)
        page.goto(factories.invitation_url(live_server.services, public_id))
        checker.check_page()
    page.goto(f"{live_server.url}/c/o/{public_id}/decline")
    press(page, "Decline the invitation")
    checker.check_page()
    with live_server.services.db.writing() as session:
        Order.find(session, cancelled).cancel(session, "sam", "", live_server.clock.now())
    page.goto(factories.invitation_url(live_server.services, cancelled))
    checker.check_page()
    expired = invite()
    live_server.clock.advance(timedelta(days=8))
    page.goto(factories.invitation_url(live_server.services, expired))
    checker.check_page()
    page.goto(f"{live_server.url}/c/nonsense")
    checker.check_page()
    page.goto(f"{live_server.url}/c/o/{'x' * 22}/")
    checker.check_page()
    assert checker.problems == []
