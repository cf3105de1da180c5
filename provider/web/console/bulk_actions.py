"""One action on several orders: the choice, a preview with refusals, and the start of its run.

A scheduled work changes the orders (`core/orders/bulk_runner.py`), each in a transaction and with
an entry in the audit log of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from provider.core.orders import Order
from provider.core.orders.bulk_run import MAX_BULK_ORDERS, BulkRun
from provider.core.orders.edit_conflict import seen_digests
from provider.core.orders.order_action import find_refusal
from provider.core.staff import Permission
from provider.errors import Invalid
from provider.maintenance.bulk_erasure import BULK_ACTIONS
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.authentication import requires
from provider.web.console.order_list import (
    FILTER_NAMES,
    filter_choices,
    list_matching_ids,
    read_filter,
)
from provider.web.console.orders import BULK_CHOICES, load_orders

routes = Blueprint("bulk_actions", __name__, url_prefix="/orders/bulk")

MATCHING = "matching"  # the scope of all orders that match the filter


class OrderRow(NamedTuple):
    """An order of the preview. `refusal` says why the action is not possible; else empty."""

    order: Order
    refusal: str
    seen: str


@routes.get("/")
@requires(Permission.MANAGE_ORDERS)
def preview() -> Response:
    """Show which of the chosen orders an action would change, and which it cannot."""
    services, name = current_services(), _read_action_name()
    with services.db.reading() as session:
        if request.args.get("scope") == MATCHING:
            order_filter = read_filter(session, filter_choices(session))
            order_ids = list_matching_ids(session, order_filter, MAX_BULK_ORDERS + 1)
        else:
            order_ids = list(dict.fromkeys(request.args.getlist("order")))
    if not order_ids:
        return _return_to_list("Select at least one order, or all orders that match the filter.")
    if len(order_ids) > MAX_BULK_ORDERS:
        message = f"These are more than {MAX_BULK_ORDERS:,} orders: narrow the filter first."
        return _return_to_list(message)
    return _render_preview(name, order_ids)


@routes.post("/")
@requires(Permission.MANAGE_ORDERS)
def perform() -> Response:
    """Store an action on the orders of a preview, and show its progress."""
    name, seen_by_id = _read_action_name(), _read_seen_orders()
    services, actor = current_services(), authentication.current_staff().email
    try:
        arguments = BULK_ACTIONS[name].read_form(request.form)
    except Invalid as error:
        return _render_preview(name, list(seen_by_id), str(error), 400)
    with services.db.writing() as session:
        run = BulkRun.create(session, name, arguments, seen_by_id.items(), actor, services.now())
        run_id = run.public_id
    return redirect(url_for("console.bulk_runs.detail", run_id=run_id))


def _read_action_name() -> str:
    """Return the action. Raises Invalid, and Unauthorized without its permission."""
    name = request.values.get("action", "")
    if name not in dict(BULK_CHOICES):
        raise Invalid("Choose what to do with the orders")
    authentication.require(BULK_ACTIONS[name].permission)
    return name


def _read_seen_orders() -> dict[str, str]:
    """Return the digests of the form's orders as the preview showed them, by public id."""
    pairs = [entry.partition(":") for entry in request.form.get("orders", "").split()]
    if not pairs or len(pairs) > MAX_BULK_ORDERS:
        raise Invalid(f"Choose 1 to {MAX_BULK_ORDERS:,} orders")
    return {order_id: seen for order_id, _, seen in pairs}


def _render_preview(
    name: str, order_ids: Sequence[str], problem: str = "", status_code: int = 200
) -> Response:
    services, action = current_services(), BULK_ACTIONS[name]
    with services.db.reading() as session:
        orders = load_orders(session, order_ids)
        digests = seen_digests(session, orders)
        rows = [
            OrderRow(order, find_refusal(session, order, action, services.now()), digests[order.id])
            for order in orders
        ]
        page = render_template(
            "console/bulk_preview.html",
            name=name,
            title=dict(BULK_CHOICES)[name],
            allowed=[row for row in rows if not row.refusal],
            refused=[row for row in rows if row.refusal],
            problem=problem,
            form=request.form,
        )
    return make_response(page, status_code)


def _return_to_list(problem: str) -> Response:
    flash(problem, "danger")
    filters = {name: value for name in (*FILTER_NAMES, "q") if (value := request.args.get(name))}
    return redirect(f"{url_for('console.orders.listing')}?{urlencode(filters)}")
