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

from provider import vault
from provider.outbox.lane import MEDIA, Lane
from provider.outbox.message import (
    ANSWER_KEPT,
    DELIVERED,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Message,
    due,
    is_waiting,
)
from provider.statements import Ready, Several, so_many

Bind = BindParameter[Any]

NEWEST = 200  # messages of a lane that are looked at for one that arrived
LEASE = timedelta(seconds=60)  # longer than a send may take, shorter than anybody would wait
LONG_LEASE = timedelta(minutes=15)  # for a recording: a large file, copied and kept far away

assert isinstance(Message.__table__, Table)
_TABLE = Message.__table__
_ROW = _TABLE.c
_OTHER = _TABLE.alias("other")
# Named unlike the columns, for in an update a column's name would set it.
_AT: Bind = bindparam("at")
_UNTIL: Bind = bindparam("until")
_LANE: Bind = bindparam("of_lane")
_DUE: Bind = bindparam("due")
_IDS: Bind = bindparam("ids")
_KEYS: Bind = bindparam("keys")
_LEASES: Bind = bindparam("leases")

# Written once, for putting a statement together takes longer than running it. What others are at,
# on PostgreSQL, is left to them: a courier that holds messages must not wait for others' locks.
_EARLIER = exists().where(
    _OTHER.c.lane == _ROW.lane,
    _OTHER.c.key == _ROW.key,
    is_waiting(_OTHER.c),
    _OTHER.c.sequence < _ROW.sequence,
)
_OVERTAKING = Several(lambda ids: select(_ROW.id).where(_ROW.id.in_(ids), _EARLIER))
_HELD = (_ROW.id.in_(_IDS), _ROW.lease.in_(_LEASES), is_waiting(_ROW))
_SETTLE = (
    update(_TABLE)
    .where(*_HELD)
    .values(
        state=bindparam("to"), settled_at=_AT, attempts=_ROW.attempts + 1,
        lease=None, leased_until=None,
    )
    .returning(_ROW.id)
)  # fmt: skip
_AGAIN = (
    update(_TABLE)
    .where(*_HELD)
    .values(due_at=bindparam("due"), attempts=_ROW.attempts + 1, lease=None, leased_until=None)
    .returning(_ROW.id)
)
# What waits behind a message waits as long as it does, or every claim would look at it in vain.
# This is for speed alone: that it goes later is seen to by `_claiming`.
_FOLLOWING = update(_TABLE).where(
    _ROW.lane == _LANE, _ROW.key.in_(_KEYS), is_waiting(_ROW), _ROW.attempts == 0
)
_PUT_OFF_TOO = _FOLLOWING.values(due_at=_DUE)
_NOW_DUE = _FOLLOWING.where(_ROW.due_at > _DUE).values(due_at=_DUE)
_KEEP = Ready(
    update(_TABLE)
    .where(_ROW.id == bindparam("one"), _ROW.lease == bindparam("its"), is_waiting(_ROW))
    .values(rendered=bindparam("bytes"))
    .returning(_ROW.id)
)
_FREE = update(_TABLE).where(*_HELD).values(lease=None, leased_until=None)
_LATER = _TABLE.alias("later")
_UNTRUE = (
    select(_ROW.id)
    .where(
        _ROW.key.in_(_KEYS),
        # Not by the index on states: of this key there are few, of parked ones maybe many.
        _ROW.state.concat("").in_((PARKED, WAITING)),
        _ROW.absolute,
        exists().where(
            _LATER.c.id.in_(_IDS), _LATER.c.absolute, _LATER.c.lane == _ROW.lane,
            _LATER.c.key == _ROW.key, _LATER.c.sequence > _ROW.sequence,
        ),
    )
    .order_by(_ROW.id)  # as whoever sends many again
    .with_for_update(of=_TABLE)
    .cte("untrue")
)  # fmt: skip
_SUPERSEDE = (
    update(_TABLE).where(_ROW.id.in_(select(_UNTRUE.c.id))).values(state=SUPERSEDED, settled_at=_AT)
)

