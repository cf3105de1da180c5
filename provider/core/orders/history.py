"""The history of an order: its events, and its results."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from provider.errors import Invalid
from provider.storage.database import Base

if TYPE_CHECKING:
    from provider.core.orders.order import Order


class OrderEvent(Base):
    """One event in the timeline of an order."""

    __tablename__ = "order_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    revision: Mapped[int]
    occurred_at: Mapped[datetime]
    type: Mapped[str] = mapped_column(String(30))
    actor: Mapped[str] = mapped_column(String(254))  # ats, candidate, system, or a staff e-mail
    note: Mapped[str] = mapped_column(Text, default="")
    order: Mapped["Order"] = relationship(back_populates="events")


class Result(Base):
    """A result. `score` is a percentage, `duration` is in seconds."""

    __tablename__ = "results"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    revision: Mapped[int]
    score: Mapped[float | None]
    grade: Mapped[str | None] = mapped_column(String(10))  # failed, passed, excelled
    summary: Mapped[str] = mapped_column(Text, default="")
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    figures: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    duration: Mapped[int | None]
    created_at: Mapped[datetime]
    order: Mapped["Order"] = relationship(back_populates="results")

    @validates("details")
    def _check_details_depth(self, _: str, details: dict[str, Any]) -> dict[str, Any]:
        # The contract allows two levels without lists. Deeper details are an error in a kind.
        for value in details.values():
            for figure in value.values() if isinstance(value, dict) else (value,):
                if not isinstance(figure, str | int | float | None):
                    raise Invalid("Details have at most two levels and no lists; dates as ISO 8601")
        return details
