"""An ATS refuses callbacks for three days of test time; then all arrive, in order and paced."""

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
MAX_CALLBACKS_PER_SECOND = 100.0  # the account's rate limit
RATE_TOLERANCE_FACTOR = 1.05
RATE_WINDOWS_SECONDS = (1, 10, 60)  # the rate must not be exceeded in any of these windows
CLOCK_STEP_RANGE_SECONDS = (0.001, 0.05)  # between two runs of the dispatcher
MAX_DELIVERY_DAYS = 4  # the longest pause is a day
ORDER_INTERVAL = timedelta(hours=1)  # between two batches of orders, each followed by a probe


@dataclass(frozen=True)
class Plan:
    """How long the host refuses, and how many orders with two statuses each arrive meanwhile."""

    hours: int
    orders: int


LONG_PLAN, SHORT_PLAN = Plan(72, 5_000), Plan(4, 60)


def outage(run: Run) -> ScenarioVerdict:
    """Queue callbacks for three days, then deliver all."""
    plan, clock = SHORT_PLAN if run.short else LONG_PLAN, ManualClock()
    with (
        open_instance(run, "outage") as instance,
        instance.open_services(clock) as services,
        CallbackReceiver(
            run.rng("receiver"), clock=lambda: clock.current_time.timestamp()
        ) as receiver,
    ):
        receiver.is_refusing = True
        dispatcher = Dispatcher(services)
        attempts = _queue_while_refused(plan, services, dispatcher, receiver, clock)
        run.print_progress(
            f"{attempts:,} attempts in {plan.hours} h; {count_undelivered(services):,} wait"
        )
        queued, receiver.is_refusing = count_undelivered(services), False
        duration = _deliver_backlog(run, services, dispatcher, clock)
        run.print_progress(f"all delivered within {duration}")
        dispatcher.stop()
        deliveries = check_deliveries(load_expected_statuses(services), receiver.callbacks)
        undelivered = count_undelivered(services)
    arrivals = sorted(
        callback.received_at for callback in receiver.callbacks if callback.is_accepted
    )
    rates = {window: _max_in_window(arrivals, window) / window for window in RATE_WINDOWS_SECONDS}
    max_rate = max(rates.values())
    verdict = ScenarioVerdict(
        f"{plan.hours} h, {queued:,} queued, {deliveries.figures}; delivered within {duration}, "
        f"at most {max_rate:.1f} per second of {MAX_CALLBACKS_PER_SECOND:.0f} allowed"
    )
    verdict.add_problems_of(deliveries)
    verdict.require(queued == deliveries.expected, f"{queued} were queued")
    seconds, min_seconds = arrivals[-1] - arrivals[0], queued / MAX_CALLBACKS_PER_SECOND
    verdict.require(
        seconds <= 2 * min_seconds + 1,
        f"{seconds:.1f} s from the first to the last, not {min_seconds:.1f} s",
    )
    verdict.require(not undelivered, f"{undelivered} messages are not delivered")
    for window, rate in rates.items():
        verdict.require(
            rate <= MAX_CALLBACKS_PER_SECOND * RATE_TOLERANCE_FACTOR,
            f"{rate:.1f} per second over {window} s",
        )
    return verdict


def _queue_while_refused(
    plan: Plan,
    services: Services,
    dispatcher: Dispatcher,
    receiver: CallbackReceiver,
    clock: ManualClock,
) -> int:
    """Place and change orders hour by hour while the host refuses; return the attempts made."""
    account_id, _ = factories.create_account(services)
    with services.db.writing() as session:
        session.execute(update(Account).values(callback_rate=MAX_CALLBACKS_PER_SECOND))
    test, orders_per_hour = factories.create_test(services), -(-plan.orders // plan.hours)
    for hour in range(plan.hours):
        for number in range(hour * orders_per_hour, min(plan.orders, (hour + 1) * orders_per_hour)):
            url = f"{receiver.url}/callbacks/{number}"
            order = factories.place_order(services, account_id, test, callback_url=url)
            with services.db.writing() as session:
                for act in (act for step in SCRIPT for act in actors.STEPS[step]):
                    act(services, session, order, services.now())
        _drain(services, dispatcher)
        clock.advance(ORDER_INTERVAL)
    return len(receiver.callbacks)


def _deliver_backlog(
    run: Run, services: Services, dispatcher: Dispatcher, clock: ManualClock
) -> timedelta:
    """Deliver until no message waits; return the time that passed. Give up after four days."""
    started_at, rng = clock.current_time, run.rng("steps")
    waiting = queued = count_undelivered(services)
    while waiting and clock.current_time < started_at + timedelta(days=MAX_DELIVERY_DAYS):
        _drain(services, dispatcher)
        waiting = count_undelivered(services)
        # The host is paused until a probe succeeds; from then on the clock moves in small steps.
        step = (
            timedelta(minutes=1)
            if waiting == queued
            else timedelta(seconds=rng.uniform(*CLOCK_STEP_RANGE_SECONDS))
        )
        clock.advance(step)
    return clock.current_time - started_at


def _drain(services: Services, dispatcher: Dispatcher) -> None:
    """Send the messages that are due."""
    with services.db.reading() as session:
        queues = outbox.list_due_queues(session, services.now())
    dispatcher.drain(*queues)


def _max_in_window(times: list[float], window: float) -> int:
    """Return the largest number of times within any `window` seconds."""
    max_count = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - window:
            first += 1
        max_count = max(max_count, last - first + 1)
    return max_count
