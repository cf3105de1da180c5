"""What goes out: lists by state, each delivery with its tries, and sending parked ones again."""

from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog import get_logger
from werkzeug.wrappers import Response

from provider import outbox
from provider.errors import NotFound
from provider.here import here
from provider.orders import Order
from provider.outbox import PARKED, Message
from provider.outbox.held import all_held, try_now
from provider.pages.console import gate
from provider.pages.console.mailbag import SINKS, STATES, bag, parked_first, state_words
from provider.pages.console.orders import account_names
from provider.pages.console.paging import chosen, plausible
from provider.pages.console.story import sending_of

routes = Blueprint("deliveries", __name__, url_prefix="/deliveries")

log = get_logger()

BATCH = 100  # parked deliveries that are sent again at once: a writer is never held for long


@routes.get("/")
def listing() -> str:
    """List deliveries, newest first; what is parked comes first to mind."""
    state = chosen("state", [*STATES, "any"]) or PARKED
    with here().db.reading() as session:
        sink, account, accounts = _filter(session)
        found = bag(session, "" if state == "any" else state, sink, account)
        return render_template(
            "console/deliveries.html",
            shelf=found, state=state, accounts=accounts, args=request.args,
            held=all_held(session), at=here().now(),
            states=[*state_words(), ("any", "Any")],
        )  # fmt: skip


@routes.get("/<message_id>")
def one(message_id: str) -> str:
    """Show one delivery with every try."""
    with here().db.reading() as session:
        message = _find(session, message_id)
        order = session.scalar(select(Order).where(Order.public_id == message.key))
        return render_template(
            "console/delivery.html",
            sending=sending_of(message, order), order=order,
            zone=order.account.timezone if order else "UTC",
        )  # fmt: skip


@routes.post("/<message_id>/again")
def again(message_id: str) -> Response:
    """Send a parked delivery again, and return to its order."""
    house = here()
    with house.db.writing() as session:
        message = _find(session, message_id)
        order = message.key
        goes = _send_again(session, [message], house.now())
    if goes:
        flash("It is on its way again.", "success")
    else:
        flash("It is not sent: a later status has gone out, which says all that it said.", "info")
    return redirect(url_for("console.orders.story", order_id=order))


@routes.post("/try")
def try_() -> Response:
    """Let what is held try once, now; return to the deliveries, or to the account asked from."""
    house, subject = here(), request.form.get("subject", "").replace("\x00", "")
    with house.db.writing() as session:
        try_now(session, subject, house.now())
    log.info("deliveries try", subject=subject, by=gate.visitor().email)
    flash("One is sent as a try. When it arrives, all the others follow.", "success")
    account = request.form.get("account", "")
    if account:
        return redirect(url_for("console.accounts.one", account_id=account))
    return redirect(url_for("console.deliveries.listing"))


@routes.get("/again")
def ask_all() -> str:
    """Say how many parked deliveries would go out again."""
    gate.require_change()
    with here().db.reading() as session:
        sink, account, accounts = _filter(session)
        found = parked_first(session, sink, account, BATCH + 1)
        return render_template(
            "console/again.html",
            count=min(len(found), BATCH), more=len(found) > BATCH, sink=sink, account=account,
            account_name=dict(accounts).get(account, ""),
        )  # fmt: skip


@routes.post("/again")
def again_all() -> Response:
    """Send a batch of the parked deliveries of a filter again, oldest first."""
    house = here()
    with house.db.writing() as session:
        sink, account, _ = _filter(session)
        found = parked_first(session, sink, account, BATCH)
        goes = _send_again(session, found, house.now())
    flash(_counted(goes, late=len(found) - goes), "success")
    kept: dict[str, Any] = {"sink": sink or None, "account": account or None}
    return redirect(url_for("console.deliveries.listing", **kept))


def _counted(number: int, late: int) -> str:
    if number == late == 0:
        return "Nothing was parked any more: somebody else was quicker."
    said = f"{number} {'delivery is' if number == 1 else 'deliveries are'} on the way again."
    return f"{said} Not sent: {late}, for a later status has gone out." if late else said


def _send_again(session: Session, messages: list[Message], at: datetime) -> int:
    """Send again what no later status has made untrue, on record; return how many."""
    orders = session.scalars(
        select(Order).where(Order.public_id.in_([message.key for message in messages]))
    )
    known = {order.public_id: order for order in orders}
    going = [message for message in messages if outbox.send_again(session, message, at)]
    for message in going:
        if message.key in known:
            known[message.key].tell(session, "retried", gate.visitor().email, at)
    return len(going)


def _filter(session: Session) -> tuple[str, str, list[tuple[str, str]]]:
    accounts = account_names(session)
    return chosen("sink", SINKS), chosen("account", [key for key, _ in accounts]), accounts


def _find(session: Session, message_id: str) -> Message:
    found = None
    if plausible(message_id):
        found = session.scalar(select(Message).where(Message.public_id == message_id))
    if found is None:
        raise NotFound("There is no such delivery")
    return found
