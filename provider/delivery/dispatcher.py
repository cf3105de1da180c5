"""The dispatcher: one transaction settles and claims messages; threads send them outside it."""

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from provider import outbox
from provider.delivery.channels.base import Channel, PreparedDelivery
from provider.delivery.channels.callback import CallbackChannel
from provider.delivery.channels.email import EmailChannel
from provider.delivery.channels.recording import RecordingChannel
from provider.delivery.limits import ConcurrencyLimiter
from provider.delivery.policy import DeliveryPolicy, QueueAllowance, add_jitter, parse_queue_name
from provider.metrics import MetricsRecorder
from provider.outbox import CALLBACK, EMAIL, MEDIA, AttemptResult, Claim, Outcome
from provider.services import Services

MAX_CONCURRENT_SENDS = 96  # over all queues
ERROR_BACKOFF_SECONDS = 1.0  # after a cycle that failed, for example because the disk is full

log = structlog.get_logger()


@dataclass(frozen=True)
class Delivery:
    """A claimed and rendered message."""

    claim: Claim
    prepared: PreparedDelivery
    destination: str


class Dispatcher:
    """Sends the outbox's messages; any number of dispatchers may share one database."""

    def __init__(
        self,
        services: Services,
        channels: Mapping[str, Channel] | None = None,
        max_concurrent_sends: int = MAX_CONCURRENT_SENDS,
    ) -> None:
        self.services = services
        self._channels = channels or {
            CALLBACK: CallbackChannel(services),
            EMAIL: EmailChannel(services),
            MEDIA: RecordingChannel(services),
        }
        self._policy = DeliveryPolicy()
        self._concurrency_limiter = ConcurrencyLimiter(max_concurrent_sends)
        self._send_pool = ThreadPoolExecutor(max_concurrent_sends, thread_name_prefix="send")
        self._condition = threading.Condition()
        # Queues to examine, in the order of their signals.
        self._signalled_queues: dict[str, None] = {}
        # Claimed deliveries that wait for a free slot, by destination.
        self._prefetched: dict[str, deque[Delivery]] = {}
        self._unsettled_results: list[AttemptResult] = []
        self._claims_to_release: list[Claim] = []
        self._unsettled_counts: Counter[str] = Counter()  # claimed, not settled; by queue
        self._stopping = False

    def wake(self, queues: Iterable[str]) -> None:
        """Signal that queues may have due messages."""
        with self._condition:
            self._signalled_queues.update(dict.fromkeys(queues))
            self._condition.notify_all()

    def drain(self, *queues: str) -> int:
        """Send due messages of these queues until none is left; return the number of attempts."""
        self.wake(queues)
        attempt_count = 0
        while not self._stopping:
            attempt_count += self.run_once()
            with self._condition:
                is_drained = not self._concurrency_limiter.busy and not self._has_work()
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
            results, self._unsettled_results = self._unsettled_results, []
            unsent_claims, self._claims_to_release = self._claims_to_release, []
            queues = [] if self._stopping else self._take_ready_queues(results)
        if not results and not unsent_claims and not queues:
            return 0
        deliveries: list[Delivery] = []
        try:
            with (
                self._policy.rollback_on_error(),
                self.services.db.writing(separate_commit=True) as session,
            ):
                now = self.services.now()
                valid_leases = outbox.settle(session, results, now)
                settled = [result for result in results if result.claim.lease in valid_leases]
                for claim in unsent_claims:
                    outbox.release(session, claim)
                for allowance in self._policy.queue_allowances(session, queues, settled, now):
                    deliveries += self._claim_and_prepare(session, allowance, now)
        except BaseException:
            # The transaction was rolled back, but the attempts were made: the next cycle must
            # settle them.
            with self._condition:
                self._unsettled_results = results + self._unsettled_results
                self._claims_to_release = unsent_claims + self._claims_to_release
                self._signalled_queues = dict.fromkeys([*queues, *self._signalled_queues])
                for delivery in deliveries:
                    self._concurrency_limiter.give_back(delivery.destination)
            raise
        _record_results(self.services.metrics, results, valid_leases)
        finished_claims = [*(result.claim for result in results), *unsent_claims]
        self._unsettled_counts.subtract(claim.queue for claim in finished_claims)
        self._unsettled_counts.update(delivery.claim.queue for delivery in deliveries)
        self.wake(claim.queue for claim in unsent_claims)
        for delivery in deliveries:
            self._start(delivery)
        return len(deliveries)

    def rate_limit_expires_at(self) -> datetime | None:
        """Return when the first rate-limited queue may send again, or None."""
        return self._policy.rate_limit_expires_at()

    def back_off(self, seconds: float) -> None:
        """Wait, or return early when the dispatcher is stopped."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopping, seconds)

    def stop(self, loop_thread: threading.Thread | None = None) -> None:
        """Claim nothing more, wait for the loop's thread and the sends, and settle the results."""
        with self._condition:
            self._stopping = True
            for destination in list(self._prefetched):
                self._release_prefetched(destination)
            self._condition.notify_all()
        if loop_thread:
            loop_thread.join()
        self._send_pool.shutdown(wait=True)
        self.run_once()
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
        self._signalled_queues.update(
            dict.fromkeys(self._policy.pop_rate_limit_expired(self.services.now()))
        )
        queues = [
            queue
            for queue in self._signalled_queues
            if self._concurrency_limiter.free(parse_queue_name(queue).destination)
        ]
        for queue in queues:
            del self._signalled_queues[queue]
        return queues

    def _has_work(self) -> bool:
        return bool(self._unsettled_results or self._claims_to_release) or self._has_ready_queue()

    def _has_ready_queue(self) -> bool:
        return any(
            self._concurrency_limiter.free(parse_queue_name(queue).destination)
            for queue in self._signalled_queues
        )

    def _claim_and_prepare(
        self, session: Session, allowance: QueueAllowance, now: datetime
    ) -> list[Delivery]:
        """Lease messages of a queue as the policy allows, and render those without a body."""
        queue = allowance.queue
        queue_name = parse_queue_name(queue)
        destination = queue_name.destination
        if allowance.pauses_to_probe:
            self._concurrency_limiter.doubt(destination)
        limit = min(allowance.max_messages, self._concurrency_limiter.free(destination))
        if not limit:
            if allowance.max_messages:  # the slots were free when the queue was popped
                self.wake([queue])
            return []
        claims = outbox.claim(session, queue, now, limit)
        if claims and not self._policy.acquire_probes(session, allowance, claims[0], now):
            outbox.release(session, claims[0])
            return []
        if len(claims) == limit and not allowance.pauses_to_probe:
            self.wake([queue])  # the queue may have more due messages
        channel = self._channels[queue_name.channel]
        prepared_or_errors = channel.prepare(session, claims) if claims else []
        deliveries = []
        for claim, prepared in zip(claims, prepared_or_errors, strict=True):
            if isinstance(prepared, Exception):
                # A message that cannot be rendered must not block the rest of its queue.
                _park(session, claim, prepared, now)
                self.wake([queue])
                continue
            if claim.body is None and prepared.body is not None:
                outbox.store_body(session, claim, prepared.body)
            deliveries.append(Delivery(claim, prepared, destination))
        if deliveries:
            self._policy.record_sends(queue, len(deliveries), now)
        with self._condition:
            self._concurrency_limiter.take(destination, len(deliveries))
        return deliveries

    def _start(self, delivery: Delivery) -> None:
        """Send a delivery now, or once its destination has a free slot."""
        with self._condition:
            if self._stopping:
                self._claims_to_release.append(delivery.claim)
                self._concurrency_limiter.give_back(delivery.destination)
            elif self._concurrency_limiter.begin(delivery.destination):
                self._submit(delivery)
            else:
                self._prefetched.setdefault(delivery.destination, deque()).append(delivery)

    def _submit(self, delivery: Delivery) -> None:
        self._send_pool.submit(self._send, delivery)

    def _send(self, delivery: Delivery) -> None:
        """Make one attempt; any exception becomes an outcome."""
        started_at = self.services.now()
        try:
            outcome = delivery.prepared.send()
        except Exception as error:
            context = {"order": delivery.claim.ordering_key, "message": delivery.claim.public_id}
            log.exception("delivery_attempt_failed", **context)
            outcome = Outcome("retry", error=f"{type(error).__name__}", is_sent=False)
        self._finish(delivery, outcome, started_at)

    def _finish(self, delivery: Delivery, outcome: Outcome, started_at: datetime) -> None:
        """Queue a result for the next cycle, and use the free slot for a prefetched delivery."""
        if outcome.decision == "retry":
            outcome = replace(
                outcome, retry_after=self._effective_retry_delay(delivery.claim, outcome)
            )
        result = AttemptResult(delivery.claim, outcome, started_at, self.services.now())
        with self._condition:
            self._unsettled_results.append(result)
            self._concurrency_limiter.end(
                delivery.destination,
                answered=_is_destination_answering(outcome),
                seconds=result.duration_seconds,
            )
            if outcome.failure_scope or outcome.pause_duration:
                self._release_prefetched(delivery.destination)
            elif prefetched := self._prefetched.get(delivery.destination):
                self._send_prefetched(prefetched)
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

    def _send_prefetched(self, prefetched: "deque[Delivery]") -> None:
        while prefetched and self._concurrency_limiter.begin(prefetched[0].destination):
            self._submit(prefetched.popleft())

    def _release_prefetched(self, destination: str) -> None:
        """Release the prefetched deliveries of a destination: the policy decides again."""
        prefetched = self._prefetched.pop(destination, deque())
        self._claims_to_release += (delivery.claim for delivery in prefetched)
        self._concurrency_limiter.give_back(destination, len(prefetched))


