"""Claiming by a lease, and settling under it, both in batches."""

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
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from provider.outbox.message import (
    DELIVERED,
    MAX_RESPONSE_EXCERPT_LENGTH,
    PARKED,
    SUPERSEDED,
    WAITING,
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
_TIME_PARAM: Bind = bindparam("now")
_LEASED_UNTIL_PARAM: Bind = bindparam("until")
_QUEUE_PARAM: Bind = bindparam("in_queue")
_DUE_AT_PARAM: Bind = bindparam("due")
_IDS_PARAM: Bind = bindparam("ids")
_ORDERING_KEYS_PARAM: Bind = bindparam("keys")
_LEASES_PARAM: Bind = bindparam("leases")

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
_STILL_LEASED = (
    _COLUMNS.id.in_(_IDS_PARAM),
    _COLUMNS.lease.in_(_LEASES_PARAM),
    is_waiting(_COLUMNS),
)
_SETTLE_UPDATE = (
    update(_MESSAGES)
    .where(*_STILL_LEASED)
    .values(
        state=bindparam("to"),
        settled_at=_TIME_PARAM,
        attempts=_COLUMNS.attempts + 1,
        lease=None,
        leased_until=None,
    )
    .returning(_COLUMNS.id)
)
_RETRY_UPDATE = (
    update(_MESSAGES)
    .where(*_STILL_LEASED)
    .values(due_at=bindparam("due"), attempts=_COLUMNS.attempts + 1, lease=None, leased_until=None)
    .returning(_COLUMNS.id)
)
# What waits behind a message waits as long as it does, or every claim would look at it in vain.
# This is for speed alone: that it goes later is seen to by `_claiming`.
_FOLLOWING_UPDATE = update(_MESSAGES).where(
    _COLUMNS.queue == _QUEUE_PARAM,
    _COLUMNS.ordering_key.in_(_ORDERING_KEYS_PARAM),
    is_waiting(_COLUMNS),
    _COLUMNS.attempts == 0,
)
_DELAY_FOLLOWING_UPDATE = _FOLLOWING_UPDATE.values(due_at=_DUE_AT_PARAM)
_MAKE_FOLLOWING_DUE_UPDATE = _FOLLOWING_UPDATE.where(_COLUMNS.due_at > _DUE_AT_PARAM).values(
    due_at=_DUE_AT_PARAM
)
_STORE_BODY_UPDATE = CompiledQuery(
    update(_MESSAGES)
    .where(
        _COLUMNS.id == bindparam("one"), _COLUMNS.lease == bindparam("its"), is_waiting(_COLUMNS)
    )
    .values(body=bindparam("bytes"))
    .returning(_COLUMNS.id)
)
_RELEASE_UPDATE = update(_MESSAGES).where(*_STILL_LEASED).values(lease=None, leased_until=None)
_LATER_MESSAGES = _MESSAGES.alias("later")
_SUPERSEDED_MESSAGES = (
    select(_COLUMNS.id)
    .where(
        _COLUMNS.ordering_key.in_(_ORDERING_KEYS_PARAM),
        # Not by the index on states: of this key there are few, of parked ones maybe many.
        _COLUMNS.state.concat("").in_((PARKED, WAITING)),
        _COLUMNS.supersedes_earlier,
        exists().where(
            _LATER_MESSAGES.c.id.in_(_IDS_PARAM),
            _LATER_MESSAGES.c.supersedes_earlier,
            _LATER_MESSAGES.c.queue == _COLUMNS.queue,
            _LATER_MESSAGES.c.ordering_key == _COLUMNS.ordering_key,
            _LATER_MESSAGES.c.sequence > _COLUMNS.sequence,
        ),
    )
    .order_by(_COLUMNS.id)  # as whoever sends many again
    .with_for_update(of=_MESSAGES)
    .cte("untrue")
)
_SUPERSEDE_UPDATE = (
    update(_MESSAGES)
    .where(_COLUMNS.id.in_(select(_SUPERSEDED_MESSAGES.c.id)))
    .values(state=SUPERSEDED, settled_at=_TIME_PARAM)
)

assert isinstance(Attempt.__table__, Table)
_ATTEMPT_INSERT = insert(Attempt.__table__)
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
    .where(_COLUMNS.queue == _QUEUE_PARAM)
    .order_by(_COLUMNS.id.desc())
    .limit(literal_limit(NEWEST_MESSAGES_LIMIT))
    .subquery()
)
_DELIVERED_SINCE_QUERY = CompiledQuery(
    select(_NEWEST_MESSAGES.c.state)
    .where(_NEWEST_MESSAGES.c.state == DELIVERED, _NEWEST_MESSAGES.c.settled_at > _TIME_PARAM)
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


@dataclass(frozen=True)
class Outcome:
    """How one try ended: `word` is done, again (with `after`) or never.

    `blame` is what stands in the way of more than this one message: the `route` (it does not
    answer) or the `account` (its token is refused); `rest` is how long its lane should be left
    alone. Where nothing was sent (`tried` is False) it says nothing of the route. `using` is the
    account's token, sealed, that was refused.
    """

    decision: str
    retry_after: timedelta | None = None
    status_code: int | None = None
    response_excerpt: str = ""
    error: str = ""
    failure_scope: str = ""
    pause_duration: timedelta | None = None
    is_sent: bool = True
    token_encrypted: bytes | None = None


@dataclass(frozen=True)
class AttemptResult:
    """A try that has ended: of which message, how, from when to when."""

    claim: Claim
    outcome: Outcome
    started_at: datetime
    finished_at: datetime

    @property
    def duration_seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at) / timedelta(seconds=1)


