"""Claiming messages in batches, each by a lease of its own."""

import hashlib
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

from provider.outbox import encryption
from provider.outbox.message import (
    DELIVERED,
    Attempt,
    Message,
    is_due,
    is_waiting,
)
from provider.outbox.ordering_key import OrderingKey
from provider.storage import secrets
from provider.storage.compiled import CompiledInQuery, CompiledQuery, literal_limit
from provider.storage.secrets import SecretBox

Bind = BindParameter[Any]
NEWEST_MESSAGES_LIMIT = 200  # messages of a queue that `has_delivered_since` examines
DEFAULT_LEASE = timedelta(seconds=60)  # longer than a send may take, in most channels
assert isinstance(Message.__table__, Table)
_MESSAGES = Message.__table__
_COLUMNS = _MESSAGES.c
_OTHER_MESSAGES = _MESSAGES.alias("other")
# Not named like the columns: an UPDATE would set a column to the parameter of its name.
TIME_PARAM: Bind = bindparam("now")
_LEASED_UNTIL_PARAM: Bind = bindparam("until")
QUEUE_PARAM: Bind = bindparam("in_queue")
IDS_PARAM: Bind = bindparam("ids")
LEASES_PARAM: Bind = bindparam("leases")
# Statements are built once at import; compiling costs more than running. On PostgreSQL they use
# SKIP LOCKED, so a dispatcher that already holds row locks never waits for another's.
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
        _COLUMNS.id == bindparam("message"),
        _COLUMNS.lease == bindparam("current_lease"),
        is_waiting(_COLUMNS),
    )
    .values(body_encrypted=bindparam("rendered"), body_digest=bindparam("digest"))
    .returning(_COLUMNS.id)
)
_RELEASE_UPDATE = (
    update(_MESSAGES)
    .where(*STILL_LEASED)
    .values(lease=None, leased_until=None, unsettled_claims=_COLUMNS.unsettled_claims - 1)
)
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
    """An earlier attempt; `status_code` is None when no response came."""

    started_at: datetime
    status_code: int | None


@dataclass(frozen=True)
class Claim:
    """A leased message; `lease` is needed to settle it.

    `past_attempts` are those since staff last requeued the message, the latest first.
    `unsettled_claims` counts this claim, and those before it whose attempts were never settled.
    """

    message_id: int
    public_id: str
    queue: str
    ordering_key: str
    sequence: int
    topic: str
    payload_encrypted: bytes
    body_encrypted: bytes | None
    attempts: int
    created_at: datetime
    lease: str
    unsettled_claims: int = 1
    past_attempts: tuple[PastAttempt, ...] = ()

    @property
    def subject(self) -> str:
        """The public id of the order that the message is about."""
        return OrderingKey.parse(self.ordering_key).subject

    def get_payload(self, secret_box: SecretBox) -> dict[str, Any]:
        """Decrypt the payload; Unavailable if it belongs to another row or key."""
        return encryption.decrypt_payload(secret_box, self.public_id, self.payload_encrypted)

    def get_body(self, secret_box: SecretBox) -> bytes | None:
        """Decrypt the body; None before the first attempt."""
        return encryption.decrypt_body(secret_box, self.public_id, self.body_encrypted)


