"""The work on the screenings of a check: one task for each, from the consent to the outcome."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from provider.core.orders import Order
from provider.storage import secrets
from provider.storage.database import Base

# The states of a task. “asked” waits for the candidate, and stops the clock of the due date.
TO_DO, IN_PROGRESS, ASKED = "to do", "in progress", "asked"
# “submitted” waits for a referee or a vendor; “error” needs staff, because they failed.
SUBMITTED_TASK, ERROR = "submitted", "error"
DONE, WITHDRAWN = "done", "withdrawn"
OPEN_STATES = frozenset({TO_DO, IN_PROGRESS, ASKED, SUBMITTED_TASK, ERROR})
TASK_LABELS = {
    TO_DO: "To do",
    IN_PROGRESS: "In progress",
    ASKED: "Waits for the candidate",
    SUBMITTED_TASK: "With a referee or a vendor",
    ERROR: "Failed at the referee or the vendor",
    DONE: "Done",
    WITHDRAWN: "Withdrawn",
}


class ScreeningTask(Base):
    """A screening that somebody works on. `key` is that of the screening in the check.

    `definition` is the entry of a screening that was added to a running check; the entries of the
    others are in the product version. `due_on` counts working days from the consent. A stopped
    clock (`clock_stopped_at`) moves `due_on` when it goes on.
    """

    __tablename__ = "screening_tasks"
    __table_args__ = (
        UniqueConstraint("order_id", "key"),
        Index("ix_screening_tasks_state", "state", "due_on", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    key: Mapped[str] = mapped_column(String(64))
    screening_type: Mapped[str] = mapped_column(String(30))
    performer: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(12), default=TO_DO)
    assignee: Mapped[str | None] = mapped_column(String(254), index=True)  # a staff e-mail
    due_on: Mapped[date | None]
    clock_stopped_at: Mapped[datetime | None]
    definition: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    order: Mapped[Order] = relationship(viewonly=True)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


def check_progress(tasks: Iterable[ScreeningTask]) -> str:
    """Return the progress of a check that the candidate has agreed to.

    The candidate goes first, then staff, then others, as in WAITING_FOR.
    """
    states = {task.state for task in tasks if task.is_open}
    if ASKED in states:
        return "asked"
    if states and states <= {SUBMITTED_TASK}:
        return "outside"
    return "submitted"
