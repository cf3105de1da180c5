"""The heartbeat of the servers: while an attempt runs, when one could last be answered."""

from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.storage.database import Base

HEARTBEAT_INTERVAL = timedelta(seconds=10)
# A shorter gap is no outage: a machine may be busy, and a restart takes some seconds.
MIN_OUTAGE = timedelta(seconds=30)
ROW_ID = 1


class Heartbeat(Base):
    """The last heartbeat. The only row is idle while no attempt runs: then it gets no writes."""

    __tablename__ = "heartbeats"

    id: Mapped[int] = mapped_column(primary_key=True)
    beat_at: Mapped[datetime]
    is_idle: Mapped[bool]


def wake_heartbeat(session: Session, now: datetime) -> None:
    """Count outages from now on, because an attempt starts."""
    session.execute(
        update(Heartbeat)
        .where(Heartbeat.id == ROW_ID, Heartbeat.is_idle)
        .values(beat_at=now, is_idle=False)
    )


def is_server_silent(session: Session, now: datetime) -> bool:
    """Whether no server's process answers candidates. Then no attempt may be closed."""
    row = session.get(Heartbeat, ROW_ID)
    return row is not None and not row.is_idle and now - row.beat_at >= MIN_OUTAGE