assert isinstance(Attempt.__table__, Table)
_ATTEMPT = insert(Attempt.__table__)
_TRIES = Attempt.__table__.c
_TRIED = Several(
    lambda ids: (
        select(_TRIES.message_id, _TRIES.outcome, _TRIES.at, _TRIES.code)
        .where(_TRIES.message_id.in_(ids))
        .order_by(_TRIES.number.desc())
    )
)
_NEWEST = (
    select(_ROW.state, _ROW.settled_at)
    .where(_ROW.lane == _LANE)
    .order_by(_ROW.id.desc())
    .limit(so_many(NEWEST))
    .subquery()
)
_DELIVERED = Ready(
    select(_NEWEST.c.state)
    .where(_NEWEST.c.state == DELIVERED, _NEWEST.c.settled_at > _AT)
    .limit(so_many(1))
)


class Try(NamedTuple):
    """A try of the past: when it began, and with which code it was answered, if it was."""

    at: datetime
    code: int | None


@dataclass(frozen=True)
class Claim:
    """A message in hand: what to send, and the lease that lets its holder settle it.

    `past` are its tries since it was last sent again by hand, the latest first.
    """

    message_id: int
    public_id: str
    lane: str
    key: str
    sequence: int
    topic: str
    payload: dict[str, Any]
    rendered: bytes | None
    attempts: int
    created_at: datetime
    lease: str
    past: tuple[Try, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How one try ended: `word` is done, again (with `after`) or never.

    `blame` is what stands in the way of more than this one message: the `route` (it does not
    answer) or the `account` (its token is refused); `rest` is how long its lane should be left
    alone. Where nothing was sent (`tried` is False) it says nothing of the route. `using` is the
    account's token, sealed, that was refused.
    """

    word: str
    after: timedelta | None = None
    code: int | None = None
    answer: str = ""
    error: str = ""
    blame: str = ""
    rest: timedelta | None = None
    tried: bool = True
    using: bytes | None = None


@dataclass(frozen=True)
class Ended:
    """A try that has ended: of which message, how, from when to when."""

    claim: Claim
    outcome: Outcome
    began: datetime
    at: datetime

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.at - self.began) / timedelta(seconds=1)


@cache
def _claiming(most: int) -> Ready:
    """Return how up to so many are claimed: as many as there are hands, so there are few of it."""
    heads = (
        select(_ROW.id)
        .where(
            _ROW.lane == _LANE,
            due(_ROW, _AT),
            ~exists().where(
                _OTHER.c.lane == _ROW.lane,
                _OTHER.c.key == _ROW.key,
                is_waiting(_OTHER.c),
                # Sent again by hand, an earlier one may come back while a later one is in hand.
                or_(_OTHER.c.sequence < _ROW.sequence, _OTHER.c.leased_until > _AT),
            ),
        )
        .order_by(_ROW.due_at)
        .limit(so_many(most))
        .with_for_update(of=_TABLE, skip_locked=True)
        .cte("heads")  # looked for once, however the update is run
    )
    # Every message gets a lease of its own (the batch's and its id), so that a lease says all.
    return Ready(
        update(_TABLE)
        .where(_ROW.id.in_(select(heads.c.id)))
        .values(lease=bindparam("batch") + cast(_ROW.id, String), leased_until=_UNTIL)
        .returning(
            _ROW.id, _ROW.public_id, _ROW.lane, _ROW.key, _ROW.sequence,
            _ROW.topic, _ROW.payload, _ROW.rendered, _ROW.attempts, _ROW.created_at, _ROW.lease,
        )
    )  # fmt: skip


def claim(session: Session, lane: str, at: datetime, most: int) -> list[Claim]:
    """Lease up to `most` messages: the oldest unsettled one of each due key of the lane."""
    until = at + (LONG_LEASE if Lane.read(lane).sink == MEDIA else LEASE)
    told = {"of_lane": lane, "at": at, "until": until, "batch": vault.public_id()[:8] + "/"}
    claims = (Claim(*row) for row in _claiming(most).rows(session, told))
    first = _first_of_each(session, sorted(claims, key=lambda taken: taken.message_id))
    return _with_past(session, first)


def _first_of_each(session: Session, claims: Sequence[Claim]) -> list[Claim]:
    """Free those whose earlier one was sent again by hand while they were looked for.

    On PostgreSQL a statement sees what was there when it began, another one sees it all: who sends
    again waits for what is locked. On SQLite nobody writes meanwhile.
    """
    overtaking: set[int] = set()
    if claims and session.get_bind().dialect.name == "postgresql":
        rows = _OVERTAKING.rows(session, [taken.message_id for taken in claims])
        overtaking = {message_id for (message_id,) in rows}
    for taken in claims:
        if taken.message_id in overtaking:
            free(session, taken)
    return [taken for taken in claims if taken.message_id not in overtaking]


def _with_past(session: Session, claims: Sequence[Claim]) -> list[Claim]:
    tried = [taken.message_id for taken in claims if taken.attempts]
    if not tried:
        return list(claims)
    past: dict[int, list[Try]] = {}
    over: set[int] = set()
    for message_id, outcome, at, code in _TRIED.rows(session, tried):
        if outcome == "never":  # then it was parked, and somebody sent it again
            over.add(message_id)
        elif message_id not in over:
            past.setdefault(message_id, []).append(Try(at, code))
    return [replace(taken, past=tuple(past.get(taken.message_id, ()))) for taken in claims]


def delivered_since(session: Session, lane: str, at: datetime) -> bool:
    """Say whether something of a lane, among the newest of it, was delivered since a moment."""
    row = _DELIVERED.row(session, {"of_lane": lane, "at": at})
    return row is not None


def keep_rendered(session: Session, claim: Claim, rendered: bytes) -> bool:
    """Keep the bytes that every try of a message sends; False when the lease is lost."""
    told = {"one": claim.message_id, "its": claim.lease, "bytes": rendered}
    return _KEEP.row(session, told) is not None


def free(session: Session, claim: Claim) -> None:
    """Give a lease back unused, at a clean stop."""
    session.connection().execute(_FREE, {"ids": [claim.message_id], "leases": [claim.lease]})


def settle(session: Session, ended: Sequence[Ended], at: datetime) -> set[str]:
    """Write how tries ended, and return the leases that still stood.

    Of the others nothing is written: somebody else has their messages by now.
    """
    stood: set[str] = set()
    while ended:
        # Who loses a lease and gets the message again may end both tries at once: one by one.
        batch = {one.claim.message_id: one for one in ended}
        stood |= _settle(session, list(batch.values()), at)
        ended = [one for one in ended if batch[one.claim.message_id] is not one]
    return stood


def _settle(session: Session, ended: Sequence[Ended], at: datetime) -> set[str]:
    done, never, again = (
        [one for one in ended if one.outcome.word == word] for word in ("done", "never", "again")
    )
    held = _settled(session, done, DELIVERED, at) | _settled(session, never, PARKED, at)
    for one in again:
        held |= _put_off(session, one)
    tried = [_attempt(one) for one in ended if one.claim.message_id in held]
    if tried:
        session.connection().execute(_ATTEMPT, tried)
    delivered = [one.claim for one in done if one.claim.message_id in held]
    if delivered:
        ids, keys = [taken.message_id for taken in delivered], [taken.key for taken in delivered]
        session.connection().execute(_SUPERSEDE, {"ids": ids, "keys": keys, "at": at})
    return {one.claim.lease for one in ended if one.claim.message_id in held}


def _settled(session: Session, ended: Sequence[Ended], state: str, at: datetime) -> set[int]:
    if not ended:
        return set()
    told = {
        "ids": [one.claim.message_id for one in ended],
        "leases": [one.claim.lease for one in ended],
        "to": state, "at": at,
    }  # fmt: skip
    held = set(session.connection().scalars(_SETTLE, told))
    lanes: dict[str, list[str]] = {}
    for one in ended:
        lanes.setdefault(one.claim.lane, []).append(one.claim.key)
    for lane, keys in lanes.items():
        session.connection().execute(_NOW_DUE, {"of_lane": lane, "keys": keys, "due": at})
    return held


def _put_off(session: Session, one: Ended) -> set[int]:
    taken, later = one.claim, one.at + (one.outcome.after or timedelta(0))
    told = {"ids": [taken.message_id], "leases": [taken.lease], "due": later}
    held = set(session.connection().scalars(_AGAIN, told))
    if held:
        session.connection().execute(
            _PUT_OFF_TOO, {"of_lane": taken.lane, "keys": [taken.key], "due": later}
        )
    return held


def _attempt(one: Ended) -> dict[str, Any]:
    return {
        "message_id": one.claim.message_id,
        "number": one.claim.attempts + 1,
        "at": one.began,
        "milliseconds": round(one.seconds * 1000),
        "outcome": one.outcome.word,
        "code": one.outcome.code,
        "answer": _tidy(one.outcome.answer),
        "error": _tidy(one.outcome.error),
    }


def _tidy(text: str) -> str:
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:ANSWER_KEPT]
