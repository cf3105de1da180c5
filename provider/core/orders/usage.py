"""How many orders each account has placed and completed of each product, month by month.

An order counts as ordered in the month in which it was placed, and as completed in the month in
which its result was ready. Months are in UTC. Erased orders count like the others. A sandbox is for
trials, so its orders do not count.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import add
from typing import Any

from sqlalchemy import CTE, ScalarSelect, Select, func, literal, select, text, union, union_all
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.orders.erased_order import ErasedOrder
from provider.core.orders.order import Order
from provider.core.orders.states import COMPLETED
from provider.core.products.product import Product
from provider.errors import Invalid
from provider.storage.database import UtcDateTime

TABLES = (Order.__table__, ErasedOrder.__table__)


@dataclass(frozen=True, order=True)
class Month:
    """A month of the calendar, in UTC."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> "Month":
        """Return the month of a text like 2026-11; Invalid."""
        match = re.fullmatch(r"([0-9]{4})-([0-9]{2})", text.strip())
        if not match or not 1 <= int(match[2]) <= 12 or not 1970 <= int(match[1]) <= 9998:
            raise Invalid("“%(text)s” is not a month: write it like 2026-11", text=text)
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        moment = moment.astimezone(UTC)
        return cls(moment.year, moment.month)

    def plus(self, count: int) -> "Month":
        """Return the month that is `count` months later, or earlier for a negative number."""
        index = self.year * 12 + self.number - 1 + count
        return Month(index // 12, index % 12 + 1)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


def list_months(first: Month, last: Month, max_count: int) -> list[Month]:
    """Return the months from `first` to `last`; Invalid for none and for too many."""
    if last < first:
        raise Invalid("The first month should not be after the last one")
    months = [first]
    while months[-1] < last:
        if len(months) == max_count:
            raise Invalid("Choose at most %(count)s months", count=max_count)
        months.append(months[-1].plus(1))
    return months


@dataclass(frozen=True)
class Usage:
    """The orders of one product by one account in one month."""

    month: Month
    account: str
    account_id: str  # the public id
    product: str
    product_id: str  # the public id
    product_key: str
    kind: str
    ordered: int
    completed: int


def list_usage(
    session: Session, months: Sequence[Month], account_id: int | None = None
) -> list[Usage]:
    """Return the usage of months, of one account or of all; the latest month first."""
    return [
        Usage(months[row.number], *row[1:])
        for row in session.execute(_usage_query(months, account_id))
        if row.ordered or row.completed
    ]


def _usage_query(months: Sequence[Month], account_id: int | None) -> Select[Any]:
    """Return the query: a few index searches for each month, account and product.

    Grouping all orders of the months would read their rows, and sort them.
    """
    periods = _periods(months)
    pairs = union(
        *(
            select(cte.c.account_id, cte.c.product_id).where(cte.c.product_id.is_not(None))
            for cte in (_ordered_products(table, account_id) for table in TABLES)
        )
    ).subquery("pairs")
    ordered, completed = (
        add(*(_count(table, column, pairs, periods) for table in TABLES)).label(label)
        for label, column in (("ordered", "placed_at"), ("completed", "finished_at"))
    )
    return (
        select(
            periods.c.number,
            Account.name,
            Account.public_id,
            Product.name,
            Product.public_id,
            Product.key,
            Product.kind,
            ordered,
            completed,
        )
        .select_from(periods)
        .join(pairs, literal(True))
        .join(Account, Account.id == pairs.c.account_id)
        .join(Product, Product.id == pairs.c.product_id)
        .order_by(periods.c.number.desc(), Account.name, Product.kind, Product.name, Product.id)
    )


def _periods(months: Sequence[Month]) -> CTE:
    return union_all(
        *(
            select(
                literal(number).label("number"),
                literal(month.start, UtcDateTime).label("start"),
                literal(month.plus(1).start, UtcDateTime).label("end"),
            )
            for number, month in enumerate(months)
        )
    ).cte("periods")


def _ordered_products(table: Any, account_id: int | None) -> CTE:
    """Return the pairs of accounts and products in a table, found by one search for each.

    DISTINCT would read every row. The last product of an account is NULL.
    """
    first = select(func.min(table.c.product_id)).where(table.c.account_id == Account.id)
    start = select(
        Account.id.label("account_id"), first.scalar_subquery().label("product_id")
    ).where(Account.sandbox.is_(False))
    if account_id is not None:
        start = start.where(Account.id == account_id)
    pairs = start.cte(f"products_of_{table.name}", recursive=True)
    following = select(func.min(table.c.product_id)).where(
        table.c.account_id == pairs.c.account_id, table.c.product_id > pairs.c.product_id
    )
    return pairs.union_all(
        select(pairs.c.account_id, following.scalar_subquery()).where(
            pairs.c.product_id.is_not(None)
        )
    )


def _count(table: Any, column: str, pairs: Any, periods: CTE) -> ScalarSelect[int]:
    moment = table.c[column]
    query = select(func.count()).where(
        table.c.account_id == pairs.c.account_id,
        table.c.product_id == pairs.c.product_id,
        moment >= periods.c.start,
        moment < periods.c.end,
    )
    if column == "finished_at":
        # The text of the condition is that of the partial index, or SQLite would not use it.
        query = query.where(text(f"{table.name}.status = '{COMPLETED}'"))
    return query.select_from(table).correlate(pairs, periods).scalar_subquery()
