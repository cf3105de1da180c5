"""Actions on an order: each shows its effects first, and most require a reason."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action, Fields
from provider.core.orders import CONSENTED, FINAL_STATUSES, INVITE, PENDING, Link, Order, staff_acts
from provider.core.orders.accommodation import Terms, decide
from provider.core.products.schema_fields import clean_text
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.accommodations import accommodation_context
from provider.web.console.authentication import requires
from provider.web.console.orders import render_order_page
from provider.web.console.seen_content import content_digest

routes = Blueprint("order_actions", __name__, url_prefix="/orders/<order_id>")

REASON_LENGTH_RANGE = range(3, 501)  # characters

Form = Mapping[str, str]
Guard = Callable[[Session, Order, datetime], None]
# Performs an action by the values of its form; returns the fields that changed, for the audit log.
ActionFunction = Callable[..., tuple[Fields, Fields] | None]


@dataclass(frozen=True)
class OrderAction:
    """An action on one order.

    `guard` raises Conflict for an order that does not allow it. `read_form` returns the keyword
    arguments of `perform`.
    """

    audit_action: Action
    guard: Guard
    perform: ActionFunction
    success_message: str
    read_form: Callable[[Form], dict[str, Any]]
    # Further variables of the action's page.
    page_context: Callable[[Session, Order], dict[str, Any]] = lambda _session, _order: {}


class OutdatedPage(Conflict):
    """The order is not as the page with the form showed it."""


def read_reason(form: Form) -> dict[str, Any]:
    reason = clean_text(form.get("reason", ""))
    if len(reason) not in REASON_LENGTH_RANGE:
        raise Invalid("Give a reason of 3 to 500 characters: it is kept in the order's timeline")
    return {"reason": reason}


def read_nothing(_form: Form) -> dict[str, Any]:
    return {}


def _require_cancellable(_session: Session, order: Order, _now: datetime) -> None:
    if order.status not in (PENDING, CONSENTED):
        raise Conflict("An order that has ended cannot be cancelled")


def _require_ended(_session: Session, order: Order, _now: datetime) -> None:
    if order.status not in FINAL_STATUSES:
        raise Conflict("Only an order that has ended can be reopened")


def _allow(_session: Session, _order: Order, _now: datetime) -> None:
    """Allow the action for every order."""


def _cancel(session: Session, order: Order, actor: str, now: datetime, reason: str) -> Any:
    before = {"status": order.status}
    order.cancel(session, actor, reason, now)
    return before, {"status": order.status}


def _reopen(session: Session, order: Order, actor: str, now: datetime, reason: str) -> Any:
    before = {"status": order.status}
    order.reopen(session, current_services().secret_box, actor, reason, now)
    return before, {"status": order.status}


def _revoke_links(session: Session, order: Order, actor: str, now: datetime, reason: str) -> Any:
    order.revoke_links(session, current_services().secret_box, actor, reason, now)


def _read_recipient(form: Form) -> dict[str, Any]:
    names = ("email", "first_name", "last_name")
    return {"recipient": staff_acts.Recipient.parse(*(form.get(name, "") for name in names))}


def _require_not_started(_session: Session, order: Order, now: datetime) -> None:
    staff_acts.require_not_started(order, now)


def _correct(
    session: Session, order: Order, actor: str, now: datetime, recipient: staff_acts.Recipient
) -> Any:
    secret_box = current_services().secret_box
    fields = staff_acts.correct_candidate(session, secret_box, order, recipient, actor, now)
    return {}, {"fields": fields}


def read_extension(form: Form) -> dict[str, Any]:
    return {
        "days": _read_number(form, "days", "Give the number of days, from 1 to 365"),
        "notify": "notify" in form,
    }


def _read_number(form: Form, name: str, message: str) -> int:
    text = form.get(name, "").strip()
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise Invalid(message)
    return int(text)


def _extend(
    session: Session, order: Order, actor: str, now: datetime, days: int, notify: bool
) -> Any:
    before = {"expires_at": order.expires_at.isoformat()}
    staff_acts.extend(session, order, days, actor, now, notify=notify)
    return before, {"expires_at": order.expires_at.isoformat()}


def _require_extra_time_possible(_session: Session, order: Order, now: datetime) -> None:
    staff_acts.require_extra_time_possible(order, now)


def _read_extra_time(form: Form) -> dict[str, Any]:
    amount = form.get("amount", "")
    if amount == "minutes":
        message = "Give the number of minutes, from 1 to 1440"
        return {"minutes": _read_number(form, "minutes", message)}
    if amount not in map(str, (0, *staff_acts.EXTRA_TIME_PERCENTAGES)):
        raise Invalid("Choose how much time the candidate gets")
    return {"percent": int(amount)}


def _give_extra_time(
    session: Session,
    order: Order,
    actor: str,
    now: datetime,
    percent: int = 0,
    minutes: int | None = None,
) -> Any:
    timed_order = staff_acts.require_extra_time_possible(order, now)
    seconds = staff_acts.percent_of_time(timed_order, percent) if minutes is None else minutes * 60
    before = {"extra_time_seconds": order.extra_time_seconds}
    staff_acts.give_extra_time(session, order, seconds, actor, now)
    return before, {"extra_time_seconds": order.extra_time_seconds}


def _read_decision(form: Form) -> dict[str, Any]:
    if form.get("decision") not in ("grant", "refuse"):
        raise Invalid("Choose whether to grant or to refuse")
    return {"terms": Terms.parse(form), "is_granted": form["decision"] == "grant"}


def _decide(
    session: Session, order: Order, actor: str, now: datetime, terms: Terms, is_granted: bool
) -> Any:
    """Decide about an accommodation. The audit log does not say what was granted."""
    before = {"extra_time_seconds": order.extra_time_seconds}
    secret_box = current_services().secret_box
    decide(session, secret_box, order, terms, actor, now, is_granted=is_granted)
    return before, {
        "granted": is_granted,
        "extra_time_seconds": order.extra_time_seconds,
    }


def _require_attempt(_session: Session, order: Order, _now: datetime) -> None:
    staff_acts.require_attempt(order)


def _end_attempt(session: Session, order: Order, actor: str, now: datetime, reason: str) -> Any:
    secret_box, before = current_services().secret_box, _state(order)
    staff_acts.end_attempt(session, secret_box, order, actor, reason, now)
    return before, _state(order)


def _require_retakable(_session: Session, order: Order, _now: datetime) -> None:
    order.require_retakable()


def _retake(session: Session, order: Order, actor: str, now: datetime, reason: str) -> Any:
    before = {"status": order.status}
    order.retake(session, current_services().secret_box, actor, reason, now)
    return before, {"status": order.status}


def _state(order: Order) -> Fields:
    return {"status": order.status, "progress": order.progress}


def _resend(session: Session, order: Order, actor: str, now: datetime) -> Any:
    staff_acts.resend_invitation(session, current_services().secret_box, order, actor, now)


ORDER_ACTIONS = {
    "cancel": OrderAction(
        Action.ORDER_CANCELLED,
        _require_cancellable,
        _cancel,
        "The order is cancelled.",
        read_reason,
    ),
    "reopen": OrderAction(
        Action.ORDER_REOPENED,
        _require_ended,
        _reopen,
        "The order is reopened, and the candidate is invited again.",
        read_reason,
    ),
    "retake": OrderAction(
        Action.ORDER_RETAKEN,
        _require_retakable,
        _retake,
        "The candidate is invited to take the test again.",
        read_reason,
    ),
    "revoke-links": OrderAction(
        Action.ORDER_LINKS_REVOKED,
        _allow,
        _revoke_links,
        "All links of this order are revoked.",
        read_reason,
    ),
    "resend": OrderAction(
        Action.ORDER_INVITATION_RESENT,
        staff_acts.require_resendable,
        _resend,
        "The invitation is sent again.",
        read_nothing,
    ),
    "correct": OrderAction(
        Action.ORDER_CANDIDATE_CORRECTED,
        _require_not_started,
        _correct,
        "The details are corrected, and the candidate is invited by a new link.",
        _read_recipient,
    ),
    "extend": OrderAction(
        Action.ORDER_EXTENDED,
        _require_not_started,
        _extend,
        "The deadline is extended.",
        read_extension,
    ),
    "extra-time": OrderAction(
        Action.ORDER_EXTRA_TIME_GIVEN,
        _require_extra_time_possible,
        _give_extra_time,
        "The extra time is set.",
        _read_extra_time,
    ),
    "accommodation": OrderAction(
        Action.ORDER_ACCOMMODATION_DECIDED,
        _require_not_started,
        _decide,
        "The decision is saved, and the candidate is told by e-mail.",
        _read_decision,
        accommodation_context,
    ),
    "end-attempt": OrderAction(
        Action.ORDER_ATTEMPT_ENDED,
        _require_attempt,
        _end_attempt,
        "The attempt is ended with the answers so far.",
        read_reason,
    ),
}
ACTION_ROUTE = f"/<any({', '.join(repr(name) for name in ORDER_ACTIONS)}):name>"


@routes.get(ACTION_ROUTE)
@requires(Permission.MANAGE_ORDERS)
def confirm(order_id: str, name: str) -> Response:
    """Show the effects of an action, and ask what it needs."""
    return _render_confirmation(order_id, name)


@routes.post(ACTION_ROUTE)
@requires(Permission.MANAGE_ORDERS)
def perform(order_id: str, name: str) -> Response:
    """Perform an action in one transaction; errors are shown on the confirmation page."""
    action = ORDER_ACTIONS[name]
    try:
        perform_action(order_id, action, request.form, seen=request.form.get("seen", ""))
    except Invalid as error:
        return _render_confirmation(order_id, name, str(error), 400)
    except Conflict as error:
        return _render_confirmation(order_id, name, str(error), 409)
    flash(action.success_message, "success")
    return redirect(url_for("console.orders.detail", order_id=order_id))


def perform_action(order_id: str, action: OrderAction, form: Form, *, seen: str) -> None:
    """Perform an action in a transaction of its own, with its entry in the audit log.

    Raises OutdatedPage when the order is not as it was `seen`, and what the action raises.
    """
    services, actor = current_services(), authentication.current_staff().email
    values = action.read_form(form)
    with services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        if seen != order_digest(order):
            raise OutdatedPage(
                "A colleague changed this order after you opened this page, so nothing was saved. "
                "This page now shows the current state"
            )
        action.guard(session, order, services.now())
        before, after = action.perform(session, order, actor, services.now(), **values) or ({}, {})
        authentication.record_act(session, action.audit_action, f"order:{order_id}", before, after)


def order_digest(order: Order) -> str:
    """Return a digest of what an action may change: a form from before a change is refused."""
    candidate = order.candidate
    return content_digest(
        order.revision,
        order.expires_at,
        candidate.email,
        candidate.first_name,
        candidate.last_name,
        order.extra_time_seconds,
        order.accommodation_asked_at,
    )


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
        refusal = find_refusal(session, order, ORDER_ACTIONS[name], services.now())
        page = render_template(
            f"console/{name}.html",
            order=order,
            timezone=order.account.timezone,
            problem=problem if problem != refusal else "",
            refusal=refusal,
            form=request.form,
            seen=order_digest(order),
            expires_at=services.now() + timedelta(seconds=order.account.expire_after_seconds),
            **ORDER_ACTIONS[name].page_context(session, order),
        )
    return make_response(page, status_code)


def find_refusal(session: Session, order: Order, action: OrderAction, now: datetime) -> str:
    """Return why an order does not allow an action; empty if it does."""
    try:
        action.guard(session, order, now)
    except Conflict as error:
        return str(error)
    return ""
