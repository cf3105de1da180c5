"""The main work of each role in a browser, from signing in to its end, and what the role lacks.

One server and one database serve all journeys: each has an order or a product of its own.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from provider.core.orders import Order
from provider.core.staff import ROLE_PERMISSIONS
from tests import check_factories, factories, interview_factories
from tests.conftest import LiveServer, listen
from tests.factories import ManualClock, present
from tests.web.console.test_deliveries import park
from tests.web.console.test_products import PRODUCT_FILE

OVERVIEW_TO_PRODUCTS = ("Overview", "Orders", "Deliveries", "E-mails", "Products")
MARKING_TO_PRODUCTS = (
    *OVERVIEW_TO_PRODUCTS[:2],
    "Marking",
    "Screenings",
    *OVERVIEW_TO_PRODUCTS[2:],
)
# Written out and not read from the permissions: a changed permission has to be meant.
SECTIONS = {
    "owner": (*MARKING_TO_PRODUCTS, "Accounts", "Usage", "Staff", "Audit log"),
    "admin": (*MARKING_TO_PRODUCTS, "Accounts", "Usage", "Staff", "Audit log"),
    "operator": (*MARKING_TO_PRODUCTS, "Accounts", "Usage"),
    "author": ("Products", "Accounts", "Usage"),
    "reviewer": ("Overview", "Orders", "Marking", "Products"),
    "adjudicator": ("Overview", "Orders", "Screenings", "Products"),
    "support": (*OVERVIEW_TO_PRODUCTS, "Accounts", "Usage"),
    "viewer": (*OVERVIEW_TO_PRODUCTS, "Accounts", "Usage"),
}
# Role → a page that it may not open, and what the page then says.
REFUSALS = {
    "operator": ("/console/audit/", "Your role may not see the audit log."),
    "author": ("/console/orders/", "Your role may not see orders."),
    "reviewer": ("/console/accounts/", "Your role may not see accounts."),
    "adjudicator": ("/console/deliveries/", "Your role may not see deliveries."),
    "support": ("/console/staff/", "Your role may not invite colleagues, or change their roles."),
    "viewer": (
        "/console/orders/bulk/?action=cancel&scope=matching",
        "Your role may not cancel or reopen orders, or see a candidate’s link.",
    ),
}
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class World:
    """A running console with work for every role."""

    server: LiveServer
    account_id: int

    def place_test(self, name: str, **fields: str) -> str:
        """Place an order of the test for a candidate with this last name; send the invitation."""
        order_id = factories.place_order(
            self.server.services,
            self.account_id,
            factories.create_test(self.server.services),
            callback_url=f"https://{name.lower()}.workable.com/1",
            last_name=name,
            email=f"lakita@{name.lower()}.example",
            **fields,
        )
        factories.deliver_emails(self.server.services)
        return order_id


@pytest.fixture(scope="module")
def world(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = factories.make_settings(
        tmp_path_factory.mktemp("roles"), PROVIDER_DATABASE_URL=module_database_url
    )
    with listen(settings, ManualClock(present())) as server:
        yield World(server, factories.create_account(server.services)[0])


@pytest.fixture
def problems() -> list[str]:
    """Return a list to which every error of a script or of the browser's console is added."""
    return []


@pytest.fixture
def page(browser: Browser, world: World, problems: list[str]) -> Iterator[Page]:
    context = browser.new_context(
        base_url=world.server.url, viewport={"width": 1280, "height": 900}
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )
    yield page
    context.close()


def sign_in(page: Page, world: World, role: str) -> None:
    email = f"{role}@provider.test"
    factories.create_staff(world.server.services, email, role, PASSWORD)
    page.goto("/console/")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    press(page, "Sign in")


def navigate(page: Page, section: str) -> None:
    page.get_by_role("navigation", name="Console").get_by_role("link", name=section).click()


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()


def follow(page: Page, link: str) -> None:
    page.get_by_role("link", name=link).first.click()


def expect_heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def expect_status(page: Page, text: str) -> None:
    expect(page.get_by_role("status").first).to_have_text(text)


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))


