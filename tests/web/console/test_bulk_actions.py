"""Actions on several orders: the choice, the preview with refusals, and what each action does."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.audit import Action, AuditEntry
from provider.core.orders import Order
from provider.core.orders.bulk_runner import PERFORM_BULK_RUNS
from provider.services import Services
from provider.web.console import bulk_actions
from tests import factories
from tests.factories import ManualClock
from tests.web.console.test_orders import order_events, order_messages, place_orders
from tests.web.console_client import ORDERS_PATH, ConsoleClient

PATH = f"{ORDERS_PATH}bulk/"
REASON = "The job is filled"


def preview_path(action: str, *order_ids: str, scope: str = "selected", **filters: str) -> str:
    pairs = [*filters.items(), *(("order", order_id) for order_id in order_ids)]
    query = "&".join(f"{name}={value}" for name, value in pairs)
    return f"{PATH}?action={action}&scope={scope}&{query}"


def perform(
    services: Services, console: ConsoleClient, action: str, *order_ids: str, **form: str
) -> str:
    """Perform an action on orders by its preview; return the page with the outcomes."""
    path = preview_path(action, *order_ids)
    orders = console.read_field(path, "orders")
    return submit(services, console, path, action=action, orders=orders, **form)


def submit(services: Services, console: ConsoleClient, page: str, **form: str) -> str:
    """Submit the form of a preview, perform the run, and return the page with the outcomes."""
    response = console.submit(PATH, page=page, **form)
    assert response.status_code == 302
    PERFORM_BULK_RUNS.run(services)
    return console.get_text(response.location)


def previewed_ids(console: ConsoleClient, path: str) -> list[str]:
    """Return the ids of the orders that a preview would change."""
    return [entry.partition(":")[0] for entry in console.read_field(path, "orders").split()]


def cancel(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, order_id).cancel(session, "sam@provider.test", REASON, services.now())


def statuses(services: Services, order_ids: list[str]) -> list[str]:
    return [factories.order_status(services, order_id) for order_id in order_ids]


@pytest.fixture
def ids(services: Services, clock: ManualClock) -> list[str]:
    """Return five orders, oldest first."""
    return place_orders(services, clock, 5)


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client)


def test_order_list_has_a_checkbox_for_each_order(ids: list[str], console: ConsoleClient) -> None:
    page = console.get_text(ORDERS_PATH)
    assert re.findall(r'name="order" value="([\w-]+)"', page) == ids[::-1]
    assert 'aria-label="Select Candidate 4"' in page


@pytest.mark.usefixtures("ids")
def test_order_list_of_a_viewer_has_no_checkboxes(services: Services, client: FlaskClient) -> None:
    page = ConsoleClient.signed_in(services, client, "viewer").get_text(ORDERS_PATH)
    assert 'type="checkbox"' not in page
    assert "Change several at once" not in page


def test_preview_counts_orders_and_gives_reasons(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    cancel(services, ids[0])
    path = preview_path("cancel", *ids[:3])
    page = console.get_text(path)
    assert "Cancel: 2 orders?" in page
    assert "An order that has ended cannot be cancelled." in page
    assert "1 of the chosen orders is left as it is" in page
    assert previewed_ids(console, path) == [ids[2], ids[1]]
    assert statuses(services, ids) == ["cancelled", *["pending"] * 4]


def test_preview_without_an_order_leads_back_to_the_filtered_list(
    client: FlaskClient, console: ConsoleClient
) -> None:
    response = client.get(preview_path("cancel", status="pending", q="a@example.com"))
    assert response.location == f"{ORDERS_PATH}?status=pending&q=a%40example.com"
    assert "Select at least one order" in console.get_text(response.location)


def test_preview_of_orders_that_all_refuse_has_no_form(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    cancel(services, ids[0])
    page = console.get_text(preview_path("cancel", ids[0]))
    assert "None of the chosen orders allows this" in page
    assert 'name="orders"' not in page


@pytest.mark.both
@pytest.mark.parametrize("filters", [{}, {"status": "pending"}, {"kind": "assessment"}])
def test_matching_scope_takes_every_page_of_the_filter(
    services: Services, clock: ManualClock, console: ConsoleClient, filters: dict[str, str]
) -> None:
    ids = place_orders(services, clock, 60)
    path = preview_path("cancel", scope="matching", **filters)
    assert previewed_ids(console, path) == ids[::-1]


def test_matching_scope_leaves_out_what_the_filter_hides(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    cancel(services, ids[0])
    path = preview_path("revoke-links", scope="matching", status="cancelled")
    assert previewed_ids(console, path) == [ids[0]]
    path = preview_path("cancel", scope="matching", q="Candidate3@example.com")
    assert previewed_ids(console, path) == [ids[3]]


@pytest.mark.usefixtures("ids")
def test_more_orders_than_allowed_are_refused(
    client: FlaskClient, console: ConsoleClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_actions, "MAX_BULK_ORDERS", 4)
    response = client.get(preview_path("cancel", scope="matching"))
    assert "more than 4 orders" in console.get_text(response.location)
    entries = " ".join(f"order{number}:seen" for number in range(5))
    response = console.submit(PATH, action="cancel", orders=entries, reason=REASON)
    assert response.status_code == 400


@pytest.mark.both
def test_bulk_cancel_changes_each_order_with_an_audit_entry(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    page = perform(services, console, "cancel", *ids[:3], reason=REASON)
    assert "Finished: 3 of 3 done" in page
    assert statuses(services, ids) == [*["cancelled"] * 3, "pending", "pending"]
    for order_id in ids[:3]:
        assert order_events(services, order_id)[-1] == (
            "cancelled",
            "operator@provider.test",
            REASON,
        )
        assert order_messages(services, order_id)[-1] == ("status", "cancelled")
    with services.db.reading() as session:
        is_cancel = AuditEntry.action == Action.ORDER_CANCELLED
        subjects = set(session.scalars(select(AuditEntry.subject).where(is_cancel)))
    assert subjects == {f"order:{order_id}" for order_id in ids[:3]}


def test_bulk_outcome_tells_of_an_order_that_changed_since(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    path = preview_path("cancel", *ids[:3])
    orders = console.read_field(path, "orders")
    cancel(services, ids[1])
    page = submit(services, console, path, action="cancel", orders=orders, reason=REASON)
    assert "Finished: 2 of 3 done, 1 left as before" in page
    assert "Changed meanwhile: Cancelled by sam@provider.test." in page
    assert statuses(services, ids[:3]) == ["cancelled"] * 3


def test_bulk_outcome_tells_of_an_order_that_is_gone(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    path = preview_path("cancel", ids[0])
    orders = console.read_field(path, "orders") + "nothing:seen"
    page = submit(services, console, path, action="cancel", orders=orders, reason=REASON)
    assert "Finished: 1 of 2 done" in page
    assert "There is no such order." in page


def test_bulk_action_with_a_wrong_reason_changes_nothing(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    path = preview_path("cancel", *ids)
    orders = console.read_field(path, "orders")
    response = console.submit(PATH, page=path, action="cancel", orders=orders, reason="x")
    assert response.status_code == 400
    assert "Give a reason of 3 to 500 characters" in response.text
    assert "Cancel: 5 orders?" in response.text
    assert statuses(services, ids) == ["pending"] * 5


def test_bulk_extend_moves_each_deadline_once(
    services: Services, ids: list[str], console: ConsoleClient
) -> None:
    with services.db.reading() as session:
        earlier = {order.public_id: order.expires_at for order in session.scalars(select(Order))}
    path = preview_path("extend", *ids)
    orders = console.read_field(path, "orders")
    form = {"action": "extend", "orders": orders, "days": "3", "notify": "on"}
    assert "5 of 5 done" in submit(services, console, path, **form)
    assert "0 of 5 done" in submit(services, console, path, **form)
    with services.db.reading() as session:
        for order in session.scalars(select(Order)):
            assert order.expires_at == earlier[order.public_id] + timedelta(days=3)
    assert order_messages(services, ids[0]) == [("invitation", ""), ("extension", "")]


def test_bulk_resend_and_revoke_change_each_order(
    services: Services, ids: list[str], console: ConsoleClient, clock: ManualClock
) -> None:
    factories.deliver_emails(services)
    clock.advance(timedelta(minutes=1))
    url = factories.invitation_url(services, ids[0])
    assert "2 of 2 done" in perform(services, console, "resend", *ids[:2])
    assert len(order_messages(services, ids[0])) == 2
    assert "2 of 2 done" in perform(services, console, "revoke-links", *ids[:2], reason=REASON)
    assert factories.invitation_url(services, ids[0]) != url


@pytest.mark.parametrize("action", ["", "correct", "unknown"])
def test_bulk_action_that_is_not_offered_is_refused(
    client: FlaskClient, ids: list[str], console: ConsoleClient, action: str
) -> None:
    assert client.get(preview_path(action, *ids)).status_code == 400
    response = console.submit(PATH, action=action, orders=f"{ids[0]}:0", reason=REASON)
    assert response.status_code == 400
