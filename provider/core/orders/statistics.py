"""Figures about many orders: how many of each status, how long they take, how they score.

The queries read a bounded part of the table, so that they stay fast with a million orders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from statistics import median

from sqlalchemy import func, select
from sqlalchemy.orm import Session

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
    days = [_count_day(session, first_day + timedelta(days=number)) for number in range(day_count)]
    products = _score_products(session, _start_of(first_day)) if with_scores else ()
    return Statistics(days, _median_seconds(session), products)


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _count_day(session: Session, day: date) -> DayCounts:
    rows = session.execute(
        select(Order.status, func.count().label("orders"))
        .where(
            Order.placed_at >= _start_of(day), Order.placed_at < _start_of(day + timedelta(days=1))
        )
        .group_by(Order.status)
    )
    return DayCounts(day, {row.status: row.orders for row in rows})


def _median_seconds(session: Session) -> float | None:
    rows = session.execute(
        select(Order.placed_at, Order.finished_at)
        .where(Order.status == COMPLETED)
        .order_by(Order.id.desc())
        .limit(SAMPLE_SIZE)
    )
    seconds = [(row.finished_at - row.placed_at).total_seconds() for row in rows if row.finished_at]
    return median(seconds) if seconds else None


def _score_products(session: Session, since: datetime) -> tuple[ProductScores, ...]:
    counts = session.execute(
        select(Order.product_id, func.count().label("orders"))
        .where(Order.placed_at >= since)
        .group_by(Order.product_id)
        .order_by(func.count().desc(), Order.product_id)
        .limit(MAX_PRODUCTS)
    ).all()
    return tuple(_score_product(session, product_id, orders) for product_id, orders in counts)


def _score_product(session: Session, product_id: int, order_count: int) -> ProductScores:
    product = session.get_one(Product, product_id)
    newest = (
        select(Order.id)
        .where(Order.product_id == product_id, Order.status == COMPLETED)
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
