"""Scheduled changes of orders, batch by batch.

A transaction changes one batch: a longer one would block other writers. Each order is changed on
its own: one that fails does not stop the others.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from provider.core.orders.order import Order
from provider.core.scheduled import WorkContext
from provider.errors import Unavailable

OrderT = TypeVar("OrderT", bound=Order)
# Changes one batch, without the orders whose ids are in the set, and adds the ids of those that
# fail to it. Returns the number of orders that it tried.
BatchChange = Callable[[Session, datetime, set[int]], int]


def run_in_batches(context: WorkContext, change: BatchChange) -> None:
    """Change batch after batch until none is left; RuntimeError at the end if an order failed."""
    failed_order_ids: set[int] = set()
    is_finished = False
    while not is_finished:
        with context.db.writing(separate_commit=True) as session:
            is_finished = not change(session, context.now(), failed_order_ids)
    require_no_failure(failed_order_ids)


def require_no_failure(failed_order_ids: set[int]) -> None:
    """Raise RuntimeError after a run with failed orders, so that `/ready` shows it."""
    if failed_order_ids:
        raise RuntimeError(f"{len(failed_order_ids)} orders failed, as the log says")


def change_batch(
    session: Session,
    query: Select[OrderT],
    change: Callable[[OrderT], object],
    failed_order_ids: set[int],
) -> int:
    """Change the orders of a limited query, without those that failed. Returns their number.

    Rows that another process or the candidate has locked are left for the next batch.
    """
    untried = query.where(Order.id.not_in(failed_order_ids)).with_for_update(
        of=Order, skip_locked=True
    )
    orders = session.scalars(untried).all()
    _change_each(session, orders, change, failed_order_ids)
    return len(orders)


def _change_each(
    session: Session,
    orders: Iterable[OrderT],
    change: Callable[[OrderT], object],
    failed_order_ids: set[int],
) -> None:
    """Change each order in a savepoint; log an error and add the order's id to `failed_order_ids`.

    An error of the database itself is raised, because the other orders would fail too.
    """
    for order in orders:
        order_id, public_id = order.id, order.public_id
        log_lines = session.info.setdefault("after_commit", [])
        line_count = len(log_lines)
        try:
            with session.begin_nested():
                change(order)
        except (OperationalError, Unavailable):
            raise
        except Exception:
            from structlog import get_logger  # late: see `logging_config`

            get_logger().exception("order_change_failed", order=public_id)
            failed_order_ids.add(order_id)
            del log_lines[line_count:]  # these tell of changes that were rolled back
