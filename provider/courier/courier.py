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
from provider.courier.callback import CallbackSink
from provider.courier.gate import Gate, Opening, jittered, read
from provider.courier.hands import Hands
from provider.courier.letters import MailSink
from provider.courier.media_sink import MediaSink
from provider.courier.parcel import Parcel, Sink
from provider.house import House
from provider.meter import Meter
from provider.outbox import CALLBACK, MAIL, MEDIA, Claim, Ended, Outcome

HANDS = 96  # messages of all lanes that are being sent at once
STUMBLED = 1.0  # seconds of rest after a turn that failed, e.g. for the disk is full

log = structlog.get_logger()


@dataclass(frozen=True)
class Job:
    """A claimed message with its parcel."""

    claim: Claim
    parcel: Parcel
    route: str


class Courier:
    """Sends what the outbox holds; any number of couriers may work on one database."""

    def __init__(
        self, house: House, sinks: Mapping[str, Sink] | None = None, hands: int = HANDS
    ) -> None:
        self.house = house
        self._sinks = sinks or {
            CALLBACK: CallbackSink(house), MAIL: MailSink(house), MEDIA: MediaSink(house),
        }  # fmt: skip
        self._gate = Gate()
        self._hands = Hands(hands)
        self._senders = ThreadPoolExecutor(hands, thread_name_prefix="send")
        self._bell = threading.Condition()
        self._called: dict[str, None] = {}  # lanes to look at, in the order in which they called
        self._ahead: dict[str, deque[Job]] = {}  # claimed, for when a hand of the route is free
        self._ended: list[Ended] = []
        self._unsent: list[Claim] = []
        self._open: Counter[str] = Counter()  # messages claimed and not settled yet, by lane
        self._stopping = False

    def call(self, lanes: Iterable[str]) -> None:
        """Say that lanes may have something due."""
        with self._bell:
            self._called.update(dict.fromkeys(lanes))
            self._bell.notify_all()

    def drain(self, *lanes: str) -> int:
        """Send what is due and may go in these lanes until nothing is; return the tries made."""
        self.call(lanes)
        tried = 0
        while not self._stopping:
            tried += self.turn()
            with self._bell:
                over = not self._hands.busy and not self._due()
            if over:
                break
            self.wait()
        return tried

    def work(self, seconds: float) -> None:
        """Take a turn as soon as there is something to do, or after so long; a fault is logged."""
        paced = self.next_at()
        if paced:
            seconds = min(seconds, (paced - self.house.now()).total_seconds())
        self.wait(seconds)
        try:
            self.turn()
        except Exception:
            log.exception("the courier stumbled and goes on")
            self.rest(STUMBLED)

    def wait(self, seconds: float | None = None) -> None:
        """Wait until there is something for a turn to do, or for so long."""
        with self._bell:
            self._bell.wait_for(lambda: self._stopping or self._due(), seconds)

    def turn(self) -> int:
        """Settle what has ended, claim what may go, and have it sent; return how many."""
        with self._bell:
            ended, self._ended = self._ended, []
            unsent, self._unsent = self._unsent, []
            lanes = [] if self._stopping else self._lanes(ended)
        if not ended and not unsent and not lanes:
            return 0
        jobs: list[Job] = []
        try:
            with self._gate.unlearning(), self.house.db.writing(alone=True) as session:
                at = self.house.now()
                stood = outbox.settle(session, ended, at)
                settled = [one for one in ended if one.claim.lease in stood]
                for claim in unsent:
                    outbox.free(session, claim)
                for opening in self._gate.openings(session, lanes, settled, at):
                    jobs += self._take(session, opening, at)
        except BaseException:
            # Nothing of it happened. What ended has ended all the same: the next turn settles it.
            with self._bell:
                self._ended = ended + self._ended
                self._unsent = unsent + self._unsent
                self._called = dict.fromkeys([*lanes, *self._called])
                for job in jobs:
                    self._hands.give_back(job.route)
            raise
        _tell(self.house.meter, ended, stood)
        self._open.subtract(claim.lane for claim in (*(one.claim for one in ended), *unsent))
        self._open.update(job.claim.lane for job in jobs)
        self.call(claim.lane for claim in unsent)
        for job in jobs:
            self._begin(job)
        return len(jobs)

    def next_at(self) -> datetime | None:
        """Return when a lane that is kept to a pace may go on, or None."""
        return self._gate.next_at()

    def rest(self, seconds: float) -> None:
        """Do nothing for so long, or until the courier is stopped."""
        with self._bell:
            self._bell.wait_for(lambda: self._stopping, seconds)

    def stop(self, after: threading.Thread | None = None) -> None:
        """Take nothing more in hand, wait for who takes the turns, and settle what was sent."""
        with self._bell:
            self._stopping = True
            for route in list(self._ahead):
                self._leave_unsent(route)
            self._bell.notify_all()
        if after:
            after.join()
        self._senders.shutdown(wait=True)
        self.turn()
        for sink in self._sinks.values():
            sink.close()

    def pause(self, attempts: int) -> timedelta:
        """Return the wait after `attempts` earlier tries: the schedule, its last step repeated."""
        schedule = self.house.settings.retry_schedule
        return jittered(schedule[min(attempts, len(schedule) - 1)])

    def _lanes(self, ended: Sequence[Ended]) -> list[str]:
        """Take the lanes to look at: that called or go on, and to whose route a hand is free."""
        self._called.update(dict.fromkeys(one.claim.lane for one in ended))
        self._called.update(dict.fromkeys(self._gate.ripe(self.house.now())))
        lanes = [lane for lane in self._called if self._hands.free(read(lane).route)]
        for lane in lanes:
            del self._called[lane]
        return lanes

    def _due(self) -> bool:
        return bool(self._ended or self._unsent) or self._ready()

    def _ready(self) -> bool:
        return any(self._hands.free(read(lane).route) for lane in self._called)

    def _take(self, session: Session, opening: Opening, at: datetime) -> list[Job]:
        """Lease what may go of a lane and render what has no bytes yet."""
        lane, route = opening.lane, read(opening.lane).route
        if opening.tries:
            self._hands.doubt(route)
        most = min(opening.most, self._hands.free(route))
        if not most:
            if opening.most:  # others have taken the hands meanwhile
                self.call([lane])
            return []
        claims = outbox.claim(session, lane, at, most)
        if claims and not self._gate.try_(session, opening, claims[0], at):
            outbox.free(session, claims[0])
            return []
        if len(claims) == most and not opening.tries:
            # There may be more.
            self.call([lane])
        parcels = self._sinks[read(lane).sink].prepare(session, claims) if claims else []
        jobs = []
        for claim, parcel in zip(claims, parcels, strict=True):
            if isinstance(parcel, Exception):
                # One message that cannot be written must not keep the rest of its lane.
                _park(session, claim, parcel, at)
                self.call([lane])
                continue
            if claim.rendered is None and parcel.rendered is not None:
                outbox.keep_rendered(session, claim, parcel.rendered)
            jobs.append(Job(claim, parcel, route))
        if jobs:
            self._gate.took(lane, len(jobs), at)
        with self._bell:
            self._hands.take(route, len(jobs))
        return jobs

    def _begin(self, job: Job) -> None:
        """Send it when a hand of its route is free."""
        with self._bell:
            if self._stopping:
                self._unsent.append(job.claim)
                self._hands.give_back(job.route)
            elif self._hands.begin(job.route):
                self._hand_over(job)
            else:
                self._ahead.setdefault(job.route, deque()).append(job)

    def _hand_over(self, job: Job) -> None:
        self._senders.submit(self._send, job)

    def _send(self, job: Job) -> None:
        """Try once; whatever happens is an outcome."""
        began = self.house.now()
        try:
            outcome = job.parcel.send()
        except Exception as error:
            told = {"order": job.claim.key, "message": job.claim.public_id}
            log.exception("a message could not be sent", **told)
            outcome = Outcome("again", error=f"{type(error).__name__}", tried=False)
        self._lay_down(job, outcome, began)

    def _lay_down(self, job: Job, outcome: Outcome, began: datetime) -> None:
        """Note how a try ended, for the next turn, and let its hand go on."""
        if outcome.word == "again":
            outcome = replace(outcome, after=self._wait(job.claim, outcome))
        ended = Ended(job.claim, outcome, began, self.house.now())
        with self._bell:
            self._ended.append(ended)
            self._hands.end(job.route, answered=_answered(outcome), seconds=ended.seconds)
            if outcome.blame or outcome.rest:
                self._leave_unsent(job.route)
            elif ahead := self._ahead.get(job.route):
                self._go_on(ahead)
            self._bell.notify_all()

    def _wait(self, claim: Claim, outcome: Outcome) -> timedelta:
        """Return how long a message waits for its next try; whoever asks is heard, but for less.

        A receiver that asks for no wait at all would be called without end.
        """
        if outcome.after is None:
            return self.pause(len(claim.past))
        if outcome.blame == "account":  # which waits as a whole
            return outcome.after
        return max(outcome.after, self.pause(0))

    def _go_on(self, ahead: "deque[Job]") -> None:
        while ahead and self._hands.begin(ahead[0].route):
            self._hand_over(ahead.popleft())

    def _leave_unsent(self, route: str) -> None:
        """Free what was claimed ahead for a route: whether it may still go is the gate's matter."""
        left = self._ahead.pop(route, deque())
        self._unsent += (job.claim for job in left)
        self._hands.give_back(route, len(left))


def _answered(outcome: Outcome) -> bool | None:
    """Say whether a route showed that it can take more, or less; None when neither."""
    if outcome.rest or not outcome.tried:
        return None
    return outcome.blame != "route"


def _park(session: Session, claim: Claim, error: Exception, at: datetime) -> None:
    told = {"order": claim.key, "message": claim.public_id}
    log.error("a message could not be written", exc_info=error, **told)
    outcome = Outcome("never", error=f"It could not be written: {type(error).__name__}")
    outbox.settle(session, [Ended(claim, outcome, at, at)], at)


def _tell(meter: Meter, ended: Sequence[Ended], stood: set[str]) -> None:
    meter.tried(ended, stood)
    for one in ended:
        kept = one.claim.lease in stood
        # What a mail server answers may name the candidate: it is kept with the attempt alone.
        theirs = read(one.claim.lane).sink == MAIL and one.outcome.code is not None
        log.info(
            "delivery", order=one.claim.key, topic=one.claim.topic, message=one.claim.public_id,
            attempt=one.claim.attempts + 1, outcome=one.outcome.word if kept else "lease lost",
            code=one.outcome.code, error=None if theirs else one.outcome.error or None,
        )  # fmt: skip
