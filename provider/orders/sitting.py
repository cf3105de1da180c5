"""An order that the candidate sits through in one go: begun once, running, over at a deadline."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from provider.errors import Conflict
from provider.orders.order import PENDING, STARTED, Order
from provider.vault import Vault

BATCH = 50  # sittings that are closed in one transaction
UNTIMED = timedelta(hours=24)  # the least that one without a time limit stays open once begun


class Sitting(Order):
    """What assessments and interviews have in common: the time runs from the start."""

    __mapper_args__ = {"polymorphic_abstract": True}  # noqa: RUF012

    over = "The time is over"  # what is said to whoever comes late

    @property
    def limit(self) -> timedelta | None:
        """How long the candidate may take once begun; None where only the invitation ends."""
        return None

    def close(self, session: Session, keeper: Vault, at: datetime) -> None:
        """Do what the end of the time demands with what was given until then."""
        raise NotImplementedError

    def running(self, at: datetime) -> bool:
        """Whether the candidate may answer now."""
        return self._begun() and self.attempt_ends_at is not None and at < self.attempt_ends_at

    def must_be_running(self, at: datetime) -> None:
        """Raise Conflict unless the candidate may answer now."""
        if not self.running(at):
            raise Conflict(self.over)

    def time_is_over(self, at: datetime) -> bool:
        """Whether the sitting should have been closed by now."""
        return self._begun() and not self.running(at)

    def behind(self, at: datetime) -> bool:
        """Whether the order should have expired or its sitting been closed by now."""
        return super().behind(at) or self.time_is_over(at)

    def catch_up(self, session: Session, keeper: Vault, at: datetime) -> None:
        """Expire, or close the sitting, at once."""
        super().catch_up(session, keeper, at)
        if self.time_is_over(at):
            self.close(session, keeper, at)

    def start(self, session: Session, at: datetime) -> None:
        """Begin: from here the time runs. Beginning twice changes nothing."""
        if self.running(at):
            return
        self.must_be_open(at)
        if self.progress == STARTED:
            raise Conflict(self.over)
        self.started_at = at
        self.attempt_ends_at = at + self.limit if self.limit else max(self.expires_at, at + UNTIMED)
        self.progress = STARTED
        self.tell(session, "started", "candidate", at)

    def taken(self, at: datetime) -> int:
        """Return the seconds from the start until now, or until the time was over."""
        if not self._begun() or self.started_at is None or self.attempt_ends_at is None:
            raise Conflict("This is not under way")
        return int((min(at, self.attempt_ends_at) - self.started_at).total_seconds())

    def _begun(self) -> bool:
        return self.status == PENDING and self.progress == STARTED


def sitting_due(session: Session, at: datetime) -> bool:
    """Say whether a sitting should have been closed by now."""
    return session.scalar(select(Sitting.id).where(*_overdue(at)).limit(1)) is not None


def close_due(session: Session, keeper: Vault, at: datetime) -> int:
    """Close a batch of sittings whose time is over; return how many."""
    overdue = session.scalars(
        select(Sitting)
        .where(*_overdue(at))
        .order_by(Sitting.attempt_ends_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)  # another process is at them, or the candidate
    ).all()
    for sitting in overdue:
        sitting.close(session, keeper, at)
    return len(overdue)


def _overdue(at: datetime) -> list[Any]:
    return [
        # A literal, not a parameter: only so can the planner use the partial index.
        Sitting.progress == text("'started'"),
        Sitting.status == PENDING,
        Sitting.attempt_ends_at <= at,
    ]
