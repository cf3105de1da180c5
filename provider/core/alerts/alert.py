"""The table of alerts; staff acknowledge an alert or snooze it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Index, String, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.errors import Conflict, Invalid, NotFound
from provider.storage import secrets
from provider.storage.database import Base

MONDAY_HOUR = 7  # UTC: members of the staff have no time zone yet
_OPEN_SQL = text("ended_at IS NULL")


class DeliveryAlert(Base):
    """A cause of failed deliveries, from its first to its last. `causes.py` has the causes.

    The row has no text of a receiver: an answer may repeat a candidate's address.
    """

    __tablename__ = "delivery_alerts"
    __table_args__ = (
        # One open alert for each cause.
        Index(
            "ix_delivery_alerts_open",
            "cause",
            unique=True,
            sqlite_where=_OPEN_SQL,
            postgresql_where=_OPEN_SQL,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    cause: Mapped[str] = mapped_column(String(300))
    opened_at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str] = mapped_column(String(300), default="")  # an audit actor
    snoozed_until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    @classmethod
    def find(cls, session: Session, public_id: str) -> "DeliveryAlert":
        """Return an open alert, locked. NotFound for an unknown one, Conflict for an ended one."""
        alert = None
        if len(public_id) <= 22 and "\x00" not in public_id:
            query = select(cls).where(cls.public_id == public_id)
            alert = session.scalar(query.with_for_update())
        if alert is None:
            raise NotFound("There is no such alert")
        if alert.ended_at:
            raise Conflict("This alert is over: the deliveries have recovered")
        return alert

    @property
    def needs_attention(self) -> bool:
        """Whether nobody has acknowledged or snoozed the open alert."""
        return not (self.ended_at or self.acknowledged_at or self.snoozed_until)

    def acknowledge(self, actor: str, now: datetime) -> None:
        """Record that a person takes care of it; Conflict if somebody has done so."""
        if self.acknowledged_at:
            raise Conflict(f"{self.acknowledged_by} has acknowledged this alert already")
        self.acknowledged_at, self.acknowledged_by = now, actor
        self.snoozed_until = None

    def snooze(self, until: datetime) -> None:
        """Hide the alert until a time; an e-mail follows if it is still open then."""
        if self.acknowledged_at:
            raise Conflict(f"{self.acknowledged_by} has acknowledged this alert already")
        self.snoozed_until = until


def _next_monday(now: datetime) -> datetime:
    monday = now + timedelta(days=7 - now.weekday())
    return monday.replace(hour=MONDAY_HOUR, minute=0, second=0, microsecond=0)


# Value of a form → (label, end of the snooze).
SNOOZES: Mapping[str, tuple[str, Callable[[datetime], datetime]]] = {
    "1h": ("for 1 hour", lambda now: now + timedelta(hours=1)),
    "8h": ("for 8 hours", lambda now: now + timedelta(hours=8)),
    "monday": (f"until Monday, {MONDAY_HOUR:02}:00 UTC", _next_monday),
}


def snooze_end(choice: str, now: datetime) -> datetime:
    """Return the end of a snooze that begins now. Raises Invalid."""
    if choice not in SNOOZES:
        raise Invalid(f"The time to snooze should be one of {', '.join(SNOOZES)}")
    return SNOOZES[choice][1](now)


def list_open_alerts(session: Session) -> Sequence[DeliveryAlert]:
    """Return the open alerts, oldest first."""
    query = select(DeliveryAlert).where(DeliveryAlert.ended_at.is_(None))
    return session.scalars(query.order_by(DeliveryAlert.id)).all()


def list_ended_alerts(session: Session, limit: int) -> Sequence[DeliveryAlert]:
    """Return the alerts that ended last, newest first."""
    query = select(DeliveryAlert).where(DeliveryAlert.ended_at.is_not(None))
    newest_first = (DeliveryAlert.ended_at.desc(), DeliveryAlert.id.desc())
    return session.scalars(query.order_by(*newest_first).limit(limit)).all()
