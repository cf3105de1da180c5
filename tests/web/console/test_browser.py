"""The console in a browser: accessibility, all widths, keyboard only."""

import re
import threading
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta

import pytest
from flask import Flask
from playwright.sync_api import Page, expect
from sqlalchemy import select
from werkzeug.serving import make_server

from provider import outbox
from provider.ats.rules import add_rule
from provider.core import kinds
from provider.core.accounts import Account
from provider.core.alerts import MAIL_SERVER, DeliveryAlert
from provider.core.connections import Record, SourceCursor
from provider.core.kinds.assessment import Assessment
from provider.core.orders import Order
from provider.core.orders.accommodation import Terms, ask
from provider.core.orders.bulk_runner import PERFORM_BULK_RUNS
from provider.core.products import Product
from provider.core.products.documents import content_digest
from provider.core.products.samples import load_sample_documents
from provider.core.staff import SavedView, Staff, complete_sign_in
from provider.delivery.dispatcher import Dispatcher
from provider.delivery.placing import load_rules, place_by_rules
from provider.services import Services
from provider.web.console import pagination
from tests import factories
from tests.factories import ManualClock
from tests.web.accessibility import AccessibilityChecker
from tests.web.console.test_deliveries import park


@dataclass(frozen=True)
class ConsoleServer:
    """A running console with orders and deliveries in every state; `paths` names its pages."""

    url: str
    paths: dict[str, str]
    cookie: str

    def sign_in(self, page: Page) -> None:
        """Set the session cookie in a browser."""
        page.context.add_cookies([{"name": "staff", "value": self.cookie, "url": self.url}])


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """The URL of a server without a dispatcher, so that no delivery changes its state."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def console(services: Services, url: str, monkeypatch: pytest.MonkeyPatch) -> ConsoleServer:
    """A console with orders and deliveries in every state, and a draft of a product."""
    monkeypatch.setattr(pagination, "PAGE_SIZE", 8)
    product_ids = _create_products(services)
    account_id, _ = factories.create_account(
        services,
        sandbox=True,
        timezone="Europe/Athens",
        options={"top_level_grade": True},
        callback_token=None,
        hosts=["*.workable.com"],
    )
    orders = _create_orders(services, account_id, product_ids)
    factories.create_staff(services)
    with services.db.writing() as session:
        cookie = complete_sign_in(session, "sam@provider.test", "127.0.0.1", services.now())
        message = outbox.history(session, orders["cancelled"])[-1].public_id
        email = outbox.history(session, orders["completed"])[0].public_id
        account = session.get_one(Account, account_id).public_id
        sam = Staff.get_by_email(session, "sam@provider.test")
        for name, is_shared in (("Waiting for the staff", True), ("A long name " * 5, False)):
            filters = {"status": "pending", "from": "2026-01-01"}
            SavedView.create(session, sam, name, filters, is_shared=is_shared)
            session.flush()
        for cause in (f"{account_id}/callback/groove-tech.workable.com", MAIL_SERVER):
            session.add(DeliveryAlert(cause=cause, opened_at=services.now()))
        retry_at = services.now() + timedelta(minutes=30)
        for scope in (f"account/{account_id}/callback", "destination/groove-tech.workable.com"):
            outbox.pause(session, scope, "The receiver did not answer", retry_at, services.now())
    paths = {
        "home": "/",
        "sign-in": "/console/sign-in",
        "orders": "/console/orders/",
        "no orders": "/console/orders/?status=consented",
        "found orders": "/console/orders/?status=pending&from=2020-01-01&q=papa",
        "saved views": "/console/orders/views/",
        **{f"order {name}": f"/console/orders/{order}" for name, order in orders.items()},
        "cancel": f"/console/orders/{orders['invited']}/cancel",
        "reopen": f"/console/orders/{orders['completed']}/reopen",
        "resend": f"/console/orders/{orders['invited']}/resend",
        "correct": f"/console/orders/{orders['invited']}/correct",
        "extend": f"/console/orders/{orders['invited']}/extend",
        "extra time": f"/console/orders/{orders['invited']}/extra-time",
        "accommodation": f"/console/orders/{orders['invited']}/accommodation",
        "end attempt": f"/console/orders/{orders['started']}/end-attempt",
        "retake": f"/console/orders/{orders['completed']}/retake",
        "hold": f"/console/orders/{orders['invited']}/hold",
        "redeliver": f"/console/orders/{orders['cancelled']}/redeliver",
        "erase": f"/console/orders/{orders['cancelled']}/erase/",
        "bulk cancel": "/console/orders/bulk/?action=cancel&scope=matching",
        "bulk extend": "/console/orders/bulk/?action=extend&scope=matching",
        "deliveries": "/console/deliveries/",
        "any delivery": "/console/deliveries/?state=any",
        "delivery": f"/console/deliveries/{message}",
        "retry": "/console/deliveries/again",
        "alerts": "/console/alerts/",
        "e-mails": "/console/emails/",
        "e-mail": f"/console/deliveries/{email}",
        "products": "/console/products/",
        **{f"product {kind}": f"/console/products/{product_ids[kind]}" for kind in product_ids},
        "publish": f"/console/products/{product_ids['assessment']}/publish",
        "score again": f"/console/products/{_correct_test(services)}/versions/2/rescore/?preview=1",
        "archive": f"/console/products/{product_ids['check']}/archive",
        "new product": "/console/products/new",
        "compare": f"/console/products/{product_ids['assessment']}/compare",
        **{f"edit {kind}": f"/console/products/{product_ids[kind]}/edit" for kind in product_ids},
        "edit settings": f"/console/products/{product_ids['interview']}/edit/at/-",
        "edit question": (
            f"/console/products/{product_ids['assessment']}/edit/at/sections.0.items.0"
        ),
        "edit screening": f"/console/products/{product_ids['check']}/edit/at/screenings.0",
        "publish draft": f"/console/products/{product_ids['assessment']}/edit/publish",
        "try": f"/console/products/{product_ids['assessment']}/try/1",
        "accounts": "/console/accounts/",
        "account": f"/console/accounts/{account}",
        "account setup": f"/console/accounts/{account}/setup",
        "account settings": f"/console/accounts/{account}/settings",
        "account emails": f"/console/accounts/{account}/emails/",
        "account email": f"/console/accounts/{account}/emails/invitation/ar",
        "account tokens": f"/console/accounts/{account}/tokens",
        "token revocation": f"/console/accounts/{account}/tokens/1/revoke",
        "offboarding": f"/console/accounts/{account}/offboarding/",
        "account products": f"/console/accounts/{account}/products",
        "new account": "/console/accounts/new",
        "new Workable account": "/console/accounts/new?ats=workable",
        "new PageUp account": "/console/accounts/new?ats=pageup",
        "usage": "/console/usage/",
        "connection": f"/console/accounts/{_create_connection(services)}/connection",
        "audit log": "/console/audit/",
        "overview": "/console/",
        "staff": "/console/staff/",
        "own account": "/console/me/",
        "second step": "/console/me/second-step",
        "forgotten password": "/console/password",
        "missing": "/console/orders/nobody",
    }
    return ConsoleServer(url, paths, cookie)


def _correct_test(services: Services) -> str:
    """Publish a version of the test with completed attempts that has another key."""
    with services.db.writing() as session:
        test = session.scalars(select(Product).where(Product.name == "Reasoning")).one()
        corrected = deepcopy(test.versions[-1].content)
        corrected["sections"][0]["items"][1]["answer"] = 3
        test.add_version(session, corrected, content_digest(corrected), services.now())
        test.publish(services.now())
        return test.public_id


def _create_connection(services: Services) -> str:
    """Return the public id of an account with a rule, an order by it, and a refusal.

    Its test is completed, so that the overview has figures: it leaves out those of a sandbox.
    """
    account_id, _ = factories.create_account(
        services, "Northwind Traders", ats="greenhouse", options={"harvest_auth": "code"}
    )
    with services.db.reading() as session:
        query = select(Product.public_id).where(Product.name == "Reasoning")
        test_id = session.scalars(query).one()
    order_id = factories.place_order(services, account_id, test_id, email="ana@example.net")
    factories.finish_test(services, order_id)
    with services.db.writing() as session:
        account = session.get_one(Account, account_id)
        product = session.scalars(select(Product).where(Product.kind == "assessment")).first()
        assert product
        match = {"job": "4006", "stage": "88123456789012345678901234567890123456"}
        now = services.now()
        add_rule(session, account, product, match, once=False, backfills=True, now=now)
        context, rules = load_rules(session, services.secret_box, account, now)
        facts = {name: (value,) for name, value in match.items()}
        for key, email in (("26", "ana@example.org"), ("27", "")):
            place_by_rules(context, rules, Record(key, facts, email=email), [])
        cursor = session.get_one(SourceCursor, (account_id, "stage_entries"))
        cursor.stopped_reason, cursor.finished_at = "500 orders were placed in one round", now
        return account.public_id


def _create_products(services: Services) -> dict[str, str]:
    """Import the samples, with a draft of the test; return public ids by kind."""
    product_ids: dict[str, str] = {}
    with services.db.writing() as session:
        for document in load_sample_documents():
            product, _ = kinds.import_document(session, document, services.now())
            product.publish(services.now())
            session.flush()
            product_ids.setdefault(document.kind, product.public_id)
        test = Product.find(session, product_ids["assessment"])
        test.add_version(
            session, test.versions[-1].content | {"time_limit": 12}, "2", services.now()
        )
    return product_ids


def _create_orders(
    services: Services, account_id: int, product_ids: dict[str, str]
) -> dict[str, str]:
    """Return the public ids of orders by their state."""
    orders = {}
    test_id = factories.create_test(services)
    names = ("retaken", "invited", "completed", "cancelled", "started", "expired")
    for number, name in enumerate(names):
        url = f"https://groove-tech.workable.com/assessments/{number}"
        orders[name] = factories.place_order(services, account_id, test_id, callback_url=url)
    for number in range(8):
        factories.place_order(
            services,
            account_id,
            product_ids["check"],
            "check",
            callback_url=f"https://groove-tech.workable.com/checks/{number}",
            first_name=f"Candidate {number}",
            last_name="Papadopoulou-Konstantinidou",
            email=f"a-rather-long-address-of-candidate-{number}@example.com",
        )
    factories.finish_test(services, orders["completed"])
    factories.finish_test(services, orders["retaken"])
    with services.db.writing() as session:
        Assessment.find(session, orders["started"]).start(session, services.now())
        terms = Terms(percent=50, pause_minutes=5, text="I read slowly.\nVery slowly.")
        invited = Order.find(session, orders["invited"])
        ask(session, services.secret_box, invited, terms, services.now())
        cancelled = Order.find(session, orders["cancelled"])
        cancelled.cancel(session, "sam@provider.test", "The job was filled inside", services.now())
        Order.find(session, orders["expired"]).expire(session, services.now())
        Order.find(session, orders["retaken"]).retake(
            session, services.secret_box, "sam@provider.test", "A fire alarm", services.now()
        )
    park(services, "1/callback/groove-tech.workable.com")
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/email")
    dispatcher.stop()
    return orders


def test_console_pages_are_accessible_at_every_width(page: Page, console: ConsoleServer) -> None:
    console.sign_in(page)
    checker = AccessibilityChecker(page, in_turn=True)
    for name, path in console.paths.items():
        page.goto(console.url + path)
        checker.check_page(name)
    assert checker.problems == []


def tab_to(page: Page, name: str, max_presses: int = 60) -> None:
    """Press Tab until the element with the label or text `name` has the focus."""
    for _ in range(max_presses):
        page.keyboard.press("Tab")
        text = page.evaluate(
            """() => {
                const element = document.activeElement;
                return element.ariaLabel ?? (element.labels?.[0] ?? element).innerText.trim();
            }"""
        )
        if re.fullmatch(name, text):
            return
    pytest.fail(f"the Tab key does not reach {name}")


def test_order_is_cancelled_by_keyboard(page: Page, console: ConsoleServer) -> None:
    page.goto(f"{console.url}/console/orders/?q=lakita_marrero@gmail.com")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.keyboard.type("sam@provider.test")
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse battery")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Orders")).to_be_visible()
    for _ in range(4):  # rows above it: expired, started, cancelled, completed
        tab_to(page, "Lakita Marrero")
    tab_to(page, "Lakita Marrero")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    tab_to(page, "Cancel this order…")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is notified at once")).to_be_visible()
    tab_to(page, "Reason")
    page.keyboard.type("The candidate asked for it")
    tab_to(page, "Cancel the order")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The order is cancelled.")
    expect(page.get_by_text("The candidate asked for it")).to_be_visible()


def test_shown_invitation_link_has_the_focus(page: Page, console: ConsoleServer) -> None:
    console.sign_in(page)
    page.goto(console.url + console.paths["order invited"])
    page.get_by_role("button", name="Show the candidate’s link").click()
    link_field = page.get_by_label("The candidate’s link")
    expect(link_field).to_be_focused()
    expect(link_field).to_have_value(re.compile(r"http://provider\.test/c/[\w-]{43}"))


def open_form(page: Page, link: str) -> None:
    """Follow a link to the confirmation of an action by keyboard."""
    tab_to(page, link)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(re.compile(r"\?$"))


def submit_form(page: Page, button: str) -> None:
    """Press a button by keyboard, and wait for the message of success."""
    tab_to(page, button)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_be_visible()


def test_order_is_corrected_extended_and_timed_by_keyboard(
    page: Page, console: ConsoleServer, clock: ManualClock
) -> None:
    clock.advance(timedelta(minutes=1))
    console.sign_in(page)
    page.goto(console.url + console.paths["order invited"])
    open_form(page, "Send the invitation again…")
    submit_form(page, "Send the invitation")
    open_form(page, "Extend the deadline…")
    tab_to(page, "Days to add")
    page.keyboard.type("14")
    submit_form(page, "Extend the deadline")
    open_form(page, "Give extra time…")
    tab_to(page, "None")
    page.keyboard.press("ArrowDown")
    submit_form(page, "Set the extra time")
    expect(page.get_by_text("5 minutes").first).to_be_visible()
    open_form(page, "Correct address or name…")
    tab_to(page, "E-mail")
    page.keyboard.press("Control+a")
    page.keyboard.type("lakita.marrero@example.com")
    submit_form(page, "Correct and invite")
    expect(page.get_by_text("lakita.marrero@example.com").first).to_be_visible()
    expect(page.get_by_text("Candidate’s details corrected")).to_be_visible()


def test_attempt_is_ended_taken_again_and_erased_by_keyboard(
    page: Page, console: ConsoleServer
) -> None:
    console.sign_in(page)
    page.goto(console.url + console.paths["order started"])
    for link, button in (
        ("End the attempt now…", "End the attempt"),
        ("Let the candidate take the test again…", "Invite again"),
        ("Cancel this order…", "Cancel the order"),
    ):
        open_form(page, link)
        tab_to(page, "Reason")
        page.keyboard.type("The fire alarm rang")
        submit_form(page, button)
    open_form(page, "Erase the candidate’s data…")
    tab_to(page, "Erase although the ATS has not received every message.*")
    page.keyboard.press("Space")
    tab_to(page, "Candidate’s e-mail")
    page.keyboard.type("lakita_marrero@gmail.com")
    tab_to(page, "Erase for ever")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The data is erased")).to_be_visible()
    checker = AccessibilityChecker(page, in_turn=True)
    checker.check_page("erased")
    assert checker.problems == []


def test_orders_are_cancelled_together_by_keyboard(
    page: Page, console: ConsoleServer, services: Services
) -> None:
    console.sign_in(page)
    page.goto(f"{console.url}/console/orders/")
    for number in (7, 6):
        tab_to(page, f"Select Candidate {number} Papadopoulou-Konstantinidou")
        page.keyboard.press("Space")
    tab_to(page, "Preview…")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Cancel: 2 orders?")).to_be_visible()
    tab_to(page, "Reason")
    page.keyboard.type("The job is filled")
    tab_to(page, "Cancel: 2 orders")
    page.keyboard.press("Enter")
    expect(page.get_by_text("0 of 2 orders")).to_be_visible()
    PERFORM_BULK_RUNS.run(services)
    expect(page.get_by_text("Finished: 2 of 2 done")).to_be_visible()
    checker = AccessibilityChecker(page, in_turn=True)
    checker.check_page("outcome")
    assert checker.problems == []


def test_account_is_created_by_keyboard(page: Page, console: ConsoleServer) -> None:
    console.sign_in(page)
    page.goto(f"{console.url}/console/accounts/")
    tab_to(page, "New account")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New account")).to_be_visible()
    tab_to(page, "ATS of the customer")
    page.keyboard.type("Workable")
    tab_to(page, "Continue")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Account for Workable")).to_be_visible()
    tab_to(page, "Name")
    page.keyboard.type("Fabrikam")
    tab_to(page, "Time zone")
    page.keyboard.press("Control+A")
    page.keyboard.type("Atlantis")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is not a time zone")).to_be_visible()
    field = page.get_by_label("Time zone")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("is not a time zone"))
    tab_to(page, "Time zone")
    page.keyboard.press("Control+A")
    page.keyboard.type("Europe/Athens")
    tab_to(page, "Create the account")
    page.keyboard.press("Enter")
    token = page.get_by_label("Token", exact=True)
    expect(token).to_be_focused()
    expect(token).to_have_value(re.compile(r"prv_[\w-]{43}"))
    expect(page.get_by_text("has not called with its token yet")).to_be_visible()
    tab_to(page, "Add the brand")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Settings of Fabrikam")).to_be_visible()
    tab_to(page, "Support address optional")
    page.keyboard.type("help@fabrikam.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The settings are saved.")
    expect(page.get_by_text("help@fabrikam.example")).to_be_visible()


def test_orders_are_searched_saved_and_exported_by_keyboard(
    page: Page, console: ConsoleServer
) -> None:
    console.sign_in(page)
    page.goto(f"{console.url}/console/orders/")
    tab_to(page, "Search")
    page.keyboard.type("papadop")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=papadop"))
    expect(page.get_by_role("rowheader")).to_have_count(8)
    expect(page.get_by_role("link", name="Candidate 3 Papadopoulou")).to_be_visible()
    tab_to(page, "Status")
    page.keyboard.type("Waiting")
    tab_to(page, "Placed from")
    page.keyboard.type("01012020")
    tab_to(page, "Filter")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"status=pending.*from=2020-01-01"))
    tab_to(page, "Save this filter as a view")
    page.keyboard.press("Enter")
    tab_to(page, "Name")
    page.keyboard.type("Greek candidates")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The view “Greek candidates” is saved.")
    current = page.get_by_role("navigation", name="Saved views").locator("[aria-current]")
    expect(current).to_contain_text(["Greek candidates"])
    tab_to(page, "Export as CSV")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    content = download.value.path().read_text("utf-8-sig")
    assert download.value.suggested_filename.startswith("orders-")
    assert content.count("Papadopoulou-Konstantinidou") == 8
    tab_to(page, "Edit views")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Saved views")).to_be_visible()
    tab_to(page, "Greek candidates")
    tab_to(page, "Name")
    page.keyboard.type("All of them")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The view “All of them” is saved.")
    tab_to(page, "Delete All of them")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is deleted.")
