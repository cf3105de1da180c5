"""The staff's actions on an order: for one order, for several, and for the commands.

Each action has a guard, a function that performs it, and a function that reads its form. A page
shows the guard's refusal before anybody asks for the action. A command has no page, and prints what
the function itself refuses.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from provider import outbox
from provider.core.audit import Action, Fields
from provider.core.orders import staff_acts
from provider.core.orders.accommodation import Terms, decide
from provider.core.orders.order import Order
from provider.core.orders.order_action import Act, Changes, Form, OrderAction, Undo
from provider.core.orders.states import CANCELLED, CONSENTED, FINAL_STATUSES, PENDING
from provider.core.products.schema_fields import clean_text
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.texts import gettext_noop

UNDO_NOTE = "A change of several orders was undone"
REASON_LENGTH_RANGE = range(3, 501)  # characters
DAYS_MESSAGE = gettext_noop("Give the number of days, from 1 to 365")
MINUTES_MESSAGE = gettext_noop("Give the number of minutes, from 1 to 1440")

# The forms


def _read_reason(form: Form) -> dict[str, Any]:
    reason = clean_text(form.get("reason", ""))
    if len(reason) not in REASON_LENGTH_RANGE:
        raise Invalid("Give a reason of 3 to 500 characters: it is kept in the order's timeline")
    return {"reason": reason}


def _read_nothing(_form: Form) -> dict[str, Any]:
    return {}


def _read_recipient(form: Form) -> dict[str, Any]:
    names = ("email", "first_name", "last_name")
    return {"recipient": staff_acts.Recipient.parse(*(form.get(name, "") for name in names))}


def _read_extension(form: Form) -> dict[str, Any]:
    return {
        "days": _read_number(form, "days", DAYS_MESSAGE),
        "notify": "notify" in form,
    }


def _read_extra_time(form: Form) -> dict[str, Any]:
    amount = form.get("amount", "")
    if amount == "minutes":
        return {"minutes": _read_number(form, "minutes", MINUTES_MESSAGE)}
    if amount not in map(str, (0, *staff_acts.EXTRA_TIME_PERCENTAGES)):
        raise Invalid("Choose how much time the candidate gets")
    return {"percent": int(amount)}


def _read_decision(form: Form) -> dict[str, Any]:
    if form.get("decision") not in ("grant", "refuse"):
        raise Invalid("Choose whether to grant or to refuse")
    return {"terms": Terms.parse(form), "is_granted": form["decision"] == "grant"}


def _read_number(form: Form, name: str, message: str) -> int:
    text = form.get(name, "").strip()
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise Invalid(message)
    return int(text)


# The guards


def _require_cancellable(_session: Session, order: Order, _now: datetime) -> None:
    if order.status not in (PENDING, CONSENTED):
        raise Conflict("An order that has ended cannot be cancelled")


def _require_ended(_session: Session, order: Order, _now: datetime) -> None:
    if order.status not in FINAL_STATUSES:
        raise Conflict("Only an order that has ended can be reopened")


def _require_not_started(_session: Session, order: Order, now: datetime) -> None:
    staff_acts.require_not_started(order, now)


def _require_extra_time_possible(_session: Session, order: Order, now: datetime) -> None:
    staff_acts.require_extra_time_possible(order, now)


def _require_attempt(_session: Session, order: Order, _now: datetime) -> None:
    staff_acts.require_attempt(order)


def _require_retakable(_session: Session, order: Order, _now: datetime) -> None:
    order.require_retakable()


def _require_result(_session: Session, order: Order, _now: datetime) -> None:
    if order.result is None:
        raise Conflict("Only a completed test can be scored again")


def _require_retake_refused(_session: Session, order: Order, _now: datetime) -> None:
    order.require_retake_refused()


def _require_failed_delivery(session: Session, order: Order, _now: datetime) -> None:
    if not _failed_messages(session, order):
        raise Conflict("No delivery of this order has failed")


def _require_not_held(_session: Session, order: Order, _now: datetime) -> None:
    if order.hold_reason is not None:
        raise Conflict("This order is on hold already")


def _require_held(_session: Session, order: Order, _now: datetime) -> None:
    if order.hold_reason is None:
        raise Conflict("This order is not on hold")


def _allow(_session: Session, _order: Order, _now: datetime) -> None:
    """Allow the action for every order."""


# The actions


def _cancel(act: Act, reason: str) -> Changes:
    before = _status(act.order)
    act.order.cancel(act.session, act.actor, reason, act.now)
    return before, _status(act.order)


def _reopen(act: Act, reason: str) -> Changes:
    before = _status(act.order)
    act.order.reopen(act.session, act.secret_box, act.actor, reason, act.now)
    return before, _status(act.order)


def _retake(act: Act, reason: str) -> Changes:
    before = _status(act.order)
    act.order.retake(act.session, act.secret_box, act.actor, reason, act.now)
    return before, _status(act.order)


def _rescore(act: Act, reason: str, **_run: Any) -> Changes:
    before = {"revision": act.order.revision}
    act.order.rescore(act.session, act.secret_box, act.actor, reason, act.now)
    return before, {"revision": act.order.revision}


def _allow_retake(act: Act, reason: str) -> None:
    act.order.allow_retake(act.session, act.secret_box, act.actor, reason, act.now)


def _revoke_links(act: Act, reason: str) -> Changes:
    count = act.order.revoke_links(act.session, act.secret_box, act.actor, reason, act.now)
    return {}, {"links": count}


def _resend(act: Act) -> None:
    staff_acts.resend_invitation(act.session, act.secret_box, act.order, act.actor, act.now)


def _correct(act: Act, recipient: staff_acts.Recipient) -> Changes:
    fields = staff_acts.correct_candidate(
        act.session, act.secret_box, act.order, recipient, act.actor, act.now
    )
    return {}, {"fields": fields}


def _extend(act: Act, days: int, notify: bool) -> Changes:
    before = _deadline(act.order)
    staff_acts.extend(act.session, act.order, days, act.actor, act.now, notify=notify)
    return before, _deadline(act.order)


def _give_extra_time(act: Act, percent: int = 0, minutes: int | None = None) -> Changes:
    order = staff_acts.require_extra_time_possible(act.order, act.now)
    seconds = staff_acts.percent_of_time(order, percent) if minutes is None else minutes * 60
    before = _extra_time(order)
    staff_acts.give_extra_time(act.session, order, seconds, act.actor, act.now)
    return before, _extra_time(order)


def _decide(act: Act, terms: Terms, is_granted: bool) -> Changes:
    """Decide about an accommodation. The audit log does not say what was granted."""
    before = _extra_time(act.order)
    decide(act.session, act.secret_box, act.order, terms, act.actor, act.now, is_granted=is_granted)
    return before, {"granted": is_granted} | _extra_time(act.order)


def _end_attempt(act: Act, reason: str) -> Changes:
    before = _status(act.order) | {"progress": act.order.progress}
    staff_acts.end_attempt(act.session, act.secret_box, act.order, act.actor, reason, act.now)
    return before, _status(act.order) | {"progress": act.order.progress}


def _redeliver(act: Act) -> Changes:
    messages = _failed_messages(act.session, act.order)
    sent_again = [outbox.requeue(act.session, message, act.now) for message in messages]
    if any(sent_again):
        act.order.record_event(act.session, "retried", act.actor, act.now)
    return {}, {"deliveries": sum(sent_again), "replaced": len(messages) - sum(sent_again)}


def _failed_messages(session: Session, order: Order) -> list[outbox.Message]:
    messages = outbox.history(session, order.public_id)
    return [message for message in messages if message.state == outbox.PARKED]


def _hold(act: Act, reason: str) -> None:
    act.order.hold(act.session, act.actor, reason, act.now)


def _release(act: Act, reason: str) -> None:
    act.order.release(act.session, act.actor, reason, act.now)


# Undoing them


def _undo_hold(act: Act, _before: Fields, _values: Mapping[str, Any]) -> Changes:
    _release(act, UNDO_NOTE)
    return {}, {}


def _undo_cancel(act: Act, _before: Fields, _values: Mapping[str, Any]) -> Changes:
    return _reopen(act, UNDO_NOTE)


def _undo_reopen(act: Act, before: Fields, _values: Mapping[str, Any]) -> Changes:
    if before["status"] != CANCELLED:
        raise Conflict("Only the reopening of a cancelled order can be undone")
    return _cancel(act, UNDO_NOTE)


def _undo_extend(act: Act, before: Fields, values: Mapping[str, Any]) -> Changes:
    changed = _deadline(act.order)
    staff_acts.withdraw_extension(
        act.session,
        act.order,
        datetime.fromisoformat(before["expires_at"]),
        act.actor,
        act.now,
        notify=values["notify"],
    )
    return changed, _deadline(act.order)


def _undo_extra_time(act: Act, before: Fields, _values: Mapping[str, Any]) -> Changes:
    changed, seconds = _extra_time(act.order), before["extra_time_seconds"]
    staff_acts.give_extra_time(act.session, act.order, seconds, act.actor, act.now)
    return changed, _extra_time(act.order)


def _status(order: Order) -> dict[str, Any]:
    return {"status": order.status}


def _deadline(order: Order) -> dict[str, Any]:
    return {"expires_at": order.expires_at.isoformat()}


def _extra_time(order: Order) -> dict[str, Any]:
    return {"extra_time_seconds": order.extra_time_seconds}


ORDER_ACTIONS: Mapping[str, OrderAction] = {
    "cancel": OrderAction(
        Action.ORDER_CANCELLED,
        _require_cancellable,
        _read_reason,
        _cancel,
        Undo(Action.ORDER_REOPENED, _undo_cancel),
    ),
    "reopen": OrderAction(
        Action.ORDER_REOPENED,
        _require_ended,
        _read_reason,
        _reopen,
        Undo(Action.ORDER_CANCELLED, _undo_reopen),
    ),
    "retake": OrderAction(Action.ORDER_RETAKEN, _require_retakable, _read_reason, _retake),
    "allow-retake": OrderAction(
        Action.ORDER_RETAKE_ALLOWED, _require_retake_refused, _read_reason, _allow_retake
    ),
    "revoke-links": OrderAction(Action.ORDER_LINKS_REVOKED, _allow, _read_reason, _revoke_links),
    "resend": OrderAction(
        Action.ORDER_INVITATION_RESENT, staff_acts.require_resendable, _read_nothing, _resend
    ),
    "correct": OrderAction(
        Action.ORDER_CANDIDATE_CORRECTED, _require_not_started, _read_recipient, _correct
    ),
    "extend": OrderAction(
        Action.ORDER_EXTENDED,
        _require_not_started,
        _read_extension,
        _extend,
        Undo(Action.ORDER_EXTENDED, _undo_extend),
    ),
    "extra-time": OrderAction(
        Action.ORDER_EXTRA_TIME_GIVEN,
        _require_extra_time_possible,
        _read_extra_time,
        _give_extra_time,
        Undo(Action.ORDER_EXTRA_TIME_GIVEN, _undo_extra_time),
    ),
    "accommodation": OrderAction(
        Action.ORDER_ACCOMMODATION_DECIDED, _require_not_started, _read_decision, _decide
    ),
    "end-attempt": OrderAction(
        Action.ORDER_ATTEMPT_ENDED, _require_attempt, _read_reason, _end_attempt
    ),
    "redeliver": OrderAction(
        Action.DELIVERY_SENT_AGAIN,
        _require_failed_delivery,
        _read_nothing,
        _redeliver,
        permission=Permission.MANAGE_DELIVERIES,
    ),
    "hold": OrderAction(
        Action.ORDER_HELD,
        _require_not_held,
        _read_reason,
        _hold,
        Undo(Action.ORDER_RELEASED, _undo_hold),
    ),
    "release": OrderAction(Action.ORDER_RELEASED, _require_held, _read_reason, _release),
}
RESCORE = "rescore"
# The actions of runs. A run alone performs the last one, for all attempts at a test.
RUN_ACTIONS: Mapping[str, OrderAction] = {
    **ORDER_ACTIONS,
    RESCORE: OrderAction(
        Action.ORDER_RESCORED,
        _require_result,
        _read_reason,
        _rescore,
        permission=Permission.EDIT_PRODUCTS,
        compares_digest=False,
    ),
}
