"""The state columns of an order, and the one UPDATE that writes them."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import CursorResult, String, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.orders.states import (
    FINAL_STATUSES,
    INVITED,
    NOBODY,
    PENDING,
    ProgressTable,
    waiting_for,
)
from provider.errors import Conflict


class OrderState:
    """Status, progress, `waiting_for` and revision. No other code assigns these columns."""

    progress_table: ClassVar[ProgressTable]  # each kind declares its own

    if TYPE_CHECKING:  # the order declares it
        id: Mapped[int]
    status: Mapped[str] = mapped_column(String(12), default=PENDING)
    progress: Mapped[str] = mapped_column(String(12), default=INVITED)
    waiting_for: Mapped[str] = mapped_column(String(10), server_default=NOBODY)
    revision: Mapped[int] = mapped_column(default=0)
    # Since when a request for an accommodation waits for the staff; None once they have decided.
    accommodation_asked_at: Mapped[datetime | None]

    def change_progress(self, session: Session, progress: str, **columns: datetime | None) -> None:
        """Change the progress, and other `columns` in the same UPDATE.

        Raises Conflict for a transition that the kind's progress table does not allow.
        """
        self.write_state(session, self.status, progress, **columns)

    def write_state(self, session: Session, status: str, progress: str, **columns: Any) -> None:
        """Write status, progress and `waiting_for` in one UPDATE.

        The UPDATE checks the revision and the progress, and raises Conflict when another
        transaction changed the order first. Otherwise a submit and an expiry at the same moment
        could both succeed.
        """
        self._require_allowed_progress(status, progress)
        session.flush()
        order_class = type(self)
        asked_at = columns.get("accommodation_asked_at", self.accommodation_asked_at)
        columns |= {
            "status": status,
            "progress": progress,
            "waiting_for": waiting_for(
                self.progress_table, status, progress, has_request=asked_at is not None
            ),
        }
        changed = session.execute(
            update(order_class)
            .where(
                order_class.id == self.id,
                order_class.revision == self.revision,
                order_class.progress == self.progress,
            )
            .values(columns)
            .execution_options(synchronize_session=False)
        )
        assert isinstance(changed, CursorResult)
        if changed.rowcount != 1:
            raise Conflict("Somebody else changed this order at the same moment")
        session.refresh(self, columns)

    def _require_allowed_progress(self, status: str, progress: str) -> None:
        is_reopened = self.status in FINAL_STATUSES and status not in FINAL_STATUSES
        allowed = {self.progress, *self.progress_table[self.progress].next_values}
        if progress not in ({self.first_progress()} if is_reopened else allowed):
            raise Conflict(
                "An order that is %(old)s cannot become %(new)s", old=self.progress, new=progress
            )

    @classmethod
    def first_progress(cls) -> str:
        """Return the progress of a new or reopened order."""
        return next(iter(cls.progress_table))
