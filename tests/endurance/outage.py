"""Outage: an ATS refuses for three days of test time; then all arrives, in order and paced."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import update

from provider import outbox
from provider.core.accounts import Account
from provider.delivery import Dispatcher
from provider.services import Services
from tests import factories
from tests.endurance import actors
from tests.endurance.cluster import open_instance
from tests.endurance.expected_statuses import count_undelivered, load_expected_statuses
from tests.endurance.receiver import CallbackReceiver
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.verdict import check_deliveries
from tests.factories import ManualClock

SCRIPT = ("decline", "reopen")
MAX_CALLBACKS_PER_SECOND = 100.0  # a second, that the account is kept to
RATE_TOLERANCE_FACTOR = 1.05  # by which it may be exceeded
RATE_WINDOWS_SECONDS = (1, 10, 60)  # seconds, over any of which the rate is looked at
CLOCK_STEP_RANGE_SECONDS = (0.001, 0.05)  # seconds between two looks at what may go
MAX_DELIVERY_DAYS = 4  # after which all has arrived: the longest wait is a day
ORDER_INTERVAL = timedelta(hours=1)  # how often the refusing host is tried, and new news comes


@dataclass(frozen=True)
class Plan:
    """How long the host refuses, and how many orders, of two statuses each, come meanwhile."""

    hours: int
    orders: int


LONG_PLAN, SHORT_PLAN = Plan(72, 5_000), Plan(4, 60)


def outage(run: Run) -> ScenarioVerdict:
    """Queue for three days, then let everything out."""
    plan, clock = SHORT_PLAN if run.short else LONG_PLAN, ManualClock()
    with (
        open_instance(run, "outage") as ground,
        ground.open_services(clock) as services,
        CallbackReceiver(
            run.rng("receiver"), clock=lambda: clock.current_time.timestamp()
        ) as receiver,
    ):
        receiver.is_refusing = True
        courier = Dispatcher(services)
        tries = _queue_while_refused(plan, services, courier, receiver, clock)
        run.print_progress(
            f"{tries:,} tries in {plan.hours} h; {count_undelivered(services):,} wait"
        )
        queued, receiver.is_refusing = count_undelivered(services), False
        taken = _deliver_backlog(run, services, courier, clock)
        run.print_progress(f"all went out within {taken}")
        courier.stop()
        judgement = check_deliveries(load_expected_statuses(services), receiver.callbacks)
        left = count_undelivered(services)
    moments = sorted(each.received_at for each in receiver.callbacks if each.is_accepted)
    rates = {window: _max_in_window(moments, window) / window for window in RATE_WINDOWS_SECONDS}
    worst = max(rates.values())
    verdict = ScenarioVerdict(
        f"{plan.hours} h, {queued:,} queued, {judgement.figures}; out within {taken}, "
        f"at most {worst:.1f} a second where {MAX_CALLBACKS_PER_SECOND:.0f} are allowed"
    )
    verdict.add_problems_of(judgement)
    verdict.require(queued == judgement.expected, f"{queued} were queued")
    lasted, pace = moments[-1] - moments[0], queued / MAX_CALLBACKS_PER_SECOND
    verdict.require(
        lasted <= 2 * pace + 1, f"{lasted:.1f} s from the first to the last, not {pace}"
    )
    verdict.require(not left, f"{left} messages are not settled as delivered")
    for window, rate in rates.items():
        verdict.require(
            rate <= MAX_CALLBACKS_PER_SECOND * RATE_TOLERANCE_FACTOR,
            f"{rate:.1f} a second over {window} s",
        )
    return verdict


def _queue_while_refused(
    plan: Plan,
    services: Services,
    dispatcher: Dispatcher,
    receiver: CallbackReceiver,
    clock: ManualClock,
) -> int:
    """Let the orders of each hour come while the host refuses; return how often it was tried."""
    account_id, _ = factories.create_account(services)
    with services.db.writing() as session:
        session.execute(update(Account).values(callback_rate=MAX_CALLBACKS_PER_SECOND))
    test, share = factories.create_test(services), -(-plan.orders // plan.hours)
    for hour in range(plan.hours):
        for number in range(hour * share, min(plan.orders, (hour + 1) * share)):
            url = f"{receiver.url}/callbacks/{number}"
            order = factories.place_order(services, account_id, test, callback_url=url)
            with services.db.writing() as session:
                for part in (part for step in SCRIPT for part in actors.STEPS[step]):
                    part(services, session, order, services.now())
        _drain(services, dispatcher)
        clock.advance(ORDER_INTERVAL)
    return len(receiver.callbacks)


def _deliver_backlog(
    run: Run, services: Services, dispatcher: Dispatcher, clock: ManualClock
) -> timedelta:
    """Deliver until nothing waits, and return how long that took; four days are too long."""
    began, luck = clock.current_time, run.rng("steps")
    left = queued = count_undelivered(services)
    while left and clock.current_time < began + timedelta(days=MAX_DELIVERY_DAYS):
        _drain(services, dispatcher)
        left = count_undelivered(services)
        # The host is left alone until its first answer; then time goes on by moments.
        moment = (
            timedelta(minutes=1)
            if left == queued
            else timedelta(seconds=luck.uniform(*CLOCK_STEP_RANGE_SECONDS))
        )
        clock.advance(moment)
    return clock.current_time - began


def _drain(services: Services, dispatcher: Dispatcher) -> None:
    """Send what may go now."""
    with services.db.reading() as session:
        lanes = outbox.list_due_queues(session, services.now())
    dispatcher.drain(*lanes)


def _max_in_window(times: list[float], window: float) -> int:
    """Return how many fell into any span of so many seconds."""
    most = first = 0
    for last, moment in enumerate(times):
        while times[first] <= moment - window:
            first += 1
        most = max(most, last - first + 1)
    return most
