"""A test of every type of item: made in the browser from nothing, published, taken, marked.

A candidate takes it three times at 320 pixels: by keyboard alone, in Arabic, and by keyboard alone
in Arabic without scripts. The figures are reckoned by hand in `EXPECTED`.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from provider.core.kinds.assessment.items import ITEM_KINDS
from provider.core.orders import Order
from provider.core.products import Product
from tests import factories
from tests.conftest import LiveServer
from tests.marking_factories import mark, task_ids
from tests.pictures import make_png
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_assessment_browser import expect_save_state
from tests.web.console.test_interviews import sign_in
from tests.web.report.test_pages import report_path

CHECKED, PICTURE = True, "upload:stimulus.0.picture"
LABELS = "Strongly disagree\nDisagree\nNeutral\nAgree\nStrongly agree"
# The type of each question as the editor calls it, and the fields of its form.
KNOWLEDGE: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Choice of one answer",
        {
            "prompt": "Which city is the capital of **Australia**?",
            "options.0.text": "Sydney",
            "options.1.text": "Canberra",
            "options.1.correct": CHECKED,
            "points": "2",
        },
    ),
    (
        "Choice of several answers",
        {
            "prompt": "Which numbers are prime?",
            "options.0.text": "2",
            "options.0.correct": CHECKED,
            "options.1.text": "9",
            "options.2.text": "11",
            "options.2.correct": CHECKED,
            "points": "2",
        },
    ),
    (
        "True or false",
        {"prompt": "Every square is a rectangle.", "answer": "true", "wrong_points": "0.5"},
    ),
    (
        "Number",
        {
            "prompt": r"What is $\frac{150}{1.2}$, the speed of train A?",
            "answer": "125",
            "tolerance": "0.5",
            "unit": "km/h",
        },
    ),
    ("Short text", {"prompt": "Who discovered radium?", "accepted": "Marie Curie\nCurie"}),
    (
        "Ordering",
        {
            "prompt": "What comes first?",
            "options.0.text": "Listen",
            "options.1.text": "Offer",
            "options.2.text": "Write",
            "points": "3",
        },
    ),
    (
        "Matching",
        {
            "prompt": "Which currency belongs to which country?",
            "pairs.0.left": "Japan",
            "pairs.0.right": "Yen",
            "pairs.1.left": "India",
            "pairs.1.right": "Rupee",
            "pairs.2.left": "Poland",
            "pairs.2.right": "Zloty",
            "points": "3",
        },
    ),
    (
        "Text with gaps",
        {
            "prompt": "Complete the sentence.",
            "text": "Water boils at {{gap-1}} degrees and {{gap-2}} at 0.",
            "gaps.0.accepted": "100\nhundred",
            "gaps.1.options.0.text": "freezes",
            "gaps.1.options.0.correct": CHECKED,
            "gaps.1.options.1.text": "boils",
            "points": "2",
        },
    ),
    (
        "Judgement of a situation",
        {
            "prompt": "Two customers booked the same room.",
            "options.0.text": "Offer another room",
            "options.0.score": "3",
            "options.1.text": "Ask the manager",
            "options.1.score": "1",
            "points": "3",
        },
    ),
)
WORK: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Long text",
        {
            "prompt": "Write your reply.",
            "rubric.0.text": "It is friendly.",
            "rubric.0.points": "2",
            "rubric.1.text": "It names the next step.",
            "rubric.1.points": "3",
        },
    ),
    ("File", {"prompt": "Draw a floor plan.", "points": "5"}),
)
PERSON: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Scale of agreement", {"prompt": "I stay calm.", "labels": LABELS}),
    ("Scale of agreement", {"prompt": "I worry.", "labels": LABELS}),
    (
        "Most and least like me",
        {
            "prompt": "Think of a day at work.",
            "statements.0.text": "I plan my day",
            "statements.0.trait": "Order",
            "statements.1.text": "I help others",
            "statements.1.trait": "Teamwork",
            "statements.2.text": "I try new ways",
            "statements.2.trait": "Openness",
        },
    ),
)
SECTIONS = (("Knowledge", "2", KNOWLEDGE), ("Work", "1", WORK), ("Person", "0", PERSON))

# Knowledge, of 18 points:
#   Canberra, right                                           2    of 2
#   2 alone, one of the two primes and no wrong one           1    of 2
#   “false”, wrong                                           −0.5  of 1
#   124.5, within 125 ± 0.5                                   1    of 1
#   “curie”, in small letters                                 1    of 1
#   Listen, Write, Offer: one of three places                 1    of 3
#   Japan and India right, Poland with the Rupee: two of 3    2    of 3
#   100 right, “boils” wrong: one of two gaps                 1    of 2
#   Ask the manager: 1 of at most 3                           1    of 3
#                                                             9.5  of 18  = 52.777… %
# Work: the letter gets 1 + 3 of 5, the plan 3 of 5:          7    of 10  = 70 %
# Together, with the weights 2 and 1: (2 × 52.777… + 70) / 3 = 58.518… %
# Calm: “Agree” is 4; “Disagree” to “I worry” is 2, which is reversed 6 − 2 = 4. The sum is 8.
#   The group has the mean 6 and the deviation 1.5: z = 2 / 1.5 = 1.333…, T = 50 + 13.3 = 63,
#   sten = 5.5 + 2.67 = 8.17, rounded 8. Below z are 90.88 % of the normal distribution.
# Traits: a statement has 1 when it is most like me, 0 when least, and else one half.
EXPECTED: dict[str, Any] = {
    "score": 58.5,
    "grade": "passed",  # from 50
    "bars": {"Knowledge": 52.8, "Work": 70.0, "Order": 100.0, "Teamwork": 0.0, "Openness": 50.0},
    "value": 8,
    "measures": {"percentile": 91, "sten": 8, "T": 63, "z": 1.33},
}


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def fill_form(page: Page, fields: dict[str, Any]) -> None:
    """Fill the form of an entry. A row that the form does not show yet gets its room first."""
    for name, value in fields.items():
        control = page.locator(f"[name='{name}']")
        if not control.count():
            list_name = name.rsplit(".", 2)[0]
            with page.expect_navigation():
                page.locator(f"button[value='more {list_name}']").click()
        if value is CHECKED:
            control.check()
        elif control.evaluate("element => element.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(value)


def add_question(page: Page, section: int, kind: str, fields: dict[str, Any]) -> None:
    page.locator(f"#kind-sections-{section}-items").select_option(label=kind)
    # `fill_form` looks which rows the form has: it must not look at the page before.
    with page.expect_navigation():
        page.locator(f"form:has(#kind-sections-{section}-items) button").click()
    fill_form(page, fields)


def author_test(page: Page, live_server: LiveServer, picture: Path) -> None:
    """Make and publish the test in the console."""
    checker = AccessibilityChecker(page, in_turn=True)
    page.goto(f"{live_server.url}/console/products/new")
    page.get_by_label("What you want to make").select_option(label="Test")
    page.get_by_label("Name").fill("Every type")
    press(page, "Create, and open the editor")
    page.get_by_role("link", name="Name, texts and settings").click()
    fill_form(page, {"grades.passed": "50", "grades.excelled": "80"})
    press(page, "Save and close")
    for number, (title, weight, questions) in enumerate(SECTIONS):
        press(page, "Add a section")
        fill_form(page, {"title": title, "weight": weight})
        press(page, "Save and close")
        for kind, fields in questions:
            add_question(page, number, kind, fields)
            if kind == "Number":
                add_stimulus(page, picture, checker)
            press(page, "Save and close")
    add_scale(page)
    checker.check_page("outline")
    expect(page.get_by_text("Nothing is missing.")).to_be_visible()
    page.get_by_role("link", name="Check and publish").click()
    press(page, "Publish version 1")
    expect(page.get_by_text("Version 1 is published.")).to_be_visible()
    assert checker.problems == []


def add_stimulus(page: Page, picture: Path, checker: AccessibilityChecker) -> None:
    """Add a picture, a table and a text above the question, and look at the preview."""
    press(page, "Add a picture")
    page.locator(f"[name='{PICTURE}']").set_input_files(picture)
    # The script sends the picture, and shows it as it is stored.
    expect(page.locator("[data-file-name]")).to_have_text("two-trains.png")
    expect(page.locator("img[data-file-shown]")).to_have_js_property("naturalWidth", 40)
    page.get_by_label("What the picture shows").fill("Two trains on a track")
    expect(page.locator("[data-save-state]")).to_contain_text("Saved at")
    press(page, "Add a table")
    page.get_by_label("Table").fill("Train | km | Hours\nA | 150 | 1.2\nB | 90 | 1")
    press(page, "Add a text")
    page.locator("[name='stimulus.2.text']").fill("Two trains left at the *same* time.")
    preview = page.frame_locator("iframe")
    expect(preview.get_by_role("img", name="Two trains")).to_have_js_property("naturalWidth", 40)
    expect(preview.get_by_role("cell", name="150")).to_be_visible()
    expect(preview.locator("em")).to_have_text("same")
    expect(preview.locator("math")).to_be_visible()
    page.locator("button[value='up stimulus.2']").click()
    expect(page.locator("[name='stimulus.1.text']")).to_have_value(
        "Two trains left at the *same* time."
    )
    checker.check_page("stimulus")


def add_scale(page: Page) -> None:
    press(page, "Add a scale")
    items = "i-stay-calm\ni-worry reversed"
    fill_form(page, {"name": "Calm", "items": items})
    press(page, "Save and close")
    press(page, "Add a norm group")
    norm = {"name": "Shop staff", "n": "412", "scales": "calm 6 1.5"}
    fill_form(page, norm)
    press(page, "Save and close")


class Pointer:
    """A candidate with a mouse or a finger. The buttons are found without their texts."""

    def __init__(self, page: Page, *, has_scripts: bool = True) -> None:
        self.page, self.has_scripts = page, has_scripts

    def start(self) -> None:
        self.page.locator("main form .btn-primary").first.click()
        self.page.wait_for_url("**/items/1")

    def choose(self, text: str, group: int = 0) -> None:
        fieldset = self.page.locator("fieldset.choices").nth(group)
        fieldset.get_by_label(text, exact=True).check()

    def choose_value(self, value: str) -> None:
        self.page.locator(f"[name=answer][value={value}]").check()

    def write(self, text: str) -> None:
        self.page.locator("#answer").fill(text)

    def fill_gap(self, text: str) -> None:
        self.page.locator(".gap-text input").fill(text)

    def select(self, index: int, text: str) -> None:
        self.page.locator("fieldset select").nth(index).select_option(label=text)

    def move_up(self, key: str) -> None:
        self.page.locator(f"#up-{key}").click()

    def keep_order(self) -> None:
        keep = self.page.locator("[data-ordering-keep] button")
        if keep.count():
            with nullcontext() if self.has_scripts else self.page.expect_navigation():
                keep.click()

    def send_file(self, path: Path) -> None:
        self.page.locator("#file").set_input_files(path)
        if not self.has_scripts:
            self.page.locator("[data-send]").click()
        expect(self.page.locator(".sent-file")).to_contain_text(path.name)

    def go_on(self) -> None:
        self.page.locator("button[name=go][value=next]").click()

    def submit(self) -> None:
        self.page.locator("form[action$='/submit'] .btn-primary").click()


class Keyboard(Pointer):
    """A candidate who has a keyboard alone."""

    def start(self) -> None:
        self._press("main form .btn-primary")
        self.page.wait_for_url("**/items/1")

    def choose(self, text: str, group: int = 0) -> None:
        self._check("e => e.labels[0].innerText.trim()", text, group)

    def choose_value(self, value: str) -> None:
        self._check("e => e.value", value)

    def write(self, text: str) -> None:
        self._focus("#answer")
        self.page.keyboard.type(text)

    def fill_gap(self, text: str) -> None:
        self._focus(".gap-text input")
        self.page.keyboard.type(text)

    def select(self, index: int, text: str) -> None:
        self._focus("fieldset select", index)
        self.page.keyboard.type(text)

    def move_up(self, key: str) -> None:
        self._press(f"#up-{key}")

    def keep_order(self) -> None:
        if self.page.locator("[data-ordering-keep] button").count():
            with nullcontext() if self.has_scripts else self.page.expect_navigation():
                self._press("[data-ordering-keep] button")

    def send_file(self, path: Path) -> None:
        self._focus("#file")
        self.page.locator("#file:focus").set_input_files(path)
        if not self.has_scripts:
            self._press("[data-send]")
        expect(self.page.locator(".sent-file")).to_contain_text(path.name)

    def go_on(self) -> None:
        self._press("button[name=go][value=next]")

    def submit(self) -> None:
        self._press("form[action$='/submit'] .btn-primary")

    def _check(self, property_script: str, wanted: str, group: int = 0) -> None:
        """Go to a group of choices, and check the one of which the script returns `wanted`."""
        for _ in range(40):
            self.page.keyboard.press("Tab")
            focused = self.page.locator(":focus")
            if focused.count() and focused.evaluate(
                """(e, group) => e.closest("fieldset.choices")
                === document.querySelectorAll("fieldset.choices")[group]""",
                group,
            ):
                break
        for _ in range(6):
            focused = self.page.locator(":focus")
            if focused.evaluate(property_script) == wanted:
                if not focused.is_checked():
                    self.page.keyboard.press("Space")
                return
            is_radio = focused.evaluate("e => e.type") == "radio"
            self.page.keyboard.press("ArrowDown" if is_radio else "Tab")
        pytest.fail(f"The keyboard never reached {wanted}")

    def _press(self, selector: str) -> None:
        self._focus(selector)
        self.page.keyboard.press("Enter")

    def _focus(self, selector: str, index: int = 0) -> None:
        """Press Tab until an element has the focus."""
        for _ in range(40):
            self.page.keyboard.press("Tab")
            if self.page.locator(selector).nth(index).evaluate("e => e === document.activeElement"):
                return
        pytest.fail(f"Tab never reached {selector}")


def order_by_moves(candidate: Pointer, keys: tuple[str, ...]) -> None:
    """Bring the options into an order by the buttons that move them up."""
    for place, key in enumerate(keys):
        for _ in keys:
            page, name = candidate.page, f"answer.{key}"
            names = page.locator("[data-ordering] input").evaluate_all("e => e.map((i) => i.name)")
            if names.index(name) == place:
                break
            # Without scripts, the move is a form: the next look must be at its answer.
            with nullcontext() if candidate.has_scripts else page.expect_navigation():
                candidate.move_up(key)
    candidate.keep_order()


def answer_all(candidate: Pointer, file: Path) -> Iterator[None]:
    """Answer the questions one by one, as the comment above `EXPECTED` says."""
    candidate.choose("Canberra")
    yield
    candidate.choose("2")
    yield
    candidate.choose_value("false")
    yield
    candidate.write("124.5")
    yield
    candidate.write("curie")
    yield
    order_by_moves(candidate, ("listen", "write", "offer"))
    yield
    for index, text in enumerate(("Yen", "Rupee", "Rupee")):
        candidate.select(index, text)
    yield
    candidate.fill_gap("100")
    candidate.select(0, "boils")
    yield
    candidate.choose("Ask the manager")
    yield
    candidate.write("We are sorry. The parcel is on its way.")
    yield
    candidate.send_file(file)
    yield
    candidate.choose("Agree")
    yield
    candidate.choose("Disagree")
    yield
    candidate.choose("I plan my day")
    candidate.choose("I help others", group=1)
    yield


def take_test(
    candidate: Pointer, live_server: LiveServer, order_id: str, file: Path, language: str = "en"
) -> None:
    page = candidate.page
    page.goto(factories.invitation_url(live_server.services, order_id))
    if language != "en":
        page.locator("header details summary").click()
        page.locator(f"button[name=language][value={language}]").click()
        expect(page.locator("html")).to_have_attribute("lang", language)
    candidate.start()
    for number, _ in enumerate(answer_all(candidate, file), start=1):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), number
        assert page.evaluate("document.dir") == ("rtl" if language == "ar" else "ltr")
        if candidate.has_scripts and language == "en":
            expect_save_state(page)
        candidate.go_on()
        page.wait_for_url(f"**/items/{number + 1}" if number < 14 else "**/overview")
    candidate.submit()
    page.wait_for_url(lambda url: "/items/" not in url and "overview" not in url)


def check_figures(live_server: LiveServer, page: Page, order_id: str) -> None:
    """Compare what is kept, and what the report shows, with `EXPECTED`."""
    with live_server.services.db.reading() as session:
        result = Order.find(session, order_id).result
        assert result
        figures = result.figures
        assert (result.score, result.grade) == (EXPECTED["score"], EXPECTED["grade"])
    assert {bar["label"]: bar["percent"] for bar in figures["bars"]} == EXPECTED["bars"]
    [scale] = figures["scales"]
    assert scale["value"] == EXPECTED["value"]
    assert scale["norms"][0]["measures"] == EXPECTED["measures"]
    page.goto(live_server.url + report_path(live_server.services, order_id))
    report = page.locator("main")
    for text in ("58.5", "52.8", "70", "Shop staff, n = 412", "91"):
        expect(report).to_contain_text(text)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A picture for the question, and one that the candidate sends."""
    picture, plan = tmp_path / "two trains.png", tmp_path / "plan.png"
    picture.write_bytes(make_png())
    plan.write_bytes(make_png(30, 30))
    return picture, plan


