"""The pages of a change of several orders: progress, outcomes, stopping, undoing, the list."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect

from provider.core.orders import Order
from provider.core.orders.bulk_runner import PERFORM_BULK_RUNS, perform_next
from provider.core.staff import complete_sign_in
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.web.accessibility import AccessibilityChecker
from tests.web.console.test_browser import url as url
from tests.web.console.test_bulk_actions import PATH, preview_path, statuses
from tests.web.console.test_orders import place_orders
from tests.web.console_client import ORDERS_PATH, ConsoleClient

REASON = "The job is filled"


@pytest.fixture
def ids(services: Services, clock: ManualClock) -> list[str]:
    """Return five orders, oldest first."""
    return place_orders(services, clock, 5)


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client)


def begin(console: ConsoleClient, action: str, *order_ids: str, **form: str) -> str:
    """Submit the preview of an action; return the path of its run."""
    path = preview_path(action, *order_ids)
    orders = console.read_field(path, "orders")
    response = console.submit(PATH, page=path, action=action, orders=orders, **form)
    assert response.status_code == 302
    return str(response.location)


def test_run_page_shows_progress_and_then_each_outcome(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    path = begin(console, "cancel", *ids, reason=REASON)
    assert statuses(services, ids) == ["pending"] * 5
    page = console.get_text(path)
    assert "0 of 5 orders" in page
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page
    assert f'data-refresh-url="{path}/progress"' in page
    for _ in range(2):
        perform_next(services)
    assert "2 of 5 orders" in console.get_text(f"{path}/progress")
    PERFORM_BULK_RUNS.run(services)
    for page in (console.get_text(path), console.get_text(f"{path}/progress")):
        assert "Finished: 5 of 5 done" in page
        assert len(re.findall("Done</span>", page)) == 5
        assert "data-refresh-url" not in page
        assert "http-equiv" not in page


def test_run_page_shows_what_is_left_while_the_run_goes_on(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    path = begin(console, "cancel", *ids[:3], reason=REASON)
    with services.db.writing() as session:
        order = Order.find(session, ids[2])
        order.cancel(session, "ana@provider.test", REASON, services.now())
    perform_next(services)
    page = console.get_text(path)
    assert "Left as before, so far" in page
    assert "Changed meanwhile: Cancelled by ana@provider.test." in page
    assert "Done</span>" not in page


def test_stopped_run_says_who_stopped_it(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    path = begin(console, "cancel", *ids, reason=REASON)
    perform_next(services)
    response = console.submit(f"{path}/stop", page=path)
    assert "Stopped: 4 orders are left as before." in console.get_text(response.location)
    PERFORM_BULK_RUNS.run(services)
    assert "operator@provider.test stopped this before it was done" in console.get_text(path)
    assert statuses(services, ids) == [*["pending"] * 4, "cancelled"]


def test_undo_page_shows_what_it_changes_and_what_it_leaves(
    app: Flask, services: Services, ids: list[str], console: ConsoleClient
) -> None:
    path = begin(console, "extend", *ids, days="3", notify="on")
    PERFORM_BULK_RUNS.run(services)
    with services.db.writing() as session:
        Order.find(session, ids[0]).cancel(session, "ana@x.test", REASON, services.now())
    page = console.get_text(f"{path}/undo")
    assert "Undo “Extend the deadline” for 4 orders?" in page
    assert "1 of the orders has changed since and is left as it is" in page
    colleague = ConsoleClient.signed_in(services, app.test_client(), "admin")
    undo_path = colleague.submit(f"{path}/undo", page=f"{path}/undo").location
    PERFORM_BULK_RUNS.run(services)
    assert "Finished: 4 of 5 done, 1 left as before" in console.get_text(undo_path)
    page = console.get_text(path)
    assert "admin@provider.test has undone this." in page
    assert "Undo…" not in page
    response = console.submit(f"{path}/undo", page=f"{path}/undo")
    assert response.status_code == 409
    assert "admin@provider.test has undone this already" in response.text


@pytest.mark.parametrize(("action", "is_offered"), [("cancel", True), ("revoke-links", False)])
def test_undo_is_offered_only_where_it_is_possible(
    services: Services, ids: list[str], console: ConsoleClient, action: str, is_offered: bool
) -> None:
    path = begin(console, action, *ids, reason=REASON)
    PERFORM_BULK_RUNS.run(services)
    assert ("Undo…" in console.get_text(path)) == is_offered
    assert ("Undo for 5 orders" in console.get_text(f"{path}/undo")) == is_offered


def test_list_of_runs_names_who_changed_what(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    path = f"{PATH}runs/"
    assert "Nobody has changed several orders" in console.get_text(path)
    first = begin(console, "cancel", *ids[:2], reason=REASON)
    PERFORM_BULK_RUNS.run(services)
    second = begin(console, "extend", *ids[2:], days="3")
    page = console.get_text(path)
    assert re.findall(r'<th scope="row"><a href="([^"]+)"', page) == [second, first]
    assert "operator@provider.test" in page
    assert f'href="{path}"' in console.get_text(ORDERS_PATH)


def test_unknown_run_is_not_found(console: ConsoleClient) -> None:
    for path in ("nothing", "nothing/progress", "nothing/undo", "%00"):
        console.get_text(f"{PATH}runs/{path}", 404)


def sign_in(services: Services, page: Page, url: str) -> None:
    factories.create_staff(services)
    with services.db.writing() as session:
        token = complete_sign_in(session, "sam@provider.test", "127.0.0.1", services.now())
    page.context.add_cookies([{"name": "staff", "value": token, "url": url}])


def test_progress_in_a_browser_goes_on_without_a_reload(
    services: Services, clock: ManualClock, page: Page, url: str
) -> None:
    ids = place_orders(services, clock, 3)
    sign_in(services, page, url)
    page.goto(f"{url}{preview_path('cancel', *ids)}")
    page.get_by_label("Reason").fill(REASON)
    page.get_by_role("button", name="Cancel: 3 orders").click()
    expect(page.get_by_text("0 of 3 orders")).to_be_visible()
    page.evaluate("document.body.dataset.isFirstLoad = 'yes'")
    perform_next(services)
    expect(page.get_by_text("1 of 3 orders")).to_be_visible()
    PERFORM_BULK_RUNS.run(services)
    expect(page.get_by_text("Finished: 3 of 3 done")).to_be_visible()
    expect(page.locator("body")).to_have_attribute("data-is-first-load", "yes")


def test_pages_of_a_run_are_accessible_at_every_width(
    services: Services, clock: ManualClock, page: Page, url: str
) -> None:
    ids = place_orders(services, clock, 3)
    sign_in(services, page, url)
    page.goto(f"{url}{preview_path('extend', *ids)}")
    page.get_by_role("button", name="Extend the deadline: 3 orders").click()
    checker, run = AccessibilityChecker(page, in_turn=True), page.url
    perform_next(services)
    expect(page.get_by_text("1 of 3 orders")).to_be_visible()
    checker.check_page("progress")
    with services.db.writing() as session:
        order = Order.find(session, ids[1])
        order.cancel(session, "ana@provider.test", REASON, services.now())
    PERFORM_BULK_RUNS.run(services)
    clock.advance(timedelta(minutes=1))
    for name, path in {
        "outcome": run,
        "undo": f"{run}/undo",
        "runs": f"{url}{PATH}runs/",
        "bulk extra time": f"{url}{preview_path('extra-time', *ids)}",
        "bulk end": f"{url}{preview_path('end-attempt', *ids)}",
    }.items():
        page.goto(path)
        checker.check_page(name)
    assert checker.problems == []
