"""Actions on an order: each shows its effects first, and requires a reason."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.orders import CONSENTED, FINAL_STATUSES, INVITE, PENDING, STATUSES, Link, Order
from provider.core.products.schema_fields import clean_text
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.authentication import requires
from provider.web.console.orders import render_order_page

routes = Blueprint("order_actions", __name__, url_prefix="/orders/<order_id>")

REASON_LENGTH_RANGE = range(3, 501)  # characters

ActionFunction = Callable[[Order, Session, str, str, datetime], None]


@dataclass(frozen=True)
class OrderAction:
    """An action: the statuses that allow it, its function, and the message after success."""

    audit_action: Action
    allowed_statuses: frozenset[str]
    perform: ActionFunction
    success_message: str


def _reopen(order: Order, session: Session, actor: str, reason: str, now: datetime) -> None:
    order.reopen(session, current_services().secret_box, actor, reason, now)


def _revoke_links(order: Order, session: Session, actor: str, reason: str, now: datetime) -> None:
    order.revoke_links(session, current_services().secret_box, actor, reason, now)


ORDER_ACTIONS = {
    "cancel": OrderAction(
        Action.ORDER_CANCELLED,
        frozenset({PENDING, CONSENTED}),
        Order.cancel,
        "The order is cancelled.",
    ),
    "reopen": OrderAction(
        Action.ORDER_REOPENED,
        FINAL_STATUSES,
        _reopen,
        "The order is reopened, and the candidate is invited again.",
    ),
    "revoke-links": OrderAction(
        Action.ORDER_LINKS_REVOKED,
        frozenset(STATUSES),
        _revoke_links,
        "All links of this order are revoked.",
    ),
}


@routes.get("/<any(cancel, reopen, 'revoke-links'):name>")
@requires(Permission.MANAGE_ORDERS)
def confirm(order_id: str, name: str) -> Response:
    """Show the effects of an action, and ask for the reason."""
    return _render_confirmation(order_id, name)


@routes.post("/<any(cancel, reopen, 'revoke-links'):name>")
@requires(Permission.MANAGE_ORDERS)
def perform(order_id: str, name: str) -> Response:
    """Perform an action in one transaction; errors are shown on the confirmation page."""
    services = current_services()
    try:
        reason = _parse_reason(request.form.get("reason", ""))
        with services.db.writing() as session:
            order = Order.find(session, order_id, lock=True)
            _require_unchanged(order, request.form.get("revision", ""))
            action, before = ORDER_ACTIONS[name], {"status": order.status}
            action.perform(
                order, session, authentication.current_staff().email, reason, services.now()
            )
            after = {"status": order.status}
            if after == before:  # the act changed something else
                before = after = {}
            authentication.record_act(
                session, action.audit_action, f"order:{order_id}", before, after
            )
    except Invalid as error:
        return _render_confirmation(order_id, name, str(error), 400)
    except Conflict as error:
        return _render_confirmation(order_id, name, str(error), 409)
    flash(ORDER_ACTIONS[name].success_message, "success")
    return redirect(url_for("console.orders.detail", order_id=order_id))


@routes.post("/link")
@requires(Permission.MANAGE_ORDERS)
def show_link(order_id: str) -> str:
    """Show the candidate's link, and record the access as an event."""
    services = current_services()
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        link = Link.find_permanent(session, order, INVITE)
        if link is None:
            raise Conflict("This order has no link: reopen it, then the candidate gets a new one")
        order.record_event(
            session, "link shown", authentication.current_staff().email, services.now()
        )
        authentication.record_act(session, Action.ORDER_LINK_SHOWN, f"order:{order_id}")
        session.flush()
        url = services.urls.invitation(link.get_token(services.secret_box))
        return render_order_page(session, services, order, invitation_url=url)


def _render_confirmation(
    order_id: str, name: str, problem: str = "", status_code: int = 200
) -> Response:
    services = current_services()
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        page = render_template(
            f"console/{name}.html",
            order=order,
            timezone=order.account.timezone,
            problem=problem,
            reason=request.form.get("reason", ""),
            is_allowed=order.status in ORDER_ACTIONS[name].allowed_statuses,
            expires_at=services.now() + timedelta(seconds=order.account.expire_after_seconds),
        )
    return make_response(page, status_code)


def _parse_reason(text: str) -> str:
    reason = clean_text(text)
    if len(reason) not in REASON_LENGTH_RANGE:
        raise Invalid("Give a reason of 3 to 500 characters: it is kept in the order's timeline")
    return reason


def _require_unchanged(order: Order, submitted_revision: str) -> None:
    """Raise Conflict when the order changed after the page was rendered."""
    if submitted_revision != str(order.revision):
        raise Conflict(
            "A colleague changed this order after you opened this page, so nothing was saved. "
            "This page now shows the current state"
        )
