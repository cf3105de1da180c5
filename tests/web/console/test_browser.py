"""The console in a real browser: by keyboard alone, for every eye, on every width."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

import provider
from provider import outbox
from provider.core import kinds
from provider.core.accounts import Account
from provider.core.kinds.assessment import Assessment
from provider.core.orders import Order
from provider.core.products import Product
from provider.core.products.documents import read_file
from provider.core.staff import complete_sign_in
from provider.delivery.dispatcher import Dispatcher
from provider.services import Services
from provider.web.console import pagination
from tests import factories
from tests.web.accessibility import DESKTOP_VARIANTS, AccessibilityChecker
from tests.web.console.test_deliveries import park


@dataclass(frozen=True)
class Stage:
    """A server on which a lot has happened, and its pages."""

    url: str
    paths: dict[str, str]
    cookie: str

    def sign_in(self, page: Page) -> None:
        """Give a browser the cookie of somebody who signed in."""
        page.context.add_cookies([{"name": "staff", "value": self.cookie, "url": self.url}])


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """The console on a real port, without a courier: what is on stage stays as it is."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def stage(services: Services, url: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Fill a house: every state of orders and deliveries, and a draft of a product."""
    monkeypatch.setattr(pagination, "PAGE_SIZE", 8)
    tests = _products(services)
    account_id, _ = factories.create_account(
        services,
        sandbox=True,
        timezone="Europe/Athens",
        options={"top_level_grade": True},
        callback_token=None,
        hosts=["*.workable.com"],
    )
    orders = _orders(services, account_id, tests)
    factories.create_staff(services)
    with services.db.writing() as session:
        cookie = complete_sign_in(session, "sam@provider.test", "127.0.0.1", services.now())
        message = outbox.history(session, orders["cancelled"])[-1].public_id
        letter = outbox.history(session, orders["completed"])[0].public_id
        account = session.get_one(Account, account_id).public_id
        until = services.now() + timedelta(minutes=30)
        for subject in (f"account/{account_id}/callback", "destination/groove-tech.workable.com"):
            outbox.pause(session, subject, "The receiver did not answer", until, services.now())
    console = "/console/"
    paths = {
        "home": "/",
        "sign-in": "/console/sign-in",
        "orders": console + "orders/",
        "nothing": console + "orders/?status=consented",
        **{f"order {name}": f"{console}orders/{order}" for name, order in orders.items()},
        "cancel": f"{console}orders/{orders['invited']}/cancel",
        "reopen": f"{console}orders/{orders['completed']}/reopen",
        "deliveries": console + "deliveries/",
        "any delivery": console + "deliveries/?state=any",
        "delivery": f"{console}deliveries/{message}",
        "retry": console + "deliveries/again",
        "letters": console + "letters/",
        "letter": f"{console}deliveries/{letter}",
        "products": console + "products/",
        **{f"product {kind}": f"{console}products/{tests[kind]}" for kind in tests},
        "publish": f"{console}products/{tests['assessment']}/publish",
        "archive": f"{console}products/{tests['check']}/archive",
        "accounts": console + "accounts/",
        "account": f"{console}accounts/{account}",
        "missing": console + "orders/nobody",
    }
    return Stage(url, paths, cookie)


def _products(services: Services) -> dict[str, str]:
    """Return the public ids of the samples by kind; the test has a draft too."""
    found: dict[str, str] = {}
    with services.db.writing() as session:
        for path in sorted((Path(provider.__file__).parent / "samples").glob("*.yaml")):
            for document in read_file(path):
                product, _ = kinds.import_document(session, document, services.now())
                product.publish(services.now())
                session.flush()
                found.setdefault(document.kind, product.public_id)
        test = Product.find(session, found["assessment"])
        test.add_version(
            session, test.versions[-1].content | {"time_limit": 12}, "2", services.now()
        )
    return found


def _orders(services: Services, account_id: int, tests: dict[str, str]) -> dict[str, str]:
    """Return orders by what became of them."""
    found = {}
    reasoning = factories.create_test(services)
    for number, name in enumerate(("invited", "completed", "cancelled", "started", "expired")):
        url = f"https://groove-tech.workable.com/assessments/{number}"
        found[name] = factories.place_order(services, account_id, reasoning, callback_url=url)
    for number in range(8):
        factories.place_order(
            services,
            account_id,
            tests["check"],
            "check",
            callback_url=f"https://groove-tech.workable.com/checks/{number}",
            first_name=f"Candidate {number}",
            last_name="Papadopoulou-Konstantinidou",
            email=f"a-rather-long-address-of-candidate-{number}@example.com",
        )
    factories.finish_test(services, found["completed"])
    with services.db.writing() as session:
        Assessment.find(session, found["started"]).start(session, services.now())
        cancelled = Order.find(session, found["cancelled"])
        cancelled.cancel(session, "sam@provider.test", "The job was filled inside", services.now())
        Order.find(session, found["expired"]).expire(session, services.now())
    park(services)
    courier = Dispatcher(services)
    courier.drain("1/email")
    courier.stop()
    return found


def test_every_page_is_open_to_everybody_and_fits_every_width(page: Page, stage: Stage) -> None:
    stage.sign_in(page)
    eye = AccessibilityChecker(page, DESKTOP_VARIANTS)
    for name, path in stage.paths.items():
        page.goto(stage.url + path)
        eye.check_page(name)
    assert eye.problems == []


def tab_to(page: Page, name: str, most: int = 60) -> None:
    """Press Tab until the focus is on what is called `name`."""
    for _ in range(most):
        page.keyboard.press("Tab")
        text = page.evaluate(
            "(document.activeElement.labels?.[0] ?? document.activeElement).innerText.trim()"
        )
        if re.fullmatch(name, text):
            return
    pytest.fail(f"no way to {name} with the Tab key")


def test_an_order_is_cancelled_with_the_keyboard_alone(page: Page, stage: Stage) -> None:
    page.goto(f"{stage.url}/console/orders/?email=lakita_marrero@gmail.com")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.keyboard.type("sam@provider.test")
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse battery")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Orders")).to_be_visible()
    for _ in range(4):  # the newest first: expired, started, cancelled, completed
        tab_to(page, "Lakita Marrero")
    tab_to(page, "Lakita Marrero")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Story")).to_be_visible()
    tab_to(page, "Cancel this order…")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is told at once")).to_be_visible()
    tab_to(page, "Reason")
    page.keyboard.type("The candidate asked for it")
    tab_to(page, "Cancel the order")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The order is cancelled.")
    expect(page.get_by_text("The candidate asked for it")).to_be_visible()


def test_the_candidates_link_is_ready_to_be_copied(page: Page, stage: Stage) -> None:
    stage.sign_in(page)
    page.goto(stage.url + stage.paths["order invited"])
    page.get_by_role("button", name="Show the candidate’s link").click()
    shown = page.get_by_label("The candidate’s link")
    expect(shown).to_be_focused()
    expect(shown).to_have_value(re.compile(r"http://provider\.test/c/[\w-]{43}"))
