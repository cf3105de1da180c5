"""Outage: an ATS refuses for three days of test time; then all arrives, in order and paced."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import update

from provider import outbox
from provider.accounts import Account
from provider.courier import Courier
from provider.house import House
from tests import cast
from tests.cast import HandClock
from tests.soak import actor
from tests.soak.fleet import instance
from tests.soak.history import judge
from tests.soak.ledger import unsettled, written
from tests.soak.proof import Run, Verdict
from tests.soak.receiver import Receiver

STATUSES = ("decline", "reopen")
RATE = 100.0  # a second, that the account is kept to
OVER = 1.05  # by which it may be exceeded
WINDOWS = (1, 10, 60)  # seconds, over any of which the rate is looked at
MOMENT = (0.001, 0.05)  # seconds between two looks at what may go
DAYS = 4  # after which all has arrived: the longest wait is a day
EACH = timedelta(hours=1)  # how often the refusing host is tried, and new news comes


@dataclass(frozen=True)
class Plan:
    """How long the host refuses, and how many orders, of two statuses each, come meanwhile."""

    hours: int
    orders: int


LONG, SHORT = Plan(72, 5_000), Plan(4, 60)


def outage(run: Run) -> Verdict:
    """Queue for three days, then let everything out."""
    plan, clock = SHORT if run.short else LONG, HandClock()
    with (
        instance(run, "outage") as ground,
        ground.house(clock) as house,
        Receiver(run.luck("receiver"), clock=lambda: clock.at.timestamp()) as receiver,
    ):
        receiver.refusing = True
        courier = Courier(house)
        tries = _refused(plan, house, courier, receiver, clock)
        run.say(f"{tries:,} tries in {plan.hours} h; {unsettled(house):,} wait")
        queued, receiver.refusing = unsettled(house), False
        taken = _let_out(run, house, courier, clock)
        run.say(f"all went out within {taken}")
        courier.stop()
        judgement = judge(written(house), receiver.arrived)
        left = unsettled(house)
    moments = sorted(each.at for each in receiver.arrived if each.taken)
    rates = {window: _most(moments, window) / window for window in WINDOWS}
    worst = max(rates.values())
    verdict = Verdict(
        f"{plan.hours} h, {queued:,} queued, {judgement.figures}; out within {taken}, "
        f"at most {worst:.1f} a second where {RATE:.0f} are allowed"
    )
    verdict.hold(judgement)
    verdict.claim(queued == judgement.promised, f"{queued} were queued")
    lasted, pace = moments[-1] - moments[0], queued / RATE
    verdict.claim(lasted <= 2 * pace + 1, f"{lasted:.1f} s from the first to the last, not {pace}")
    verdict.claim(not left, f"{left} messages are not settled as delivered")
    for window, rate in rates.items():
        verdict.claim(rate <= RATE * OVER, f"{rate:.1f} a second over {window} s")
    return verdict


def _refused(
    plan: Plan, house: House, courier: Courier, receiver: Receiver, clock: HandClock
) -> int:
    """Let the orders of each hour come while the host refuses; return how often it was tried."""
    account_id, _ = cast.account(house)
    with house.db.writing() as session:
        session.execute(update(Account).values(callback_rate=RATE))
    test, share = cast.test(house), -(-plan.orders // plan.hours)
    for hour in range(plan.hours):
        for number in range(hour * share, min(plan.orders, (hour + 1) * share)):
            url = f"{receiver.url}/callbacks/{number}"
            order = cast.order(house, account_id, test, callback_url=url)
            with house.db.writing() as session:
                for part in (part for step in STATUSES for part in actor.STEPS[step]):
                    part(house, session, order, house.now())
        _drain(house, courier)
        clock.pass_(EACH)
    return len(receiver.arrived)


def _let_out(run: Run, house: House, courier: Courier, clock: HandClock) -> timedelta:
    """Deliver until nothing waits, and return how long that took; four days are too long."""
    began, luck = clock.at, run.luck("steps")
    left = queued = unsettled(house)
    while left and clock.at < began + timedelta(days=DAYS):
        _drain(house, courier)
        left = unsettled(house)
        # The host is left alone until its first answer; then time goes on by moments.
        moment = (
            timedelta(minutes=1) if left == queued else timedelta(seconds=luck.uniform(*MOMENT))
        )
        clock.pass_(moment)
    return clock.at - began


def _drain(house: House, courier: Courier) -> None:
    """Send what may go now."""
    with house.db.reading() as session:
        lanes = outbox.due_lanes(session, house.now())
    courier.drain(*lanes)


def _most(moments: list[float], window: float) -> int:
    """Return how many fell into any span of so many seconds."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - window:
            first += 1
        most = max(most, last - first + 1)
    return most
