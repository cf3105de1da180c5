"""Pages of the actions on an order: each shows its effects first, and most require a reason."""

from collections.abc import Sequence
from datetime import timedelta

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.orders import INVITE, Link, Order
from provider.core.orders.actions import ORDER_ACTIONS
from provider.core.orders.edit_conflict import ChangeSince, OrderChanged, seen_digest
from provider.core.orders.order_action import Act, find_refusal, perform_action
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.accommodations import accommodation_context
from provider.web.console.authentication import requires
from provider.web.console.orders import render_order_page

routes = Blueprint("order_actions", __name__, url_prefix="/orders/<order_id>")

SUCCESS_MESSAGES = {
    "cancel": "The order is cancelled.",
    "reopen": "The order is reopened, and the candidate is invited again.",
    "retake": "The candidate is invited to take the test again.",
    "allow-retake": "The candidate may take the test now, and is invited again.",
    "revoke-links": "All links of this order are revoked.",
    "resend": "The invitation is sent again.",
    "correct": "The details are corrected, and the candidate is invited by a new link.",
    "extend": "The deadline is extended.",
    "extra-time": "The extra time is set.",
    "accommodation": "The decision is saved, and the candidate gets it by e-mail.",
    "end-attempt": "The attempt is ended with the answers so far.",
    "redeliver": "What failed is sent again, unless a later status update has replaced it.",
    "hold": "The order is on hold: it is not erased before you release it.",
    "release": "The order is released.",
}
# Further variables of an action's page.
PAGE_CONTEXTS = {"accommodation": accommodation_context}
ACTION_ROUTE = f"/<any({', '.join(repr(name) for name in SUCCESS_MESSAGES)}):name>"


@routes.get(ACTION_ROUTE)
@requires(Permission.MANAGE_ORDERS)
def confirm(order_id: str, name: str) -> Response:
    """Show the effects of an action, and ask what it needs."""
    authentication.require(ORDER_ACTIONS[name].permission)
    return _render_confirmation(order_id, name)


@routes.post(ACTION_ROUTE)
@requires(Permission.MANAGE_ORDERS)
def perform(order_id: str, name: str) -> Response:
    """Perform an action in one transaction; errors are shown on the confirmation page."""
    services, action = current_services(), ORDER_ACTIONS[name]
    authentication.require(action.permission)
    try:
        values = action.read_form(request.form)
        with services.db.writing() as session:
            order = Order.find(session, order_id, lock=True)
            actor = authentication.current_staff().email
            act = Act(session, services.secret_box, order, actor, services.now())
            perform_action(act, action, values, seen=request.form.get("seen", ""))
    except Invalid as error:
        return _render_confirmation(order_id, name, str(error), 400)
    except OrderChanged as error:
        return _render_confirmation(order_id, name, str(error), 409, error.changes)
    except Conflict as error:
        return _render_confirmation(order_id, name, str(error), 409)
    flash(SUCCESS_MESSAGES[name], "success")
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
    order_id: str,
    name: str,
    problem: str = "",
    status_code: int = 200,
    changes: Sequence[ChangeSince] = (),
) -> Response:
    services = current_services()
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        refusal = find_refusal(session, order, ORDER_ACTIONS[name], services.now())
        page = render_template(
            f"console/{name}.html",
            order=order,
            timezone=order.account.timezone,
            problem=problem if problem != refusal else "",
            refusal=refusal,
            form=request.form,
            seen=seen_digest(session, order),
            changes=changes,
            expires_at=services.now() + timedelta(seconds=order.account.expire_after_seconds),
            **(PAGE_CONTEXTS[name](session, order) if name in PAGE_CONTEXTS else {}),
        )
    return make_response(page, status_code)
