"""The table of marks: the points that people give to answers without an automatic score."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from provider.core.orders import TimedOrder
from provider.storage.database import Base


class Mark(Base):
    """The points of one marker for the answer to one item.

    A marker's new mark replaces the old one. A final mark settles what two markers see differently,
    and counts alone. `points` are decimal digits, because SQLite has no exact fractions.
    """

    __tablename__ = "marks"
    __table_args__ = (UniqueConstraint("order_id", "item_key", "marker"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    item_key: Mapped[str] = mapped_column(String(100))
    marker: Mapped[str] = mapped_column(String(254))
    points: Mapped[str] = mapped_column(String(40))
    comment: Mapped[str] = mapped_column(Text, default="")
    is_final: Mapped[bool] = mapped_column(default=False)
    marked_at: Mapped[datetime]
    assessment: Mapped[TimedOrder] = relationship("Assessment", back_populates="marks")


def find_agreed_points(marks: Sequence[Mark], markers: int) -> Decimal | None:
    """Return the points of an answer with these marks; None while they decide nothing.

    The newest final mark decides. Without one, at least `markers` marks must be equal.
    """
    final = [mark for mark in marks if mark.is_final]
    if final:
        return Decimal(max(final, key=lambda mark: mark.marked_at).points)
    points = {Decimal(mark.points) for mark in marks}
    return points.pop() if len(marks) >= markers and len(points) == 1 else None
