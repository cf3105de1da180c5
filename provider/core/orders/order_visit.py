"""Visits of the staff to an order: one row for each person and day."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

from sqlalchemy import ForeignKey, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.orders.order import Order
from provider.storage.database import Base

# An open page asks more often. A write at each question would wear the disk.
WRITE_INTERVAL = timedelta(seconds=15)
# A person who was here within this time may still have the page open, without scripts.
PRESENCE = timedelta(minutes=5)


class OrderVisit(Base):
    """The visits of one person to an order on one day (in UTC)."""

    __tablename__ = "order_visits"
    __table_args__ = (UniqueConstraint("order_id", "actor", "day"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    actor: Mapped[str] = mapped_column(String(254))  # a staff e-mail
    day: Mapped[str] = mapped_column(String(10))  # YYYY-MM-DD
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]

    @classmethod
    def is_due(cls, session: Session, order: Order, actor: str, now: datetime) -> bool:
        """Return whether a visit is to be recorded: the last record is older than a moment."""
        visit = cls._find(session, order, actor, now)
        return visit is None or visit.last_seen_at <= now - WRITE_INTERVAL

    @classmethod
    def record(cls, session: Session, order_id: str, actor: str, now: datetime) -> None:
        """Record that a person looks at an order. Raises NotFound for one that is erased."""
        # The lock keeps a second tab from inserting the same row, and an erasure from passing by.
        order = Order.find(session, order_id, lock=True)
        visit = cls._find(session, order, actor, now)
        if visit is None:
            visit = cls(order_id=order.id, actor=actor, day=_day_of(now), first_seen_at=now)
            session.add(visit)
        visit.last_seen_at = now

    @classmethod
    def list_all(cls, session: Session, order: Order) -> Sequence[Self]:
        """Return the visits of all days, oldest first."""
        query = select(cls).where(cls.order_id == order.id)
        return session.scalars(query.order_by(cls.first_seen_at, cls.id)).all()

    @classmethod
    def list_present(
        cls, session: Session, order: Order, except_actor: str, now: datetime
    ) -> Sequence[Self]:
        """Return the last visit of each other person who was here a moment ago, latest first."""
        query = select(cls).where(
            cls.order_id == order.id, cls.actor != except_actor, cls.last_seen_at > now - PRESENCE
        )
        visits = session.scalars(query.order_by(cls.last_seen_at, cls.id))
        last_by_actor = {visit.actor: visit for visit in visits}
        return sorted(last_by_actor.values(), key=lambda visit: visit.last_seen_at, reverse=True)

    @classmethod
    def _find(cls, session: Session, order: Order, actor: str, now: datetime) -> Self | None:
        query = select(cls).where(
            cls.order_id == order.id, cls.actor == actor, cls.day == _day_of(now)
        )
        return session.scalar(query)


def _day_of(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()
