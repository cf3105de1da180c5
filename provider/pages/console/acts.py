"""What staff may do to an order: each act says what it will do, and asks for a reason."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.errors import Conflict, Invalid
from provider.here import here
from provider.kinds.fields import cleaned
from provider.orders import CONSENTED, FINAL, INVITE, PENDING, Link, Order
from provider.pages.console import gate
from provider.pages.console.orders import order_page

routes = Blueprint("acts", __name__, url_prefix="/orders/<order_id>")

REASON = range(3, 501)  # characters of a reason

Do = Callable[[Order, Session, str, str, datetime], None]


@dataclass(frozen=True)
class Act:
    """One act: when it can be done, how, and what is said once it is done."""

    possible: frozenset[str]
    do: Do
    done: str


def _reopen(order: Order, session: Session, actor: str, reason: str, at: datetime) -> None:
    order.reopen(session, here().vault, actor, reason, at)


ACTS = {
    "cancel": Act(frozenset({PENDING, CONSENTED}), Order.cancel, "The order is cancelled."),
    "reopen": Act(FINAL, _reopen, "The order is open again, and the candidate is invited."),
}


@routes.get("/<any(cancel, reopen):name>")
def ask(order_id: str, name: str) -> Response:
    """Say what an act will do, and ask for the reason."""
    gate.require_change()
    return _page(order_id, name)


@routes.post("/<any(cancel, reopen):name>")
def act(order_id: str, name: str) -> Response:
    """Do it, all or nothing; what stands in the way is said on the same page."""
    house = here()
    try:
        reason = _reason(request.form.get("reason", ""))
        with house.db.writing() as session:
            order = Order.find(session, order_id, lock=True)
            _unchanged(order, request.form.get("revision", ""))
            ACTS[name].do(order, session, gate.visitor().email, reason, house.now())
    except Invalid as error:
        return _page(order_id, name, str(error), 400)
    except Conflict as error:
        return _page(order_id, name, str(error), 409)
    flash(ACTS[name].done, "success")
    return redirect(url_for("console.orders.story", order_id=order_id))


@routes.post("/link")
def show_link(order_id: str) -> str:
    """Show the candidate's link, and put on record who asked for it."""
    house = here()
    with house.db.writing() as session:
        order = Order.find(session, order_id)
        link = Link.of(session, order, INVITE)
        if link is None:
            raise Conflict("This order has no link: reopen it, then the candidate gets a new one")
        order.tell(session, "link shown", gate.visitor().email, house.now())
        session.flush()
        address = house.links.invitation(link.token(house.vault))
        return order_page(session, house, order, link=address)


def _page(order_id: str, name: str, problem: str = "", code: int = 200) -> Response:
    house = here()
    with house.db.reading() as session:
        order = Order.find(session, order_id)
        page = render_template(
            f"console/{name}.html",
            order=order, zone=order.account.timezone, problem=problem,
            reason=request.form.get("reason", ""),
            possible=order.status in ACTS[name].possible,
            until=house.now() + timedelta(seconds=order.account.expire_after),
        )  # fmt: skip
    return make_response(page, code)


def _reason(text: str) -> str:
    reason = cleaned(text)
    if len(reason) not in REASON:
        raise Invalid("Give a reason of 3 to 500 characters: it stays in the order's story")
    return reason


def _unchanged(order: Order, revision: str) -> None:
    """Raise Conflict when the order moved on since the page was opened."""
    if revision != str(order.revision):
        raise Conflict(
            "Somebody changed this order after you opened this page, so nothing was done. "
            "Below is how it stands now"
        )
