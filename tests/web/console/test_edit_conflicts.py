"""Two people act on one order: one wins, and the other one learns who did what meanwhile."""

import re
import threading
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from provider.core.kinds.assessment import Assessment
from provider.core.orders import Order
from provider.core.orders.actions import ORDER_ACTIONS
from provider.core.orders.bulk_runner import PERFORM_BULK_RUNS
from provider.services import Services
from provider.web.console.order_actions import SUCCESS_MESSAGES
from provider.web.console.orders import BULK_CHOICES
from tests import factories
from tests.factories import ManualClock
from tests.web.console.test_deliveries import park
from tests.web.console.test_orders import (
    order_events,
    order_messages,
    perform_action,
    place_order,
)
from tests.web.console_client import ORDERS_PATH, ConsoleClient

REASON = "The job is filled"
# Fields that the form of an action needs.
FIELDS = {
    "correct": {"email": "lakita.marrero@example.com"},
    "extend": {"days": "3"},
    "extra-time": {"amount": "25"},
    "accommodation": {"decision": "grant", "time": "25"},
}


def order_for(services: Services, clock: ManualClock, action: str) -> str:
    """Return an order that allows an action."""
    order_id = place_limited_order(services) if action == "allow-retake" else place_order(services)
    factories.deliver_emails(services)
    clock.advance(timedelta(minutes=1))
    if action == "retake":
        factories.finish_test(services, order_id)
    with services.db.writing() as session:
        order = Assessment.find(session, order_id)
        if action in ("reopen", "redeliver"):
            order.cancel(session, "sam@provider.test", REASON, clock.now())
        elif action == "end-attempt":
            order.start(session, clock.now())
        elif action == "release":
            order.hold(session, "sam@provider.test", REASON, clock.now())
    if action == "redeliver":
        park(services, "1/callback/groove-tech.workable.com")
    return order_id


def place_limited_order(services: Services) -> str:
    """Order a test that a person can take only once."""
    account_id, _ = factories.create_account(services)
    product = factories.create_test(services, retakes={"allowed": False})
    return factories.place_order(services, account_id, product)


def test_every_action_has_a_page_and_a_message() -> None:
    assert set(SUCCESS_MESSAGES) == set(ORDER_ACTIONS)


@pytest.mark.parametrize("action", ORDER_ACTIONS)
def test_action_from_an_outdated_page_says_who_did_what(
    app: Flask, services: Services, client: FlaskClient, clock: ManualClock, action: str
) -> None:
    order_id = order_for(services, clock, action)
    path = f"{ORDERS_PATH}{order_id}/{action}"
    console = ConsoleClient.signed_in(services, client)
    seen = console.read_field(path, "seen")
    colleague = ConsoleClient.signed_in(services, app.test_client(), "admin")
    assert perform_action(colleague, order_id, "revoke-links", "A leaked link")[0] == 302
    before = order_events(services, order_id), order_messages(services, order_id)
    form = {"reason": REASON, **FIELDS.get(action, {})}
    response = console.submit(path, page=path, seen=seen, **form)
    assert response.status_code == 409
    assert "nothing was saved" in response.text
    assert re.search(
        r"<strong>All links revoked</strong> by admin@provider\.test, .*A leaked link",
        response.text,
    )
    assert (order_events(services, order_id), order_messages(services, order_id)) == before
    assert perform_action(console, order_id, action, **FIELDS.get(action, {}))[0] == 302


def test_action_after_the_candidate_opened_the_invitation_succeeds(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = order_for(services, clock, "extend")
    console = ConsoleClient.signed_in(services, client)
    path = f"{ORDERS_PATH}{order_id}/extend"
    seen = console.read_field(path, "seen")
    with services.db.writing() as session:
        Order.find(session, order_id).mark_opened(session, clock.now())
    assert console.submit(path, page=path, seen=seen, days="3").status_code == 302


def test_cancel_after_the_candidate_started_is_refused(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = order_for(services, clock, "cancel")
    console = ConsoleClient.signed_in(services, client)
    path = f"{ORDERS_PATH}{order_id}/cancel"
    seen = console.read_field(path, "seen")
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, clock.now())
    response = console.submit(path, page=path, seen=seen, reason=REASON)
    assert response.status_code == 409
    assert "Started by the candidate" in response.text
    assert factories.order_status(services, order_id) == "pending"


@pytest.mark.both
def test_two_actions_at_once_one_wins_and_one_is_refused(app: Flask, services: Services) -> None:
    order_id = place_order(services)
    forms = {
        "admin": ("cancel", {"reason": REASON}),
        "operator": ("extend", {"days": "3"}),
    }
    consoles = {role: ConsoleClient.signed_in(services, app.test_client(), role) for role in forms}
    start, responses = threading.Barrier(len(forms)), {}
    fields = {}
    for role, (action, form) in forms.items():
        page = consoles[role].get_text(f"{ORDERS_PATH}{order_id}/{action}")
        seen = re.search(r'name="seen" value="([^"]+)"', page)
        assert seen
        fields[role] = {"csrf_token": factories.csrf_token(page), "seen": seen[1], **form}

    def post(role: str) -> None:
        start.wait()
        path = f"{ORDERS_PATH}{order_id}/{forms[role][0]}"
        responses[role] = consoles[role].client.post(path, data=fields[role])

    threads = [threading.Thread(target=post, args=(role,)) for role in forms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner, loser = sorted(forms, key=lambda role: responses[role].status_code)
    assert [responses[role].status_code for role in (winner, loser)] == [302, 409]
    assert f"by {winner}@provider.test" in responses[loser].text
    events = [event for event in order_events(services, order_id) if "@" in event[1]]
    assert [actor for _, actor, _ in events] == [f"{winner}@provider.test"]


@pytest.mark.parametrize("action", [name for name, _ in BULK_CHOICES if name in ORDER_ACTIONS])
def test_action_on_several_orders_has_a_form_and_an_outcome(
    services: Services, client: FlaskClient, clock: ManualClock, action: str
) -> None:
    order_id = order_for(services, clock, action)
    console = ConsoleClient.signed_in(services, client)
    path = f"{ORDERS_PATH}bulk/?action={action}&order={order_id}"
    page = console.get_text(path)
    assert "This cannot be undone." in page or action != "revoke-links"
    for name in FIELDS.get(action, {}):
        assert f'name="{name}"' in page
    form = {"action": action, "orders": console.read_field(path, "orders"), "reason": REASON}
    response = console.submit(f"{ORDERS_PATH}bulk/", page=path, **form, **FIELDS.get(action, {}))
    PERFORM_BULK_RUNS.run(services)
    assert "Finished: 1 of 1 done" in console.get_text(response.location)
