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
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.errors import Denied, NotFound
from provider.house import here
from provider.orders import INVITE, Link, Order, OrderSession
from provider.orders.link import SESSION_LIFE

AnOrder = TypeVar("AnOrder", bound=Order)


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
    _catch_up(public_id, at)
    with here().db.reading() as session:
        yield Visit(session, _entered(session, public_id, kind, at), at)


@contextmanager
def acting(public_id: str, kind: type[AnOrder]) -> Iterator[Visit[AnOrder]]:
    """Change the order of this browser's session; Denied without one, NotFound of another kind."""
    at = here().now()
    _catch_up(public_id, at)
    with here().db.writing() as session:
        order = _entered(session, public_id, kind, at)
        # Of two tabs or a double click one goes first, on every database.
        session.refresh(order, with_for_update=True)
        yield Visit(session, order, at)


def admit(token: str) -> tuple[str, str | None]:
    """Return the order's public id of an invitation, and a cookie's value if one is needed.

    Raises NotFound for a token that never was. A HEAD request looks and leaves nothing behind.
    """
    at = here().now()
    with here().db.reading() as session:
        order = _invited(session, token)
        if request.method == "HEAD" or _session_of(session, order.public_id, at):
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


def _session_of(session: Session, public_id: str, at: datetime) -> OrderSession | None:
    value = request.cookies.get(_cookie(public_id))
    found = OrderSession.find(session, value, at) if value else None
    return found if found and found.order.public_id == public_id else None


def _entered(session: Session, public_id: str, kind: type[AnOrder], at: datetime) -> AnOrder:
    found = _session_of(session, public_id, at)
    if found is None:
        raise Denied("Please use the link in your e-mail")
    if not isinstance(found.order, kind):
        raise NotFound("There is no such page")
    return found.order


def _catch_up(public_id: str, at: datetime) -> None:
    with here().db.reading() as session:
        if not _entered(session, public_id, Order, at).behind(at):
            return
    with here().db.writing() as session:
        order = _entered(session, public_id, Order, at)
        session.refresh(order, with_for_update=True)
        order.catch_up(session, here().vault, at)
