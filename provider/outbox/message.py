"""Messages and their attempts: the tables and their queries."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column, relationship

from provider.errors import Conflict
from provider.outbox import encryption
from provider.outbox.ordering_key import OrderingKey, is_about
from provider.outbox.queue_name import QueueName
from provider.storage import secrets
from provider.storage.compiled import literal_limit
from provider.storage.database import Base, insert_row
from provider.storage.encrypted import Encrypted
from provider.storage.secrets import SecretBox

WAITING, DELIVERED, PARKED, SUPERSEDED = "waiting", "delivered", "parked", "superseded"
_WAITING_SQL = text("state = 'waiting'")
_SETTLED_WITH_BODY_SQL = text("body_encrypted IS NOT NULL AND settled_at IS NOT NULL")
_NOT_DELIVERED_SQL = text("state <> 'delivered'")


class Message(Base):
    """One thing to deliver: a callback, an e-mail or a recording to process.

    `state` is waiting until the message is settled: delivered, parked or superseded.
    """

    __tablename__ = "messages"
    __table_args__ = (
        Index(
            "ix_messages_due",
            "queue",
            "due_at",
            sqlite_where=_WAITING_SQL,
            postgresql_where=_WAITING_SQL,
        ),
        Index(
            "ix_messages_head",
            "queue",
            "ordering_key",
            "sequence",
            sqlite_where=_WAITING_SQL,
            postgresql_where=_WAITING_SQL,
        ),
        Index("ix_messages_history", "ordering_key", "sequence"),
        Index("ix_messages_queue", "queue", "id"),
        Index(
            "ix_messages_body",
            "settled_at",
            sqlite_where=_SETTLED_WITH_BODY_SQL,
            postgresql_where=_SETTLED_WITH_BODY_SQL,
        ),
        # A partial index: nearly all messages are delivered. `is_in_state` builds conditions
        # that can use it.
        Index(
            "ix_messages_state",
            "state",
            "id",
            sqlite_where=_NOT_DELIVERED_SQL,
            postgresql_where=_NOT_DELIVERED_SQL,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    queue: Mapped[str] = mapped_column(String(300))  # see `QueueName`
    # See `OrderingKey`. `is_about` compares by code points, which only the collation C does.
    ordering_key: Mapped[str] = mapped_column(
        String(60).with_variant(String(60, collation="C"), "postgresql")
    )
    sequence: Mapped[int]
    topic: Mapped[str] = mapped_column(String(30))
    payload_encrypted: Mapped[bytes] = mapped_column(Encrypted("messages/{public_id}/payload"))
    # True where the message repeats everything that earlier ones of its key say. Once it is
    # delivered, an earlier parked one must never be sent.
    supersedes_earlier: Mapped[bool]
    # The rendered body. `drop_old_bodies` leaves its SHA-256 only.
    body_encrypted: Mapped[bytes | None] = mapped_column(Encrypted("messages/{public_id}/body"))
    body_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    state: Mapped[str] = mapped_column(String(12), default=WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    # Claims since the last settled attempt. More than one: a process died during an attempt, or
    # lost its lease.
    unsettled_claims: Mapped[int] = mapped_column(default=0, server_default="0")
    due_at: Mapped[datetime]
    lease: Mapped[str | None] = mapped_column(String(22))
    leased_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    attempt_history: Mapped[list["Attempt"]] = relationship(
        back_populates="message", order_by="Attempt.number"
    )

    @property
    def subject(self) -> str:
        """The public id of the order that the message is about."""
        return OrderingKey.parse(self.ordering_key).subject

    def get_payload(self, secret_box: SecretBox) -> dict[str, Any]:
        """Decrypt the payload; Unavailable if it belongs to another row or key."""
        return encryption.decrypt_payload(secret_box, self.public_id, self.payload_encrypted)

    def get_body(self, secret_box: SecretBox) -> bytes | None:
        """Decrypt the body; None before the first attempt, and after `drop_old_bodies`."""
        return encryption.decrypt_body(secret_box, self.public_id, self.body_encrypted)


class Attempt(Base):
    """One attempt to send a message, and its outcome."""

    __tablename__ = "attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("messages.id"), index=True)
    number: Mapped[int]
    started_at: Mapped[datetime]
    duration_ms: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(12))  # see `Outcome.decision`
    status_code: Mapped[int | None]
    response_excerpt: Mapped[str] = mapped_column(Text, default="")
    error: Mapped[str] = mapped_column(Text, default="")
    message: Mapped[Message] = relationship(back_populates="attempt_history")


def append(
    session: Session,
    *,
    queue: str,
    ordering_key: str,
    sequence: int,
    topic: str,
    payload: dict[str, Any],
    now: datetime,
    supersedes_earlier: bool = False,
) -> int:
    """Add a message to the open transaction and return its id; the commit wakes the dispatcher."""
    session.info.setdefault("queues", set()).add(queue)
    # A message behind one that waits for its retry is due with it: claims need not examine it.
    key = {"queue": queue, "ordering_key": ordering_key}
    predecessor_due_at = session.connection().scalar(_LAST_WAITING_QUERY, key) if sequence else None
    public_id = secrets.generate_public_id()
    return insert_row(
        session,
        Message,
        public_id=public_id,
        queue=queue,
        ordering_key=ordering_key,
        sequence=sequence,
        topic=topic,
        payload_encrypted=encryption.encrypt_payload(
            encryption.secret_box_of(session), public_id, payload
        ),
        supersedes_earlier=supersedes_earlier,
        due_at=max(now, predecessor_due_at or now),
        created_at=now,
    )


def list_due_queues(session: Session, now: datetime) -> list[str]:
    """Return the queues with a due message, including paused queues."""
    return list(session.scalars(_DUE_QUEUES_QUERY, {"now": now}))


def list_queues(session: Session) -> list[str]:
    """Return all queues that ever had a message."""
    return list(session.scalars(_QUEUES_QUERY))


def list_waiting_queues(session: Session) -> list[str]:
    """Return the queues with a waiting message, due or not."""
    return list(session.scalars(_WAITING_QUEUES_QUERY))


def has_retries(session: Session, queue: str) -> bool:
    """Return whether a message of a queue waits that was tried before."""
    query = select(Message.id).where(
        Message.queue == queue, is_waiting(Message), Message.attempts > 0
    )
    return session.scalar(query.limit(1)) is not None


def list_channels(session: Session) -> list[str]:
    """Return the names of all channels that ever had a message, sorted."""
    return sorted({QueueName.parse(queue).channel for queue in list_queues(session)})


def oldest_due_at(session: Session, queues: Iterable[str], now: datetime) -> datetime | None:
    due_times = (
        session.scalar(_OLDEST_DUE_QUERY, {"queue": queue, "now": now}) for queue in queues
    )
    return min(filter(None, due_times), default=None)


def requeue(session: Session, message: Message, now: datetime) -> bool:
    """Make a parked message due again; raises Conflict when it is not parked.

    Returns False when a later message may have been delivered since. The receiver must not get
    the older status after it, so the parked message becomes superseded.
    """
    # Lock the key's waiting messages FOR KEY SHARE. A concurrent claim has either committed or
    # skips them. KEY SHARE does not block settling: requeueing many messages cannot deadlock
    # with it.
    waiting = select(Message.id).where(
        Message.queue == message.queue,
        Message.ordering_key == message.ordering_key,
        is_waiting(Message),
    )
    session.execute(waiting.with_for_update(read=True, key_share=True)).all()
    later = aliased(Message)
    # A rendered message may have arrived although its dispatcher died before settling it.
    has_body = later.body_encrypted.is_not(None)
    maybe_sent = or_(later.attempts > 0, later.lease.is_not(None), has_body)
    superseded_since = exists().where(
        later.queue == Message.queue,
        later.ordering_key == Message.ordering_key,
        later.supersedes_earlier,
        Message.supersedes_earlier,
        later.sequence > Message.sequence,
        maybe_sent,
    )
    new_state = session.execute(
        update(Message)
        .where(Message.id == message.id, Message.state == PARKED)
        .values(
            state=case((superseded_since, SUPERSEDED), else_=WAITING),
            due_at=now,
            settled_at=case((superseded_since, now)),
        )
        .returning(Message.state)
        .execution_options(synchronize_session=False)
    ).scalar()
    if new_state is None:
        raise Conflict(f"Only a failed delivery can be sent again; this one is {message.state}")
    session.info.setdefault("queues", set()).add(message.queue)
    return new_state == WAITING


def withdraw(session: Session, queue: str, ordering_key: str, now: datetime) -> list[Message]:
    """Supersede the messages of a key that were not delivered, so that none is sent any more.

    Returns all messages of the key. Raises Conflict while one of them is being sent.
    """
    of_key = (Message.queue == queue, Message.ordering_key == ordering_key)
    # Locked, or a dispatcher could claim one now.
    messages = session.scalars(
        select(Message).where(*of_key).order_by(Message.id).with_for_update()
    ).all()
    if any(message.leased_until and message.leased_until > now for message in messages):
        raise Conflict("A message about this order is being sent: try again in a minute")
    for message in messages:
        if message.state in (WAITING, PARKED):
            message.state, message.settled_at = SUPERSEDED, now
    session.flush()
    return list(messages)


def history(session: Session, subject: str) -> Sequence[Message]:
    """Return all messages about a subject, of every writer, oldest first."""
    query = select(Message).where(is_about(Message.ordering_key, subject))
    return session.scalars(query.order_by(Message.created_at, Message.id)).all()


def is_in_state(*states: str) -> ColumnElement[bool]:
    """Return a condition on the state that can use the partial index `ix_messages_state`."""
    wanted = Message.state.in_(states)
    return wanted if DELIVERED in states else and_(wanted, _NOT_DELIVERED_SQL)


def is_in_channel(channel: str) -> ColumnElement[bool]:
    """Return a condition on the channel in a queue's name; a host may be named like a channel."""
    is_channel_without_host = and_(
        Message.queue.endswith(f"/{channel}", autoescape=True), ~Message.queue.like("%/%/%")
    )
    return or_(Message.queue.contains(f"/{channel}/", autoescape=True), is_channel_without_host)


