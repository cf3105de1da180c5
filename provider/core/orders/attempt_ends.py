"""The scheduled works that close attempts at their deadline, and record the ends of pauses."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, or_, select, text
from sqlalchemy.orm import Session

from provider.core.orders.batch import change_batch, run_in_batches
from provider.core.orders.given_time import ARRIVAL_GRACE
from provider.core.orders.heartbeat import is_server_silent
from provider.core.orders.order import Order
from provider.core.orders.states import PENDING
from provider.core.orders.timed_order import TimedOrder
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.storage.secrets import SecretBox

BATCH_SIZE = 50  # attempts that are closed in one transaction


def has_pauses_to_record(session: Session, now: datetime) -> bool:
    return session.scalar(_ended_pauses(now).with_only_columns(Order.id).limit(1)) is not None


def record_ended_pauses(session: Session, now: datetime, failed_order_ids: set[int]) -> int:
    """Record the end of one batch of pauses that have ended by themselves. Returns their number.

    The candidate needs no such record. The staff see it in the timeline.
    """

    def record(order: Order) -> None:
        assert isinstance(order, TimedOrder), "no other order has a pause"
        order.go_on(session, now)

    return change_batch(session, _ended_pauses(now).limit(BATCH_SIZE), record, failed_order_ids)


def _ended_pauses(now: datetime) -> Select[Order]:
    # Without the kind: the databases would read all timed orders by the index of kinds.
    return select(Order).where(Order.pause_ends_at <= now).order_by(Order.pause_ends_at)


def has_orders_to_close(session: Session, now: datetime) -> bool:
    return (
        session.scalar(select(TimedOrder.id).where(*_overdue_conditions(now)).limit(1)) is not None
    )


def close_overdue_orders(
    session: Session,
    secret_box: SecretBox,
    now: datetime,
    failed_order_ids: set[int] | None = None,
) -> int:
    """Close one batch of attempts that are past their deadline. Returns their number.

    `failed_order_ids` are left out, and get the ids of orders whose closing fails.
    """
    query = select(TimedOrder).where(*_overdue_conditions(now)).order_by(TimedOrder.attempt_ends_at)
    failed_order_ids = set() if failed_order_ids is None else failed_order_ids
    return change_batch(
        session,
        query.limit(BATCH_SIZE),
        lambda order: order.close_at_deadline(session, secret_box, now),
        failed_order_ids,
    )


def _overdue_conditions(now: datetime) -> list[Any]:
    return [
        # A literal: with a parameter the planner could not use the partial index.
        TimedOrder.progress == text("'started'"),
        TimedOrder.status == PENDING,
        TimedOrder.attempt_ends_at <= now - ARRIVAL_GRACE,
        or_(TimedOrder.held_open_until.is_(None), TimedOrder.held_open_until <= now),
    ]


def _run(context: WorkContext) -> None:
    def close(session: Session, now: datetime, failed_order_ids: set[int]) -> int:
        return close_overdue_orders(session, context.secret_box, now, failed_order_ids)

    with context.db.reading() as session:
        if is_server_silent(session, context.now()):
            return  # the time of the outage is given back first
    run_in_batches(context, close)


def _record_ended_pauses(context: WorkContext) -> None:
    run_in_batches(context, record_ended_pauses)


RECORD_PAUSES = ScheduledWork(
    "record_pauses",
    every=timedelta(seconds=30),
    run=_record_ended_pauses,
    is_needed=has_pauses_to_record,
)
CLOSE_ATTEMPTS = ScheduledWork(
    "close_attempts", every=timedelta(seconds=2), run=_run, is_needed=has_orders_to_close
)
