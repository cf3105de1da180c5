"""The current check: of a person's completed checks by one package, the newest.

An older check stays as it is, and pages and reports say that a newer one exists. So an older pass
never stands as current beside a newer finding, not even while the newer check is reopened.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.orm import Session

from provider.core.orders import Order, OrderEvent
from provider.core.orders.person import is_order_of_person
from provider.core.orders.states import COMPLETED
from provider.storage.secrets import SecretBox

# When a check was completed last; NULL for one that never was. A reopened check has no end.
_completed_at = case(
    (Order.status == COMPLETED, Order.finished_at),
    else_=select(func.max(OrderEvent.occurred_at))
    .where(OrderEvent.order_id == Order.id, OrderEvent.type == COMPLETED)
    .correlate(Order)
    .scalar_subquery(),
)


def find_newer_check(session: Session, secret_box: SecretBox, order: Order) -> Order | None:
    """Return the newest check of the same person and package, if it is another one.

    A check that was completed once counts after its reopening, too.
    """
    if order.status != COMPLETED:
        return None
    query = _others(secret_box, order).where(_is_newer(order))
    newest_first = (_completed_at.desc(), Order.id.desc())
    newest: Order | None = session.scalar(query.order_by(*newest_first).limit(1))
    return newest


def find_completion(order: Order) -> datetime | None:
    """Return when a check was completed last, also of a reopened one."""
    if order.status == COMPLETED:
        return order.finished_at
    times = [event.occurred_at for event in order.events if event.type == COMPLETED]
    return max(times, default=None)


def list_older_ids(session: Session, secret_box: SecretBox, order: Order) -> Sequence[int]:
    """Return the ids of the older checks that a completed check replaces."""
    query = _others(secret_box, order).where(~_is_newer(order)).with_only_columns(Order.id)
    return session.scalars(query).all()


def _others(secret_box: SecretBox, order: Order) -> Select[Any]:
    return select(Order).where(
        is_order_of_person(secret_box, order.account_id, order.candidate.email),
        # The sum keeps the planner from the index on products, which may match a million checks.
        Order.product_id + 0 == order.product_id,
        _completed_at.is_not(None),
        Order.id != order.id,
    )


def _is_newer(order: Order) -> ColumnElement[bool]:
    return or_(
        _completed_at > order.finished_at,
        and_(_completed_at == order.finished_at, Order.id > order.id),
    )