def is_waiting(row: Any) -> ColumnElement[bool]:
    # A literal, not a parameter, or the planner cannot use the partial indexes.
    condition: ColumnElement[bool] = row.state == text("'waiting'")
    return condition


def is_due(row: Any, now: Any) -> ColumnElement[bool]:
    """Return the condition that a message is due and not leased."""
    is_unleased = or_(row.leased_until.is_(None), row.leased_until <= now)
    return and_(is_waiting(row), row.due_at <= now, is_unleased)


def _distinct_queues(*conditions: ColumnElement[bool]) -> CTE:
    """Return the distinct queues of matching messages by one index step per queue.

    SELECT DISTINCT would read every message. The last row is NULL.
    """
    row = Message.__table__.c
    queues = select(func.min(row.queue).label("queue")).where(*conditions).cte(recursive=True)
    following = select(func.min(row.queue)).where(*conditions, row.queue > queues.c.queue)
    return queues.union_all(select(following.scalar_subquery()).where(queues.c.queue.is_not(None)))


_COLUMNS = Message.__table__.c
_ALL_QUEUES = _distinct_queues().c.queue
_QUEUES_QUERY = select(_ALL_QUEUES).where(_ALL_QUEUES.is_not(None))
_WAITING_QUEUES = _distinct_queues(is_waiting(_COLUMNS)).c.queue
_WAITING_QUEUES_QUERY = select(_WAITING_QUEUES).where(_WAITING_QUEUES.is_not(None))
_DUE_QUEUES_QUERY = select(_WAITING_QUEUES).where(
    exists().where(_COLUMNS.queue == _WAITING_QUEUES, is_due(_COLUMNS, bindparam("now")))
)
_OLDEST_DUE_QUERY = (
    select(_COLUMNS.due_at)
    .where(_COLUMNS.queue == bindparam("queue"), is_due(_COLUMNS, bindparam("now")))
    .order_by(_COLUMNS.due_at)
    .limit(1)
)
_LAST_WAITING_QUERY = (
    select(_COLUMNS.due_at)
    .where(
        _COLUMNS.queue == bindparam("queue"),
        _COLUMNS.ordering_key == bindparam("ordering_key"),
        is_waiting(_COLUMNS),
    )
    .order_by(_COLUMNS.sequence.desc())
    .limit(literal_limit(1))
)
