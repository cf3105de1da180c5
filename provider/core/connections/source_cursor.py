"""Cursors: how far the sources of an account have been read, and the leases of their rounds."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    Text,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.storage import secrets
from provider.storage.database import Base, acquire_advisory_lock

START_OF_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # before any ATS
# The cursor that counts the orders by webhooks' events; no round reads it. `round_started_at` is
# when its hour began.
EVENTS = "events"
_RUNNING_SQL = text("stopped_reason = ''")


class SourceCursor(Base):
    """The position up to which one source of an account has been read.

    A round reads a source from its first page to its last. `page_state` is where a round goes on;
    it is None between two rounds. The window of a round is fixed when the round begins, and
    `read_until` moves only after its last page: a round that is killed loses nothing.
    """

    __tablename__ = "source_cursors"
    __table_args__ = (
        Index(
            "ix_source_cursors_due",
            "due_at",
            sqlite_where=_RUNNING_SQL,
            postgresql_where=_RUNNING_SQL,
        ),
    )

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    source: Mapped[str] = mapped_column(String(40), primary_key=True)
    due_at: Mapped[datetime]
    lease: Mapped[str | None] = mapped_column(String(22))
    leased_until: Mapped[datetime | None]
    read_until: Mapped[datetime]  # the end of the last complete round's window
    round_started_at: Mapped[datetime | None]
    page_state: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    # Counts of the round that runs, or of the last one.
    pages: Mapped[int] = mapped_column(default=0)
    records: Mapped[int] = mapped_column(default=0)
    orders: Mapped[int] = mapped_column(default=0)
    finished_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(Text, default="")  # until a page is read again
    # The running or last round could not read these parts of its pages.
    problems: Mapped[str] = mapped_column(Text, default="")
    # Why the source is read no further until staff say so; empty for a source that is read.
    stopped_reason: Mapped[str] = mapped_column(Text, default="")


def ensure_cursor(session: Session, account_id: int, source: str, now: datetime) -> SourceCursor:
    """Return the cursor of a source; a new one begins at `now`."""
    cursor = session.get(SourceCursor, (account_id, source))
    if cursor is None:
        acquire_advisory_lock(session, f"source {account_id} {source}")
        cursor = session.get(SourceCursor, (account_id, source), populate_existing=True)
    if cursor is None:
        cursor = SourceCursor(account_id=account_id, source=source, due_at=now, read_until=now)
        session.add(cursor)
        session.flush()
    return cursor


def lock_cursor(session: Session, account_id: int, source: str, now: datetime) -> SourceCursor:
    """Return the cursor of a source, locked."""
    ensure_cursor(session, account_id, source, now)
    key = account_id, source
    return session.get_one(SourceCursor, key, with_for_update=True, populate_existing=True)


def restart_cursor(cursor: SourceCursor, now: datetime, *, from_start: bool) -> None:
    """Let a source be read now; `from_start` begins its window before any ATS.

    The lease ends, or a page that is on its way would store its own state over this one.
    """
    cursor.due_at = now
    cursor.lease = cursor.leased_until = None
    if from_start:
        cursor.read_until, cursor.page_state = START_OF_TIME, None


def forget_pages(session: Session, account_id: int) -> None:
    """Let an account's running rounds begin again: a stored page may name a candidate.

    The leases end, or a page that is on its way would be stored after all.
    """
    session.execute(
        update(SourceCursor)
        .where(SourceCursor.account_id == account_id)
        .values(page_state=None, lease=None, leased_until=None)
        .execution_options(synchronize_session=False)
    )


def due_cursors(session: Session, now: datetime) -> Sequence[SourceCursor]:
    """Return the cursors whose round is due and that no process has leased, oldest first."""
    query = select(SourceCursor).where(*_is_due(now)).order_by(SourceCursor.due_at)
    return session.scalars(query).all()


def has_due_cursor(session: Session, now: datetime) -> bool:
    return session.scalar(select(SourceCursor.source).where(*_is_due(now)).limit(1)) is not None


def acquire_lease(
    session: Session, account_id: int, source: str, now: datetime, duration: timedelta
) -> str | None:
    """Lease a due cursor by a conditional UPDATE: of several processes one gets the lease."""
    lease = secrets.generate_public_id()
    return session.scalar(
        update(SourceCursor)
        .where(SourceCursor.account_id == account_id, SourceCursor.source == source, *_is_due(now))
        .values(lease=lease, leased_until=now + duration)
        .returning(SourceCursor.lease)
        .execution_options(synchronize_session=False)
    )


def find_leased(session: Session, lease: str) -> SourceCursor | None:
    """Return the cursor and lock it; None if another process has leased it since."""
    query = select(SourceCursor).where(SourceCursor.lease == lease).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def stop_sources(session: Session, account_id: int, reason: str) -> None:
    """Stop everything by which an account's rules order, until staff let it go on.

    The leases end, or a round that runs would go on to the end of its slice.
    """
    for cursor in _lock_cursors(session, SourceCursor.account_id == account_id):
        cursor.stopped_reason = cursor.stopped_reason or reason
        cursor.lease = cursor.leased_until = None


def resume_sources(
    session: Session, account_id: int, now: datetime, stopped_reason: str | None = None
) -> int:
    """Read the stopped sources of an account again, where they stopped; return their number.

    With `stopped_reason` only those that were stopped for this reason.
    """
    is_stopped = (
        SourceCursor.stopped_reason == stopped_reason
        if stopped_reason
        else SourceCursor.stopped_reason != ""
    )
    cursors = _lock_cursors(session, SourceCursor.account_id == account_id, is_stopped)
    for cursor in cursors:
        cursor.stopped_reason, cursor.orders, cursor.due_at = "", 0, now
    return len(cursors)


def _lock_cursors(session: Session, *conditions: ColumnElement[bool]) -> Sequence[SourceCursor]:
    """Return the cursors, locked in one order, or two processes could deadlock."""
    query = select(SourceCursor).where(*conditions).order_by(SourceCursor.source)
    query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalars(query).all()


def _is_due(now: datetime) -> tuple[Any, ...]:
    return (
        SourceCursor.stopped_reason == text("''"),  # a literal, for the partial index
        SourceCursor.source != EVENTS,
        SourceCursor.due_at <= now,
        or_(SourceCursor.leased_until.is_(None), SourceCursor.leased_until <= now),
    )
