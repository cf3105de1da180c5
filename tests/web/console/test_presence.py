"""Visits of an order, colleagues who have it open, and the note that it has changed."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from structlog.testing import capture_logs

from provider.app import create_app
from provider.config import Settings
from provider.core.orders import Order
from provider.services import Services
from provider.storage import sqlite
from tests import check_factories, factories, interview_factories
from tests.factories import ManualClock
from tests.web.console.test_browser import url as url
from tests.web.console.test_bulk_runs import sign_in
from tests.web.console.test_interviews import interview_path, rate
from tests.web.console.test_orders import perform_action, place_order
from tests.web.console_client import ORDERS_PATH, ConsoleClient

ADMIN, OPERATOR = "admin@provider.test", "operator@provider.test"


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client)


@pytest.fixture
def colleague(services: Services, app: Flask) -> ConsoleClient:
    return ConsoleClient.signed_in(services, app.test_client(), "admin")


def refresh_url(page: str) -> str:
    match = re.search(r'data-refresh-url="([^"]+)"', page)
    assert match
    return match[1]


@pytest.mark.both
def test_timeline_shows_who_looked_once_a_day(
    app: Flask, services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    midnight = (clock.now() + timedelta(days=1)).replace(hour=0, minute=0, second=0)
    clock.advance(midnight - timedelta(minutes=2) - clock.now())
    console = ConsoleClient.signed_in(services, client)
    colleague = ConsoleClient.signed_in(services, app.test_client(), "admin")
    path = f"{ORDERS_PATH}{place_order(services)}"
    for _ in range(3):
        console.get_text(path)
        clock.advance(timedelta(seconds=20))
    page = colleague.get_text(path)
    assert page.count(f"Looked at by {OPERATOR}") == 1
    assert page.count(f"Looked at by {ADMIN}") == 1
    clock.advance(timedelta(minutes=2))
    assert console.get_text(path).count(f"Looked at by {OPERATOR}") == 2


def test_timeline_shows_when_a_person_looked_last(
    services: Services, console: ConsoleClient, clock: ManualClock
) -> None:
    clock.advance(timedelta(hours=1) - timedelta(minutes=clock.now().minute))
    path = f"{ORDERS_PATH}{place_order(services)}"
    assert ", last at" not in console.get_text(path)
    clock.advance(timedelta(minutes=25))
    assert re.search(r", last at \d\d:25", console.get_text(path))


@pytest.mark.both
def test_order_page_names_colleagues_and_not_oneself(
    services: Services, console: ConsoleClient, colleague: ConsoleClient, clock: ManualClock
) -> None:
    path = f"{ORDERS_PATH}{place_order(services)}"
    assert "Also open by" not in console.get_text(path)
    assert f"Also open by {OPERATOR}, just now" in colleague.get_text(path)
    clock.advance(timedelta(minutes=2))
    page = colleague.get_text(path)
    assert f"Also open by {OPERATOR}, 2 minutes ago" in page
    assert f"Also open by {ADMIN}" not in page
    clock.advance(timedelta(minutes=3))
    assert "Also open by" not in colleague.get_text(path)


def test_open_page_keeps_its_reader_present(
    services: Services, console: ConsoleClient, colleague: ConsoleClient, clock: ManualClock
) -> None:
    path = f"{ORDERS_PATH}{place_order(services)}"
    refresh = refresh_url(console.get_text(path))
    for _ in range(4):
        clock.advance(timedelta(minutes=4))
        assert "Also open by" not in console.get_text(refresh)
    assert f"Also open by {OPERATOR}, just now" in colleague.get_text(path)


def test_open_page_learns_what_a_colleague_did(
    services: Services, console: ConsoleClient, colleague: ConsoleClient
) -> None:
    order_id = place_order(services)
    refresh = refresh_url(console.get_text(f"{ORDERS_PATH}{order_id}"))
    assert "has changed" not in console.get_text(refresh)
    perform_action(colleague, order_id, "cancel")
    page = console.get_text(refresh)
    assert "This order has changed since you opened this page." in page
    assert f"<strong>Cancelled</strong> by {ADMIN}" in page
    assert refresh_url(page) == refresh
    assert "has changed" not in console.get_text(f"{ORDERS_PATH}{order_id}")


@pytest.mark.parametrize("kind", ["interview", "check"])
def test_pages_of_a_kind_record_visits(
    services: Services, console: ConsoleClient, colleague: ConsoleClient, kind: str
) -> None:
    if kind == "interview":
        order_id, _ = interview_factories.submitted_interview(services)
        path = interview_path(order_id)
    else:
        order_id = check_factories.place_check(services)
        path = f"/console/checks/{order_id}/"
    assert "Also open by" not in console.get_text(path)
    assert f"Also open by {OPERATOR}" in colleague.get_text(path)
    assert f"Looked at by {ADMIN}" in console.get_text(f"{ORDERS_PATH}{order_id}")


def test_timeline_shows_who_rated_an_answer(services: Services, console: ConsoleClient) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    rate(console, interview, "why", 3)
    page = console.get_text(f"{ORDERS_PATH}{interview}")
    assert f"<strong>Interview rated</strong> by {OPERATOR}" in page


def test_timeline_says_that_the_mail_server_took_an_e_mail(
    services: Services, console: ConsoleClient
) -> None:
    path = f"{ORDERS_PATH}{place_order(services)}"
    assert "Accepted by the mail server" not in console.get_text(path)
    factories.deliver_emails(services)
    assert "Accepted by the mail server" in console.get_text(path)


@pytest.mark.sqlite
def test_order_page_is_shown_while_the_database_is_locked(
    settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    services, other = (factories.build_services(settings, clock) for _ in range(2))
    console = ConsoleClient.signed_in(services, create_app(services).test_client())
    path = f"{ORDERS_PATH}{place_order(services)}"
    with other.db.writing() as session, capture_logs() as logs:
        session.connection()
        assert "Looked at by" not in console.get_text(path)
    assert [line["event"] for line in logs] == ["order_visit_not_recorded"]
    assert f"Looked at by {OPERATOR}" in console.get_text(path)
    other.db.close()
    services.db.close()


def test_presence_in_a_browser_appears_without_a_reload(
    services: Services, page: Page, url: str, colleague: ConsoleClient
) -> None:
    order_id = place_order(services)
    sign_in(services, page, url)
    page.clock.install()
    page.goto(f"{url}{ORDERS_PATH}{order_id}")
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    page.evaluate("document.body.dataset.isFirstLoad = 'yes'")
    colleague.get_text(f"{ORDERS_PATH}{order_id}")
    page.clock.run_for(20_000)
    expect(page.get_by_text(f"Also open by {ADMIN}, just now")).to_be_visible()
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        order.cancel(session, ADMIN, "The job is filled", services.now())
    page.clock.run_for(20_000)
    expect(page.get_by_text("This order has changed since you opened this page.")).to_be_visible()
    expect(page.locator("body")).to_have_attribute("data-is-first-load", "yes")
    page.get_by_role("link", name="Show the order as it is now").click()
    expect(page.get_by_text("This order has changed")).to_have_count(0)
    expect(page.locator("body")).not_to_have_attribute("data-is-first-load", "yes")
