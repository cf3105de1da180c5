"""Figures about many orders: how many of each status, how long they take, how they score.

The medians read a bounded part of the table, so that they stay fast with a million orders. The
orders of a sandbox do not count, because it is for trials.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select, text, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from provider.core.accounts import Account
from provider.core.orders.history import Result
from provider.core.orders.order import Order
from provider.core.orders.order_counts import OrderCounts, find_counts, period_days
from provider.core.orders.states import COMPLETED, FINAL_STATUSES, STATUSES
from provider.core.products.product import Product

SAMPLE_SIZE = 200  # the newest completed orders that a median is made of
MAX_PRODUCTS = 12  # with a median of their own: those with the most orders

MAX_PARTITIONS = 10  # accounts whose orders are read separately
# A literal, not a parameter, or SQLite cannot use the partial index.
IS_COMPLETED = text(f"orders.status = '{COMPLETED}'")


@dataclass(frozen=True)
class DayCounts:
    """The orders that were placed on one day in UTC, by their present status."""

    day: date
    by_status: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.by_status.values())


@dataclass(frozen=True)
class ProductScores:
    """The median score of a product's newest completed orders, in per cent."""

    name: str
    public_id: str
    median_score: float | None
    scored_count: int
    order_count: int  # within the period


@dataclass(frozen=True)
class Statistics:
    """The figures of the last thirty days. The orders were counted at `counted_at`."""

    days: Sequence[DayCounts]
    median_seconds: float | None  # from the order to its completion, of the newest ones
    counted_at: datetime
    products: Sequence[ProductScores] = field(default_factory=tuple)
    sandbox_order_count: int = 0  # of the period, left out of all other figures

    @property
    def by_status(self) -> dict[str, int]:
        return {
            status: sum(day.by_status.get(status, 0) for day in self.days) for status in STATUSES
        }

    @property
    def order_count(self) -> int:
        return sum(day.total for day in self.days)

    @property
    def completion_rate(self) -> float | None:
        """The completed part of the orders that have ended, in per cent; None without any."""
        ended = sum(self.by_status[status] for status in FINAL_STATUSES)
        return 100 * self.by_status[COMPLETED] / ended if ended else None


def collect_statistics(session: Session, now: datetime, *, with_scores: bool) -> Statistics | None:
    """Return the figures of the last thirty days; None while the orders are being counted."""
    counts = find_counts(session, now)
    if counts is None:
        return None
    sandboxes = session.scalars(select(Account.id).where(Account.sandbox)).all()
    accounts = [counted for counted in counts.accounts if counted.account_id not in sandboxes]
    trials = [counted for counted in counts.accounts if counted.account_id in sandboxes]
    newest = _NewestOrders(accounts, sandboxes)
    return Statistics(
        [_day_counts(day, accounts) for day in period_days(now)],
        _median_seconds(session, newest),
        counts.counted_at,
        _score_products(session, accounts, newest) if with_scores else (),
        sum(sum(account.by_product.values()) for account in trials),
    )


def _day_counts(day: date, accounts: Sequence[OrderCounts]) -> DayCounts:
    by_status: Counter[str] = Counter()
    for account in accounts:
        by_status.update(account.by_day.get(day.isoformat(), {}))
    return DayCounts(day, by_status)


@dataclass(frozen=True)
class _NewestOrders:
    """The query of the newest completed orders of accounts without their sandboxes.

    The orders of few accounts are found by the indexes of each account: among those of all
    accounts they may be rare. For many accounts one scan is quicker.
    """

    accounts: Sequence[OrderCounts]
    sandboxes: Sequence[int]

    def ids(self) -> Select[int]:
        if len(self.accounts) > MAX_PARTITIONS:
            return self._scan()
        accounts = [Order.account_id == account.account_id for account in self.accounts]
        return self._merge(accounts, Order.id)

    def ids_of_product(self, product_id: int) -> Select[int]:
        of_product = Order.product_id == product_id
        accounts = [account for account in self.accounts if str(product_id) in account.by_product]
        if len(accounts) > MAX_PARTITIONS:
            return self._scan(of_product)
        partitions = [
            and_(Order.account_id == account.account_id, of_product) for account in accounts
        ]
        # The index of an account and a product is sorted by the time of the completion.
        return self._merge(partitions, Order.finished_at)

    def _scan(self, *conditions: ColumnElement[bool]) -> Select[int]:
        query = select(Order.id).where(
            Order.status == COMPLETED, Order.account_id.not_in(self.sandboxes), *conditions
        )
        return query.order_by(Order.id.desc()).limit(SAMPLE_SIZE)

    def _merge(
        self, partitions: Sequence[ColumnElement[bool]], column: InstrumentedAttribute[Any]
    ) -> Select[int]:
        """Return the newest orders of partitions, each sorted by a column of its index."""
        newest = (
            select(Order.id, column.label("sort_key"))
            .where(partition, IS_COMPLETED)
            .order_by(column.desc())
            .limit(SAMPLE_SIZE)
            .subquery()
            for partition in partitions
        )
        merged = union_all(*(select(partition) for partition in newest)).subquery()
        return select(merged.c.id).order_by(merged.c.sort_key.desc()).limit(SAMPLE_SIZE)


def _median_seconds(session: Session, newest: _NewestOrders) -> float | None:
    if not newest.accounts:
        return None
    rows = session.execute(
        select(Order.placed_at, Order.finished_at).where(Order.id.in_(newest.ids()))
    )
    seconds = [(row.finished_at - row.placed_at).total_seconds() for row in rows if row.finished_at]
    return median(seconds) if seconds else None


def _score_products(
    session: Session, accounts: Sequence[OrderCounts], newest: _NewestOrders
) -> tuple[ProductScores, ...]:
    counts: Counter[int] = Counter()
    for account in accounts:
        counts.update({int(product): orders for product, orders in account.by_product.items()})
    most_ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_PRODUCTS]
    query = select(Product).where(Product.id.in_([product_id for product_id, _ in most_ordered]))
    products = {product.id: product for product in session.scalars(query)}
    return tuple(
        _score_product(session, products[product_id], orders, newest)
        for product_id, orders in most_ordered
    )


def _score_product(
    session: Session, product: Product, order_count: int, newest: _NewestOrders
) -> ProductScores:
    order_ids = newest.ids_of_product(product.id)
    # Of an order that was reopened, the last result counts.
    last_results = (
        select(func.max(Result.id)).where(Result.order_id.in_(order_ids)).group_by(Result.order_id)
    )
    scores = session.scalars(
        select(Result.score).where(Result.id.in_(last_results), Result.score.is_not(None))
    ).all()
    return ProductScores(
        product.name,
        product.public_id,
        median(score for score in scores if score is not None) if scores else None,
        len(scores),
        order_count,
    )
