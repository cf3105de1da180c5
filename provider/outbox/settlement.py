"""Settling claimed messages under their leases, in batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, bindparam, exists, insert, select, update
from sqlalchemy.orm import Session

from provider.outbox.claims import IDS_PARAM, QUEUE_PARAM, STILL_LEASED, TIME_PARAM, Bind, Claim
from provider.outbox.message import (
    DELIVERED,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Message,
    is_waiting,
)
from provider.outbox.response_text import to_storable_text

assert isinstance(Message.__table__, Table)
_MESSAGES = Message.__table__
_COLUMNS = _MESSAGES.c
_DUE_AT_PARAM: Bind = bindparam("due")
_ORDERING_KEYS_PARAM: Bind = bindparam("keys")
_SETTLE_UPDATE = (
    update(_MESSAGES)
    .where(*STILL_LEASED)
    .values(
        state=bindparam("new_state"),
        settled_at=TIME_PARAM,
        attempts=_COLUMNS.attempts + 1,
        unsettled_claims=0,
        lease=None,
        leased_until=None,
    )
    .returning(_COLUMNS.id)
)
_RETRY_UPDATE = (
    update(_MESSAGES)
    .where(*STILL_LEASED)
    .values(
        due_at=_DUE_AT_PARAM,
        attempts=_COLUMNS.attempts + 1,
        unsettled_claims=0,
        lease=None,
        leased_until=None,
    )
    .returning(_COLUMNS.id)
)
# Messages behind one that waits for its retry are due with it, or every claim would examine them.
# This is for speed only: `_claim_query` in `claims.py` keeps the order.
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
        # The concatenation keeps the planner from the index on states: a key has few messages,
        # but there may be many parked ones.
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
    .order_by(
        _COLUMNS.id
    )  # `requeue` locks in this order too, or settling and requeueing could deadlock
    .with_for_update(of=_MESSAGES)
    .cte("superseded")
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
    """The result of one attempt; `decision` is delivered, retry, rejected or not_needed.

    A message that is rejected fails. One that is not_needed is settled, and nobody must act.

    `failure_scope` names a cause that stops more than this message: `destination` (it does not
    answer) or `account` (its token is rejected). With `pauses_at_once` one such failure of a
    destination pauses it: the destination stated that it concerns more than this message.
    `pause_duration` is a wait that the receiver asks
    for, for the whole queue. An outcome with `is_sent` False says nothing about the destination.
    `credentials_revision` names the account's credentials that the attempt used.
    """

    decision: str
    retry_after: timedelta | None = None
    status_code: int | None = None
    response_excerpt: str = ""
    error: str = ""
    failure_scope: str = ""
    pauses_at_once: bool = False
    pause_duration: timedelta | None = None
    is_sent: bool = True
    credentials_revision: bytes | None = None


@dataclass(frozen=True)
class AttemptResult:
    """A finished attempt that is not settled yet."""

    claim: Claim
    outcome: Outcome
    started_at: datetime
    finished_at: datetime

    @property
    def duration_seconds(self) -> float:
        return (self.finished_at - self.started_at) / timedelta(seconds=1)


def settle(session: Session, results: Sequence[AttemptResult], now: datetime) -> set[str]:
    """Write the outcomes of attempts and return the leases that were still valid.

    Nothing is written for the others: another dispatcher has leased their messages.
    """
    valid_leases: set[str] = set()
    while results:
        # A dispatcher that lost a lease and claimed the message again may finish both attempts
        # at once. A batch holds one attempt per message.
        batch = {result.claim.message_id: result for result in results}
        valid_leases |= _settle(session, list(batch.values()), now)
        results = [result for result in results if batch[result.claim.message_id] is not result]
    return valid_leases


def _settle(session: Session, results: Sequence[AttemptResult], now: datetime) -> set[str]:
    delivered, rejected, not_needed, retried = (
        [result for result in results if result.outcome.decision == decision]
        for decision in ("delivered", "rejected", "not_needed", "retry")
    )
    settled_ids = _settle_as(session, delivered, DELIVERED, now)
    settled_ids |= _settle_as(session, rejected, PARKED, now)
    settled_ids |= _settle_as(session, not_needed, SUPERSEDED, now)
    for result in retried:
        settled_ids |= _schedule_retry(session, result)
    settled = [result for result in results if result.claim.message_id in settled_ids]
    if settled:
        attempts = [_attempt_row(result) for result in settled]
        session.connection().execute(_ATTEMPT_INSERT, attempts)
    superseding = [result.claim for result in delivered if result.claim.message_id in settled_ids]
    if superseding:
        params = {
            "ids": [claim.message_id for claim in superseding],
            "keys": [claim.ordering_key for claim in superseding],
            "now": now,
        }
        session.connection().execute(_SUPERSEDE_UPDATE, params)
    return {result.claim.lease for result in settled}


def _settle_as(
    session: Session, results: Sequence[AttemptResult], state: str, now: datetime
) -> set[int]:
    if not results:
        return set()
    params = {
        "ids": [result.claim.message_id for result in results],
        "leases": [result.claim.lease for result in results],
        "new_state": state,
        "now": now,
    }
    settled_ids = set(session.connection().scalars(_SETTLE_UPDATE, params))
    keys_by_queue: dict[str, list[str]] = {}
    for result in results:
        keys_by_queue.setdefault(result.claim.queue, []).append(result.claim.ordering_key)
    for queue, keys in keys_by_queue.items():
        session.connection().execute(
            _MAKE_FOLLOWING_DUE_UPDATE, {"in_queue": queue, "keys": keys, "due": now}
        )
    return settled_ids


def _schedule_retry(session: Session, result: AttemptResult) -> set[int]:
    claim = result.claim
    due_at = result.finished_at + (result.outcome.retry_after or timedelta(0))
    params = {"ids": [claim.message_id], "leases": [claim.lease], "due": due_at}
    settled_ids = set(session.connection().scalars(_RETRY_UPDATE, params))
    if settled_ids:
        session.connection().execute(
            _DELAY_FOLLOWING_UPDATE,
            {"in_queue": claim.queue, "keys": [claim.ordering_key], "due": due_at},
        )
    return settled_ids


def _attempt_row(result: AttemptResult) -> dict[str, Any]:
    return {
        "message_id": result.claim.message_id,
        "number": result.claim.attempts + 1,
        "started_at": result.started_at,
        "duration_ms": round(result.duration_seconds * 1000),
        "outcome": result.outcome.decision,
        "status_code": result.outcome.status_code,
        "response_excerpt": to_storable_text(result.outcome.response_excerpt),
        "error": to_storable_text(result.outcome.error),
    }
