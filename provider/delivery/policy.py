"""The delivery policy: how many messages of each queue a dispatcher may claim.

Three limits decide: pauses (the circuit breaker), concurrent sends, and the accounts' send rates.
A claim is a message with its lease. A slot is the right to one concurrent send: `dispatcher.py` has
their number (`MAX_CONCURRENT_SENDS`) and the delay before a message's next attempt (`retry_delay`).
A probe is the one message that tests whether a pause can end.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.delivery.channels.base import Channel
from provider.delivery.circuit_breaker import CircuitBreaker
from provider.outbox import CALLBACK, AttemptResult, Claim, Pause, QueueName

# Destinations are in one of two bulkheads: groups with separate limits. The last responses of a
# quick one came within this time on average. All others are slow, failing or not tried yet.
QUICK_RESPONSE_SECONDS = 0.5
RECENT_RESPONSES = 4  # about as many responses as the average covers
# Shares of all concurrent sends: of one destination in each bulkhead, and of all slow ones.
QUICK_DESTINATION_SHARE = 2 / 3
SLOW_DESTINATION_SHARE = 1 / 12
SLOW_BULKHEAD_SHARE = 1 / 2
RATE_CACHE_TTL = timedelta(seconds=5)
RATE_BURST_SECONDS = 0.05  # by which a queue may be ahead of its rate
UNLIMITED_MESSAGES = 1_000_000  # more than a dispatcher has slots


@dataclass(frozen=True)
class QueueAllowance:
    """How many messages of a queue may be claimed, and the pauses that a claim would probe."""

    max_messages: int
    pauses_to_probe: tuple[Pause, ...] = ()


class DeliveryPolicy:
    """Decides what a dispatcher may claim, and records what it has claimed and settled.

    The decisions for one transaction are a `PolicyCycle`. A decision changes nothing here: only
    `record` does, after the commit. So a transaction that fails has nothing to undo.
    """

    def __init__(self, channels: Mapping[str, Channel], max_concurrent_sends: int) -> None:
        self.channels = channels
        self.max_concurrent_sends = max_concurrent_sends
        self.circuit_breaker = CircuitBreaker()
        self.send_rates = SendRates()
        self.unsettled_counts: Counter[str] = Counter()  # messages claimed, not settled; by queue
        self._mean_response_seconds: dict[str, float] = {}  # by destination

    def free_slots(self, results: Sequence[AttemptResult] = ()) -> "FreeSlots":
        """Return the free slots, as if these results were settled."""
        settled_counts = Counter(result.claim.queue for result in results)
        return FreeSlots(self, self.unsettled_counts - settled_counts)

    def decide(
        self,
        session: Session,
        queues: Sequence[str],
        results: Sequence[AttemptResult],
        valid_leases: set[str],
        now: datetime,
    ) -> "PolicyCycle":
        """Write the pauses that these results cause or end; return what may be claimed now.

        A result without a valid lease frees its slot, and says nothing about its destination.
        """
        valid_results = [result for result in results if result.claim.lease in valid_leases]
        circuit_breaker = self.circuit_breaker.copy()
        pauses = circuit_breaker.update_pauses(session, queues, valid_results, now)
        self.send_rates.refresh(session, queues, now)
        return PolicyCycle(self, circuit_breaker, pauses, results, now)

    def record(self, cycle: "PolicyCycle") -> None:
        """Record what a committed transaction has settled and claimed."""
        self.circuit_breaker = cycle.circuit_breaker
        self.unsettled_counts -= Counter(result.claim.queue for result in cycle.results)
        self.unsettled_counts += cycle.claimed_counts
        for queue, count in cycle.claimed_counts.items():
            self.send_rates.record(queue, count, cycle.now)
        for result in cycle.results:
            if result.outcome.is_sent and result.outcome.failure_scope != "destination":
                self._record_response(result)

    def is_quick(self, destination: str) -> bool:
        mean = self._mean_response_seconds.get(destination, QUICK_RESPONSE_SECONDS)
        is_failing = destination in self.circuit_breaker.consecutive_failures
        return mean < QUICK_RESPONSE_SECONDS and not is_failing

    def is_rate_limited(self, queue: str) -> bool:
        """Return whether its account's send rate stops a queue at present."""
        return self.send_rates.is_limited(queue)

    def _record_response(self, result: AttemptResult) -> None:
        destination = QueueName.parse(result.claim.queue).destination
        seconds = result.duration_seconds
        mean = self._mean_response_seconds.get(destination, seconds)
        self._mean_response_seconds[destination] = mean + (seconds - mean) / RECENT_RESPONSES


class PolicyCycle:
    """The decisions for one transaction, and what it claims; dropped when it fails."""

    def __init__(
        self,
        policy: DeliveryPolicy,
        circuit_breaker: CircuitBreaker,
        pauses: Mapping[str, Pause],
        results: Sequence[AttemptResult],
        now: datetime,
    ) -> None:
        self.circuit_breaker, self.results, self.now = circuit_breaker, results, now
        self.claimed_counts: Counter[str] = Counter()  # by queue
        self._policy, self._pauses = policy, pauses
        self._slots = policy.free_slots(results)

    def has_free_slot(self, queue: str) -> bool:
        return self._slots.count(queue) > 0

    def allowance(self, queue: str) -> QueueAllowance:
        scopes = QueueName.parse(queue).pause_scopes
        pauses = tuple(self._pauses[scope] for scope in scopes if scope in self._pauses)
        if any(pause.retry_at > self.now for pause in pauses):
            return QueueAllowance(0)
        limit = min(self._slots.count(queue), self._policy.send_rates.allowed(queue, self.now))
        if pauses:  # a single message probes
            limit = min(limit, 1)
        return QueueAllowance(limit, pauses)

    def acquire_probes(
        self, session: Session, allowance: QueueAllowance, claim: Claim, lease: timedelta
    ) -> bool:
        """Reserve the probes of a queue's pauses for a message; False when another has one."""
        return self.circuit_breaker.acquire_probes(
            session, allowance.pauses_to_probe, claim, lease, self.now
        )

    def record_claims(self, queue: str, count: int) -> None:
        self.claimed_counts[queue] += count
        self._slots.take(queue, count)


