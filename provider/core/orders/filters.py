"""Conditions on orders, in a form for their indexes and a form for rows that are read by id."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.orm import Session

from provider.core.orders.order import Order
from provider.storage.compiled import CompiledQuery, literal_limit

# Orders that are read one by one instead of through an index.
SCANNED_ORDERS = 5000
# An order that is placed earlier has a smaller id, unless the machine's clock was set back.
CLOCK_TOLERANCE = timedelta(days=1)
_ORDER_COLUMNS = Order.__table__.c
_NEXT_ORDER_QUERY = CompiledQuery(
    select(_ORDER_COLUMNS.id, _ORDER_COLUMNS.placed_at)
    .where(_ORDER_COLUMNS.id >= bindparam("first_id"))
    .order_by(_ORDER_COLUMNS.id)
    .limit(literal_limit(1))
)


class OrderFilters:
    """Equal values of columns of `orders`, and the range of the time of placing.

    Orders of a range of times have a range of ids, which needs no index of `placed_at`.
    `account_ids` are the accounts that the session is limited to, if any.
    """

    def __init__(
        self,
        equal: Sequence[tuple[Any, Any]] = (),
        *,
        others: Sequence[ColumnElement[bool]] = (),
        account_ids: Sequence[int] | None = None,
        first_id: int | None = None,
        end_id: int | None = None,
    ) -> None:
        self._equal, self._others, self._account_ids = equal, others, account_ids
        self.first_id, self.end_id = first_id, end_id

    @classmethod
    def placed_between(
        cls,
        session: Session,
        start: datetime | None,
        end: datetime | None,
        equal: Sequence[tuple[Any, Any]] = (),
        *more: ColumnElement[bool],
        account_ids: Sequence[int] | None = None,
    ) -> "OrderFilters":
        """Return filters with orders from `start` until before `end`; None is no limit.

        `more` are further conditions on columns of `orders`.
        """
        others, first_id, end_id = list(more), None, None
        if start is not None:
            others.append(Order.placed_at >= start)
            first_id = _first_id_placed_from(session, start - CLOCK_TOLERANCE)
        if end is not None:
            others.append(Order.placed_at < end)
            end_id = _first_id_placed_from(session, end + CLOCK_TOLERANCE)
        return cls(equal, others=others, account_ids=account_ids, first_id=first_id, end_id=end_id)

    def indexed(self) -> list[ColumnElement[bool]]:
        """Return the conditions for the indexes of their columns."""
        equal = (column == value for column, value in self._equal)
        return [*equal, *self._others, *self.id_conditions(Order.id)]

    def scanned(self) -> list[ColumnElement[bool]]:
        """Return the conditions for rows that are found by their id.

        `coalesce` keeps the planner from an index of the column: it may match a million rows.
        """
        equal = (func.coalesce(column, column) == value for column, value in self._equal)
        return [*equal, *self._others, *self.id_conditions(Order.id)]

    def id_conditions(self, id_column: Any) -> list[ColumnElement[bool]]:
        conditions = []
        if self.first_id is not None:
            conditions.append(id_column >= self.first_id)
        if self.end_id is not None:
            conditions.append(id_column < self.end_id)
        return conditions

    def all_matches(self) -> list[ColumnElement[bool]]:
        """Return the conditions to read all matching orders; empty if every order matches.

        Without another condition, the accounts of a limited session are the condition. Beside
        others, they would keep the planner from a better index.
        """
        if conditions := self.indexed():
            return conditions
        return [] if self._account_ids is None else [Order.account_id.in_(self._account_ids)]

    def matches_few(self, session: Session) -> bool:
        """Return whether so few orders match that all of them can be read."""
        conditions = self.all_matches()
        if not conditions:
            return False
        ids = select(Order.id).where(*conditions).limit(SCANNED_ORDERS + 1).subquery()
        return (session.scalar(select(func.count()).select_from(ids)) or 0) <= SCANNED_ORDERS


def _first_id_placed_from(session: Session, moment: datetime) -> int:
    """Return an id that parts the orders before a moment from the later ones: a binary search."""
    # Of all accounts: to find the newest order of one account could read the whole table.
    low, high = 1, (session.scalar(select(func.max(_ORDER_COLUMNS.id))) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = _NEXT_ORDER_QUERY.fetch_one(session, {"first_id": middle})
        if row is None or row[1] >= moment:
            high = middle
        else:
            low = row[0] + 1
    return low
