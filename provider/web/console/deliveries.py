"""Deliveries by state, one delivery with its attempts, and requeueing failed deliveries."""

from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog import get_logger
from werkzeug.wrappers import Response

from provider import outbox
from provider.core import scheduled
from provider.core.audit import Action
from provider.core.orders import Order
from provider.core.pauses import list_pauses, probe_now
from provider.core.staff import Permission
from provider.errors import NotFound
from provider.outbox import PARKED, SUPERSEDED, WAITING, Message
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.authentication import requires
from provider.web.console.message_list import (
    STATES,
    channel_labels,
    list_messages,
    list_oldest_parked,
    state_labels,
)
from provider.web.console.order_list import list_account_names
from provider.web.console.pagination import is_plausible_id, read_filter_value
from provider.web.console.timeline import build_delivery_view

routes = Blueprint("deliveries", __name__, url_prefix="/deliveries")

Choices = list[tuple[str, str]]  # (value, label)

log = get_logger()

BATCH_SIZE = 100  # deliveries requeued in one transaction, so that it blocks other writers briefly


@routes.get("/")
@requires(Permission.VIEW_DELIVERIES)
def listing() -> str:
    """List deliveries, newest first; without a filter, only failed deliveries."""
    state = read_filter_value("state", [*STATES, "any"]) or PARKED
    with current_services().db.reading() as session:
        channel, account, channels, accounts = _read_filter(session)
        return render_template(
            "console/deliveries.html",
            page=list_messages(session, "" if state == "any" else state, channel, account),
            state=state,
            channels=channels,
            accounts=accounts,
            args=request.args,
            pauses=list_pauses(session),
            works=scheduled.list_states(session),
            now=current_services().now(),
            states=[*state_labels(), ("any", "Any")],
        )


@routes.get("/<message_id>")
@requires(Permission.VIEW_DELIVERIES)
def detail(message_id: str) -> str:
    with current_services().db.reading() as session:
        message = _find_message(session, message_id)
        order = session.scalar(select(Order).where(Order.public_id == message.subject))
        return render_template(
            "console/delivery.html",
            delivery=build_delivery_view(message, order),
            order=order,
            timezone=order.account.timezone if order else "UTC",
        )


@routes.post("/<message_id>/again")
@requires(Permission.MANAGE_DELIVERIES)
def requeue(message_id: str) -> Response:
    """Send a failed delivery again, and redirect to its order."""
    services = current_services()
    with services.db.writing() as session:
        message = _find_message(session, message_id)
        order_id = message.subject
        requeued_count = _requeue_messages(session, [message], services.now())
    if requeued_count:
        flash("The delivery will be sent again.", "success")
    else:
        flash("It is not sent again: a later status update has replaced it.", "info")
    return redirect(url_for("console.orders.detail", order_id=order_id))


@routes.post("/try")
@requires(Permission.MANAGE_DELIVERIES)
def probe() -> Response:
    """Allow one attempt of a paused scope now; redirect to the page with the form."""
    services, scope = current_services(), request.form.get("subject", "").replace("\x00", "")
    with services.db.writing() as session:
        probe_now(session, scope, services.now())
        authentication.record_act(session, Action.PAUSE_PROBED, f"pause:{scope}")
    log.info("delivery_probe_requested", scope=scope, actor=authentication.current_staff().email)
    flash("One delivery is sent now. If it succeeds, the others follow.", "success")
    account_id = request.form.get("account", "")
    if account_id:
        return redirect(url_for("console.accounts.detail", account_id=account_id))
    return redirect(url_for("console.deliveries.listing"))


@routes.get("/again")
@requires(Permission.MANAGE_DELIVERIES)
def confirm_requeue_all() -> str:
    with current_services().db.reading() as session:
        channel, account, _, accounts = _read_filter(session)
        messages = list_oldest_parked(session, channel, account, BATCH_SIZE + 1)
        return render_template(
            "console/requeue_all.html",
            count=min(len(messages), BATCH_SIZE),
            has_more=len(messages) > BATCH_SIZE,
            channel=channel,
            account=account,
            account_name=dict(accounts).get(account, ""),
        )


@routes.post("/again")
@requires(Permission.MANAGE_DELIVERIES)
def requeue_all() -> Response:
    """Send one batch of the filter's failed deliveries again, oldest first."""
    services = current_services()
    with services.db.writing() as session:
        channel, account, *_ = _read_filter(session)
        messages = list_oldest_parked(session, channel, account, BATCH_SIZE)
        requeued_count = _requeue_messages(session, messages, services.now())
    summary = _requeue_summary(requeued_count, superseded=len(messages) - requeued_count)
    flash(summary, "success")
    query_args: dict[str, Any] = {"channel": channel or None, "account": account or None}
    return redirect(url_for("console.deliveries.listing", **query_args))


def _requeue_summary(requeued: int, superseded: int) -> str:
    if requeued == superseded == 0:
        return "Nothing to send again: a colleague has already done it."
    summary = f"{requeued} {'delivery' if requeued == 1 else 'deliveries'} will be sent again."
    if superseded:
        summary += f" Not sent: {superseded}, replaced by a later status update."
    return summary


def _requeue_messages(session: Session, messages: list[Message], now: datetime) -> int:
    """Requeue messages that no later status supersedes, record an event each; return how many."""
    orders = session.scalars(
        select(Order).where(Order.public_id.in_([message.subject for message in messages]))
    )
    orders_by_id = {order.public_id: order for order in orders}
    requeued = []
    for message in messages:
        is_requeued = outbox.requeue(session, message, now)
        if is_requeued:
            requeued.append(message)
        authentication.record_act(
            session,
            Action.DELIVERY_SENT_AGAIN,
            f"delivery:{message.public_id}",
            before={"state": PARKED},
            after={"state": WAITING if is_requeued else SUPERSEDED},
        )
    for message in requeued:
        if message.subject in orders_by_id:
            orders_by_id[message.subject].record_event(
                session, "retried", authentication.current_staff().email, now
            )
    return len(requeued)


def _read_filter(session: Session) -> tuple[str, str, Choices, Choices]:
    """Return the request's channel and account (public id), and the choices of both."""
    channels, accounts = channel_labels(session), list_account_names(session)
    return (
        read_filter_value("channel", [channel for channel, _ in channels]),
        read_filter_value("account", [public_id for public_id, _ in accounts]),
        channels,
        accounts,
    )


def _find_message(session: Session, message_id: str) -> Message:
    message = None
    if is_plausible_id(message_id):
        message = session.scalar(select(Message).where(Message.public_id == message_id))
    if message is None:
        raise NotFound("There is no such delivery")
    return message
