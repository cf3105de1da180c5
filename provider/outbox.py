"""The outbox: what must go out is written in the transaction that makes it necessary.

A message waits in a *lane* (where it goes) under a *key* (what must stay in order); the courier
claims the oldest unsettled message of each due key by a lease, sends it, and settles it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    CursorResult,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
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

LEASE = timedelta(seconds=60)  # longer than a send may take, shorter than anybody would wait
ANSWER_KEPT = 2048  # bytes of an answer that an attempt keeps

WAITING, DELIVERED, PARKED, SUPERSEDED = "waiting", "delivered", "parked", "superseded"
_IS_WAITING = text("state = 'waiting'")


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
        Index("ix_messages_state", "state", "id"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(22), unique=True, default=vault.public_id)
    lane: Mapped[str] = mapped_column(String(60))
    key: Mapped[str] = mapped_column(String(60))
    sequence: Mapped[int]
    topic: Mapped[str] = mapped_column(String(30))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    # An absolute message says all that its predecessors said: once it is delivered, an older
    # parked one must never be sent.
    absolute: Mapped[bool] = mapped_column(default=False)
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


@dataclass(frozen=True)
class Claim:
    """A message in hand: what to send, and the lease that lets its holder settle it."""

    message_id: int
    public_id: str
    lane: str
    key: str
    sequence: int
    topic: str
    payload: dict[str, Any]
    rendered: bytes | None
    attempts: int
    lease: str


@dataclass(frozen=True)
class Outcome:
    """How one try ended: `word` is done, again (with `after`) or never."""

    word: str
    after: timedelta | None = None
    code: int | None = None
    answer: str = ""
    error: str = ""


def append(
    session: Session,
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
    return insert(
        session, Message, lane=lane, key=key, sequence=sequence, topic=topic, payload=payload,
        absolute=absolute, due_at=at, created_at=at,
    )  # fmt: skip


def due_lanes(session: Session, at: datetime) -> list[str]:
    """Return the lanes in which something is due."""
    query = select(Message.lane).where(_due(at)).distinct()
    return list(session.scalars(query))


def next_due(session: Session) -> datetime | None:
    """Return the moment at which the next waiting message is due, or None."""
    return session.scalar(select(func.min(Message.due_at)).where(_waiting()))


def oldest_due(session: Session, at: datetime) -> datetime | None:
    """Return since when the oldest due message waits, or None."""
    return session.scalar(select(func.min(Message.due_at)).where(_due(at)))


def claim(session: Session, lane: str, at: datetime, most: int) -> list[Claim]:
    """Lease up to `most` messages: the oldest unsettled one of each due key of the lane."""
    earlier = aliased(Message)
    heads = (
        select(Message.id)
        .where(
            Message.lane == lane,
            _due(at),
            ~exists().where(
                earlier.lane == Message.lane,
                earlier.key == Message.key,
                earlier.state == text("'waiting'"),
                earlier.sequence < Message.sequence,
            ),
        )
        .order_by(Message.due_at)
        .limit(most)
    )
    return [taken for id_ in session.scalars(heads).all() if (taken := _take(session, id_, at))]


def keep_rendered(session: Session, claim: Claim, rendered: bytes) -> bool:
    """Keep the bytes that every try of a message sends; False when the lease is lost."""
    return _held(session, claim, rendered=rendered)


def settle(
    session: Session, claim: Claim, outcome: Outcome, *, began: datetime, at: datetime
) -> bool:
    """Write how a try ended; False, and nothing is written, when the lease is lost."""
    if outcome.word == "again":
        values: dict[str, Any] = {"due_at": at + (outcome.after or timedelta(0))}
    else:
        values = {"state": DELIVERED if outcome.word == "done" else PARKED, "settled_at": at}
    number = claim.attempts + 1
    if not _held(session, claim, attempts=number, lease=None, leased_until=None, **values):
        return False
    session.add(
        Attempt(
            message_id=claim.message_id,
            number=number,
            at=began,
            milliseconds=int((at - began) / timedelta(milliseconds=1)),
            outcome=outcome.word,
            code=outcome.code,
            answer=_tidy(outcome.answer),
            error=_tidy(outcome.error),
        )
    )
    if outcome.word == "done":
        _supersede(session, claim, at)
    return True


def free(session: Session, claim: Claim) -> None:
    """Give a lease back unused, at a clean stop."""
    _held(session, claim, lease=None, leased_until=None)


def send_again(session: Session, message: Message, at: datetime) -> None:
    """Make a parked message due again; Conflict when it is not parked."""
    done = _changed(
        session,
        update(Message)
        .where(Message.id == message.id, Message.state == PARKED)
        .values(state=WAITING, due_at=at, settled_at=None),
    )
    if not done:
        raise Conflict(f"Only a parked delivery can be sent again; this one is {message.state}")
    session.info.setdefault("lanes", set()).add(message.lane)


def story(session: Session, key: str) -> Sequence[Message]:
    """Return all messages of a key, oldest first."""
    return session.scalars(
        select(Message).where(Message.key == key).order_by(Message.created_at, Message.id)
    ).all()


def _take(session: Session, message_id: int, at: datetime) -> Claim | None:
    lease = vault.public_id()
    taken = _changed(
        session,
        update(Message)
        .where(Message.id == message_id, _due(at))
        .values(lease=lease, leased_until=at + LEASE),
    )
    if not taken:  # another courier was quicker
        return None
    columns = (
        Message.id.label("message_id"), Message.public_id, Message.lane, Message.key,
        Message.sequence, Message.topic, Message.payload, Message.rendered, Message.attempts,
    )  # fmt: skip
    row = session.execute(select(*columns).where(Message.id == message_id)).one()
    return Claim(**row._mapping, lease=lease)


def _held(session: Session, claim: Claim, **values: Any) -> bool:
    return _changed(
        session,
        update(Message)
        .where(
            Message.id == claim.message_id,
            Message.lease == claim.lease,
            Message.state == WAITING,
        )
        .values(**values),
    )


def _supersede(session: Session, claim: Claim, at: datetime) -> None:
    absolute = select(Message.absolute).where(Message.id == claim.message_id).scalar_subquery()
    session.execute(
        update(Message)
        .where(
            absolute,
            Message.lane == claim.lane,
            Message.key == claim.key,
            Message.state == PARKED,
            Message.absolute,
            Message.sequence < claim.sequence,
        )
        .values(state=SUPERSEDED, settled_at=at)
        .execution_options(synchronize_session=False)
    )


def _waiting() -> Any:
    # A literal, not a parameter: only so can the planner use the partial indexes.
    return Message.state == text("'waiting'")


def _due(at: datetime) -> Any:
    free = or_(Message.leased_until.is_(None), Message.leased_until <= at)
    return _waiting() & (Message.due_at <= at) & free


def _changed(session: Session, statement: Any) -> bool:
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    return result.rowcount == 1


def _tidy(text: str) -> str:
    return text.replace("\x00", "�")[:ANSWER_KEPT]
