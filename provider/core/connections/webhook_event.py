"""The inbox: events that an ATS has sent, until their records are read again."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    text,
)
from sqlalchemy import update as sql_update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.accounts import Account
from provider.core.connections.source_cursor import EVENTS, SourceCursor
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.secrets import SecretBox

MAX_KEY_LENGTH = 200  # of an event's id and of a record's key
ADDRESS_PROOF_LENGTH = 20  # characters after the account's public id
# Longer than any ATS sends an event again.
EVENT_RETENTION = timedelta(days=30)
_OPEN_SQL = text("done_at IS NULL")


class WebhookEvent(Base):
    """An event, by its id at the ATS. Only ids are kept: a body has personal data."""

    __tablename__ = "webhook_events"
    __table_args__ = (
        UniqueConstraint("account_id", "event_id"),
        Index(
            "ix_webhook_events_due", "due_at", sqlite_where=_OPEN_SQL, postgresql_where=_OPEN_SQL
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    event_id: Mapped[str] = mapped_column(String(MAX_KEY_LENGTH))
    record_key: Mapped[str] = mapped_column(String(MAX_KEY_LENGTH))
    received_at: Mapped[datetime] = mapped_column(index=True)
    due_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    lease: Mapped[str | None] = mapped_column(String(22))
    leased_until: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(Text, default="")
    done_at: Mapped[datetime | None]


def webhook_address(secret_box: SecretBox, account: Account) -> str:
    """Return the secret part of the addresses that an ATS calls for an account."""
    return account.public_id + _proofs(secret_box, account.public_id)[0]


def find_account(session: Session, secret_box: SecretBox, address: str) -> Account | None:
    """Return the account of an address, also of one that an earlier secret key has made."""
    public_id, proof = address[:-ADDRESS_PROOF_LENGTH], address[-ADDRESS_PROOF_LENGTH:]
    if "\x00" in public_id or proof not in _proofs(secret_box, public_id):
        return None
    return session.scalar(select(Account).where(Account.public_id == public_id))


def add_event(
    session: Session, account_id: int, event_id: str, record_key: str, now: datetime
) -> bool:
    """Add an event; return False for one that changes nothing.

    It is known, or another event about its record is waiting: the record is read for both.
    """
    is_waiting = and_(
        WebhookEvent.record_key == record_key,
        WebhookEvent.done_at.is_(None),
        WebhookEvent.tries == 0,
        WebhookEvent.lease.is_(None),
    )
    known = select(WebhookEvent.id).where(
        WebhookEvent.account_id == account_id,
        or_(WebhookEvent.event_id == event_id, is_waiting),
    )
    if session.scalar(known.limit(1)) is not None:
        return False
    session.add(
        WebhookEvent(
            account_id=account_id,
            event_id=event_id,
            record_key=record_key,
            received_at=now,
            due_at=now,
        )
    )
    session.flush()
    return True


def count_open_events(session: Session, account_id: int) -> int:
    """Return how many events of an account wait to be read."""
    query = select(func.count(WebhookEvent.id)).where(
        WebhookEvent.account_id == account_id, WebhookEvent.done_at.is_(None)
    )
    return session.scalar(query) or 0


def due_events(session: Session, now: datetime, limit: int) -> Sequence[tuple[int, int]]:
    """Return (id, account) of the events to be read now, the oldest first."""
    query = select(WebhookEvent.id, WebhookEvent.account_id).where(*_is_due(now))
    rows = session.execute(query.order_by(WebhookEvent.due_at, WebhookEvent.id).limit(limit))
    return [(row.id, row.account_id) for row in rows]


def lease_event(session: Session, event_id: int, now: datetime, duration: timedelta) -> str | None:
    """Lease an event by a conditional UPDATE: of several processes one gets the lease."""
    return session.scalar(
        sql_update(WebhookEvent)
        .where(WebhookEvent.id == event_id, *_is_due(now))
        .values(lease=secrets.generate_public_id(), leased_until=now + duration)
        .returning(WebhookEvent.lease)
        .execution_options(synchronize_session=False)
    )


def find_leased_event(session: Session, lease: str, *, lock: bool = True) -> WebhookEvent | None:
    """Return the event; None if the lease is lost. `lock` locks the row."""
    query = select(WebhookEvent).where(WebhookEvent.lease == lease)
    query = query.with_for_update() if lock else query
    return session.scalar(query.execution_options(populate_existing=True))


def drop_old_events(session: Session, now: datetime) -> None:
    session.execute(delete(WebhookEvent).where(WebhookEvent.received_at < now - EVENT_RETENTION))


def has_old_events(session: Session, now: datetime) -> bool:
    query = select(WebhookEvent.id).where(WebhookEvent.received_at < now - EVENT_RETENTION)
    return session.scalar(query.limit(1)) is not None


def _proofs(secret_box: SecretBox, public_id: str) -> list[str]:
    digests: Iterable[bytes] = secret_box.blind_indexes(public_id, "webhook address")
    return [digest.hex()[:ADDRESS_PROOF_LENGTH] for digest in digests]


def _is_due(now: datetime) -> tuple[Any, ...]:
    is_stopped = exists().where(
        SourceCursor.account_id == WebhookEvent.account_id,
        SourceCursor.source == EVENTS,
        SourceCursor.stopped_reason != "",
    )
    return (
        WebhookEvent.done_at.is_(None),
        WebhookEvent.due_at <= now,
        ~is_stopped,
        or_(WebhookEvent.leased_until.is_(None), WebhookEvent.leased_until <= now),
    )
