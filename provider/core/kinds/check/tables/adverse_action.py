"""Adverse actions: a company means to decide against a candidate because of a check.

Two notices frame the decision. The first has the report's findings and the candidate's rights in
reach. A clock of business days follows. Then a person sends the final notice, or withdraws.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from provider.core.kinds.check.waiting_clock import Stop
from provider.errors import Conflict
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted

# The states. “stopped”: a dispute is open, staff have suspended it, or the notice came back.
WAITING, STOPPED, READY, FINAL, WITHDRAWN_ACTION = (
    "waiting",
    "stopped",
    "ready",
    "final",
    "withdrawn",
)
# State → the states that may follow.
TRANSITIONS: Mapping[str, frozenset[str]] = {
    WAITING: frozenset({STOPPED, READY, WITHDRAWN_ACTION}),
    STOPPED: frozenset({WAITING, READY, WITHDRAWN_ACTION}),
    # A dispute may still come, and a notice may come back late.
    READY: frozenset({WAITING, STOPPED, FINAL, WITHDRAWN_ACTION}),
    FINAL: frozenset(),
    WITHDRAWN_ACTION: frozenset(),
}
OPEN_ACTION_STATES = frozenset({WAITING, STOPPED, READY})
ACTION_LABELS = {
    WAITING: "The candidate’s time runs",
    STOPPED: "The clock stands still",
    READY: "The final notice can be sent",
    FINAL: "Final notice sent",
    WITHDRAWN_ACTION: "Withdrawn",
}
# The notices, which are also the topics of their e-mails.
PRE_ADVERSE, FINAL_ADVERSE, ADVERSE_WITHDRAWN = NOTICES = (
    "pre_adverse",
    "final_adverse",
    "adverse_withdrawn",
)
NOTICE_KEY = "notice"  # of the payload of a message with a notice: its public id
_OPEN_SQL = text("ended_at IS NULL")
_UNDELIVERED_SQL = text("undeliverable_at IS NOT NULL")


class AdverseNotice(Base):
    """A notice as it was sent. `content` is its text as JSON, encrypted.

    `undeliverable_at` is set when its e-mail came back, until staff have sent it again or have
    recorded that it reached the candidate in another way, which is encrypted.
    """

    __tablename__ = "adverse_notices"
    __table_args__ = (
        Index("ix_adverse_notices_order", "order_id", "id"),
        Index(
            "ix_adverse_notices_undeliverable",
            "id",
            sqlite_where=_UNDELIVERED_SQL,
            postgresql_where=_UNDELIVERED_SQL,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    action_id: Mapped[int] = mapped_column(ForeignKey("adverse_actions.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(20))
    text_version: Mapped[str] = mapped_column(String(20))  # a number, or “sample”
    # The SHA-256 of the text before its values; empty for a sample from before it was recorded.
    text_digest: Mapped[str] = mapped_column(String(64), default="", server_default="")
    content: Mapped[bytes] = mapped_column(
        Encrypted("orders/{order_id.public_id}/notices/{public_id}")
    )
    sent_by: Mapped[str] = mapped_column(String(254))
    sent_at: Mapped[datetime]
    undeliverable_at: Mapped[datetime | None]
    other_way_encrypted: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/notices/{public_id}/other_way")
    )


class AdverseAction(Base):
    """One adverse action on a completed check.

    `ends_at` is when the clock is over; None while it stands still. `suspensions` are the times in
    which staff stopped it, each [start, end or null] in ISO 8601. `reason` and `end_reason` are for
    the staff, and encrypted.
    """

    __tablename__ = "adverse_actions"
    __table_args__ = (
        # One open action of a check.
        Index(
            "ix_adverse_actions_open",
            "order_id",
            unique=True,
            sqlite_where=_OPEN_SQL,
            postgresql_where=_OPEN_SQL,
        ),
        Index("ix_adverse_actions_order", "order_id", "id"),
        Index("ix_adverse_actions_state", "state", "ends_at", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    state: Mapped[str] = mapped_column(String(10), default=WAITING)
    jurisdiction: Mapped[str] = mapped_column(String(20))
    waiting_days: Mapped[int]
    days_after_dispute: Mapped[int]
    timezone: Mapped[str] = mapped_column(String(50))
    suspensions: Mapped[list[list[str | None]]] = mapped_column(JSON, default=list)
    reason: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/adverse/{public_id}/reason")
    )
    begun_by: Mapped[str] = mapped_column(String(254))
    begun_at: Mapped[datetime]
    # Later than `begun_at` if the first notice had to be sent again.
    clock_started_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    ended_by: Mapped[str] = mapped_column(String(254), default="")
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/adverse/{public_id}/end")
    )
    notices: Mapped[list[AdverseNotice]] = relationship(order_by=AdverseNotice.id)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_ACTION_STATES

    @property
    def is_suspended(self) -> bool:
        return any(end is None for _, end in self.suspensions)

    @property
    def is_first_notice_undeliverable(self) -> bool:
        return any(
            notice.undeliverable_at is not None
            for notice in self.notices
            if notice.purpose == PRE_ADVERSE
        )

    @property
    def staff_stops(self) -> Sequence[Stop]:
        """The times in which staff stopped the clock."""
        return [
            Stop(datetime.fromisoformat(start), datetime.fromisoformat(end) if end else None)
            for start, end in self.suspensions
            if start
        ]

    def move(self, state: str) -> bool:
        """Change the state; return whether it is another one. Raises Conflict as TRANSITIONS do."""
        if state == self.state:
            return False
        if state not in TRANSITIONS[self.state]:
            raise Conflict(
                "An adverse action that is %(old)s cannot become %(new)s",
                old=self.state,
                new=state,
            )
        self.state = state
        return True

    def stop(self) -> None:
        self.move(STOPPED)
        self.ends_at = None

    def suspend(self, now: datetime) -> None:
        if self.is_suspended:
            raise Conflict("The clock stands still already")
        # A new list: SQLAlchemy does not notice a change inside the old one.
        self.suspensions = [*self.suspensions, [now.isoformat(), None]]

    def resume(self, now: datetime) -> None:
        if not self.is_suspended:
            raise Conflict("The clock was not stopped by the staff")
        self.suspensions = [[start, end or now.isoformat()] for start, end in self.suspensions]

    def end(self, state: str, actor: str, now: datetime) -> None:
        """End the action in FINAL or WITHDRAWN_ACTION.

        The first notice of a withdrawn action need not arrive any more.
        """
        self.move(state)
        for notice in self.notices:
            if notice.purpose == PRE_ADVERSE:
                notice.undeliverable_at = None
        self.ended_by, self.ended_at, self.ends_at = actor, now, None


def audit_fields(action: AdverseAction) -> dict[str, Any]:
    """Return what an entry of the audit log may contain."""
    return {
        "state": action.state,
        "jurisdiction": action.jurisdiction,
        "waiting_days": action.waiting_days,
    }
