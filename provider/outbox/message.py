"""Messages and their tries: the tables, and what is asked of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CTE,
    JSON,
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

from provider import vault
from provider.db import Base, insert
from provider.errors import Conflict
from provider.statements import Pen, Ready, so_many

ANSWER_KEPT = 2048  # bytes of an answer that an attempt keeps

WAITING, DELIVERED, PARKED, SUPERSEDED = "waiting", "delivered", "parked", "superseded"
_IS_WAITING = text("state = 'waiting'")
_IS_OPEN = text("state <> 'delivered'")


class Message(Base):
    """Something that must reach somebody, with its whole life: waiting until settled."""

    __tablename__ = "messages"
    __table_args__ = (
        Index(
            "ix_messages_due", "lane", "due_at",
            sqlite_where=_IS_WAITING, postgresql_where=_IS_WAITING,
        ),
        Index(
            "ix_messages_head", "lane", "key", "sequence",
            sqlite_where=_IS_WAITING, postgresql_where=_IS_WAITING,
        ),
        Index("ix_messages_story", "key", "sequence"),
        Index("ix_messages_lane", "lane", "id"),
        # Without what is delivered, so without nearly all; who asks for less says so: `in_state`.
        Index(
            "ix_messages_state", "state", "id",
            sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN,
        ),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(22), unique=True, default=vault.public_id)
    lane: Mapped[str] = mapped_column(String(300))  # see `Lane`
    key: Mapped[str] = mapped_column(String(60))
    sequence: Mapped[int]
    topic: Mapped[str] = mapped_column(String(30))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    # An absolute message says all that its predecessors said: once it is delivered, an older
    # parked one must never be sent.
    absolute: Mapped[bool]
    rendered: Mapped[bytes | None] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(12), default=WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    lease: Mapped[str | None] = mapped_column(String(22))
    leased_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    tries: Mapped[list["Attempt"]] = relationship(
        back_populates="message", order_by="Attempt.number"
    )


class Attempt(Base):
    """One try to send a message: when, how long, what was asked and answered."""

    __tablename__ = "attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("messages.id"), index=True)
    number: Mapped[int]
    at: Mapped[datetime]
    milliseconds: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(12))  # done, again, never
    code: Mapped[int | None]
    answer: Mapped[str] = mapped_column(Text, default="")
    error: Mapped[str] = mapped_column(Text, default="")
    message: Mapped[Message] = relationship(back_populates="tries")


def append(
    session: Session | Pen,
    *,
    lane: str,
    key: str,
    sequence: int,
    topic: str,
    payload: dict[str, Any],
    at: datetime,
    absolute: bool = False,
) -> int:
    """Write a message into the open transaction, return its id; the commit wakes the courier."""
    session.info.setdefault("lanes", set()).add(lane)
    # Behind one that waits for its next try it would only be looked at in vain.
    behind = _BEHIND.row(session, {"lane": lane, "key": key}) if sequence else None
    return insert(
        session, Message, lane=lane, key=key, sequence=sequence, topic=topic, payload=payload,
        absolute=absolute, due_at=max(at, *(behind or (at,))), created_at=at,
    )  # fmt: skip


def due_lanes(session: Session, at: datetime) -> list[str]:
    """Return the lanes in which something is due, held or not."""
    return list(session.scalars(_DUE_LANES, {"at": at}))


def lanes(session: Session) -> list[str]:
    """Return all lanes that ever had a message."""
    return list(session.scalars(_LANES))


def oldest_due(session: Session, lanes: Iterable[str], at: datetime) -> datetime | None:
    """Return since when the oldest due message of these lanes waits, or None."""
    found = (session.scalar(_OLDEST, {"lane": lane, "at": at}) for lane in lanes)
    return min(filter(None, found), default=None)


def send_again(session: Session, message: Message, at: datetime) -> bool:
    """Make a parked message due again; Conflict when it is not parked.

    False when a later status may have gone out since: whoever heard that must not hear this after
    it, so it is superseded.
    """
    # Whoever claims a later one at this moment has done so, or leaves it until this one waits.
    # Who settles one is not kept waiting: with many sent again, each might wait for the other.
    waits = select(Message.id).where(
        Message.lane == message.lane, Message.key == message.key, is_waiting(Message)
    )
    session.execute(waits.with_for_update(read=True, key_share=True)).all()
    later = aliased(Message)
    # What is written may have arrived, though nobody lived to say so and its lease is over.
    begun = or_(later.attempts > 0, later.lease.is_not(None), later.rendered.is_not(None))
    tried_since = exists().where(
        later.lane == Message.lane, later.key == Message.key, later.absolute, Message.absolute,
        later.sequence > Message.sequence, begun,
    )  # fmt: skip
    again = session.execute(
        update(Message)
        .where(Message.id == message.id, Message.state == PARKED)
        .values(
            state=case((tried_since, SUPERSEDED), else_=WAITING), due_at=at,
            settled_at=case((tried_since, at)),
        )
        .returning(Message.state)
        .execution_options(synchronize_session=False)
    ).scalar()  # fmt: skip
    if again is None:
        raise Conflict(f"Only a parked delivery can be sent again; this one is {message.state}")
    session.info.setdefault("lanes", set()).add(message.lane)
    return again == WAITING


def story(session: Session, key: str) -> Sequence[Message]:
    """Return all messages of a key, oldest first."""
    return session.scalars(
        select(Message).where(Message.key == key).order_by(Message.created_at, Message.id)
    ).all()


def in_state(*states: str) -> ColumnElement[bool]:
    """Return the condition that messages are in these states, such that an index can serve it."""
    wanted = Message.state.in_(states)
    return wanted if DELIVERED in states else and_(wanted, _IS_OPEN)


def is_waiting(row: Any) -> ColumnElement[bool]:
    """Return the condition that a message is not settled."""
    # A literal, not a parameter: only so can the planner use the partial indexes.
    waits: ColumnElement[bool] = row.state == text("'waiting'")
    return waits


def due(row: Any, at: Any) -> ColumnElement[bool]:
    """Return the condition that a message is due and in nobody's hands."""
    free = or_(row.leased_until.is_(None), row.leased_until <= at)
    return and_(is_waiting(row), row.due_at <= at, free)


def _loosely(*those: ColumnElement[bool]) -> CTE:
    """Return the lanes of some messages, each found by one step in an index."""
    row = Message.__table__.c
    lanes = select(func.min(row.lane).label("lane")).where(*those).cte(recursive=True)
    following = select(func.min(row.lane)).where(*those, row.lane > lanes.c.lane)
    return lanes.union_all(select(following.scalar_subquery()).where(lanes.c.lane.is_not(None)))


_ROW = Message.__table__.c
_ALL_LANES = _loosely().c.lane
_LANES = select(_ALL_LANES).where(_ALL_LANES.is_not(None))
_WAITING_LANES = _loosely(is_waiting(_ROW)).c.lane
_DUE_LANES = select(_WAITING_LANES).where(
    exists().where(_ROW.lane == _WAITING_LANES, due(_ROW, bindparam("at")))
)
_OLDEST = (
    select(_ROW.due_at)
    .where(_ROW.lane == bindparam("lane"), due(_ROW, bindparam("at")))
    .order_by(_ROW.due_at)
    .limit(1)
)
_BEHIND = Ready(
    select(_ROW.due_at)
    .where(_ROW.lane == bindparam("lane"), _ROW.key == bindparam("key"), is_waiting(_ROW))
    .order_by(_ROW.sequence.desc())
    .limit(so_many(1))
)
