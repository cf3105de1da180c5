"""How many orders each account has placed in the last thirty days, by day, status and product.

Up to `MAX_COUNTED_AT_ONCE` orders are counted when a page asks. More of them are counted by a
scheduled work, which stores the numbers: to count a million orders takes seconds.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import JSON, ForeignKey, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.orders.order import Order
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.storage.database import Base

PERIOD_DAYS = 30
MAX_COUNTED_AT_ONCE = 20_000  # orders
# A lower number, so that the numbers are stored before a page needs them.
MIN_STORED = 10_000  # orders


class OrderCounts(Base):
    """The numbers of one account. The keys of `by_day` are ISO dates in UTC."""

    __tablename__ = "order_counts"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    counted_at: Mapped[datetime]
    by_day: Mapped[Mapping[str, Mapping[str, int]]] = mapped_column(JSON)  # then by status
    by_product: Mapped[Mapping[str, int]] = mapped_column(JSON)  # the keys are ids


@dataclass(frozen=True)
class PeriodCounts:
    """The numbers of all accounts with orders in the period, and when they were counted."""

    accounts: Sequence[OrderCounts]
    counted_at: datetime


def period_days(now: datetime) -> list[date]:
    """Return the days of the period in UTC, today the last."""
    today = now.astimezone(UTC).date()
    return [today - timedelta(days=number) for number in reversed(range(PERIOD_DAYS))]


def find_counts(session: Session, now: datetime) -> PeriodCounts | None:
    """Return the numbers of the accounts that a session sees; None while they are not stored."""
    if not _has_more_orders(session, now, MAX_COUNTED_AT_ONCE):
        return PeriodCounts(_count_orders(session, now), now)
    # The table, because a session with account limits may see no row.
    counted_at = session.scalar(select(func.max(OrderCounts.__table__.c.counted_at)))
    if counted_at is None:
        return None
    return PeriodCounts(session.scalars(select(OrderCounts)).all(), counted_at)


def _count_orders(session: Session, now: datetime) -> list[OrderCounts]:
    by_day: dict[int, dict[str, Counter[str]]] = defaultdict(dict)
    by_product: dict[int, Counter[str]] = defaultdict(Counter)
    for day in period_days(now):
        query = (
            select(Order.account_id, Order.product_id, Order.status, func.count().label("orders"))
            .where(Order.placed_at >= _start_of(day))
            .where(Order.placed_at < _start_of(day + timedelta(days=1)))
            .group_by(Order.account_id, Order.product_id, Order.status)
        )
        for row in session.execute(query):
            statuses = by_day[row.account_id].setdefault(day.isoformat(), Counter())
            statuses[row.status] += row.orders
            by_product[row.account_id][str(row.product_id)] += row.orders
    return [
        OrderCounts(account_id=number, counted_at=now, by_day=days, by_product=by_product[number])
        for number, days in by_day.items()
    ]


def _has_more_orders(session: Session, now: datetime, count: int) -> bool:
    """Return whether the period has more than `count` orders, of all accounts."""
    orders = Order.__table__.c  # the table: account limits would read many rows
    query = select(orders.id).where(orders.placed_at >= _start_of(period_days(now)[0]))
    return session.execute(query.offset(count).limit(1)).first() is not None


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _is_needed(session: Session, now: datetime) -> bool:
    return _has_more_orders(session, now, MIN_STORED)


def _store_counts(context: WorkContext) -> None:
    now = context.now()
    with context.db.reading() as session:
        counts = _count_orders(session, now) if _is_needed(session, now) else []
    with context.db.writing() as session:
        session.execute(delete(OrderCounts))
        session.add_all(counts)


COUNT_ORDERS = ScheduledWork(
    "count_orders",
    every=timedelta(minutes=5),
    run=_store_counts,
    is_needed=_is_needed,
    lease=timedelta(minutes=10),
)
