"""`turn()`: settle what has ended and claim what may go, in one transaction; send outside it."""

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
from provider.metrics import Meter
from provider.outbox import CALLBACK, EMAIL, MEDIA, AttemptResult, Claim, Outcome
from provider.services import Services

MAX_CONCURRENT_SENDS = 96  # messages of all lanes that are being sent at once
ERROR_BACKOFF_SECONDS = 1.0  # seconds of rest after a turn that failed, e.g. for the disk is full

log = structlog.get_logger()


@dataclass(frozen=True)
class Delivery:
    """A claimed message with its parcel."""

    claim: Claim
    prepared: PreparedDelivery
    destination: str


class Dispatcher:
    """Sends what the outbox holds; any number of couriers may work on one database."""

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
        self._signalled_queues: dict[
            str, None
        ] = {}  # lanes to look at, in the order in which they called
        self._prefetched: dict[
            str, deque[Delivery]
        ] = {}  # claimed, for when a hand of the route is free
        self._unsettled_results: list[AttemptResult] = []
        self._claims_to_release: list[Claim] = []
        self._unsettled_counts: Counter[str] = (
            Counter()
        )  # messages claimed and not settled yet, by lane
        self._stopping = False

    def wake(self, queues: Iterable[str]) -> None:
        """Say that lanes may have something due."""
        with self._condition:
            self._signalled_queues.update(dict.fromkeys(queues))
            self._condition.notify_all()

    def drain(self, *queues: str) -> int:
        """Send what is due and may go in these lanes until nothing is; return the tries made."""
        self.wake(queues)
        tried = 0
        while not self._stopping:
            tried += self.run_once()
            with self._condition:
                over = not self._concurrency_limiter.busy and not self._has_work()
            if over:
                break
            self.wait()
        return tried

    def wait_and_run(self, max_wait_seconds: float) -> None:
        """Take a turn as soon as there is something to do, or after so long; a fault is logged."""
        paced = self.rate_limit_expires_at()
        if paced:
            max_wait_seconds = min(max_wait_seconds, (paced - self.services.now()).total_seconds())
        self.wait(max_wait_seconds)
        try:
            self.run_once()
        except Exception:
            log.exception("the courier stumbled and goes on")
            self.back_off(ERROR_BACKOFF_SECONDS)

    def wait(self, timeout_seconds: float | None = None) -> None:
        """Wait until there is something for a turn to do, or for so long."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopping or self._has_work(), timeout_seconds)

    def run_once(self) -> int:
        """Settle what has ended, claim what may go, and have it sent; return how many."""
        with self._condition:
            ended, self._unsettled_results = self._unsettled_results, []
            unsent, self._claims_to_release = self._claims_to_release, []
            lanes = [] if self._stopping else self._take_ready_queues(ended)
        if not ended and not unsent and not lanes:
            return 0
        jobs: list[Delivery] = []
        try:
            with (
                self._policy.rollback_on_error(),
                self.services.db.writing(separate_commit=True) as session,
            ):
                at = self.services.now()
                stood = outbox.settle(session, ended, at)
                settled = [one for one in ended if one.claim.lease in stood]
                for claim in unsent:
                    outbox.release(session, claim)
                for opening in self._policy.queue_allowances(session, lanes, settled, at):
                    jobs += self._claim_and_prepare(session, opening, at)
        except BaseException:
            # Nothing of it happened. What ended has ended all the same: the next turn settles it.
            with self._condition:
                self._unsettled_results = ended + self._unsettled_results
                self._claims_to_release = unsent + self._claims_to_release
                self._signalled_queues = dict.fromkeys([*lanes, *self._signalled_queues])
                for job in jobs:
                    self._concurrency_limiter.give_back(job.destination)
            raise
        _record_results(self.services.metrics, ended, stood)
        self._unsettled_counts.subtract(
            claim.queue for claim in (*(one.claim for one in ended), *unsent)
        )
        self._unsettled_counts.update(job.claim.queue for job in jobs)
        self.wake(claim.queue for claim in unsent)
        for job in jobs:
            self._start(job)
        return len(jobs)

    def rate_limit_expires_at(self) -> datetime | None:
        """Return when a lane that is kept to a pace may go on, or None."""
        return self._policy.rate_limit_expires_at()

    def back_off(self, seconds: float) -> None:
        """Do nothing for so long, or until the courier is stopped."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopping, seconds)

    def stop(self, loop_thread: threading.Thread | None = None) -> None:
        """Take nothing more in hand, wait for who takes the turns, and settle what was sent."""
        with self._condition:
            self._stopping = True
            for route in list(self._prefetched):
                self._release_prefetched(route)
            self._condition.notify_all()
        if loop_thread:
            loop_thread.join()
        self._send_pool.shutdown(wait=True)
        self.run_once()
        for sink in self._channels.values():
            sink.close()

    def retry_delay(self, attempts: int) -> timedelta:
        """Return the wait after `attempts` earlier tries: the schedule, its last step repeated."""
        schedule = self.services.settings.retry_schedule
        return add_jitter(schedule[min(attempts, len(schedule) - 1)])

    def _take_ready_queues(self, results: Sequence[AttemptResult]) -> list[str]:
        """Take the lanes to look at: that called or go on, and to whose route a hand is free."""
        self._signalled_queues.update(dict.fromkeys(one.claim.queue for one in results))
        self._signalled_queues.update(
            dict.fromkeys(self._policy.pop_rate_limit_expired(self.services.now()))
        )
        lanes = [
            lane
            for lane in self._signalled_queues
            if self._concurrency_limiter.free(parse_queue_name(lane).destination)
        ]
        for lane in lanes:
            del self._signalled_queues[lane]
        return lanes

    def _has_work(self) -> bool:
        return bool(self._unsettled_results or self._claims_to_release) or self._has_ready_queue()

    def _has_ready_queue(self) -> bool:
        return any(
            self._concurrency_limiter.free(parse_queue_name(lane).destination)
            for lane in self._signalled_queues
        )

    def _claim_and_prepare(
        self, session: Session, allowance: QueueAllowance, now: datetime
    ) -> list[Delivery]:
        """Lease what may go of a lane and render what has no bytes yet."""
        lane, route = allowance.queue, parse_queue_name(allowance.queue).destination
        if allowance.pauses_to_probe:
            self._concurrency_limiter.doubt(route)
        most = min(allowance.max_messages, self._concurrency_limiter.free(route))
        if not most:
            if allowance.max_messages:  # others have taken the hands meanwhile
                self.wake([lane])
            return []
        claims = outbox.claim(session, lane, now, most)
        if claims and not self._policy.acquire_probes(session, allowance, claims[0], now):
            outbox.release(session, claims[0])
            return []
        if len(claims) == most and not allowance.pauses_to_probe:
            # There may be more.
            self.wake([lane])
        parcels = (
            self._channels[parse_queue_name(lane).channel].prepare(session, claims)
            if claims
            else []
        )
        jobs = []
        for claim, parcel in zip(claims, parcels, strict=True):
            if isinstance(parcel, Exception):
                # One message that cannot be written must not keep the rest of its lane.
                _park(session, claim, parcel, now)
                self.wake([lane])
                continue
            if claim.body is None and parcel.body is not None:
                outbox.store_body(session, claim, parcel.body)
            jobs.append(Delivery(claim, parcel, route))
        if jobs:
            self._policy.record_sends(lane, len(jobs), now)
        with self._condition:
            self._concurrency_limiter.take(route, len(jobs))
        return jobs

    def _start(self, delivery: Delivery) -> None:
        """Send it when a hand of its route is free."""
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
        """Try once; whatever happens is an outcome."""
        began = self.services.now()
        try:
            outcome = delivery.prepared.send()
        except Exception as error:
            told = {"order": delivery.claim.ordering_key, "message": delivery.claim.public_id}
            log.exception("a message could not be sent", **told)
            outcome = Outcome("retry", error=f"{type(error).__name__}", is_sent=False)
        self._finish(delivery, outcome, began)

    def _finish(self, delivery: Delivery, outcome: Outcome, started_at: datetime) -> None:
        """Note how a try ended, for the next turn, and let its hand go on."""
        if outcome.decision == "retry":
            outcome = replace(
                outcome, retry_after=self._effective_retry_delay(delivery.claim, outcome)
            )
        ended = AttemptResult(delivery.claim, outcome, started_at, self.services.now())
        with self._condition:
            self._unsettled_results.append(ended)
            self._concurrency_limiter.end(
                delivery.destination,
                answered=_is_destination_answering(outcome),
                seconds=ended.duration_seconds,
            )
            if outcome.failure_scope or outcome.pause_duration:
                self._release_prefetched(delivery.destination)
            elif ahead := self._prefetched.get(delivery.destination):
                self._send_prefetched(ahead)
            self._condition.notify_all()

    def _effective_retry_delay(self, claim: Claim, outcome: Outcome) -> timedelta:
        """Return how long a message waits for its next try; whoever asks is heard, but for less.

        A receiver that asks for no wait at all would be called without end.
        """
        if outcome.retry_after is None:
            return self.retry_delay(len(claim.past_attempts))
        if outcome.failure_scope == "account":  # which waits as a whole
            return outcome.retry_after
        return max(outcome.retry_after, self.retry_delay(0))

    def _send_prefetched(self, prefetched: "deque[Delivery]") -> None:
        while prefetched and self._concurrency_limiter.begin(prefetched[0].destination):
            self._submit(prefetched.popleft())

    def _release_prefetched(self, destination: str) -> None:
        """Free what was claimed ahead for a route: whether it may still go is the gate's matter."""
        left = self._prefetched.pop(destination, deque())
        self._claims_to_release += (job.claim for job in left)
        self._concurrency_limiter.give_back(destination, len(left))