def search_order(page: Page, name: str) -> None:
    """Find an order by the beginning of a name, and open it."""
    navigate(page, "Orders")
    page.get_by_label("Search").fill(name)
    press(page, "Filter")
    expect(page.get_by_role("rowheader")).to_have_count(1)
    follow(page, f"Lakita {name}")
    expect_heading(page, f"Lakita {name}")


def invite_colleague(page: Page, world: World) -> None:
    navigate(page, "Staff")
    page.get_by_label("E-mail address").fill("rita@provider.test")
    page.get_by_label("Role", exact=True).select_option("Reviewer")
    press(page, "Send the invitation")
    expect_status(page, "rita@provider.test gets an e-mail with a link that works for seven days.")
    expect(row(page, "rita@provider.test")).to_contain_text("Reviewer")
    # An owner may do everything, but not to the own role.
    row(page, "owner@provider.test").get_by_role("link").click()
    expect(page.get_by_text("a colleague changes your role")).to_be_visible()


def change_setting(page: Page, world: World) -> None:
    navigate(page, "Accounts")
    follow(page, "Groove Tech")
    follow(page, "Change settings")
    expect_heading(page, "Settings of Groove Tech")
    page.get_by_label("Support address").fill("help@groove.example")
    press(page, "Save the settings")
    expect(page.get_by_role("status")).to_contain_text("The settings are saved.")
    expect(page.get_by_text("help@groove.example")).to_be_visible()
    # An admin may open every page, but not change an owner.
    factories.create_staff(world.server.services, "olga@provider.test", "owner")
    navigate(page, "Staff")
    row(page, "olga@provider.test").get_by_role("link").click()
    expect(page.get_by_text("Only an owner changes an owner.")).to_be_visible()
    token = page.locator("[name=csrf_token]").first.input_value()
    response = page.request.post(f"{page.url}/role", form={"csrf_token": token, "role": "viewer"})
    assert response.status == 403
    assert "or change an owner. Ask an owner." in response.text()


def send_failed_delivery_again(page: Page, world: World) -> None:
    """The ATS refused the status of an order, and its cause is mended."""
    services = world.server.services
    order_id = world.place_test("Operator")
    with services.db.writing() as session:
        Order.find(session, order_id).decline(session, "", services.now())
    park(services, f"{world.account_id}/callback/operator.workable.com")
    page.reload()
    follow(page, "Delivery that failed")
    row(page, "Status update: declined").get_by_role("link", name="Lakita Operator").click()
    expect(page.get_by_text("The ATS refuses with 422").first).to_be_visible()
    press(page, "Send again")
    expect_status(page, "The delivery will be sent again.")
    follow(page, "Console")
    expect_heading(page, "Overview")
    expect(page.get_by_text("Delivery that failed")).to_have_count(0)


def publish_product(page: Page, world: World) -> None:
    expect_heading(page, "Products")
    page.get_by_text("Import a file").click()
    page.get_by_label("File of product documents").set_input_files(
        {"name": "ours.yaml", "mimeType": "application/yaml", "buffer": PRODUCT_FILE.encode()}
    )
    press(page, "Import as drafts")
    expect_status(page, "Version 1 is a draft.")
    expect(page.get_by_role("article", name="Question 1")).to_contain_text("Why this job?")
    follow(page, "Publish version 1…")
    expect_heading(page, "Publish First interview, version 1?")
    press(page, "Publish version 1")
    expect_status(page, "It is published.")
    expect(page.get_by_text("New orders use this version.")).to_be_visible()


def rate_interview(page: Page, world: World) -> None:
    services = world.server.services
    interview = interview_factories.place_interview(
        services,
        account=world.account_id,
        questions=[{"key": "why", "text": "Why this job?", "answer_seconds": 60}],
    )
    interview_factories.record_answer(services, interview, "why", ready=False)
    interview_factories.submit_interview(services, interview)
    page.reload()
    follow(page, "Interview that waits for the staff")
    follow(page, "Lakita Marrero")
    follow(page, "Watch and rate the answers")
    expect(page.get_by_text("One answer has no rating yet.")).to_be_visible()
    page.get_by_role("group", name="Rating of question 1").get_by_label("4 Good").check()
    page.locator("#question-1-note").fill("Clear reasons")
    press(page, "Save the rating of question 1")
    expect(page.locator("#question-1 [data-scorecard-state]")).to_have_text("Saved")
    follow(page, "Go on")
    follow(page, "Complete…")
    expect_heading(page, "Complete this interview?")
    expect(page.get_by_text("75%")).to_be_visible()
    press(page, "Complete and notify the ATS")
    expect_status(page, "The interview is completed. The ATS is being notified.")
    expect(page.get_by_role("link", name="Open the report")).to_be_visible()


