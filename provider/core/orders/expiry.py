"""Scheduled work: orders that nobody started in time expire, batch by batch."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from provider.core.orders.batch import change_batch, run_in_batches
from provider.core.orders.given_time import ARRIVAL_GRACE
from provider.core.orders.order import Order
from provider.core.orders.states import NOT_STARTED
from provider.core.scheduled import ScheduledWork, WorkContext

BATCH_SIZE = 100  # orders that expire in one transaction


def has_orders_to_expire(session: Session, now: datetime) -> bool:
    return session.scalar(select(Order.id).where(*_overdue_conditions(now)).limit(1)) is not None


def expire_overdue_orders(
    session: Session, now: datetime, failed_order_ids: set[int] | None = None
) -> int:
    """Expire one batch of overdue orders. Returns their number.

    `failed_order_ids` are left out, and get the ids of orders whose expiry fails.
    """
    query = select(Order).where(*_overdue_conditions(now)).order_by(Order.expires_at)
    failed_order_ids = set() if failed_order_ids is None else failed_order_ids
    return change_batch(
        session,
        query.limit(BATCH_SIZE),
        lambda order: order.expire(session, now),
        failed_order_ids,
    )


def _overdue_conditions(now: datetime) -> list[Any]:
    return [
        # A literal: with a parameter the planner could not use the partial index.
        Order.status == text("'pending'"),
        Order.progress.in_(NOT_STARTED),
        Order.expires_at <= now - ARRIVAL_GRACE,
    ]


def _run(context: WorkContext) -> None:
    run_in_batches(context, expire_overdue_orders)


EXPIRE_ORDERS = ScheduledWork(
    "expire_orders", every=timedelta(seconds=2), run=_run, is_needed=has_orders_to_expire
)
