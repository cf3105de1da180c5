"""The candidate's session: an invitation's token is exchanged for a cookie of one order.

Each order has a cookie of its own, so that two invitations in one browser do not overwrite each
other. `order_for_read` and `order_for_update` apply an overdue transition first: a view never sees
an order whose deadline has passed as still open.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Generic, TypeVar

from flask import request
from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session, joinedload
from werkzeug.wrappers import Response

from provider.core.orders import INVITE, GivenTime, Link, Order, OrderSession
from provider.core.orders.link import CANDIDATE_SESSION_LIFETIME
from provider.core.products.product import ProductVersion
from provider.errors import Gone, NotFound, Unauthorized
from provider.services import current_services
from provider.storage import secrets
from provider.texts import set_language
from provider.web.request_time import request_began_at
from provider.web.translations import find_browser_language

# The form field with the time at which the candidate gave the answer, in milliseconds since 1970
# on the server's clock. A script writes it.
GIVEN_AT_FIELD = "given_at"

OrderT = TypeVar("OrderT", bound=Order)


@cache
def _session_order_query(order_class: type[Order], *, lock: bool) -> Select[Order]:
    """Return the statement that loads what every page shows. Loading each at its use takes longer.

    The row lock makes two tabs or a double click act one after the other.
    """
    query = (
        select(order_class)
        .join(OrderSession, OrderSession.order_id == order_class.id)
        .where(
            OrderSession.token_hash == bindparam("token_hash"),
            OrderSession.expires_at > bindparam("now"),
            order_class.public_id == bindparam("public_id"),
        )
        .options(
            joinedload(order_class.version, innerjoin=True).defer(ProductVersion.content),
            joinedload(order_class.account, innerjoin=True),
            *order_class.page_options(),
        )
    )
    return query.with_for_update(of=Order) if lock else query


@dataclass(frozen=True)
class CandidateRequest(Generic[OrderT]):
    """A candidate's request: the open database session, their order, the time of the request."""

    session: Session
    order: OrderT
    now: datetime

    @property
    def given(self) -> GivenTime:
        """When the candidate gave what the request contains, as the page states it."""
        text = request.form.get(GIVEN_AT_FIELD, "")
        stated_ms = int(text) if re.fullmatch("[0-9]{1,15}", text) else None
        return GivenTime.from_request(stated_ms, request_began_at(self.now), self.now)


@contextmanager
def order_for_read(public_id: str, order_class: type[OrderT]) -> Iterator[CandidateRequest[OrderT]]:
    """Yield the order of this browser's session for reading.

    Raises Unauthorized without a session, NotFound for an order of another kind.
    """
    now = current_services().now()
    with current_services().db.reading() as session:
        order = _find_session_order(session, public_id, now, order_class)
        if not (is_overdue := order.has_overdue_transition(now)):
            yield CandidateRequest(session, _require_order_class(order, order_class), now)
    if is_overdue:
        _apply_overdue_transition(public_id, now)
        with current_services().db.reading() as session:
            order = _find_session_order(session, public_id, now, order_class)
            yield CandidateRequest(session, _require_order_class(order, order_class), now)


@contextmanager
def order_for_update(
    public_id: str, order_class: type[OrderT]
) -> Iterator[CandidateRequest[OrderT]]:
    """Yield the order of this browser's session, locked, in a write transaction.

    Raises Unauthorized without a session, NotFound for an order of another kind.
    """
    now = current_services().now()
    with current_services().db.writing() as session:
        order = _find_session_order(session, public_id, now, order_class, lock=True)
        if not (is_overdue := order.has_overdue_transition(now)):
            _record_first_act(session, order, now)
            yield CandidateRequest(session, _require_order_class(order, order_class), now)
        else:
            # A transaction of its own: the transition stays when the candidate's action is refused.
            order.apply_overdue_transition(session, current_services().secret_box, now)
    if is_overdue:
        with current_services().db.writing() as session:
            order = _find_session_order(session, public_id, now, order_class, lock=True)
            _record_first_act(session, order, now)
            yield CandidateRequest(session, _require_order_class(order, order_class), now)


def redeem_invitation(token: str) -> tuple[str, str | None]:
    """Return the order's public id and a cookie value; None when the browser has a session.

    Raises NotFound for an unknown token. A HEAD request, as mail scanners send, creates no session.
    """
    now, cookie = current_services().now(), OrderSession.derive_cookie(token)
    with current_services().db.reading() as session:
        order = _find_invited_order(session, token)
        if request.method == "HEAD" or _has_session(session, order.public_id, now):
            return order.public_id, None
        if OrderSession.is_fresh(session, cookie, now):
            return order.public_id, cookie
    with current_services().db.writing() as session:
        order = _find_invited_order(session, token)
        OrderSession.create_or_renew(session, order, cookie, now)
        return order.public_id, cookie


def set_session_cookie(response: Response, public_id: str, value: str) -> None:
    response.set_cookie(
        _cookie_name(public_id),
        value,
        max_age=CANDIDATE_SESSION_LIFETIME,
        path="/",
        secure=current_services().settings.is_https,
        httponly=True,
        samesite="Lax",
    )


def _cookie_name(public_id: str) -> str:
    return f"{'__Host-' if current_services().settings.is_https else ''}c-{public_id}"


def _find_invited_order(session: Session, token: str) -> Order:
    link = Link.find(session, token, INVITE)
    if link is None and Link.was_revoked(session, token, INVITE):
        raise Gone("A newer link has replaced this one: please use the newest e-mail you have")
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
    session: Session,
    public_id: str,
    now: datetime,
    order_class: type[Order] = Order,
    *,
    lock: bool = False,
) -> Order:
    """Return the order of this browser's session; its version's content is loaded on first use.

    An order of another class than `order_class` is returned, too.
    """
    cookie = request.cookies.get(_cookie_name(public_id))
    if not cookie:
        raise Unauthorized("Please use the link in your e-mail")
    params = {"token_hash": secrets.sha256_digest(cookie), "public_id": public_id, "now": now}
    order = session.scalar(_session_order_query(order_class, lock=lock), params)
    if order is None and order_class is not Order:
        order = session.scalar(_session_order_query(Order, lock=lock), params)
    if order is None:
        raise Unauthorized("Please use the link in your e-mail")
    if language := order.texts_language:
        set_language(language)
    return order


def _record_first_act(session: Session, order: Order, now: datetime) -> None:
    """Record that the candidate has opened the invitation: a form or a script was sent.

    A GET is not recorded: scanners of e-mails and previews of links send it, too. E-mails use the
    language of this browser from now on, if the product has none.
    """
    if request.method == "POST":
        order.mark_opened(session, now)
        if not order.texts_language:
            order.language = find_browser_language()


def _require_order_class(order: Order, order_class: type[OrderT]) -> OrderT:
    if not isinstance(order, order_class):
        raise NotFound("There is no such page")
    return order


def _apply_overdue_transition(public_id: str, now: datetime) -> None:
    with current_services().db.writing() as session:
        order = _find_session_order(session, public_id, now, lock=True)
        order.apply_overdue_transition(session, current_services().secret_box, now)