def decide_check(page: Page, world: World) -> None:
    services = world.server.services
    check = factories.place_order(
        services,
        world.account_id,
        check_factories.create_package(
            services, screenings=[{"key": "record", "name": "Criminal record"}]
        ),
        "check",
    )
    check_factories.give_consent(services, check)
    page.reload()
    follow(page, "Background check that waits for the staff")
    follow(page, "Lakita Marrero")
    follow(page, "Work on the screenings")
    expect_heading(page, "Check of Lakita Marrero")
    page.get_by_label("To consider").check()
    page.get_by_label("Text in the report").fill("A sentence of May 2019")
    press(page, "Save and complete…")
    expect_heading(page, "Complete this check?")
    expect(page.get_by_role("row", name="Criminal record To consider")).to_be_visible()
    expect(page.get_by_text("A sentence of May 2019")).to_be_visible()
    press(page, "Complete and notify the ATS")
    expect_status(page, "The check is completed.")


def help_candidate(page: Page, world: World) -> None:
    services, clock = world.server.services, world.server.clock
    factories.finish_test(services, world.place_test("Support-Done"))
    world.place_test("Support-Open")
    search_order(page, "Support-Open")
    follow(page, "Correct address or name…")
    page.get_by_label("E-mail").fill("lakita@right.example")
    press(page, "Correct and invite")
    expect(page.get_by_text("lakita@right.example").first).to_be_visible()
    factories.deliver_emails(services)
    clock.advance(timedelta(minutes=1))
    follow(page, "Send the invitation again…")
    press(page, "Send the invitation")
    expect(page.get_by_text("Invitation sent again")).to_be_visible()
    search_order(page, "Support-Done")
    # That there is a result follows from the status; nothing else tells of it, folded or not.
    text = page.get_by_role("main").text_content() or ""
    words = re.findall(r"(?i)\S*(?:result|report|score|grade|passed|excelled|%).*", text)
    assert words == ["Result ready "]


def read_timeline(page: Page, world: World) -> None:
    factories.finish_test(world.server.services, world.place_test("Viewer-Done"))
    search_order(page, "Viewer-Done")
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    expect(page.get_by_text("Result ready")).to_be_visible()
    main = page.get_by_role("main")
    expect(main.get_by_role("button")).to_have_count(0)
    expect(main.get_by_role("heading", name="Actions")).to_have_count(0)


MAIN_WORK: dict[str, Callable[[Page, World], None]] = {
    "owner": invite_colleague,
    "admin": change_setting,
    "operator": send_failed_delivery_again,
    "author": publish_product,
    "reviewer": rate_interview,
    "adjudicator": decide_check,
    "support": help_candidate,
    "viewer": read_timeline,
}


@pytest.mark.parametrize("role", ROLE_PERMISSIONS)
def test_role_does_its_main_work_and_is_refused_the_rest(
    page: Page, world: World, problems: list[str], role: str
) -> None:
    sign_in(page, world, role)
    sections = page.get_by_role("navigation", name="Console").get_by_role("link")
    expect(sections).to_have_text([re.compile(rf"^{name}(\d|$)") for name in SECTIONS[role]])
    MAIN_WORK[role](page, world)
    assert problems == []
    if role not in REFUSALS:
        return
    path, sentence = REFUSALS[role]
    response = page.goto(path)
    assert response
    assert response.status == 403
    expect_heading(page, "You have no access to this page")
    expect(page.get_by_text(f"{sentence} Ask an admin or an owner.")).to_be_visible()
