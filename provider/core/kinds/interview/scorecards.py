"""The scorecards of an interview: one for each reviewer, with a rating of each answer.

A scorecard is open until its reviewer submits it; then it is in, and counts. An observer sees the
scorecards of others and has none.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, ForeignKey, String, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from provider.core.orders import Order, TimedOrder
from provider.errors import Conflict
from provider.storage.database import Base

OPEN, IN, OBSERVER = "open", "in", "observer"


class NewerSave(Conflict):
    """A save that is not based on the newest one, so that it would overwrite a newer one."""


class Rating(Base):
    """The rating of one answer by one reviewer (`actor`, a staff e-mail).

    `value` is None for a note without a rating. `save_number` counts the saves: see `accept_save`.
    """

    __tablename__ = "ratings"
    __table_args__ = (UniqueConstraint("order_id", "question", "actor"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    question: Mapped[str] = mapped_column(String(64))
    value: Mapped[int | None]
    note: Mapped[str] = mapped_column(Text, default="")
    actor: Mapped[str] = mapped_column(String(254))
    rated_at: Mapped[datetime]
    save_number: Mapped[int] = mapped_column(default=0)
    interview: Mapped[TimedOrder] = relationship("Interview", back_populates="ratings")

    def save(self, value: int | None, note: str, now: datetime, based_on: int | None) -> None:
        """Save a rating that is based on a save. Raises NewerSave."""
        is_same = (value, note) == (self.value, self.note)
        self.save_number = accept_save(self.save_number, based_on, is_same=is_same)
        self.value, self.note, self.rated_at = value, note, now

    def begin_again(self) -> None:
        """Empty a rating from before a reopening."""
        self.value, self.note, self.save_number = None, "", 0


class Scorecard(Base):
    """The scorecard of one reviewer, with the overall rating and its comment.

    `assigned_by` is empty for a reviewer who began without an assignment. `overall` is None without
    an overall rating. A scorecard that was opened before a reopening does not count.
    """

    __tablename__ = "scorecards"
    __table_args__ = (UniqueConstraint("order_id", "reviewer"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    reviewer: Mapped[str] = mapped_column(String(254))
    state: Mapped[str] = mapped_column(String(10), default=OPEN)
    overall: Mapped[int | None]
    comment: Mapped[str] = mapped_column(Text, default="")
    assigned_by: Mapped[str] = mapped_column(String(254), default="")
    opened_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    save_number: Mapped[int] = mapped_column(default=0)
    interview: Mapped[TimedOrder] = relationship("Interview", back_populates="scorecards")

    @property
    def is_open(self) -> bool:
        return self.state == OPEN

    @property
    def is_in(self) -> bool:
        return self.state == IN

    @property
    def is_awaited(self) -> bool:
        """Whether the interview cannot be completed before this scorecard is in."""
        return self.is_open and bool(self.assigned_by)

    def save_overall(self, value: int | None, comment: str, based_on: int | None) -> None:
        """Save the overall rating that is based on a save. Raises NewerSave."""
        is_same = (value, comment) == (self.overall, self.comment)
        self.save_number = accept_save(self.save_number, based_on, is_same=is_same)
        self.overall, self.comment = value, comment

    def begin_again(self, now: datetime) -> None:
        """Empty a scorecard from before a reopening."""
        self.state, self.overall, self.comment, self.assigned_by = OPEN, None, "", ""
        self.opened_at, self.submitted_at, self.save_number = now, None, 0


def has_rated(reviewer: str) -> ColumnElement[bool]:
    """Return the condition that a reviewer's scorecard of an order is in, or only reads along."""
    query = select(Scorecard.id).where(
        Scorecard.order_id == Order.id,
        Scorecard.reviewer == reviewer,
        Scorecard.state != OPEN,
        Scorecard.opened_at >= Order.started_at,
    )
    return query.correlate(Order).exists()


def accept_save(saved: int, based_on: int | None, *, is_same: bool) -> int:
    """Return the number of a save. `based_on` is the number that its form showed; None: the newest.

    A page that saves may send an older save after a newer one, because a network may delay it. So a
    save that is not based on the newest one raises NewerSave, unless it changes nothing.
    """
    if is_same and saved:
        return saved
    if based_on is not None and based_on != saved:
        raise NewerSave(
            "You saved this elsewhere after this page was opened, for example in another tab. The "
            "newer save stands. Reload the page to see it"
        )
    return saved + 1