def _is_destination_answering(outcome: Outcome) -> bool | None:
    """Return whether the attempt reached the destination; None where it says nothing of it."""
    if outcome.pause_duration or not outcome.is_sent:
        return None
    return outcome.failure_scope != "destination"


def _park(session: Session, claim: Claim, error: Exception, now: datetime) -> None:
    context = {"order": claim.ordering_key, "message": claim.public_id}
    log.error("message_rendering_failed", exc_info=error, **context)
    error_text = f"The message could not be rendered: {type(error).__name__}"
    outcome = Outcome("rejected", error=error_text)
    outbox.settle(session, [AttemptResult(claim, outcome, now, now)], now)


def _record_results(
    metrics: MetricsRecorder, results: Sequence[AttemptResult], valid_leases: set[str]
) -> None:
    metrics.record_attempts(results, valid_leases)
    for result in results:
        claim, outcome = result.claim, result.outcome
        # A mail server's response may name the candidate: only the attempt stores it.
        is_mail_response = (
            parse_queue_name(claim.queue).channel == EMAIL and outcome.status_code is not None
        )
        log.info(
            "delivery_attempted",
            order=claim.ordering_key,
            topic=claim.topic,
            message=claim.public_id,
            attempt=claim.attempts + 1,
            outcome=outcome.decision if claim.lease in valid_leases else "lease_lost",
            code=outcome.status_code,
            error=None if is_mail_response else outcome.error or None,
        )
