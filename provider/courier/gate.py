"""What may be claimed: not what a hold lies on, and no quicker than an account's pace."""

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
from provider.accounts import Account
from provider.courier.hands import Paces
from provider.outbox import CALLBACK, LEASE, Claim, Ended, Hold, Lane

PATIENCE = 5  # failures in a row after which a route is left alone
STEPS = tuple(timedelta(seconds=s) for s in (30, 60, 120, 300))  # between tries of such a route
REFUSED = timedelta(minutes=30)  # between tries with a token that was refused
JITTER = 0.2  # share by which a wait is lengthened or shortened
FRESH = timedelta(seconds=5)  # how old a remembered pace may be
ALL = 1_000_000  # more than anybody has hands

log = structlog.get_logger()
read = lru_cache(maxsize=10_000)(Lane.read)


@dataclass(frozen=True)
class Opening:
    """How many messages of a lane may be claimed, and the holds whose one try that would be."""

    lane: str
    most: int
    tries: tuple[Hold, ...] = ()


class Gate:
    """Puts holds on routes, accounts and lanes, lifts them, and says what they leave open."""

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()  # in a row, by route
        self._trying: dict[str, int] = {}  # by a hold's subject: the message that tries
        self._paces = Paces()
        self._rates: dict[int, tuple[datetime, float | None]] = {}
        self._waits: dict[str, datetime] = {}  # lanes that go on when their pace allows

    @contextmanager
    def unlearning(self) -> Iterator[None]:
        """Forget how tries ended that were weighed in here, when this fails: they will be again."""
        known = self._failures.copy(), self._trying.copy()
        try:
            yield
        except BaseException:
            self._failures, self._trying = known
            raise

    def openings(
        self, session: Session, lanes: Sequence[str], ended: Sequence[Ended], at: datetime
    ) -> list[Opening]:
        """Weigh how tries ended, and return how far each lane is open now."""
        names = {*lanes, *(one.claim.lane for one in ended)}
        subjects = {subject for name in names for subject in read(name).subjects}
        holds = outbox.holding(session, subjects)
        # In the order of the subjects' names, or two couriers might wait for each other.
        for one in _by_subject(ended, 1):
            self._weigh_account(session, one, holds, at)
        for one in _by_subject(ended, 2):
            self._weigh_lane(session, one, holds, at)
        self._lift_wishes(session, lanes, holds, at)
        for one in _by_subject(ended, 0):
            self._weigh_route(session, one, holds, at)
        self._learn_rates(session, lanes, at)
        return [self._opening(session, lane, holds, at) for lane in lanes]

    def try_(self, session: Session, opening: Opening, claim: Claim, at: datetime) -> bool:
        """Take the one try of the holds on a lane for a message; False when another has it."""
        for standing in opening.tries:
            if not outbox.probe(session, standing, until=at + LEASE, at=at):
                return False
            self._trying[standing.subject] = claim.message_id
        return True

    def took(self, lane: str, count: int, at: datetime) -> None:
        """Note that so many messages of a lane go out now."""
        rate = self._rate(lane)
        if rate:
            self._waits[lane] = self._paces.took(lane, rate, count, at)

    def waits(self, lane: str) -> bool:
        """Say whether a lane is kept from going on by its pace."""
        return lane in self._waits

    def next_at(self) -> datetime | None:
        """Return when a lane that is kept to a pace may go on, or None."""
        return min(self._waits.values(), default=None)

    def ripe(self, at: datetime) -> list[str]:
        """Take the lanes whose pace lets them go on."""
        ripe = [lane for lane, moment in self._waits.items() if moment <= at]
        for lane in ripe:
            del self._waits[lane]
        return ripe

    def _opening(
        self, session: Session, lane: str, holds: dict[str, Hold], at: datetime
    ) -> Opening:
        on_it = [holds[subject] for subject in read(lane).subjects if subject in holds]
        if any(standing.until > at for standing in on_it):
            return Opening(lane, 0)
        rate = self._rate(lane)
        most = self._paces.allowed(lane, rate, at) if rate else ALL
        return Opening(lane, min(most, 1) if on_it else most, tuple(on_it))

    def _lift_wishes(
        self, session: Session, lanes: Sequence[str], holds: dict[str, Hold], at: datetime
    ) -> None:
        """Who asked to be left alone for a while is ready after it: there is nothing to try out."""
        for asked in sorted(f"lane/{lane}" for lane in lanes):
            if asked in holds and holds[asked].until <= at:
                del holds[asked]
                outbox.lift(session, asked)

    def _weigh_route(
        self, session: Session, one: Ended, holds: dict[str, Hold], at: datetime
    ) -> None:
        route = read(one.claim.lane).subjects[0]
        if not one.outcome.tried:
            return
        if one.outcome.blame != "route":
            del self._failures[route]
            self._lift(session, route, holds)
            return
        self._failures[route] += 1
        if self._failures[route] >= PATIENCE or route in holds:
            self._hold(session, route, one, holds, at)

    def _weigh_account(
        self, session: Session, one: Ended, holds: dict[str, Hold], at: datetime
    ) -> None:
        account = read(one.claim.lane).subjects[1]
        if one.outcome.blame == "account":
            if not self._replaced(session, one):
                self._hold(session, account, one, holds, at)
        elif one.outcome.word == "done":
            self._lift(session, account, holds)

    def _replaced(self, session: Session, one: Ended) -> bool:
        """Say whether the account has had a new token since: then its refusal is an old story."""
        if one.outcome.using is None:
            return False
        account = read(one.claim.lane).account
        now = session.scalar(select(Account.callback_token).where(Account.id == account))
        return (now or b"") != one.outcome.using

    def _weigh_lane(
        self, session: Session, one: Ended, holds: dict[str, Hold], at: datetime
    ) -> None:
        lane = read(one.claim.lane).subjects[2]
        if one.outcome.rest:
            until = at + one.outcome.rest
            holds[lane] = outbox.hold(session, lane, "It asks to be left alone", until, at)

    def _hold(
        self, session: Session, subject: str, one: Ended, holds: dict[str, Hold], at: datetime
    ) -> None:
        """Begin a hold; prolong it where this was its try, not one that had begun before."""
        tried = self._trying.get(subject) == one.claim.message_id
        if subject in holds and not tried:
            return
        self._trying.pop(subject, None)
        failed = holds[subject].probes + 1 if subject in holds else 0
        step = STEPS[min(failed, len(STEPS) - 1)]
        wait = jittered(step if one.outcome.blame == "route" else REFUSED)
        why = one.outcome.error or f"It answers {one.outcome.code}"
        holds[subject] = outbox.hold(session, subject, why, at + wait, at)
        log.warning("deliveries wait", subject=subject, why=why, seconds=int(wait.total_seconds()))

    def _lift(self, session: Session, subject: str, holds: dict[str, Hold]) -> None:
        self._trying.pop(subject, None)
        if holds.pop(subject, None):
            outbox.lift(session, subject)
            log.info("deliveries go on", subject=subject)

    def _rate(self, lane: str) -> float | None:
        place = read(lane)
        known = self._rates.get(place.account) if place.sink == CALLBACK else None
        return known[1] if known else None

    def _learn_rates(self, session: Session, lanes: Sequence[str], at: datetime) -> None:
        ours = {read(lane).account for lane in lanes if read(lane).sink == CALLBACK}
        known = self._rates
        new = {
            one
            for one in ours
            if not (one in known and known[one][0] <= at < known[one][0] + FRESH)
        }
        if new:
            found = select(Account.id, Account.callback_rate).where(Account.id.in_(new))
            known.update({key: (at, rate) for key, rate in session.execute(found)})


def jittered(wait: timedelta) -> timedelta:
    """Return a wait that is a little longer or shorter, so that no two end at one moment."""
    return wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (no secret)


def _by_subject(ended: Sequence[Ended], nth: int) -> list[Ended]:
    return sorted(ended, key=lambda one: read(one.claim.lane).subjects[nth])
