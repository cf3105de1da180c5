"""More time for everybody who takes a test at this moment."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from provider.core.orders.history import OrderEvent
from provider.core.orders.staff_acts import EXTRA_TIME, MAX_EXTRA_TIME_MINUTES, give_extra_time
from provider.core.orders.states import PENDING
from provider.core.orders.timed_order import TimedOrder
from provider.errors import Conflict, Invalid


def list_running(
    session: Session, product_id: int, now: datetime, *, lock: bool = False
) -> Sequence[TimedOrder]:
    """Return the attempts of a product that run now and have a time limit."""
    query = (
        select(TimedOrder)
        .where(
            # A literal: with a parameter the planner could not use the partial index.
            TimedOrder.progress == text("'started'"),
            TimedOrder.status == PENDING,
            TimedOrder.attempt_ends_at > now,
            TimedOrder.product_id == product_id,
        )
        .order_by(TimedOrder.id)
    )
    orders = session.scalars(query.with_for_update(of=TimedOrder) if lock else query).all()
    return [order for order in orders if order.usual_seconds]


def last_extension(session: Session, orders: Sequence[TimedOrder]) -> int:
    """Return the id of the newest event that gave one of the orders more time; 0 without one."""
    query = select(func.max(OrderEvent.id)).where(
        OrderEvent.type == EXTRA_TIME, OrderEvent.order_id.in_([order.id for order in orders])
    )
    return session.scalar(query) or 0


def extend_running(
    session: Session, product_id: int, minutes: int, actor: str, now: datetime
) -> int:
    """Add minutes to each running attempt of a product. Returns the number of attempts.

    Raises Conflict where nobody takes it, Invalid for a number that is out of range.
    """
    if not 1 <= minutes <= MAX_EXTRA_TIME_MINUTES:
        raise Invalid("Extra time has at most %(maximum)d minutes", maximum=MAX_EXTRA_TIME_MINUTES)
    orders = list_running(session, product_id, now, lock=True)
    if not orders:
        raise Conflict("Nobody takes this test with a time limit at this moment")
    for order in orders:
        seconds = min(order.extra_time_seconds + minutes * 60, MAX_EXTRA_TIME_MINUTES * 60)
        if seconds > order.extra_time_seconds:
            give_extra_time(session, order, seconds, actor, now)
    return len(orders)
