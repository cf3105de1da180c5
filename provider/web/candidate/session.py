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

from provider.core.orders import INVITE, Link, Order, OrderSession
from provider.core.orders.link import SESSION_LIFETIME
from provider.core.products.product import ProductVersion
from provider.errors import NotFound, Unauthorized
from provider.services import current_services
from provider.storage import secrets

OrderT = TypeVar("OrderT", bound=Order)

_SESSION_ORDER_QUERY = (
    select(Order)
    .join(OrderSession, OrderSession.order_id == Order.id)
    .where(
        OrderSession.token_hash == bindparam("token_hash"),
        OrderSession.expires_at > bindparam("now"),
        Order.public_id == bindparam("public_id"),
    )
    .options(joinedload(Order.version, innerjoin=True).defer(ProductVersion.content))
)
# Of two tabs or a double click one goes first, on every database.
_SESSION_ORDER_QUERY_FOR_UPDATE = _SESSION_ORDER_QUERY.with_for_update(of=Order)


@dataclass(frozen=True)
class CandidateRequest(Generic[OrderT]):
    """A candidate at their order: the open transaction, the order, the moment of the request."""

    session: Session
    order: OrderT
    now: datetime


@contextmanager
def order_for_read(public_id: str, order_class: type[OrderT]) -> Iterator[CandidateRequest[OrderT]]:
    """Read the order of this browser's session; Denied without one, NotFound of another kind."""
    at = current_services().now()
    with current_services().db.reading() as session:
        order = _find_session_order(session, public_id, at)
        if not (behind := order.has_overdue_transition(at)):
            yield CandidateRequest(session, _require_order_class(order, order_class), at)
    if behind:
        _apply_overdue_transition(public_id, at)
        with current_services().db.reading() as session:
            yield CandidateRequest(
                session,
                _require_order_class(_find_session_order(session, public_id, at), order_class),
                at,
            )


@contextmanager
def order_for_update(
    public_id: str, order_class: type[OrderT]
) -> Iterator[CandidateRequest[OrderT]]:
    """Change the order of this browser's session; Denied without one, NotFound of another kind."""
    at = current_services().now()
    with current_services().db.writing() as session:
        order = _find_session_order(session, public_id, at, lock=True)
        if not (behind := order.has_overdue_transition(at)):
            yield CandidateRequest(session, _require_order_class(order, order_class), at)
        else:  # which stands even if what the candidate wants is then refused
            order.apply_overdue_transition(session, current_services().secret_box, at)
    if behind:
        with current_services().db.writing() as session:
            order = _find_session_order(session, public_id, at, lock=True)
            yield CandidateRequest(session, _require_order_class(order, order_class), at)


def redeem_invitation(token: str) -> tuple[str, str | None]:
    """Return the order's public id of an invitation, and a cookie's value if one is needed.

    Raises NotFound for a token that never was. A HEAD request looks and leaves nothing behind.
    """
    at = current_services().now()
    with current_services().db.reading() as session:
        order = _find_invited_order(session, token)
        if request.method == "HEAD" or _has_session(session, order.public_id, at):
            return order.public_id, None
    with current_services().db.writing() as session:
        order = _find_invited_order(session, token)
        return order.public_id, OrderSession.create(session, order, at)


def set_session_cookie(response: Response, public_id: str, value: str) -> None:
    """Give the browser its session of one order."""
    response.set_cookie(
        _cookie_name(public_id),
        value,
        max_age=SESSION_LIFETIME,
        path="/",
        secure=current_services().settings.is_https,
        httponly=True,
        samesite="Lax",
    )


def _cookie_name(public_id: str) -> str:
    return f"{'__Host-' if current_services().settings.is_https else ''}c-{public_id}"


def _find_invited_order(session: Session, token: str) -> Order:
    link = Link.find(session, token, INVITE)
    if link is None:
        raise NotFound("There is no such invitation")
    return link.order


def _has_session(session: Session, public_id: str, now: datetime) -> bool:
    try:
        _find_session_order(session, public_id, now)
    except Unauthorized:
        return False
    return True


def _find_session_order(
    session: Session, public_id: str, now: datetime, *, lock: bool = False
) -> Order:
    """Return the order whose session this browser has; its version without the content at first."""
    value = request.cookies.get(_cookie_name(public_id))
    told = {"token_hash": secrets.sha256_digest(value or ""), "public_id": public_id, "now": now}
    order = (
        session.scalar(_SESSION_ORDER_QUERY_FOR_UPDATE if lock else _SESSION_ORDER_QUERY, told)
        if value
        else None
    )
    if order is None:
        raise Unauthorized("Please use the link in your e-mail")
    return order


def _require_order_class(order: Order, order_class: type[OrderT]) -> OrderT:
    if not isinstance(order, order_class):
        raise NotFound("There is no such page")
    return order


def _apply_overdue_transition(public_id: str, now: datetime) -> None:
    with current_services().db.writing() as session:
        _find_session_order(session, public_id, now, lock=True).apply_overdue_transition(
            session, current_services().secret_box, now
        )
