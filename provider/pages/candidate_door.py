"""The candidate's way in: an invitation is swapped for a browser's session of one order.

Each order has a cookie of its own, so that two invitations in one browser do not get in each
other's way. Whoever comes in by `looking` or `acting` finds the order as the clock demands it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from flask import request
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, joinedload
from werkzeug.wrappers import Response

from provider import vault
from provider.errors import Denied, NotFound
from provider.here import here
from provider.orders import INVITE, Link, Order, OrderSession
from provider.orders.link import SESSION_LIFE
from provider.orders.product import Version

AnOrder = TypeVar("AnOrder", bound=Order)

_ENTERED = (
    select(Order)
    .join(OrderSession, OrderSession.order_id == Order.id)
    .where(
        OrderSession.digest == bindparam("digest"),
        OrderSession.expires_at > bindparam("at"),
        Order.public_id == bindparam("public_id"),
    )
    .options(joinedload(Order.version, innerjoin=True).defer(Version.content))
)
# Of two tabs or a double click one goes first, on every database.
_LOCKED = _ENTERED.with_for_update(of=Order)


@dataclass(frozen=True)
class Visit(Generic[AnOrder]):
    """A candidate at their order: the open transaction, the order, the moment of the request."""

    session: Session
    order: AnOrder
    at: datetime


@contextmanager
def looking(public_id: str, kind: type[AnOrder]) -> Iterator[Visit[AnOrder]]:
    """Read the order of this browser's session; Denied without one, NotFound of another kind."""
    at = here().now()
    with here().db.reading() as session:
        order = _entered(session, public_id, at)
        if not (behind := order.behind(at)):
            yield Visit(session, _of_kind(order, kind), at)
    if behind:
        _catch_up(public_id, at)
        with here().db.reading() as session:
            yield Visit(session, _of_kind(_entered(session, public_id, at), kind), at)


@contextmanager
def acting(public_id: str, kind: type[AnOrder]) -> Iterator[Visit[AnOrder]]:
    """Change the order of this browser's session; Denied without one, NotFound of another kind."""
    at = here().now()
    with here().db.writing() as session:
        order = _entered(session, public_id, at, lock=True)
        if not (behind := order.behind(at)):
            yield Visit(session, _of_kind(order, kind), at)
        else:  # which stands even if what the candidate wants is then refused
            order.catch_up(session, here().vault, at)
    if behind:
        with here().db.writing() as session:
            order = _entered(session, public_id, at, lock=True)
            yield Visit(session, _of_kind(order, kind), at)


def admit(token: str) -> tuple[str, str | None]:
    """Return the order's public id of an invitation, and a cookie's value if one is needed.

    Raises NotFound for a token that never was. A HEAD request looks and leaves nothing behind.
    """
    at = here().now()
    with here().db.reading() as session:
        order = _invited(session, token)
        if request.method == "HEAD" or _is_in(session, order.public_id, at):
            return order.public_id, None
    with here().db.writing() as session:
        order = _invited(session, token)
        return order.public_id, OrderSession.begin(session, order, at)


def remember(response: Response, public_id: str, value: str) -> None:
    """Give the browser its session of one order."""
    response.set_cookie(
        _cookie(public_id),
        value,
        max_age=SESSION_LIFE,
        path="/",
        secure=here().settings.https,
        httponly=True,
        samesite="Lax",
    )


def _cookie(public_id: str) -> str:
    return f"{'__Host-' if here().settings.https else ''}c-{public_id}"


def _invited(session: Session, token: str) -> Order:
    link = Link.find(session, token, INVITE)
    if link is None:
        raise NotFound("There is no such invitation")
    return link.order


def _is_in(session: Session, public_id: str, at: datetime) -> bool:
    try:
        _entered(session, public_id, at)
    except Denied:
        return False
    return True


def _entered(session: Session, public_id: str, at: datetime, *, lock: bool = False) -> Order:
    """Return the order whose session this browser has; its version without the content at first."""
    value = request.cookies.get(_cookie(public_id))
    told = {"digest": vault.digest(value or ""), "public_id": public_id, "at": at}
    order = session.scalar(_LOCKED if lock else _ENTERED, told) if value else None
    if order is None:
        raise Denied("Please use the link in your e-mail")
    return order


def _of_kind(order: Order, kind: type[AnOrder]) -> AnOrder:
    if not isinstance(order, kind):
        raise NotFound("There is no such page")
    return order


def _catch_up(public_id: str, at: datetime) -> None:
    with here().db.writing() as session:
        _entered(session, public_id, at, lock=True).catch_up(session, here().vault, at)