def _is_destination_answering(outcome: Outcome) -> bool | None:
    """Say whether a route showed that it can take more, or less; None when neither."""
    if outcome.pause_duration or not outcome.is_sent:
        return None
    return outcome.failure_scope != "destination"


def _park(session: Session, claim: Claim, error: Exception, now: datetime) -> None:
    told = {"order": claim.ordering_key, "message": claim.public_id}
    log.error("a message could not be written", exc_info=error, **told)
    outcome = Outcome("rejected", error=f"It could not be written: {type(error).__name__}")
    outbox.settle(session, [AttemptResult(claim, outcome, now, now)], now)


def _record_results(
    metrics: Meter, results: Sequence[AttemptResult], held_leases: set[str]
) -> None:
    metrics.tried(results, held_leases)
    for one in results:
        kept = one.claim.lease in held_leases
        # What a mail server answers may name the candidate: it is kept with the attempt alone.
        theirs = (
            parse_queue_name(one.claim.queue).channel == EMAIL
            and one.outcome.status_code is not None
        )
        log.info(
            "delivery",
            order=one.claim.ordering_key,
            topic=one.claim.topic,
            message=one.claim.public_id,
            attempt=one.claim.attempts + 1,
            outcome=one.outcome.decision if kept else "lease lost",
            code=one.outcome.status_code,
            error=None if theirs else one.outcome.error or None,
        )
