"""Change the orders of a batch, each on its own: one that fails must not stop the others."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from provider.core.orders.order import Order
from provider.errors import Unavailable

OrderT = TypeVar("OrderT", bound=Order)


def change_each(
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


def require_no_failure(failed_order_ids: set[int]) -> None:
    """Raise RuntimeError after a run with failed orders, so that `/ready` shows it."""
    if failed_order_ids:
        raise RuntimeError(f"{len(failed_order_ids)} orders failed, as the log says")
