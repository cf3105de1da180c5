"""The tables of marking: a task for each answer that staff mark, and the marks."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from provider.core.orders import Order
from provider.storage import secrets
from provider.storage.database import Base

# The purposes of a task. A kind may have pages of its own to rate a whole order.
ANSWER, WHOLE_ORDER, SECOND_LOOK = "answer", "order", "second look"
# The states. A claim is no state, because it ends by itself: see `Mark.claimed_until`.
OPEN, DISPUTED = "open", "disputed"
MARKED, RECONCILED, WITHDRAWN = "marked", "reconciled", "withdrawn"
KEPT, CHANGED = "kept", "changed"  # of a second look: what became of the marks
# The slot of the mark that decides between two others.
RECONCILIATION_SLOT = 3


class MarkingTask(Base):
    """The answer to one item (`unit` is its key), or a whole order (`unit` is empty).

    `points` are those that count, once the task is settled: a decimal number as text, of
    `max_points`. They stay while a correction of a completed test waits for a decision.
    A withdrawn task belongs to answers from before a reopening.
    `request` is what a candidate wrote who asks for a second look, and `reply` the answer.
    """

    __tablename__ = "marking_tasks"
    __table_args__ = (Index("ix_marking_tasks_state", "state", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    unit: Mapped[str] = mapped_column(String(64))
    purpose: Mapped[str] = mapped_column(String(12))
    state: Mapped[str] = mapped_column(String(12), default=OPEN)
    markers: Mapped[int] = mapped_column(default=1)
    points: Mapped[str | None] = mapped_column(String(40))
    max_points: Mapped[str] = mapped_column(String(40), default="0")
    request: Mapped[str] = mapped_column(Text, default="")
    reply: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]

    order: Mapped[Order] = relationship()
    marks: Mapped[list["Mark"]] = relationship(back_populates="task", order_by="Mark.slot")

    @property
    def is_correction_disputed(self) -> bool:
        """Whether two marks differ too much since one of a completed test was corrected."""
        return self.state == DISPUTED and self.points is not None

    @property
    def slots(self) -> Sequence[int]:
        """The slots of the marks that the task waits for, or has got."""
        if self.state in (DISPUTED, RECONCILED):
            return (RECONCILIATION_SLOT,)
        return range(1, self.markers + 1)

    @property
    def finished_marks(self) -> list["Mark"]:
        return [mark for mark in self.marks if mark.marked_at]

    def claim_of(self, marker: str) -> "Mark | None":
        """Return the unfinished mark of a member of staff; its lease may be over."""
        return next(
            (
                mark
                for mark in self.marks
                if mark.slot in self.slots and mark.marker == marker and not mark.marked_at
            ),
            None,
        )


class Mark(Base):
    """A mark by one member of staff; a claim of the slot until `marked_at` is set.

    `points` and `rubric_points` (by key of the rubric) are decimal numbers as text.
    """

    __tablename__ = "marks"
    __table_args__ = (UniqueConstraint("task_id", "slot"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("marking_tasks.id"))
    slot: Mapped[int]
    marker: Mapped[str] = mapped_column(String(254), index=True)  # a staff e-mail, or system
    claimed_until: Mapped[datetime | None]
    points: Mapped[str | None] = mapped_column(String(40))
    rubric_points: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    comment: Mapped[str] = mapped_column(Text, default="")
    marked_at: Mapped[datetime | None]

    task: Mapped[MarkingTask] = relationship(back_populates="marks")

    @property
    def number(self) -> Decimal:
        """The points of a finished mark."""
        return Decimal(self.points or 0)

    def is_claimed(self, now: datetime) -> bool:
        """Whether somebody is marking in this slot, and the lease has not ended."""
        return not self.marked_at and self.claimed_until is not None and self.claimed_until > now
