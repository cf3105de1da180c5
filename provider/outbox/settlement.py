"""Settling claimed messages under their leases, in batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Table,
    bindparam,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session

from provider.outbox.claims import (
    IDS_PARAM,
    QUEUE_PARAM,
    STILL_LEASED,
    TIME_PARAM,
    Bind,
    Claim,
)
from provider.outbox.message import (
    DELIVERED,
    MAX_RESPONSE_EXCERPT_LENGTH,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Message,
    is_waiting,
)

assert isinstance(Message.__table__, Table)
_MESSAGES = Message.__table__
_COLUMNS = _MESSAGES.c
_DUE_AT_PARAM: Bind = bindparam("due")
_ORDERING_KEYS_PARAM: Bind = bindparam("keys")
_SETTLE_UPDATE = (
    update(_MESSAGES)
    .where(*STILL_LEASED)
    .values(
        state=bindparam("to"),
        settled_at=TIME_PARAM,
        attempts=_COLUMNS.attempts + 1,
        lease=None,
        leased_until=None,
    )
    .returning(_COLUMNS.id)
)
_RETRY_UPDATE = (
    update(_MESSAGES)
    .where(*STILL_LEASED)
    .values(due_at=bindparam("due"), attempts=_COLUMNS.attempts + 1, lease=None, leased_until=None)
    .returning(_COLUMNS.id)
)
# What waits behind a message waits as long as it does, or every claim would look at it in vain.
# This is for speed alone: that it goes later is seen to by `_claiming`.
_FOLLOWING_UPDATE = update(_MESSAGES).where(
    _COLUMNS.queue == QUEUE_PARAM,
    _COLUMNS.ordering_key.in_(_ORDERING_KEYS_PARAM),
    is_waiting(_COLUMNS),
    _COLUMNS.attempts == 0,
)
_DELAY_FOLLOWING_UPDATE = _FOLLOWING_UPDATE.values(due_at=_DUE_AT_PARAM)
_MAKE_FOLLOWING_DUE_UPDATE = _FOLLOWING_UPDATE.where(_COLUMNS.due_at > _DUE_AT_PARAM).values(
    due_at=_DUE_AT_PARAM
)
_LATER_MESSAGES = _MESSAGES.alias("later")
_SUPERSEDED_MESSAGES = (
    select(_COLUMNS.id)
    .where(
        _COLUMNS.ordering_key.in_(_ORDERING_KEYS_PARAM),
        # Not by the index on states: of this key there are few, of parked ones maybe many.
        _COLUMNS.state.concat("").in_((PARKED, WAITING)),
        _COLUMNS.supersedes_earlier,
        exists().where(
            _LATER_MESSAGES.c.id.in_(IDS_PARAM),
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
    .values(state=SUPERSEDED, settled_at=TIME_PARAM)
)
assert isinstance(Attempt.__table__, Table)
_ATTEMPT_INSERT = insert(Attempt.__table__)


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