@cache
def _claim_query(limit: int) -> CompiledQuery:
    """Return how up to so many are claimed: as many as there are hands, so there are few of it."""
    heads = (
        select(_COLUMNS.id)
        .where(
            _COLUMNS.queue == _QUEUE_PARAM,
            is_due(_COLUMNS, _TIME_PARAM),
            ~exists().where(
                _OTHER_MESSAGES.c.queue == _COLUMNS.queue,
                _OTHER_MESSAGES.c.ordering_key == _COLUMNS.ordering_key,
                is_waiting(_OTHER_MESSAGES.c),
                # Sent again by hand, an earlier one may come back while a later one is in hand.
                or_(
                    _OTHER_MESSAGES.c.sequence < _COLUMNS.sequence,
                    _OTHER_MESSAGES.c.leased_until > _TIME_PARAM,
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


def settle(session: Session, results: Sequence[AttemptResult], now: datetime) -> set[str]:
    """Write how tries ended, and return the leases that still stood.

    Of the others nothing is written: somebody else has their messages by now.
    """
    stood: set[str] = set()
    while results:
        # Who loses a lease and gets the message again may end both tries at once: one by one.
        batch = {one.claim.message_id: one for one in results}
        stood |= _settle(session, list(batch.values()), now)
        results = [one for one in results if batch[one.claim.message_id] is not one]
    return stood


def _settle(session: Session, results: Sequence[AttemptResult], now: datetime) -> set[str]:
    done, never, again = (
        [one for one in results if one.outcome.decision == word]
        for word in ("delivered", "rejected", "retry")
    )
    held = _settle_as(session, done, DELIVERED, now) | _settle_as(session, never, PARKED, now)
    for one in again:
        held |= _schedule_retry(session, one)
    tried = [_attempt_row(one) for one in results if one.claim.message_id in held]
    if tried:
        session.connection().execute(_ATTEMPT_INSERT, tried)
    delivered = [one.claim for one in done if one.claim.message_id in held]
    if delivered:
        ids, keys = (
            [taken.message_id for taken in delivered],
            [taken.ordering_key for taken in delivered],
        )
        session.connection().execute(_SUPERSEDE_UPDATE, {"ids": ids, "keys": keys, "now": now})
    return {one.claim.lease for one in results if one.claim.message_id in held}


def _settle_as(
    session: Session, results: Sequence[AttemptResult], state: str, now: datetime
) -> set[int]:
    if not results:
        return set()
    told = {
        "ids": [one.claim.message_id for one in results],
        "leases": [one.claim.lease for one in results],
        "to": state,
        "now": now,
    }
    held = set(session.connection().scalars(_SETTLE_UPDATE, told))
    lanes: dict[str, list[str]] = {}
    for one in results:
        lanes.setdefault(one.claim.queue, []).append(one.claim.ordering_key)
    for lane, keys in lanes.items():
        session.connection().execute(
            _MAKE_FOLLOWING_DUE_UPDATE, {"in_queue": lane, "keys": keys, "due": now}
        )
    return held


def _schedule_retry(session: Session, result: AttemptResult) -> set[int]:
    taken, later = result.claim, result.finished_at + (result.outcome.retry_after or timedelta(0))
    told = {"ids": [taken.message_id], "leases": [taken.lease], "due": later}
    held = set(session.connection().scalars(_RETRY_UPDATE, told))
    if held:
        session.connection().execute(
            _DELAY_FOLLOWING_UPDATE,
            {"in_queue": taken.queue, "keys": [taken.ordering_key], "due": later},
        )
    return held


def _attempt_row(result: AttemptResult) -> dict[str, Any]:
    return {
        "message_id": result.claim.message_id,
        "number": result.claim.attempts + 1,
        "started_at": result.started_at,
        "duration_ms": round(result.duration_seconds * 1000),
        "outcome": result.outcome.decision,
        "status_code": result.outcome.status_code,
        "response_excerpt": _clean_text(result.outcome.response_excerpt),
        "error": _clean_text(result.outcome.error),
    }


def _clean_text(text: str) -> str:
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:MAX_RESPONSE_EXCERPT_LENGTH]
