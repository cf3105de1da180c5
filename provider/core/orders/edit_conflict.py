"""Detects that an order is not as a page showed it, and says what happened since.

A page keeps the digest of each order that it shows. An act compares it under the order's lock, so
that of two people who act on one order the first one wins and the second one gets a message.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from provider.core.labels import label_for
from provider.core.orders.history import OrderEvent
from provider.core.orders.order import Order
from provider.errors import Conflict

# The actors that are nobody of the staff. What they do alone changes no digest: an invitation that
# the candidate opens stops no act.
OTHER_ACTORS = ("ats", "candidate", "system")


class ChangeSince(NamedTuple):
    """An event of an order that a page has not shown yet."""

    type: str
    actor: str
    note: str
    occurred_at: datetime


class OrderChanged(Conflict):
    """The order is not as the page showed it. `changes` are its events since, oldest first."""

    def __init__(self, changes: Sequence[ChangeSince]) -> None:
        super().__init__("This order has changed since you opened this page, so nothing was saved")
        self.changes = changes

    @property
    def summary(self) -> str:
        """The changes in one line, without notes: they may name the candidate."""
        parts = [
            label_for("event", change.type) + (f" by {change.actor}" if "@" in change.actor else "")
            for change in self.changes
        ]
        return f"Changed meanwhile: {', '.join(parts) or 'its details'}"


def seen_digests(session: Session, orders: Sequence[Order]) -> Mapping[int, str]:
    """Return the digest of each order by its id: the last event's id, then what acts may change.

    Two statements serve any number of orders.
    """
    is_staff = OrderEvent.actor.not_in(OTHER_ACTORS)
    rows = session.execute(
        select(
            OrderEvent.order_id,
            func.max(OrderEvent.id),
            func.max(case((is_staff, OrderEvent.id), else_=0)),
        )
        .where(OrderEvent.order_id.in_([order.id for order in orders]))
        .group_by(OrderEvent.order_id)
    )
    events = {order_id: (last, last_of_staff) for order_id, last, last_of_staff in rows}
    digests = {}
    for order in orders:
        last, last_of_staff = events.get(order.id, (0, 0))
        digests[order.id] = f"{last}-{_digest(order, last_of_staff)}"
    return digests


def seen_digest(session: Session, order: Order) -> str:
    return seen_digests(session, [order])[order.id]


def is_as_seen(session: Session, order: Order, seen: str) -> bool:
    return is_same_state(seen_digest(session, order), seen)


def is_same_state(digest: str, other: str) -> bool:
    """Compare two digests of an order without the id of the last event."""
    return digest.partition("-")[2] == other.partition("-")[2]


def require_as_seen(session: Session, order: Order, seen: str) -> None:
    """Raise OrderChanged, with the events since, unless the order is as a page showed it."""
    if not is_as_seen(session, order, seen):
        raise OrderChanged(changes_since(session, order, seen))


def changes_since(session: Session, order: Order, seen: str) -> list[ChangeSince]:
    """Return the events after those that a page showed; none for a digest of another form."""
    event_id = seen.partition("-")[0]
    if not (event_id.isascii() and event_id.isdecimal() and len(event_id) < 19):
        return []
    query = select(
        OrderEvent.type, OrderEvent.actor, OrderEvent.note, OrderEvent.occurred_at
    ).where(OrderEvent.order_id == order.id, OrderEvent.id > int(event_id))
    return [ChangeSince(*row) for row in session.execute(query.order_by(OrderEvent.id))]


def _digest(order: Order, last_staff_event_id: int) -> str:
    candidate = order.candidate
    values = (
        last_staff_event_id,
        order.revision,
        order.expires_at.isoformat(),
        order.started_at.isoformat() if order.started_at else "",
        order.extra_time_seconds,
        order.accommodation_asked_at.isoformat() if order.accommodation_asked_at else "",
        candidate.email,
        candidate.first_name,
        candidate.last_name,
    )
    return sha256(repr(values).encode()).hexdigest()[:16]
