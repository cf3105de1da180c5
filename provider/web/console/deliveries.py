"""What goes out: lists by state, each delivery with its tries, and sending parked ones again."""

from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog import get_logger
from werkzeug.wrappers import Response

from provider import outbox
from provider.core.orders import Order
from provider.core.pauses import list_pauses, probe_now
from provider.errors import NotFound
from provider.outbox import PARKED, Message
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.message_list import (
    CHANNELS,
    STATES,
    list_messages,
    list_oldest_parked,
    state_labels,
)
from provider.web.console.orders import list_account_names
from provider.web.console.pagination import is_plausible_id, read_filter_value
from provider.web.console.timeline import build_delivery_view

routes = Blueprint("deliveries", __name__, url_prefix="/deliveries")

log = get_logger()

BATCH_SIZE = 100  # parked deliveries that are sent again at once: a writer is never held for long


@routes.get("/")
def listing() -> str:
    """List deliveries, newest first; what is parked comes first to mind."""
    state = read_filter_value("state", [*STATES, "any"]) or PARKED
    with current_services().db.reading() as session:
        sink, account, accounts = _read_filter(session)
        found = list_messages(session, "" if state == "any" else state, sink, account)
        return render_template(
            "console/deliveries.html",
            shelf=found,
            state=state,
            accounts=accounts,
            args=request.args,
            held=list_pauses(session),
            at=current_services().now(),
            states=[*state_labels(), ("any", "Any")],
        )


@routes.get("/<message_id>")
def one(message_id: str) -> str:
    """Show one delivery with every try."""
    with current_services().db.reading() as session:
        message = _find_message(session, message_id)
        order = session.scalar(select(Order).where(Order.public_id == message.ordering_key))
        return render_template(
            "console/delivery.html",
            sending=build_delivery_view(message, order),
            order=order,
            zone=order.account.timezone if order else "UTC",
        )


@routes.post("/<message_id>/again")
def again(message_id: str) -> Response:
    """Send a parked delivery again, and return to its order."""
    services = current_services()
    with services.db.writing() as session:
        message = _find_message(session, message_id)
        order = message.ordering_key
        goes = _requeue_messages(session, [message], services.now())
    if goes:
        flash("It is on its way again.", "success")
    else:
        flash("It is not sent: a later status has gone out, which says all that it said.", "info")
    return redirect(url_for("console.orders.story", order_id=order))


@routes.post("/try")
def try_() -> Response:
    """Let what is held try once, now; return to the deliveries, or to the account asked from."""
    services, subject = current_services(), request.form.get("subject", "").replace("\x00", "")
    with services.db.writing() as session:
        probe_now(session, subject, services.now())
    log.info("deliveries try", subject=subject, by=authentication.current_staff().email)
    flash("One is sent as a try. When it arrives, all the others follow.", "success")
    account = request.form.get("account", "")
    if account:
        return redirect(url_for("console.accounts.one", account_id=account))
    return redirect(url_for("console.deliveries.listing"))


@routes.get("/again")
def ask_all() -> str:
    """Say how many parked deliveries would go out again."""
    authentication.require_change_permission()
    with current_services().db.reading() as session:
        sink, account, accounts = _read_filter(session)
        found = list_oldest_parked(session, sink, account, BATCH_SIZE + 1)
        return render_template(
            "console/again.html",
            count=min(len(found), BATCH_SIZE),
            more=len(found) > BATCH_SIZE,
            sink=sink,
            account=account,
            account_name=dict(accounts).get(account, ""),
        )


@routes.post("/again")
def again_all() -> Response:
    """Send a batch of the parked deliveries of a filter again, oldest first."""
    services = current_services()
    with services.db.writing() as session:
        sink, account, _ = _read_filter(session)
        found = list_oldest_parked(session, sink, account, BATCH_SIZE)
        goes = _requeue_messages(session, found, services.now())
    flash(_requeue_summary(goes, superseded=len(found) - goes), "success")
    kept: dict[str, Any] = {"sink": sink or None, "account": account or None}
    return redirect(url_for("console.deliveries.listing", **kept))


def _requeue_summary(requeued: int, superseded: int) -> str:
    if requeued == superseded == 0:
        return "Nothing was parked any more: somebody else was quicker."
    said = f"{requeued} {'delivery is' if requeued == 1 else 'deliveries are'} on the way again."
    return (
        f"{said} Not sent: {superseded}, for a later status has gone out." if superseded else said
    )


def _requeue_messages(session: Session, messages: list[Message], now: datetime) -> int:
    """Send again what no later status has made untrue, on record; return how many."""
    orders = session.scalars(
        select(Order).where(Order.public_id.in_([message.ordering_key for message in messages]))
    )
    known = {order.public_id: order for order in orders}
    going = [message for message in messages if outbox.requeue(session, message, now)]
    for message in going:
        if message.ordering_key in known:
            known[message.ordering_key].record_event(
                session, "retried", authentication.current_staff().email, now
            )
    return len(going)


def _read_filter(session: Session) -> tuple[str, str, list[tuple[str, str]]]:
    accounts = list_account_names(session)
    return (
        read_filter_value("sink", CHANNELS),
        read_filter_value("account", [key for key, _ in accounts]),
        accounts,
    )


def _find_message(session: Session, message_id: str) -> Message:
    found = None
    if is_plausible_id(message_id):
        found = session.scalar(select(Message).where(Message.public_id == message_id))
    if found is None:
        raise NotFound("There is no such delivery")
    return found