@cache
def _claim_query(limit: int) -> CompiledQuery:
    # Cached per limit: limits are small numbers of free slots, so there are few statements.
    heads = (
        select(_COLUMNS.id)
        .where(
            _COLUMNS.queue == QUEUE_PARAM,
            is_due(_COLUMNS, TIME_PARAM),
            ~exists().where(
                _OTHER_MESSAGES.c.queue == _COLUMNS.queue,
                _OTHER_MESSAGES.c.ordering_key == _COLUMNS.ordering_key,
                is_waiting(_OTHER_MESSAGES.c),
                # Staff may requeue an earlier message while a later one is leased.
                or_(
                    _OTHER_MESSAGES.c.sequence < _COLUMNS.sequence,
                    _OTHER_MESSAGES.c.leased_until > TIME_PARAM,
                ),
            ),
        )
        .order_by(_COLUMNS.due_at)
        .limit(literal_limit(limit))
        .with_for_update(of=_MESSAGES, skip_locked=True)
        .cte("heads")  # evaluated once, whatever plan the UPDATE gets
    )
    # Every message gets its own lease (batch and message id): a lease alone identifies a claim.
    return CompiledQuery(
        update(_MESSAGES)
        .where(_COLUMNS.id.in_(select(heads.c.id)))
        .values(
            lease=bindparam("batch") + cast(_COLUMNS.id, String),
            leased_until=_LEASED_UNTIL_PARAM,
            # Counted before the attempt: a message may end the process that sends it.
            unsettled_claims=_COLUMNS.unsettled_claims + 1,
        )
        .returning(
            _COLUMNS.id,
            _COLUMNS.public_id,
            _COLUMNS.queue,
            _COLUMNS.ordering_key,
            _COLUMNS.sequence,
            _COLUMNS.topic,
            _COLUMNS.payload_encrypted,
            _COLUMNS.body_encrypted,
            _COLUMNS.attempts,
            _COLUMNS.created_at,
            _COLUMNS.lease,
            _COLUMNS.unsettled_claims,
        )
    )


def claim(
    session: Session, queue: str, now: datetime, limit: int, lease: timedelta = DEFAULT_LEASE
) -> list[Claim]:
    """Lease up to `limit` messages: the oldest unsettled one of each due key of the queue."""
    params = {
        "in_queue": queue,
        "now": now,
        "until": now + lease,
        "batch": secrets.generate_public_id()[:8] + "/",
    }
    claims = (Claim(*row) for row in _claim_query(limit).fetch_all(session, params))
    heads = _release_overtaking(session, sorted(claims, key=lambda claim: claim.message_id))
    return _with_past_attempts(session, heads)


def _release_overtaking(session: Session, claims: Sequence[Claim]) -> list[Claim]:
    """Release claims whose predecessor was requeued while the claiming statement ran.

    On PostgreSQL a statement sees only rows committed before it began, so a second statement
    checks. `requeue` waits for the rows that are locked here. SQLite has a single writer.
    """
    overtaking: set[int] = set()
    if claims and session.get_bind().dialect.name == "postgresql":
        rows = _OVERTAKING_QUERY.fetch_all(session, [claim.message_id for claim in claims])
        overtaking = {message_id for (message_id,) in rows}
    for claim in claims:
        if claim.message_id in overtaking:
            release(session, claim)
    return [claim for claim in claims if claim.message_id not in overtaking]


def _with_past_attempts(session: Session, claims: Sequence[Claim]) -> list[Claim]:
    attempted_ids = [claim.message_id for claim in claims if claim.attempts]
    if not attempted_ids:
        return list(claims)
    past: dict[int, list[PastAttempt]] = {}
    complete: set[int] = set()
    for message_id, outcome, started_at, status_code in _PAST_ATTEMPTS_QUERY.fetch_all(
        session, attempted_ids
    ):
        if outcome == "rejected":  # the message was parked then, and staff requeued it
            complete.add(message_id)
        elif message_id not in complete:
            past.setdefault(message_id, []).append(PastAttempt(started_at, status_code))
    return [replace(claim, past_attempts=tuple(past.get(claim.message_id, ()))) for claim in claims]


def has_delivered_since(session: Session, queue: str, since: datetime) -> bool:
    """Return whether one of the queue's newest messages was delivered after `since`."""
    row = _DELIVERED_SINCE_QUERY.fetch_one(session, {"in_queue": queue, "now": since})
    return row is not None


def store_body(session: Session, claim: Claim, body: bytes) -> bool:
    """Store the bytes that every attempt sends; returns False when the lease is lost."""
    secret_box = encryption.secret_box_of(session)
    params = {
        "message": claim.message_id,
        "current_lease": claim.lease,
        "rendered": encryption.encrypt_body(secret_box, claim.public_id, body),
        "digest": hashlib.sha256(body).digest(),
    }
    return _STORE_BODY_UPDATE.fetch_one(session, params) is not None


def release(session: Session, claim: Claim) -> None:
    """End a lease without an attempt: the message can be claimed at once."""
    session.connection().execute(
        _RELEASE_UPDATE, {"ids": [claim.message_id], "leases": [claim.lease]}
    )
