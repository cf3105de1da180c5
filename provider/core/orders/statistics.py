"""Figures about many orders: how many of each status, how long they take, how they score.

The queries read a bounded part of the table, so that they stay fast with a million orders. A
sandbox is for trials, so its orders do not count.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from statistics import median

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.orders.history import Result
from provider.core.orders.order import Order
from provider.core.orders.states import COMPLETED, FINAL_STATUSES, STATUSES
from provider.core.products.product import Product

SAMPLE_SIZE = 200  # the newest completed orders that a median is made of
MAX_PRODUCTS = 12  # with a median of their own: those with the most orders


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
    """The figures of a period that ends now."""

    days: Sequence[DayCounts]
    median_seconds: float | None  # from the order to its completion, of the newest ones
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


def collect_statistics(
    session: Session, now: datetime, day_count: int, *, with_scores: bool
) -> Statistics:
    """Return the figures of the last `day_count` days in UTC, today included."""
    first_day = now.astimezone(UTC).date() - timedelta(days=day_count - 1)
    trials = _read_trials(session, _start_of(first_day))
    days = [
        _count_day(session, first_day + timedelta(days=number), trials)
        for number in range(day_count)
    ]
    products = _score_products(session, _start_of(first_day), trials) if with_scores else ()
    median_seconds = _median_seconds(session, trials)
    return Statistics(days, median_seconds, products, trials.by_product.total())


@dataclass(frozen=True)
class _Trials:
    """The sandboxes, and the orders that they have placed in the period."""

    account_ids: Sequence[int]
    by_day_and_status: Counter[tuple[date, str]] = field(default_factory=Counter)
    by_product: Counter[int] = field(default_factory=Counter)

    @property
    def are_left_out(self) -> list[ColumnElement[bool]]:
        return [Order.account_id.not_in(self.account_ids)] if self.account_ids else []


def _read_trials(session: Session, since: datetime) -> _Trials:
    """Read the orders of sandboxes, which are few.

    The counts of all orders come from an index that has no accounts, so those of sandboxes are
    subtracted: a condition on the account would read the row of each order.
    """
    trials = _Trials(session.scalars(select(Account.id).where(Account.sandbox)).all())
    if trials.account_ids:
        rows = session.execute(
            select(Order.placed_at, Order.status, Order.product_id).where(
                Order.account_id.in_(trials.account_ids), Order.placed_at >= since
            )
        )
        for row in rows:
            trials.by_day_and_status[row.placed_at.astimezone(UTC).date(), row.status] += 1
            trials.by_product[row.product_id] += 1
    return trials


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _count_day(session: Session, day: date, trials: _Trials) -> DayCounts:
    rows = session.execute(
        select(Order.status, func.count().label("orders"))
        .where(
            Order.placed_at >= _start_of(day), Order.placed_at < _start_of(day + timedelta(days=1))
        )
        .group_by(Order.status)
    )
    return DayCounts(
        day, {row.status: row.orders - trials.by_day_and_status[day, row.status] for row in rows}
    )


def _median_seconds(session: Session, trials: _Trials) -> float | None:
    rows = session.execute(
        select(Order.placed_at, Order.finished_at)
        .where(Order.status == COMPLETED, *trials.are_left_out)
        .order_by(Order.id.desc())
        .limit(SAMPLE_SIZE)
    )
    seconds = [(row.finished_at - row.placed_at).total_seconds() for row in rows if row.finished_at]
    return median(seconds) if seconds else None


def _score_products(
    session: Session, since: datetime, trials: _Trials
) -> tuple[ProductScores, ...]:
    rows = session.execute(
        select(Order.product_id, func.count().label("orders"))
        .where(Order.placed_at >= since)
        .group_by(Order.product_id)
        .order_by(Order.product_id)
    )
    counts = Counter({row.product_id: row.orders for row in rows}) - trials.by_product
    return tuple(
        _score_product(session, product_id, orders, trials)
        for product_id, orders in counts.most_common(MAX_PRODUCTS)
    )


def _score_product(
    session: Session, product_id: int, order_count: int, trials: _Trials
) -> ProductScores:
    product = session.get_one(Product, product_id)
    newest = (
        select(Order.id)
        .where(Order.product_id == product_id, Order.status == COMPLETED, *trials.are_left_out)
        .order_by(Order.id.desc())
        .limit(SAMPLE_SIZE)
    )
    # Of an order that was reopened, the last result counts.
    last_results = (
        select(func.max(Result.id)).where(Result.order_id.in_(newest)).group_by(Result.order_id)
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
