"""An order that the candidate sits through in one go: begun once, running, over at a deadline."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from provider.core.orders.order import PENDING, STARTED, Order
from provider.errors import Conflict
from provider.storage.secrets import SecretBox

BATCH_SIZE = 50  # sittings that are closed in one transaction
MIN_UNTIMED_DURATION = timedelta(
    hours=24
)  # the least that one without a time limit stays open once begun


class TimedOrder(Order):
    """What assessments and interviews have in common: the time runs from the start."""

    __mapper_args__ = {"polymorphic_abstract": True}  # noqa: RUF012

    time_over_message = "The time is over"  # what is said to whoever comes late

    @property
    def time_limit(self) -> timedelta | None:
        """How long the candidate may take once begun; None where only the invitation ends."""
        return None

    def close_at_deadline(self, session: Session, secret_box: SecretBox, now: datetime) -> None:
        """Do what the end of the time demands with what was given until then."""
        raise NotImplementedError

    def is_running(self, now: datetime) -> bool:
        """Whether the candidate may answer now."""
        return (
            self._is_started() and self.attempt_ends_at is not None and now < self.attempt_ends_at
        )

    def require_running(self, now: datetime) -> None:
        """Raise Conflict unless the candidate may answer now."""
        if not self.is_running(now):
            raise Conflict(self.time_over_message)

    def is_past_deadline(self, now: datetime) -> bool:
        """Whether the sitting should have been closed by now."""
        return self._is_started() and not self.is_running(now)

    def has_overdue_transition(self, now: datetime) -> bool:
        """Whether the order should have expired or its sitting been closed by now."""
        return super().has_overdue_transition(now) or self.is_past_deadline(now)

    def apply_overdue_transition(
        self, session: Session, secret_box: SecretBox, now: datetime
    ) -> None:
        """Expire, or close the sitting, at once."""
        super().apply_overdue_transition(session, secret_box, now)
        if self.is_past_deadline(now):
            self.close_at_deadline(session, secret_box, now)

    def start(self, session: Session, now: datetime) -> None:
        """Begin: from here the time runs. Beginning twice changes nothing."""
        if self.is_running(now):
            return
        self.require_open(now)
        if self.progress == STARTED:
            raise Conflict(self.time_over_message)
        self.started_at = now
        self.attempt_ends_at = (
            now + self.time_limit
            if self.time_limit
            else max(self.expires_at, now + MIN_UNTIMED_DURATION)
        )
        self.progress = STARTED
        self.record_event(session, "started", "candidate", now)

    def elapsed_seconds(self, now: datetime) -> int:
        """Return the seconds from the start until now, or until the time was over."""
        if not self._is_started() or self.started_at is None or self.attempt_ends_at is None:
            raise Conflict("This is not under way")
        return int((min(now, self.attempt_ends_at) - self.started_at).total_seconds())

    def _is_started(self) -> bool:
        return self.status == PENDING and self.progress == STARTED


def has_orders_to_close(session: Session, now: datetime) -> bool:
    """Say whether a sitting should have been closed by now."""
    return (
        session.scalar(select(TimedOrder.id).where(*_overdue_conditions(now)).limit(1)) is not None
    )


def close_overdue_orders(session: Session, secret_box: SecretBox, now: datetime) -> int:
    """Close a batch of sittings whose time is over; return how many."""
    overdue = session.scalars(
        select(TimedOrder)
        .where(*_overdue_conditions(now))
        .order_by(TimedOrder.attempt_ends_at)
        .limit(BATCH_SIZE)
        .with_for_update(skip_locked=True)  # another process is at them, or the candidate
    ).all()
    for sitting in overdue:
        sitting.close_at_deadline(session, secret_box, now)
    return len(overdue)


def _overdue_conditions(now: datetime) -> list[Any]:
    return [
        # A literal, not a parameter: only so can the planner use the partial index.
        TimedOrder.progress == text("'started'"),
        TimedOrder.status == PENDING,
        TimedOrder.attempt_ends_at <= now,
    ]
