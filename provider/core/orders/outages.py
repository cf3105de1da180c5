"""Outages of the server: the time that one took from candidates is given back by itself.

A server's process records a heartbeat while an attempt runs. A gap between two heartbeats was an
outage: no page could be loaded and no answer saved. The process that records the next heartbeat
moves the end of each attempt that ran during the gap, in the same transaction. A process does so
before it answers its first request, or an attempt could be closed before.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select, text
from sqlalchemy.orm import Session

from provider.core.orders.heartbeat import MIN_OUTAGE, ROW_ID, Heartbeat
from provider.core.orders.states import PENDING
from provider.core.orders.timed_order import TimedOrder
from provider.storage.database import Database


def record_heartbeat(db: Database, now: datetime) -> int:
    """Record a heartbeat; after an outage give its time back. Returns the number of attempts."""
    with db.reading() as session:
        row = session.get(Heartbeat, ROW_ID)
        is_idle = row is None or row.is_idle
        if is_idle and not has_running_attempts(session):
            return 0
    with db.writing() as session:
        row = session.get(Heartbeat, ROW_ID, with_for_update=True)
        if row is None:
            row = Heartbeat(id=ROW_ID, beat_at=now, is_idle=True)
            session.add(row)
        began_at, was_idle = row.beat_at, row.is_idle
        row.beat_at, row.is_idle = max(began_at, now), not has_running_attempts(session)
        if was_idle or now - began_at < MIN_OUTAGE:
            return 0
        return _give_back(session, began_at, now)


def has_running_attempts(session: Session) -> bool:
    return session.scalar(select(TimedOrder.id).where(*_running()).limit(1)) is not None


def _give_back(session: Session, began_at: datetime, ended_at: datetime) -> int:
    query = select(TimedOrder).where(*_running(), TimedOrder.attempt_ends_at > began_at)
    orders: Sequence[TimedOrder] = session.scalars(
        query.order_by(TimedOrder.id).with_for_update(of=TimedOrder)
    ).all()
    return sum(order.give_back(session, began_at, ended_at) for order in orders)


def _running() -> list[ColumnElement[bool]]:
    return [
        # A literal: with a parameter the planner could not use the partial index.
        TimedOrder.progress == text("'started'"),
        TimedOrder.status == PENDING,
    ]
