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
from provider.core.accounts import Account
from provider.delivery.limits import Paces
from provider.outbox import CALLBACK, DEFAULT_LEASE, AttemptResult, Claim, Pause, QueueName

FAILURE_THRESHOLD = 5  # failures in a row after which a route is left alone
PROBE_INTERVALS = tuple(
    timedelta(seconds=s) for s in (30, 60, 120, 300)
)  # between tries of such a route
TOKEN_PROBE_INTERVAL = timedelta(minutes=30)  # between tries with a token that was refused
JITTER_RATIO = 0.2  # share by which a wait is lengthened or shortened
RATE_CACHE_TTL = timedelta(seconds=5)  # how old a remembered pace may be
UNLIMITED_MESSAGES = 1_000_000  # more than anybody has hands

log = structlog.get_logger()
parse_queue_name = lru_cache(maxsize=10_000)(QueueName.parse)


@dataclass(frozen=True)
class QueueAllowance:
    """How many messages of a lane may be claimed, and the holds whose one try that would be."""

    queue: str
    max_messages: int
    pauses_to_probe: tuple[Pause, ...] = ()


class DeliveryPolicy:
    """Puts holds on routes, accounts and lanes, lifts them, and says what they leave open."""

    def __init__(self) -> None:
        self._consecutive_failures: Counter[str] = Counter()  # in a row, by route
        self._probing_message_ids: dict[
            str, int
        ] = {}  # by a hold's subject: the message that tries
        self._send_rate_limiter = Paces()
        self._account_rates: dict[int, tuple[datetime, float | None]] = {}
        self._rate_limited_until: dict[
            str, datetime
        ] = {}  # lanes that go on when their pace allows

    @contextmanager
    def rollback_on_error(self) -> Iterator[None]:
        """Forget how tries ended that were weighed in here, when this fails: they will be again."""
        known = self._consecutive_failures.copy(), self._probing_message_ids.copy()
        try:
            yield
        except BaseException:
            self._consecutive_failures, self._probing_message_ids = known
            raise

    def queue_allowances(
        self,
        session: Session,
        queues: Sequence[str],
        results: Sequence[AttemptResult],
        now: datetime,
    ) -> list[QueueAllowance]:
        """Weigh how tries ended, and return how far each lane is open now."""
        names = {*queues, *(one.claim.queue for one in results)}
        subjects = {subject for name in names for subject in parse_queue_name(name).pause_scopes}
        holds = outbox.active_pauses(session, subjects)
        # In the order of the subjects' names, or two couriers might wait for each other.
        for one in _sorted_by_scope(results, 1):
            self._update_account(session, one, holds, now)
        for one in _sorted_by_scope(results, 2):
            self._update_queue(session, one, holds, now)
        self._resume_expired_queues(session, queues, holds, now)
        for one in _sorted_by_scope(results, 0):
            self._update_destination(session, one, holds, now)
        self._refresh_rates(session, queues, now)
        return [self._queue_allowance(session, lane, holds, now) for lane in queues]

    def acquire_probes(
        self, session: Session, allowance: QueueAllowance, claim: Claim, now: datetime
    ) -> bool:
        """Take the one try of the holds on a lane for a message; False when another has it."""
        for standing in allowance.pauses_to_probe:
            if not outbox.probe(session, standing, retry_at=now + DEFAULT_LEASE, now=now):
                return False
            self._probing_message_ids[standing.scope] = claim.message_id
        return True

    def record_sends(self, queue: str, count: int, now: datetime) -> None:
        """Note that so many messages of a lane go out now."""
        rate = self._send_rate(queue)
        if rate:
            self._rate_limited_until[queue] = self._send_rate_limiter.took(queue, rate, count, now)

    def is_rate_limited(self, queue: str) -> bool:
        """Say whether a lane is kept from going on by its pace."""
        return queue in self._rate_limited_until

    def rate_limit_expires_at(self) -> datetime | None:
        """Return when a lane that is kept to a pace may go on, or None."""
        return min(self._rate_limited_until.values(), default=None)

    def pop_rate_limit_expired(self, now: datetime) -> list[str]:
        """Take the lanes whose pace lets them go on."""
        ripe = [lane for lane, moment in self._rate_limited_until.items() if moment <= now]
        for lane in ripe:
            del self._rate_limited_until[lane]
        return ripe

    def _queue_allowance(
        self, session: Session, queue: str, pauses: dict[str, Pause], now: datetime
    ) -> QueueAllowance:
        on_it = [
            pauses[subject] for subject in parse_queue_name(queue).pause_scopes if subject in pauses
        ]
        if any(standing.retry_at > now for standing in on_it):
            return QueueAllowance(queue, 0)
        rate = self._send_rate(queue)
        most = self._send_rate_limiter.allowed(queue, rate, now) if rate else UNLIMITED_MESSAGES
        return QueueAllowance(queue, min(most, 1) if on_it else most, tuple(on_it))

    def _resume_expired_queues(
        self, session: Session, queues: Sequence[str], pauses: dict[str, Pause], now: datetime
    ) -> None:
        """Who asked to be left alone for a while is ready after it: there is nothing to try out."""
        for asked in sorted(f"queue/{lane}" for lane in queues):
            if asked in pauses and pauses[asked].retry_at <= now:
                del pauses[asked]
                outbox.resume(session, asked)

    def _update_destination(
        self, session: Session, result: AttemptResult, pauses: dict[str, Pause], now: datetime
    ) -> None:
        route = parse_queue_name(result.claim.queue).pause_scopes[0]
        if not result.outcome.is_sent:
            return
        if result.outcome.failure_scope != "destination":
            del self._consecutive_failures[route]
            self._resume(session, route, pauses)
            return
        self._consecutive_failures[route] += 1
        if self._consecutive_failures[route] >= FAILURE_THRESHOLD or route in pauses:
            self._pause(session, route, result, pauses, now)

    def _update_account(
        self, session: Session, result: AttemptResult, pauses: dict[str, Pause], now: datetime
    ) -> None:
        account = parse_queue_name(result.claim.queue).pause_scopes[1]
        if result.outcome.failure_scope == "account":
            if not self._is_token_replaced(session, result):
                self._pause(session, account, result, pauses, now)
        elif result.outcome.decision == "delivered":
            self._resume(session, account, pauses)

    def _is_token_replaced(self, session: Session, result: AttemptResult) -> bool:
        """Say whether the account has had a new token since: then its refusal is an old story."""
        if result.outcome.token_encrypted is None:
            return False
        account = parse_queue_name(result.claim.queue).account_id
        now = session.scalar(select(Account.callback_token).where(Account.id == account))
        return (now or b"") != result.outcome.token_encrypted

    def _update_queue(
        self, session: Session, result: AttemptResult, pauses: dict[str, Pause], now: datetime
    ) -> None:
        lane = parse_queue_name(result.claim.queue).pause_scopes[2]
        if result.outcome.pause_duration:
            until = now + result.outcome.pause_duration
            pauses[lane] = outbox.pause(session, lane, "It asks to be left alone", until, now)

    def _pause(
        self,
        session: Session,
        scope: str,
        result: AttemptResult,
        pauses: dict[str, Pause],
        now: datetime,
    ) -> None:
        """Begin a hold; prolong it where this was its try, not one that had begun before."""
        tried = self._probing_message_ids.get(scope) == result.claim.message_id
        if scope in pauses and not tried:
            return
        self._probing_message_ids.pop(scope, None)
        failed = pauses[scope].failed_probes + 1 if scope in pauses else 0
        step = PROBE_INTERVALS[min(failed, len(PROBE_INTERVALS) - 1)]
        wait = add_jitter(
            step if result.outcome.failure_scope == "destination" else TOKEN_PROBE_INTERVAL
        )
        why = result.outcome.error or f"It answers {result.outcome.status_code}"
        pauses[scope] = outbox.pause(session, scope, why, now + wait, now)
        log.warning("deliveries wait", subject=scope, why=why, seconds=int(wait.total_seconds()))

    def _resume(self, session: Session, scope: str, pauses: dict[str, Pause]) -> None:
        self._probing_message_ids.pop(scope, None)
        if pauses.pop(scope, None):
            outbox.resume(session, scope)
            log.info("deliveries go on", subject=scope)

    def _send_rate(self, queue: str) -> float | None:
        place = parse_queue_name(queue)
        known = self._account_rates.get(place.account_id) if place.channel == CALLBACK else None
        return known[1] if known else None

    def _refresh_rates(self, session: Session, queues: Sequence[str], now: datetime) -> None:
        ours = {
            parse_queue_name(lane).account_id
            for lane in queues
            if parse_queue_name(lane).channel == CALLBACK
        }
        known = self._account_rates
        new = {
            one
            for one in ours
            if not (one in known and known[one][0] <= now < known[one][0] + RATE_CACHE_TTL)
        }
        if new:
            found = select(Account.id, Account.callback_rate).where(Account.id.in_(new))
            known.update({key: (now, rate) for key, rate in session.execute(found)})


def add_jitter(wait: timedelta) -> timedelta:
    """Return a wait that is a little longer or shorter, so that no two end at one moment."""
    return wait * random.uniform(1 - JITTER_RATIO, 1 + JITTER_RATIO)  # noqa: S311  (no secret)


def _sorted_by_scope(results: Sequence[AttemptResult], scope_index: int) -> list[AttemptResult]:
    return sorted(
        results, key=lambda one: parse_queue_name(one.claim.queue).pause_scopes[scope_index]
    )
