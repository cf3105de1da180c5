"""The forms of the item types in a browser: keyboard, scripts, accessibility, right to left."""

from datetime import timedelta

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests import factories
from tests.conftest import LiveServer
from tests.example_test import create_example_test, example_numbers
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_assessment_browser import (
    expect_save_state,
    phone,
    press,
    saved_answers,
    start_test,
    tab_to,
)

NUMBERS = example_numbers()
__all__ = ["phone"]  # a fixture


@pytest.fixture
def public_id(live_server: LiveServer) -> str:
    account_id, _ = factories.create_account(live_server.services, branding={"colour": "#ffd400"})
    product_id = create_example_test(live_server.services)
    return factories.place_order(live_server.services, account_id, product_id)


def open_item(page: Page, live_server: LiveServer, public_id: str, kind: str) -> None:
    page.goto(f"{live_server.url}/c/o/{public_id}/items/{NUMBERS[kind]}")


def test_new_item_types_are_answered_by_keyboard_alone(
    live_server: LiveServer, page: Page, public_id: str
) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    start_test(page, live_server, public_id)

    open_item(page, live_server, public_id, "forced_choice")
    tab_to(page, "I plan my day")
    page.keyboard.press("Space")
    expect_save_state(page)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")  # from the first one to the last
    expect_save_state(page)

    open_item(page, live_server, public_id, "matching")
    for left, right in (("Japan", "Yen"), ("India", "Rupee"), ("Poland", "Złoty")):
        tab_to(page, left)
        page.keyboard.type(right)
    expect_save_state(page)

    open_item(page, live_server, public_id, "gap_fill")
    page.get_by_label("Gap 1").focus()
    page.keyboard.type("100")
    page.keyboard.press("Tab")
    page.keyboard.type("freezes")
    expect_save_state(page)

    open_item(page, live_server, public_id, "ordering")
    for step, text in enumerate(("Listen to", "Say in your", "Offer a", "Write the")):
        tab_to(page, f"Move up: {text}")
        for _ in range(3 - step):
            place = page.locator("[data-ordering] > li", has_text=text).evaluate(
                "e => [...e.parentNode.children].indexOf(e)"
            )
            if place > step:
                page.keyboard.press("Enter")
                expect(page.locator(":focus")).to_contain_text(text)
    expect_save_state(page)
    expect(page.locator("[data-ordering-announce]")).to_contain_text("of 4")

    saved = saved_answers(live_server, public_id)
    assert saved["currencies"] == {"japan": "japan", "india": "india", "poland": "poland"}
    assert saved["water"] == {"degrees": "100", "state": "freezes"}
    assert saved["complaint"] == ["listen", "repeat", "offer", "note"]
    assert saved["at-work"]["most"] == "plans"
    assert len(saved["at-work"]) == 2


def test_newer_answer_of_another_window_is_shown_in_every_field(
    live_server: LiveServer, page: Page, phone: BrowserContext, public_id: str
) -> None:
    start_test(page, live_server, public_id)
    open_item(page, live_server, public_id, "ordering")
    page.context.set_offline(True)
    page.locator("[data-ordering] > li").first.get_by_role("button").last.click()
    expect_save_state(page, "No connection – we save as soon as it is back")
    live_server.clock.advance(timedelta(seconds=5))
    phone_page = phone.new_page()
    phone_page.goto(factories.invitation_url(live_server.services, public_id))
    open_item(phone_page, live_server, public_id, "ordering")
    press(phone_page, "Move down: Offer a solution")
    expect_save_state(phone_page)
    order = saved_answers(live_server, public_id)["complaint"]
    page.context.set_offline(False)
    shown = page.locator("[data-ordering] input")
    expect(page.locator("[data-error]")).to_contain_text("A newer answer")
    names = shown.evaluate_all("inputs => inputs.map((input) => input.name)")
    assert names == [f"answer.{key}" for key in order]


