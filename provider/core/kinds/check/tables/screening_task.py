"""The work on the screenings of a check: one task for each, from the consent to the outcome."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, TextClause, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from provider.core.orders import Order
from provider.core.working_days import WorkingDays
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

# The partial indexes of the queue, whose condition has no parameter, or no planner could use them.
IS_OPEN, IS_ENDED = text("done_at IS NULL"), text("done_at IS NOT NULL")
IS_FREE = text("done_at IS NULL AND assignee IS NULL")
IS_ASSIGNED = text("done_at IS NULL AND assignee IS NOT NULL")
# Of each index: its name, the columns before those of the sort order, and those after them, which
# the queue compares when filters are combined.
QUEUE_INDEXES: tuple[tuple[str, tuple[str, ...], tuple[str, ...], TextClause | None], ...] = (
    ("open", (), (), IS_OPEN),
    ("free", (), (), IS_FREE),
    ("state", ("state",), ("screening_type", "assignee"), None),
    ("account", ("account_id",), ("screening_type", "state", "assignee"), IS_OPEN),
    ("type", ("screening_type",), ("state", "assignee"), IS_OPEN),
    ("assignee", ("assignee",), ("screening_type", "state"), IS_ASSIGNED),
    ("ended", ("account_id", "state"), ("screening_type", "assignee"), IS_ENDED),
)


class ScreeningTask(Base):
    """A screening that somebody works on. `key` is that of the screening in the check.

    `account_id` is that of the order, for the indexes of the queue. `done_at` is when the task
    was done or withdrawn. `definition` is the entry of a screening that was added to a running
    check; the entries of the others are in the product version. `due_on` counts working days from
    the consent. A stopped clock (`clock_stopped_at`) moves `due_on` when it goes on. `keep_days`
    is the time of storage of the candidate's data after the end of the check, where the package
    sets one.
    """

    __tablename__ = "screening_tasks"
    __table_args__ = (
        UniqueConstraint("order_id", "key"),
        *(
            Index(
                f"ix_screening_tasks_{name}",
                *columns,
                "due_on",
                "id",
                *compared,
                sqlite_where=condition,
                postgresql_where=condition,
            )
            for name, columns, compared, condition in QUEUE_INDEXES
        ),
        Index(
            "ix_screening_tasks_keep_days",
            "keep_days",
            "order_id",
            sqlite_where=text("keep_days IS NOT NULL AND details_deleted_at IS NULL"),
            postgresql_where=text("keep_days IS NOT NULL AND details_deleted_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    account_id: Mapped[int]
    key: Mapped[str] = mapped_column(String(64))
    screening_type: Mapped[str] = mapped_column(String(30))
    performer: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(12), default=TO_DO)
    assignee: Mapped[str | None] = mapped_column(String(254))  # a staff e-mail
    due_on: Mapped[date | None]
    clock_stopped_at: Mapped[datetime | None]
    definition: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    keep_days: Mapped[int | None]
    details_deleted_at: Mapped[datetime | None]
    order: Mapped[Order] = relationship(viewonly=True)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    def end(self, state: str, now: datetime) -> None:
        """Set the state DONE or WITHDRAWN. A clock that stands no longer matters."""
        self.state, self.done_at, self.clock_stopped_at = state, now, None

    def stop_clock(self, now: datetime) -> None:
        """Count no working days from now on. A clock that stands already goes on standing."""
        self.clock_stopped_at = self.clock_stopped_at or now

    def start_clock(self, days: WorkingDays, now: datetime) -> None:
        """Move the due date by the working days that passed while the clock stood."""
        if self.clock_stopped_at and self.due_on:
            stopped_on = days.local_date(self.clock_stopped_at)
            self.due_on = days.add(self.due_on, days.count(stopped_on, days.local_date(now)))
        self.clock_stopped_at = None


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