def test_test_of_every_type_is_authored_taken_marked_and_reported(
    live_server: LiveServer, page: Page, browser: Browser, files: tuple[Path, Path]
) -> None:
    services = live_server.services
    kinds = [kind for _, _, questions in SECTIONS for kind, _ in questions]
    assert len(set(kinds)) == len(ITEM_KINDS)
    sign_in(page, live_server, "admin")
    author_test(page, live_server, files[0])
    with services.db.reading() as session:
        product_id = session.scalars(select(Product.public_id)).one()
    account_id, _ = factories.create_account(services)

    small: dict[str, Any] = {"width": 320, "height": 640}
    ways: dict[str, tuple[dict[str, Any], Callable[[Page], Pointer], str]] = {
        "keyboard": ({"viewport": small}, Keyboard, "en"),
        "Arabic": ({"viewport": small}, Pointer, "ar"),
        "keyboard in Arabic without scripts": (
            {"java_script_enabled": False, "viewport": small},
            lambda page: Keyboard(page, has_scripts=False),
            "ar",
        ),
    }
    for number, (options, make_candidate, language) in enumerate(ways.values()):
        url = f"https://groove-tech.workable.com/assessments/{number}"
        order_id = factories.place_order(services, account_id, product_id, callback_url=url)
        with browser.new_context(**options) as context:
            context.set_default_timeout(10_000)
            candidate = make_candidate(context.new_page())
            take_test(candidate, live_server, order_id, files[1], language)
        tasks = task_ids(services, order_id)
        rubric = {"it-is-friendly": 1, "it-names-the-next-step": 3}
        mark(services, tasks["write-your-reply"], "ana@provider.test", rubric)
        assert factories.order_status(services, order_id) != "completed"
        mark(services, tasks["draw-a-floor-plan"], "ana@provider.test", 3)
        check_figures(live_server, page, order_id)
