"""Claiming messages by a lease, in batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    String,
    Table,
    bindparam,
    cast,
    exists,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from provider.outbox.message import (
    DELIVERED,
    Attempt,
    Message,
    is_due,
    is_waiting,
)
from provider.outbox.queue_name import MEDIA, QueueName
from provider.storage import secrets
from provider.storage.compiled import CompiledInQuery, CompiledQuery, literal_limit

Bind = BindParameter[Any]
NEWEST_MESSAGES_LIMIT = 200  # messages of a lane that are looked at for one that arrived
DEFAULT_LEASE = timedelta(
    seconds=60
)  # longer than a send may take, shorter than anybody would wait
MEDIA_LEASE = timedelta(minutes=15)  # for a recording: a large file, copied and kept far away
assert isinstance(Message.__table__, Table)
_MESSAGES = Message.__table__
_COLUMNS = _MESSAGES.c
_OTHER_MESSAGES = _MESSAGES.alias("other")
# Named unlike the columns, for in an update a column's name would set it.
TIME_PARAM: Bind = bindparam("now")
_LEASED_UNTIL_PARAM: Bind = bindparam("until")
QUEUE_PARAM: Bind = bindparam("in_queue")
IDS_PARAM: Bind = bindparam("ids")
LEASES_PARAM: Bind = bindparam("leases")
# Written once, for putting a statement together takes longer than running it. What others are at,
# on PostgreSQL, is left to them: a courier that holds messages must not wait for others' locks.
_HAS_EARLIER_WAITING = exists().where(
    _OTHER_MESSAGES.c.queue == _COLUMNS.queue,
    _OTHER_MESSAGES.c.ordering_key == _COLUMNS.ordering_key,
    is_waiting(_OTHER_MESSAGES.c),
    _OTHER_MESSAGES.c.sequence < _COLUMNS.sequence,
)
_OVERTAKING_QUERY = CompiledInQuery(
    lambda ids: select(_COLUMNS.id).where(_COLUMNS.id.in_(ids), _HAS_EARLIER_WAITING)
)
STILL_LEASED = (
    _COLUMNS.id.in_(IDS_PARAM),
    _COLUMNS.lease.in_(LEASES_PARAM),
    is_waiting(_COLUMNS),
)
_STORE_BODY_UPDATE = CompiledQuery(
    update(_MESSAGES)
    .where(
        _COLUMNS.id == bindparam("one"), _COLUMNS.lease == bindparam("its"), is_waiting(_COLUMNS)
    )
    .values(body=bindparam("bytes"))
    .returning(_COLUMNS.id)
)
_RELEASE_UPDATE = update(_MESSAGES).where(*STILL_LEASED).values(lease=None, leased_until=None)
_ATTEMPT_COLUMNS = Attempt.__table__.c
_PAST_ATTEMPTS_QUERY = CompiledInQuery(
    lambda ids: (
        select(
            _ATTEMPT_COLUMNS.message_id,
            _ATTEMPT_COLUMNS.outcome,
            _ATTEMPT_COLUMNS.started_at,
            _ATTEMPT_COLUMNS.status_code,
        )
        .where(_ATTEMPT_COLUMNS.message_id.in_(ids))
        .order_by(_ATTEMPT_COLUMNS.number.desc())
    )
)
_NEWEST_MESSAGES = (
    select(_COLUMNS.state, _COLUMNS.settled_at)
    .where(_COLUMNS.queue == QUEUE_PARAM)
    .order_by(_COLUMNS.id.desc())
    .limit(literal_limit(NEWEST_MESSAGES_LIMIT))
    .subquery()
)
_DELIVERED_SINCE_QUERY = CompiledQuery(
    select(_NEWEST_MESSAGES.c.state)
    .where(_NEWEST_MESSAGES.c.state == DELIVERED, _NEWEST_MESSAGES.c.settled_at > TIME_PARAM)
    .limit(literal_limit(1))
)


class PastAttempt(NamedTuple):
    """A try of the past: when it began, and with which code it was answered, if it was."""

    started_at: datetime
    status_code: int | None


@dataclass(frozen=True)
class Claim:
    """A message in hand: what to send, and the lease that lets its holder settle it.

    `past` are its tries since it was last sent again by hand, the latest first.
    """

    message_id: int
    public_id: str
    queue: str
    ordering_key: str
    sequence: int
    topic: str
    payload: dict[str, Any]
    body: bytes | None
    attempts: int
    created_at: datetime
    lease: str
    past_attempts: tuple[PastAttempt, ...] = ()


@cache
def _claim_query(limit: int) -> CompiledQuery:
    """Return how up to so many are claimed: as many as there are hands, so there are few of it."""
    heads = (
        select(_COLUMNS.id)
        .where(
            _COLUMNS.queue == QUEUE_PARAM,
            is_due(_COLUMNS, TIME_PARAM),
            ~exists().where(
                _OTHER_MESSAGES.c.queue == _COLUMNS.queue,
                _OTHER_MESSAGES.c.ordering_key == _COLUMNS.ordering_key,
                is_waiting(_OTHER_MESSAGES.c),
                # Sent again by hand, an earlier one may come back while a later one is in hand.
                or_(
                    _OTHER_MESSAGES.c.sequence < _COLUMNS.sequence,
                    _OTHER_MESSAGES.c.leased_until > TIME_PARAM,
                ),
            ),
        )
        .order_by(_COLUMNS.due_at)
        .limit(literal_limit(limit))
        .with_for_update(of=_MESSAGES, skip_locked=True)
        .cte("heads")  # looked for once, however the update is run
    )
    # Every message gets a lease of its own (the batch's and its id), so that a lease says all.
    return CompiledQuery(
        update(_MESSAGES)
        .where(_COLUMNS.id.in_(select(heads.c.id)))
        .values(
            lease=bindparam("batch") + cast(_COLUMNS.id, String), leased_until=_LEASED_UNTIL_PARAM
        )
        .returning(
            _COLUMNS.id,
            _COLUMNS.public_id,
            _COLUMNS.queue,
            _COLUMNS.ordering_key,
            _COLUMNS.sequence,
            _COLUMNS.topic,
            _COLUMNS.payload,
            _COLUMNS.body,
            _COLUMNS.attempts,
            _COLUMNS.created_at,
            _COLUMNS.lease,
        )
    )


def claim(session: Session, queue: str, now: datetime, limit: int) -> list[Claim]:
    """Lease up to `most` messages: the oldest unsettled one of each due key of the lane."""
    until = now + (MEDIA_LEASE if QueueName.parse(queue).channel == MEDIA else DEFAULT_LEASE)
    told = {
        "in_queue": queue,
        "now": now,
        "until": until,
        "batch": secrets.generate_public_id()[:8] + "/",
    }
    claims = (Claim(*row) for row in _claim_query(limit).fetch_all(session, told))
    first = _release_overtaking(session, sorted(claims, key=lambda taken: taken.message_id))
    return _with_past_attempts(session, first)


def _release_overtaking(session: Session, claims: Sequence[Claim]) -> list[Claim]:
    """Free those whose earlier one was sent again by hand while they were looked for.

    On PostgreSQL a statement sees what was there when it began, another one sees it all: who sends
    again waits for what is locked. On SQLite nobody writes meanwhile.
    """
    overtaking: set[int] = set()
    if claims and session.get_bind().dialect.name == "postgresql":
        rows = _OVERTAKING_QUERY.fetch_all(session, [taken.message_id for taken in claims])
        overtaking = {message_id for (message_id,) in rows}
    for taken in claims:
        if taken.message_id in overtaking:
            release(session, taken)
    return [taken for taken in claims if taken.message_id not in overtaking]


def _with_past_attempts(session: Session, claims: Sequence[Claim]) -> list[Claim]:
    tried = [taken.message_id for taken in claims if taken.attempts]
    if not tried:
        return list(claims)
    past: dict[int, list[PastAttempt]] = {}
    over: set[int] = set()
    for message_id, outcome, at, code in _PAST_ATTEMPTS_QUERY.fetch_all(session, tried):
        if outcome == "rejected":  # then it was parked, and somebody sent it again
            over.add(message_id)
        elif message_id not in over:
            past.setdefault(message_id, []).append(PastAttempt(at, code))
    return [replace(taken, past_attempts=tuple(past.get(taken.message_id, ()))) for taken in claims]


def has_delivered_since(session: Session, queue: str, since: datetime) -> bool:
    """Say whether something of a lane, among the newest of it, was delivered since a moment."""
    row = _DELIVERED_SINCE_QUERY.fetch_one(session, {"in_queue": queue, "now": since})
    return row is not None


def store_body(session: Session, claim: Claim, body: bytes) -> bool:
    """Keep the bytes that every try of a message sends; False when the lease is lost."""
    told = {"one": claim.message_id, "its": claim.lease, "bytes": body}
    return _STORE_BODY_UPDATE.fetch_one(session, told) is not None


def release(session: Session, claim: Claim) -> None:
    """Give a lease back unused, at a clean stop."""
    session.connection().execute(
        _RELEASE_UPDATE, {"ids": [claim.message_id], "leases": [claim.lease]}
    )
