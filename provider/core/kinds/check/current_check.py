"""The current check: of a person's completed checks by one package, the newest.

An older check stays as it is, and pages and reports say that a newer one exists. So an older pass
never stands as current beside a newer finding.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from provider.core.orders import Order
from provider.core.orders.person import is_order_of_person
from provider.core.orders.states import COMPLETED
from provider.storage.secrets import SecretBox


def find_newer_check(session: Session, secret_box: SecretBox, order: Order) -> Order | None:
    """Return the newest completed check of the same person and package, if it is another one."""
    if order.status != COMPLETED:
        return None
    query = _others(secret_box, order).where(_is_newer(order))
    newest_first = (Order.finished_at.desc(), Order.id.desc())
    newest: Order | None = session.scalar(query.order_by(*newest_first).limit(1))
    return newest


def list_older_ids(session: Session, secret_box: SecretBox, order: Order) -> Sequence[int]:
    """Return the ids of the completed checks that a completed check replaces."""
    query = _others(secret_box, order).where(~_is_newer(order)).with_only_columns(Order.id)
    return session.scalars(query).all()


def _others(secret_box: SecretBox, order: Order) -> Select[Any]:
    return select(Order).where(
        is_order_of_person(secret_box, order.account_id, order.candidate.email),
        # The sum keeps the planner from the index on products, which may match a million checks.
        Order.product_id + 0 == order.product_id,
        Order.status == COMPLETED,
        Order.id != order.id,
    )


def _is_newer(order: Order) -> ColumnElement[bool]:
    return or_(
        Order.finished_at > order.finished_at,
        and_(Order.finished_at == order.finished_at, Order.id > order.id),
    )
