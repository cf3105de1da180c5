"""`drain(lane)`: lease, send outside every transaction, settle under the lease."""

import random
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy.orm import Session

from provider import outbox
from provider.courier.callback import CallbackSink
from provider.courier.letters import MailSink
from provider.courier.media_sink import MediaSink
from provider.house import House
from provider.outbox import Claim, Outcome

SIDE_BY_SIDE = 16  # messages of one lane that are in hand at once
JITTER = 0.2  # share by which a wait is lengthened or shortened

log = structlog.get_logger()


class Parcel(Protocol):
    """A rendered message, ready to go out."""

    @property
    def rendered(self) -> bytes:
        """The bytes that every try sends."""

    def send(self) -> Outcome:
        """Try once; never raises for what the network or the receiver does."""


class Sink(Protocol):
    """Where the messages of a lane end up."""

    def prepare(self, session: Session, claim: Claim) -> Parcel:
        """Render a claimed message, or take the bytes that it has, and address it."""


@dataclass(frozen=True)
class Job:
    """A claimed message with its parcel."""

    claim: Claim
    parcel: Parcel


class Courier:
    """Sends what the outbox holds; any number of couriers may work on one database."""

    def __init__(self, house: House, sinks: Mapping[str, Sink] | None = None) -> None:
        self.house = house
        self._sinks = sinks or {
            "callback": CallbackSink(house), "mail": MailSink(house), "media": MediaSink(house),
        }  # fmt: skip
        self._senders = ThreadPoolExecutor(SIDE_BY_SIDE * 2, thread_name_prefix="send")
        self._stopping = False

    def drain(self, lane: str) -> int:
        """Send what is due in a lane until nothing is; return how many tries were made."""
        tried = 0
        in_hand: set[Future[None]] = set()
        while not self._stopping:
            in_hand = {future for future in in_hand if not future.done()}
            jobs = self._take(lane, SIDE_BY_SIDE - len(in_hand))
            in_hand |= {self._senders.submit(self._deliver, job) for job in jobs}
            tried += len(jobs)
            if not in_hand:
                break
            wait(in_hand, return_when=FIRST_COMPLETED)
        wait(in_hand)
        return tried

    def stop(self) -> None:
        """Take nothing more in hand, and wait for what is being sent."""
        self._stopping = True
        self._senders.shutdown(wait=True)

    def _take(self, lane: str, most: int) -> list[Job]:
        """Lease a batch and render what has no bytes yet, in one transaction."""
        with self.house.db.writing() as session:
            claims = outbox.claim(session, lane, self.house.now(), most)
            jobs = [self._job(session, claim) for claim in claims]
        return [job for job in jobs if job]

    def _job(self, session: Session, claim: Claim) -> Job | None:
        now = self.house.now()
        try:
            with session.begin_nested():
                parcel = self._sinks[claim.lane.partition("/")[2]].prepare(session, claim)
        except Exception as error:
            # One message that cannot be written must not keep the rest of its lane.
            log.exception("a message could not be written", message=claim.public_id)
            outcome = Outcome("never", error=f"It could not be written: {type(error).__name__}")
            outbox.settle(session, claim, outcome, began=now, at=now)
            return None
        if claim.rendered is None:
            outbox.keep_rendered(session, claim, parcel.rendered)
        return Job(claim, parcel)

    def _deliver(self, job: Job) -> None:
        began = self.house.now()
        try:
            outcome = job.parcel.send()
        except Exception as error:
            log.exception("a message could not be sent", message=job.claim.public_id)
            outcome = Outcome("again", error=f"{type(error).__name__}")
        if outcome.word == "again" and outcome.after is None:
            outcome = replace(outcome, after=self.pause(job.claim.attempts))
        with self.house.db.writing() as session:
            kept = outbox.settle(session, job.claim, outcome, began=began, at=self.house.now())
        log.info(
            "delivery", order=job.claim.key, topic=job.claim.topic, message=job.claim.public_id,
            attempt=job.claim.attempts + 1, outcome=outcome.word if kept else "lease lost",
            code=outcome.code, error=outcome.error or None,
        )  # fmt: skip

    def pause(self, attempts: int) -> timedelta:
        """Return the wait after `attempts` earlier tries: the schedule, its last step repeated."""
        schedule = self.house.settings.retry_schedule
        step = schedule[min(attempts, len(schedule) - 1)]
        return step * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (no secret)
