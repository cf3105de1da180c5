"""The dispatcher: one transaction settles and claims messages; threads send them outside it."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.orm import Session

from provider import outbox
from provider.delivery.channels import Channel, PreparedDelivery, build_channels
from provider.delivery.channels.base import DATABASE_ERRORS
from provider.delivery.circuit_breaker import add_jitter
from provider.delivery.policy import DeliveryPolicy, PolicyCycle
from provider.delivery.send_threads import SendThreads
from provider.metrics import MetricsRecorder
from provider.outbox import AttemptResult, Claim, Outcome, QueueName
from provider.services import Services

MAX_CONCURRENT_SENDS = 96  # over all queues
ERROR_BACKOFF_SECONDS = 1.0  # after a cycle that failed, for example because the disk is full

log = structlog.get_logger()


@dataclass(frozen=True)
class Delivery:
    """A claimed and rendered message."""

    claim: Claim
    prepared: PreparedDelivery


class Dispatcher:
    """Sends the outbox's messages; any number of dispatchers may share one database."""

    def __init__(
        self,
        services: Services,
        channels: Mapping[str, Channel] | None = None,
        max_concurrent_sends: int = MAX_CONCURRENT_SENDS,
    ) -> None:
        self.services = services
        self._channels = channels or build_channels(services)
        self._policy = DeliveryPolicy(self._channels, max_concurrent_sends)
        self._send_threads = SendThreads(max_concurrent_sends)
        self._condition = threading.Condition()
        # Queues to examine, in the order of their signals.
        self._signalled_queues: dict[str, None] = {}
        self._unsettled_results: list[AttemptResult] = []
        self._unknown_channels: set[str] = set()  # already logged
        self._stopping = False

    @property
    def _unsettled_counts(self) -> Counter[str]:
        """The numbers of messages that are claimed and not settled, by queue."""
        return self._policy.unsettled_counts

    def wake(self, queues: Iterable[str]) -> None:
        """Signal that queues may have due messages; queues of unknown channels are ignored.

        A program of another version may know these channels.
        """
        known = [queue for queue in queues if self._is_known_channel(queue)]
        with self._condition:
            self._signalled_queues.update(dict.fromkeys(known))
            self._condition.notify_all()

    def drain(self, *queues: str) -> int:
        """Send due messages of these queues until none is left; return the number of attempts."""
        self.wake(queues)
        attempt_count = 0
        while not self._stopping:
            attempt_count += self.run_once()
            with self._condition:
                is_drained = not self._unsettled_counts and not self._has_work()
            if is_drained:
                break
            self.wait()
        return attempt_count

    def wait_and_run(self, max_wait_seconds: float) -> None:
        """Run a cycle when there is work, or after `max_wait_seconds`; an error is logged."""
        expires_at = self.rate_limit_expires_at()
        if expires_at:
            seconds_left = (expires_at - self.services.now()).total_seconds()
            max_wait_seconds = min(max_wait_seconds, seconds_left)
        self.wait(max_wait_seconds)
        try:
            self.run_once()
        except Exception:
            log.exception("dispatcher_cycle_failed")
            self.back_off(ERROR_BACKOFF_SECONDS)

    def wait(self, timeout_seconds: float | None = None) -> None:
        """Wait until a cycle has work, the dispatcher stops, or the timeout passes."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopping or self._has_work(), timeout_seconds)

    def run_once(self) -> int:
        """Settle finished attempts, claim messages and start them; return how many started."""
        with self._condition:
            results = list(self._unsettled_results)
            queues = [] if self._stopping else self._take_ready_queues(results)
        if not results and not queues:
            return 0
        try:
            with self.services.db.writing(separate_commit=True) as session:
                now = self.services.now()
                valid_leases = self._settle(session, results, now)
                cycle = self._policy.decide(session, queues, results, valid_leases, now)
                deliveries = [
                    delivery
                    for queue in queues
                    for delivery in self._claim_and_prepare(session, cycle, queue)
                ]
        except BaseException:
            self.wake(queues)  # the next cycle repeats this one, with the same results
            raise
        self._policy.record(cycle)
        with self._condition:
            del self._unsettled_results[: len(results)]
        _record_results(self.services.metrics, results, valid_leases, self._channels)
        for delivery in deliveries:
            self._submit(delivery)
        return len(deliveries)

    def _settle(
        self, session: Session, results: Sequence[AttemptResult], now: datetime
    ) -> set[str]:
        """Settle attempts, and let their channels record what the outcomes say."""
        results_by_channel: dict[str, list[AttemptResult]] = {}
        for result in results:
            name = QueueName.parse(result.claim.queue).channel
            results_by_channel.setdefault(name, []).append(result)
        for name, channel_results in results_by_channel.items():
            self._channels[name].lock_subjects(session, channel_results)
        valid_leases = outbox.settle(session, results, now)
        for name, channel_results in results_by_channel.items():
            settled = [result for result in channel_results if result.claim.lease in valid_leases]
            self._channels[name].record_outcomes(session, settled, now)
        return valid_leases

    def rate_limit_expires_at(self) -> datetime | None:
        """Return when the first rate-limited queue may send again, or None."""
        return self._policy.send_rates.next_expiry()

    def back_off(self, seconds: float) -> None:
        """Wait, or return early when the dispatcher is stopped."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopping, seconds)

    def stop(self, loop_thread: threading.Thread | None = None) -> None:
        """Claim nothing more, wait for the loop's thread and the sends, and settle the results.

        An error of the database is logged: the messages are sent again after their leases.
        """
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if loop_thread:
            loop_thread.join()
        self._send_threads.stop()
        try:
            self.run_once()
        except Exception:
            log.exception("attempts_not_settled")
        for channel in self._channels.values():
            channel.close()

    def retry_delay(self, attempts: int) -> timedelta:
        """Return the wait after `attempts` earlier attempts; the schedule's last step repeats."""
        schedule = self.services.settings.retry_schedule
        return add_jitter(schedule[min(attempts, len(schedule) - 1)])

    def _take_ready_queues(self, results: Sequence[AttemptResult]) -> list[str]:
        """Pop the queues to examine: those signalled, finished or released by the rate limiter.

        A queue whose destination has no free slot stays signalled.
        """
        self._signalled_queues.update(dict.fromkeys(result.claim.queue for result in results))
        rate_limit_expired = self._policy.send_rates.pop_expired(self.services.now())
        self._signalled_queues.update(dict.fromkeys(rate_limit_expired))
        free_slots = self._policy.free_slots(results)
        queues = [queue for queue in self._signalled_queues if free_slots.count(queue)]
        for queue in queues:
            del self._signalled_queues[queue]
        return queues

    def _is_known_channel(self, queue: str) -> bool:
        channel = QueueName.parse(queue).channel
        if channel not in self._channels and channel not in self._unknown_channels:
            self._unknown_channels.add(channel)
            log.error("delivery_channel_unknown", channel=channel)
        return channel in self._channels

    def _has_work(self) -> bool:
        return bool(self._unsettled_results) or self._has_ready_queue()

    def _has_ready_queue(self) -> bool:
        free_slots = self._policy.free_slots()
        return any(free_slots.count(queue) for queue in self._signalled_queues)

    def _claim_and_prepare(
        self, session: Session, cycle: PolicyCycle, queue: str
    ) -> list[Delivery]:
        """Lease messages of a queue as the policy allows, and render those without a body."""
        if not cycle.has_free_slot(queue):  # another queue of this cycle has taken the last one
            self.wake([queue])
            return []
        allowance = cycle.allowance(queue)
        if not allowance.max_messages:
            return []
        channel = self._channels[QueueName.parse(queue).channel]
        limit = min(allowance.max_messages, channel.max_claims or allowance.max_messages)
        claims = outbox.claim(session, queue, cycle.now, limit, channel.lease)
        if not claims:
            return []
        if not cycle.acquire_probes(session, allowance, claims[0], channel.lease):
            outbox.release(session, claims[0])
            return []
        try:
            prepared_claims = channel.prepare(session, claims)
        except Exception as error:
            if type(error) in DATABASE_ERRORS:
                raise
            # The mistake is the channel's, not a message's: its messages wait for the sweep.
            log.exception("channel_failed", channel=QueueName.parse(queue).channel)
            for claim in claims:
                outbox.release(session, claim)
            return []
        if len(claims) == limit and not allowance.pauses_to_probe:
            self.wake([queue])  # the queue may have more due messages
        deliveries = []
        for claim, prepared in zip(claims, prepared_claims, strict=True):
            if isinstance(prepared, Exception):
                # A message that cannot be rendered must not block the rest of its queue.
                _park(session, claim, prepared, cycle.now)
                self.wake([queue])
                continue
            if claim.body_encrypted is None and prepared.body is not None:
                outbox.store_body(session, claim, prepared.body)
            deliveries.append(Delivery(claim, prepared))
        cycle.record_claims(queue, len(deliveries))
        return deliveries

    def _submit(self, delivery: Delivery) -> None:
        self._send_threads.submit(partial(self._send, delivery))

    def _send(self, delivery: Delivery) -> None:
        """Make one attempt; any exception becomes an outcome."""
        started_at = self.services.now()
        try:
            outcome = delivery.prepared.send()
        except Exception as error:
            context = {"order": delivery.claim.subject, "message": delivery.claim.public_id}
            log.exception("delivery_attempt_failed", **context)
            outcome = Outcome("retry", error=f"{type(error).__name__}", is_sent=False)
        self._finish(delivery, outcome, started_at)

    def _finish(self, delivery: Delivery, outcome: Outcome, started_at: datetime) -> None:
        """Queue a result for the next cycle."""
        if outcome.decision == "retry":
            outcome = replace(
                outcome, retry_after=self._effective_retry_delay(delivery.claim, outcome)
            )
        result = AttemptResult(delivery.claim, outcome, started_at, self.services.now())
        with self._condition:
            self._unsettled_results.append(result)
            self._condition.notify_all()

    def _effective_retry_delay(self, claim: Claim, outcome: Outcome) -> timedelta:
        """Return the wait until a message's next attempt.

        A receiver's own wait is raised to the schedule's first step: a receiver that asks for
        none would be called without end.
        """
        if outcome.retry_after is None:
            return self.retry_delay(len(claim.past_attempts))
        if outcome.failure_scope == "account":  # its pause delays all of its messages
            return outcome.retry_after
        return max(outcome.retry_after, self.retry_delay(0))


def _park(session: Session, claim: Claim, error: Exception, now: datetime) -> None:
    context = {"order": claim.subject, "message": claim.public_id}
    log.error("message_rendering_failed", exc_info=error, **context)
    error_text = f"The message could not be rendered: {type(error).__name__}"
    outcome = Outcome("rejected", error=error_text)
    outbox.settle(session, [AttemptResult(claim, outcome, now, now)], now)


def _record_results(
    metrics: MetricsRecorder,
    results: Sequence[AttemptResult],
    valid_leases: set[str],
    channels: Mapping[str, Channel],
) -> None:
    metrics.record_attempts(results, valid_leases)
    for result in results:
        claim, outcome = result.claim, result.outcome
        channel = channels[QueueName.parse(claim.queue).channel]
        # Without a status code the error is this program's own.
        is_private = channel.has_private_responses and outcome.status_code is not None
        log.info(
            "delivery_attempted",
            order=claim.subject,
            topic=claim.topic,
            message=claim.public_id,
            attempt=claim.attempts + 1,
            outcome=outcome.decision if claim.lease in valid_leases else "lease_lost",
            code=outcome.status_code,
            error=None if is_private else outcome.error or None,
        )
