"""The circuit breaker: results of attempts pause and resume destinations, accounts and queues."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.connections import secrets_revision
from provider.outbox import WRITER, AttemptResult, Claim, Pause, QueueName

FAILURE_THRESHOLD = 5  # failures in a row after which a destination is paused
# Waits between probes of a paused destination; the last one repeats.
PROBE_INTERVALS = tuple(timedelta(seconds=seconds) for seconds in (30, 60, 120, 300))
TOKEN_PROBE_INTERVAL = timedelta(minutes=30)  # between probes with a rejected token
JITTER_RATIO = 0.2  # share by which a wait is lengthened or shortened

log = structlog.get_logger()


@dataclass
class CircuitBreaker:
    """The failures and probes that one process remembers; the pauses are rows of the outbox.

    A transaction works on a copy, which replaces the original after the commit. Otherwise the
    results of a transaction that failed would count again when the next one repeats them.
    """

    consecutive_failures: Counter[str] = field(default_factory=Counter)  # by destination
    probing_message_ids: dict[str, int] = field(default_factory=dict)  # by a pause's scope

    def copy(self) -> "CircuitBreaker":
        return CircuitBreaker(self.consecutive_failures.copy(), self.probing_message_ids.copy())

    def update_pauses(
        self,
        session: Session,
        queues: Sequence[str],
        results: Sequence[AttemptResult],
        now: datetime,
    ) -> dict[str, Pause]:
        """Pause and resume by these results; return the pauses of these queues by scope.

        A returned pause may have expired: then one message may probe it.
        """
        names = {*queues, *(result.claim.queue for result in results)}
        scopes = {scope for name in names for scope in QueueName.parse(name).pause_scopes}
        pauses = outbox.active_pauses(session, scopes)
        # Pauses are written in the order of their scopes, or two dispatchers could deadlock.
        for result in _sorted_by_scope(results, 1):
            self._update_account(session, result, pauses, now)
        for result in _sorted_by_scope(results, 2):
            self._update_queue(session, result, pauses, now)
        self._resume_expired_queues(session, queues, pauses, now)
        for result in _sorted_by_scope(results, 0):
            self._update_destination(session, result, pauses, now)
        return pauses

    def acquire_probes(
        self,
        session: Session,
        expired_pauses: Sequence[Pause],
        claim: Claim,
        lease: timedelta,
        now: datetime,
    ) -> bool:
        """Reserve the probes of pauses for a message; False when another message has one."""
        for expired_pause in expired_pauses:
            if not outbox.probe(session, expired_pause, retry_at=now + lease, now=now):
                return False
            self.probing_message_ids[expired_pause.scope] = claim.message_id
        return True

    def _update_destination(
        self, session: Session, result: AttemptResult, pauses: dict[str, Pause], now: datetime
    ) -> None:
        queue_name = QueueName.parse(result.claim.queue)
        destination, scope = queue_name.destination, queue_name.pause_scopes[0]
        if not result.outcome.is_sent:
            return
        if result.outcome.failure_scope != "destination":
            del self.consecutive_failures[destination]
            self._resume(session, scope, pauses)
            return
        self.consecutive_failures[destination] += 1
        has_failed_often = self.consecutive_failures[destination] >= FAILURE_THRESHOLD
        if has_failed_often or result.outcome.pauses_at_once or scope in pauses:
            self._pause(session, scope, result, pauses, now)

    def _update_account(
        self, session: Session, result: AttemptResult, pauses: dict[str, Pause], now: datetime
    ) -> None:
        scope = QueueName.parse(result.claim.queue).pause_scopes[1]
        if result.outcome.failure_scope == "account":
            if not _are_credentials_replaced(session, result):
                self._pause(session, scope, result, pauses, now)
        elif result.outcome.decision == "delivered":
            self._resume(session, scope, pauses)

    def _update_queue(
        self, session: Session, result: AttemptResult, pauses: dict[str, Pause], now: datetime
    ) -> None:
        scope = QueueName.parse(result.claim.queue).pause_scopes[2]
        if result.outcome.pause_duration:
            retry_at = now + result.outcome.pause_duration
            reason = "The receiver asks for a wait"
            pauses[scope] = outbox.pause(session, scope, reason, retry_at, now)

    def _resume_expired_queues(
        self, session: Session, queues: Sequence[str], pauses: dict[str, Pause], now: datetime
    ) -> None:
        """End pauses that the receiver asked for (Retry-After, X-Rate-Limit-*).

        Unlike pauses of hosts and accounts they need no probe.
        """
        for scope in sorted(f"queue/{queue}" for queue in queues):
            if scope in pauses and pauses[scope].retry_at <= now:
                del pauses[scope]
                outbox.resume(session, scope)

    def _pause(
        self,
        session: Session,
        scope: str,
        result: AttemptResult,
        pauses: dict[str, Pause],
        now: datetime,
    ) -> None:
        """Pause a scope, or prolong its pause when the probe failed.

        Attempts that began before the pause do not prolong it.
        """
        is_probe = self.probing_message_ids.get(scope) == result.claim.message_id
        if scope in pauses and not is_probe:
            return
        self.probing_message_ids.pop(scope, None)
        failed_probes = pauses[scope].failed_probes + 1 if scope in pauses else 0
        interval = PROBE_INTERVALS[min(failed_probes, len(PROBE_INTERVALS) - 1)]
        if result.outcome.failure_scope != "destination":
            interval = TOKEN_PROBE_INTERVAL
        wait = add_jitter(interval)
        reason = result.outcome.error or f"It answers {result.outcome.status_code}"
        pauses[scope] = outbox.pause(session, scope, reason, now + wait, now)
        log.warning(
            "deliveries_paused", scope=scope, reason=reason, seconds=int(wait.total_seconds())
        )

    def _resume(self, session: Session, scope: str, pauses: dict[str, Pause]) -> None:
        self.probing_message_ids.pop(scope, None)
        if pauses.pop(scope, None):
            outbox.resume(session, scope)
            log.info("deliveries_resumed", scope=scope)


def add_jitter(wait: timedelta) -> timedelta:
    """Return a wait changed by up to `JITTER_RATIO`, so that waits do not end together."""
    return wait * random.uniform(1 - JITTER_RATIO, 1 + JITTER_RATIO)  # noqa: S311  (no secret)


def _are_credentials_replaced(session: Session, result: AttemptResult) -> bool:
    """Return whether the account got other credentials since: then a rejection is outdated."""
    used = result.outcome.credentials_revision
    if used is None:
        return False
    queue_name = QueueName.parse(result.claim.queue)
    if queue_name.channel == WRITER:
        return secrets_revision(session, queue_name.account_id) != used
    query = select(Account.callback_token).where(Account.id == queue_name.account_id)
    return (session.scalar(query) or b"") != used


def _sorted_by_scope(results: Sequence[AttemptResult], scope_index: int) -> list[AttemptResult]:
    return sorted(
        results, key=lambda result: QueueName.parse(result.claim.queue).pause_scopes[scope_index]
    )
