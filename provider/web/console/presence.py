"""The staff who look at an order now, and the note that it has changed since a page was opened."""

from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy.orm import Session
from structlog import get_logger

from provider.core.orders import Order, OrderVisit
from provider.core.orders.edit_conflict import changes_since, is_as_seen, seen_digest
from provider.core.staff import Permission
from provider.errors import Unavailable
from provider.services import current_services
from provider.web.console.authentication import candidate_names, current_staff, requires

routes = Blueprint("presence", __name__, url_prefix="/orders/<order_id>/presence")

log = get_logger()


@routes.get("")
@requires(Permission.VIEW_ORDERS)
def current(order_id: str) -> str:
    """Return the part of an order's pages that an open page asks for again and again."""
    record_visit(order_id)
    with current_services().db.reading() as session:
        order = Order.find(session, order_id)
        seen = request.args.get("seen", "")
        presence = presence_context(session, order, seen)
        return render_template("console/_presence.html", order=order, presence=presence)


def record_visit(order_id: str) -> None:
    """Record that the member of staff behind the request looks at an order. Raises NotFound.

    A database that cannot be written keeps nobody from reading.
    """
    services, email, now = current_services(), current_staff().email, current_services().now()
    with services.db.reading() as session:
        if not OrderVisit.is_due(session, Order.find(session, order_id), email, now):
            return
    try:
        with services.db.writing() as session:
            OrderVisit.record(session, order_id, email, now)
    except Unavailable as error:
        log.warning("order_visit_not_recorded", order=order_id, error=str(error))


def presence_context(session: Session, order: Order, seen: str = "") -> dict[str, Any]:
    """Return what `_presence.html` shows; without `seen` the page is opened now."""
    now = current_services().now()
    seen = seen or seen_digest(session, order)
    visits = OrderVisit.list_present(session, order, current_staff().email, now)
    is_outdated = not is_as_seen(session, order, seen)
    changes = changes_since(session, order, seen) if is_outdated else []
    if candidate_names().is_hidden(order):  # a note may name the candidate
        changes = [change._replace(note="") for change in changes]
    return {
        "colleagues": [
            (visit.actor, int((now - visit.last_seen_at).total_seconds()) // 60) for visit in visits
        ],
        "seen": seen,
        "is_outdated": is_outdated,
        "changes": changes,
    }