def test_item_pages_are_accessible(live_server: LiveServer, page: Page, public_id: str) -> None:
    checker = AccessibilityChecker(page, in_turn=True)
    start_test(page, live_server, public_id)
    for kind in NUMBERS:
        open_item(page, live_server, public_id, kind)
        checker.check_page(kind)
        page.set_viewport_size({"width": 320, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), kind
    assert checker.problems == []


def drag(page: Page, start: Locator, end: Locator, *, release: bool = True) -> None:
    """Drag from the middle of an element to the middle of another one with the mouse."""
    start.scroll_into_view_if_needed()
    for index, element in enumerate((start, end)):
        box = element.bounding_box()
        assert box
        # The last step goes a little beyond the middle of the entry that makes room.
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + 4, steps=6)
        if index == 0:
            page.mouse.down()
    if release:
        page.mouse.up()


def list_order(page: Page) -> list[str]:
    names = page.locator("[data-ordering] input").evaluate_all("e => e.map((i) => i.name)")
    return [name.removeprefix("answer.") for name in names]


def test_options_are_dragged_into_another_order(
    live_server: LiveServer, page: Page, public_id: str
) -> None:
    start_test(page, live_server, public_id)
    open_item(page, live_server, public_id, "ordering")
    before = list_order(page)
    handles, entries = page.locator(".drag-handle"), page.locator("[data-ordering] > li")
    drag(page, handles.nth(0), entries.nth(2))
    expect_save_state(page)
    moved = [before[1], before[2], before[0], before[3]]
    assert list_order(page) == moved
    assert saved_answers(live_server, public_id)["complaint"] == moved
    expect(page.locator("[data-ordering-announce]")).to_contain_text("Place 3 of 4")
    # Escape puts the option back, and nothing is saved.
    drag(page, handles.nth(0), entries.nth(3), release=False)
    assert list_order(page) != moved
    page.keyboard.press("Escape")
    assert list_order(page) == moved
    page.mouse.up()
    assert saved_answers(live_server, public_id)["complaint"] == moved
    page.reload()
    assert list_order(page) == moved


def test_option_is_dragged_on_a_touch_screen(
    live_server: LiveServer, browser: Browser, public_id: str
) -> None:
    with browser.new_context(has_touch=True, viewport={"width": 320, "height": 640}) as context:
        page = context.new_page()
        start_test(page, live_server, public_id)
        open_item(page, live_server, public_id, "ordering")
        before = list_order(page)
        # Near an edge of the screen, dragging scrolls the page.
        page.locator("[data-ordering]").evaluate(
            "e => e.scrollIntoView({block: 'center', behavior: 'instant'})"
        )
        boxes = [page.locator(".drag-handle").nth(index).bounding_box() for index in (0, 1)]
        assert boxes[0]
        assert boxes[1]
        x, y = boxes[0]["x"] + 8, boxes[0]["y"] + boxes[0]["height"] / 2
        way = boxes[1]["y"] + boxes[1]["height"] / 2 + 6 - y
        session = context.new_cdp_session(page)
        for kind, down in (
            ("touchStart", 0.0),
            *(("touchMove", way * step / 5) for step in range(1, 6)),
        ):
            session.send(
                "Input.dispatchTouchEvent",
                {"type": kind, "touchPoints": [{"x": x, "y": y + down}]},
            )
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        expect_save_state(page)
        assert list_order(page) == [before[1], before[0], *before[2:]]


def test_right_sides_are_dragged_to_their_lines(
    live_server: LiveServer, page: Page, public_id: str
) -> None:
    start_test(page, live_server, public_id)
    open_item(page, live_server, public_id, "matching")
    chip = page.locator("[data-side]", has_text="Yen")
    drag(page, chip, page.locator(".matching-pair", has_text="Japan"))
    expect_save_state(page)
    expect(page.get_by_label("Japan")).to_have_value("japan")
    expect(chip).to_have_class("is-used")
    assert saved_answers(live_server, public_id)["currencies"] == {"japan": "japan"}
    # Beside the lines nothing is chosen.
    drag(page, page.locator("[data-side]", has_text="Rupee"), page.locator(".strip h1"))
    expect(page.get_by_label("India")).to_have_value("")
    expect(page.locator(".is-flying")).to_have_count(0)
    # A click without a way is no dragging.
    page.locator("[data-side]", has_text="Krone").click()
    expect(page.get_by_label("Japan")).to_have_value("japan")