class FreeSlots:
    """How many more messages may be sent at once, at one moment."""

    def __init__(self, policy: DeliveryPolicy, unsettled_counts: Counter[str]) -> None:
        self._policy = policy
        self._busy: Counter[str] = Counter()  # by destination
        self._free = policy.max_concurrent_sends
        self._free_in_slow_bulkhead = self._share(SLOW_BULKHEAD_SHARE)
        for queue, count in unsettled_counts.items():
            self.take(queue, count)

    def count(self, queue: str) -> int:
        """Return how many more messages of a queue may be claimed."""
        queue_name = QueueName.parse(queue)
        free = min(self._free, self._limit(queue_name) - self._busy[queue_name.destination])
        if self._is_in_slow_bulkhead(queue_name):
            free = min(free, self._free_in_slow_bulkhead)
        return max(0, free)

    def take(self, queue: str, count: int) -> None:
        queue_name = QueueName.parse(queue)
        self._busy[queue_name.destination] += count
        self._free -= count
        if self._is_in_slow_bulkhead(queue_name):
            self._free_in_slow_bulkhead -= count

    def _limit(self, queue_name: QueueName) -> int:
        channel_limit = self._policy.channels[queue_name.channel].max_concurrent_sends
        if channel_limit is not None:
            return channel_limit
        is_quick = self._policy.is_quick(queue_name.destination)
        return self._share(QUICK_DESTINATION_SHARE if is_quick else SLOW_DESTINATION_SHARE)

    def _is_in_slow_bulkhead(self, queue_name: QueueName) -> bool:
        channel = self._policy.channels[queue_name.channel]
        if channel.max_concurrent_sends is not None and not channel.is_per_host:
            return False  # its single destination never uses more than the channel's limit
        return not self._policy.is_quick(queue_name.destination)

    def _share(self, share: float) -> int:
        return max(1, int(self._policy.max_concurrent_sends * share))


class SendRates:
    """Limits the callbacks of a queue per second, by the generic cell rate algorithm (GCRA).

    The rate is a setting of the account. Each message moves its queue's `used_until` forward by
    1 / rate. A message may be sent while `used_until` is less than a burst ahead of the present.
    """

    def __init__(self) -> None:
        # When each account's rate was read, and the rate (messages per second, None: unlimited).
        self._account_rates: dict[int, tuple[datetime, float | None]] = {}
        self._used_until: dict[str, datetime] = {}  # by queue
        self._limited_until: dict[str, datetime] = {}  # by queue

    def refresh(self, session: Session, queues: Sequence[str], now: datetime) -> None:
        """Read the rates of these queues' accounts, unless they were read a moment ago."""
        names = [QueueName.parse(queue) for queue in queues]
        account_ids = {name.account_id for name in names if name.channel == CALLBACK}
        stale = {account_id for account_id in account_ids if not self._is_fresh(account_id, now)}
        if stale:
            query = select(Account.id, Account.callback_rate).where(Account.id.in_(stale))
            for account_id, rate in session.execute(query):
                self._account_rates[account_id] = (now, rate)

    def allowed(self, queue: str, now: datetime) -> int:
        """Return how many messages of a queue may be sent now."""
        rate = self._rate(queue)
        if not rate:
            return UNLIMITED_MESSAGES
        seconds_ahead = (self._start(queue, now) - now) / timedelta(seconds=1)
        return max(0, floor(_burst(rate) - seconds_ahead * rate))

    def record(self, queue: str, count: int, now: datetime) -> None:
        """Count messages of a queue against its rate."""
        rate = self._rate(queue)
        if rate:
            used_until = self._start(queue, now) + timedelta(seconds=count / rate)
            self._used_until[queue] = used_until
            self._limited_until[queue] = used_until - timedelta(seconds=(_burst(rate) - 1) / rate)

    def is_limited(self, queue: str) -> bool:
        return queue in self._limited_until

    def next_expiry(self) -> datetime | None:
        """Return when the first limited queue may send again, or None."""
        return min(self._limited_until.values(), default=None)

    def pop_expired(self, now: datetime) -> list[str]:
        """Remove and return the limited queues that may send again."""
        limits = self._limited_until.items()
        expired = [queue for queue, limited_until in limits if limited_until <= now]
        for queue in expired:
            del self._limited_until[queue]
        return expired

    def _start(self, queue: str, now: datetime) -> datetime:
        return max(now, self._used_until.get(queue, now))

    def _rate(self, queue: str) -> float | None:
        queue_name = QueueName.parse(queue)
        if queue_name.channel != CALLBACK:
            return None
        _, rate = self._account_rates.get(queue_name.account_id, (None, None))
        return rate

    def _is_fresh(self, account_id: int, now: datetime) -> bool:
        if account_id not in self._account_rates:
            return False
        read_at, _ = self._account_rates[account_id]
        return read_at <= now < read_at + RATE_CACHE_TTL


def _burst(rate: float) -> int:
    return ceil(rate * RATE_BURST_SECONDS)
