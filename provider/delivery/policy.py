"""How many messages may be claimed: circuit breaker, pauses and the accounts' send rates.

The delay before a message's next attempt is `Dispatcher.retry_delay` in `dispatcher.py`.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.delivery.limits import Paces
from provider.outbox import CALLBACK, DEFAULT_LEASE, AttemptResult, Claim, Pause, QueueName

FAILURE_THRESHOLD = 5  # failures in a row after which a destination is paused
# Waits between probes of a paused destination; the last one repeats.
PROBE_INTERVALS = tuple(timedelta(seconds=seconds) for seconds in (30, 60, 120, 300))
TOKEN_PROBE_INTERVAL = timedelta(minutes=30)  # between probes with a rejected token
JITTER_RATIO = 0.2  # share by which a wait is lengthened or shortened
RATE_CACHE_TTL = timedelta(seconds=5)
UNLIMITED_MESSAGES = 1_000_000  # more than a dispatcher has slots

log = structlog.get_logger()
parse_queue_name = lru_cache(maxsize=10_000)(QueueName.parse)


@dataclass(frozen=True)
class QueueAllowance:
    """How many messages of a queue may be claimed, and the pauses that a claim would probe."""

    queue: str
    max_messages: int
    pauses_to_probe: tuple[Pause, ...] = ()


class DeliveryPolicy:
    """Pauses and resumes destinations, accounts and queues, and computes allowances."""

    def __init__(self) -> None:
        self._consecutive_failures: Counter[str] = Counter()  # by destination
        self._probing_message_ids: dict[str, int] = {}  # by a pause's scope
        self._send_rate_limiter = Paces()
        # When each account's rate was read, and the rate (messages per second, None: unlimited).
        self._account_rates: dict[int, tuple[datetime, float | None]] = {}
        self._rate_limited_until: dict[str, datetime] = {}  # by queue

    @contextmanager
    def rollback_on_error(self) -> Iterator[None]:
        """Undo what results changed in memory when the transaction fails.

        The next cycle passes the same results again; a failure must not count twice.
        """
        snapshot = self._consecutive_failures.copy(), self._probing_message_ids.copy()
        try:
            yield
        except BaseException:
            self._consecutive_failures, self._probing_message_ids = snapshot
            raise

    def queue_allowances(
        self,
        session: Session,
        queues: Sequence[str],
        results: Sequence[AttemptResult],
        now: datetime,
    ) -> list[QueueAllowance]:
        """Update the pauses by these results, and return the allowance of each queue."""
        names = {*queues, *(result.claim.queue for result in results)}
        scopes = {scope for name in names for scope in parse_queue_name(name).pause_scopes}
        pauses = outbox.active_pauses(session, scopes)
        # Pauses are written in the order of their scopes, or two dispatchers could deadlock.
        for result in _sorted_by_scope(results, 1):
            self._update_account(session, result, pauses, now)
        for result in _sorted_by_scope(results, 2):
            self._update_queue(session, result, pauses, now)
        self._resume_expired_queues(session, queues, pauses, now)
        for result in _sorted_by_scope(results, 0):
            self._update_destination(session, result, pauses, now)
        self._refresh_rates(session, queues, now)
        return [self._queue_allowance(session, queue, pauses, now) for queue in queues]

    def acquire_probes(
        self, session: Session, allowance: QueueAllowance, claim: Claim, now: datetime
    ) -> bool:
        """Reserve the probes of a queue's pauses for a message; False when another has one."""
        for expired_pause in allowance.pauses_to_probe:
            if not outbox.probe(session, expired_pause, retry_at=now + DEFAULT_LEASE, now=now):
                return False
            self._probing_message_ids[expired_pause.scope] = claim.message_id
        return True

    def record_sends(self, queue: str, count: int, now: datetime) -> None:
        """Count messages of a queue against its account's rate."""
        rate = self._send_rate(queue)
        if rate:
            self._rate_limited_until[queue] = self._send_rate_limiter.took(queue, rate, count, now)

    def is_rate_limited(self, queue: str) -> bool:
        """Return whether the rate limiter stops a queue at present."""
        return queue in self._rate_limited_until

    def rate_limit_expires_at(self) -> datetime | None:
        """Return when the first rate-limited queue may send again, or None."""
        return min(self._rate_limited_until.values(), default=None)

    def pop_rate_limit_expired(self, now: datetime) -> list[str]:
        """Remove and return the queues that may send again."""
        expired = [
            queue for queue, expires_at in self._rate_limited_until.items() if expires_at <= now
        ]
        for queue in expired:
            del self._rate_limited_until[queue]
        return expired

    def _queue_allowance(
        self, session: Session, queue: str, pauses: dict[str, Pause], now: datetime
    ) -> QueueAllowance:
        queue_pauses = [
            pauses[scope] for scope in parse_queue_name(queue).pause_scopes if scope in pauses
        ]
        if any(current_pause.retry_at > now for current_pause in queue_pauses):
            return QueueAllowance(queue, 0)
        rate = self._send_rate(queue)
        limit = self._send_rate_limiter.allowed(queue, rate, now) if rate else UNLIMITED_MESSAGES
        if queue_pauses:  # a single message probes
            limit = min(limit, 1)
        return QueueAllowance(queue, limit, tuple(queue_pauses))

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

    def _update_destination(
        self, session: Session, result: AttemptResult, pauses: dict[str, Pause], now: datetime
    ) -> None:
        scope = parse_queue_name(result.claim.queue).pause_scopes[0]
        if not result.outcome.is_sent:
            return
        if result.outcome.failure_scope != "destination":
            del self._consecutive_failures[scope]
            self._resume(session, scope, pauses)
            return
        self._consecutive_failures[scope] += 1
        if self._consecutive_failures[scope] >= FAILURE_THRESHOLD or scope in pauses:
            self._pause(session, scope, result, pauses, now)

    def _update_account(
        self, session: Session, result: AttemptResult, pauses: dict[str, Pause], now: datetime
    ) -> None:
        scope = parse_queue_name(result.claim.queue).pause_scopes[1]
        if result.outcome.failure_scope == "account":
            if not self._is_token_replaced(session, result):
                self._pause(session, scope, result, pauses, now)
        elif result.outcome.decision == "delivered":
            self._resume(session, scope, pauses)

    def _is_token_replaced(self, session: Session, result: AttemptResult) -> bool:
        """Return whether the account got another token since: then a rejection is outdated."""
        if result.outcome.token_encrypted is None:
            return False
        account_id = parse_queue_name(result.claim.queue).account_id
        current = session.scalar(select(Account.callback_token).where(Account.id == account_id))
        return (current or b"") != result.outcome.token_encrypted

    def _update_queue(
        self, session: Session, result: AttemptResult, pauses: dict[str, Pause], now: datetime
    ) -> None:
        scope = parse_queue_name(result.claim.queue).pause_scopes[2]
        if result.outcome.pause_duration:
            retry_at = now + result.outcome.pause_duration
            reason = "The receiver asks for a wait"
            pauses[scope] = outbox.pause(session, scope, reason, retry_at, now)

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
        is_probe = self._probing_message_ids.get(scope) == result.claim.message_id
        if scope in pauses and not is_probe:
            return
        self._probing_message_ids.pop(scope, None)
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
        self._probing_message_ids.pop(scope, None)
        if pauses.pop(scope, None):
            outbox.resume(session, scope)
            log.info("deliveries_resumed", scope=scope)

    def _send_rate(self, queue: str) -> float | None:
        queue_name = parse_queue_name(queue)
        if queue_name.channel != CALLBACK:
            return None
        _, rate = self._account_rates.get(queue_name.account_id, (None, None))
        return rate

    def _refresh_rates(self, session: Session, queues: Sequence[str], now: datetime) -> None:
        account_ids = {
            parse_queue_name(queue).account_id
            for queue in queues
            if parse_queue_name(queue).channel == CALLBACK
        }
        stale = {account_id for account_id in account_ids if not self._is_fresh(account_id, now)}
        if stale:
            query = select(Account.id, Account.callback_rate).where(Account.id.in_(stale))
            for account_id, rate in session.execute(query):
                self._account_rates[account_id] = (now, rate)

    def _is_fresh(self, account_id: int, now: datetime) -> bool:
        if account_id not in self._account_rates:
            return False
        read_at, _ = self._account_rates[account_id]
        return read_at <= now < read_at + RATE_CACHE_TTL


def add_jitter(wait: timedelta) -> timedelta:
    """Return a wait changed by up to `JITTER_RATIO`, so that waits do not end together."""
    return wait * random.uniform(1 - JITTER_RATIO, 1 + JITTER_RATIO)  # noqa: S311  (no secret)


def _sorted_by_scope(results: Sequence[AttemptResult], scope_index: int) -> list[AttemptResult]:
    return sorted(
        results, key=lambda result: parse_queue_name(result.claim.queue).pause_scopes[scope_index]
    )
