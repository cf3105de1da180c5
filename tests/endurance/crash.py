"""A process dies at each crash point, and the next process continues from there."""

import shutil
import signal
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests import factories
from tests.endurance.crash_points import (
    CRASH_POINTS,
    MAX_CONCURRENT_SENDS,
    CrashTrigger,
    run_orders,
)
from tests.endurance.expected_statuses import count_undelivered, load_expected_statuses
from tests.endurance.receiver import FailFirstReceiver
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance
from tests.endurance.verdict import ExpectedStatus, check_deliveries
from tests.factories import ManualClock
from tests.forked_program import PROCESS_CONTEXT

LONG_SEED_COUNT = 20
ORDER_COUNT = 4
PROCESS_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class PreparedInstance:
    """An instance with waiting orders. Every crash happens on a copy of the instance."""

    instance: Instance
    clock: ManualClock
    orders: list[str]
    receiver: FailFirstReceiver


def crash(run: Run) -> ScenarioVerdict:
    """After a crash at any point, the next process loses nothing and keeps the order."""
    verdict, crashes = ScenarioVerdict(""), 0
    with FailFirstReceiver(run.rng("receiver")) as receiver:
        prepared = _prepare_instance(Instance(run.create_folder("prepared")), receiver)
        for step in CRASH_POINTS:
            for seed in range(1 if run.short else LONG_SEED_COUNT):
                passes = run.rng(f"{step}/{seed}").randint(1, CRASH_POINTS[step])
                problems = _crash_and_recover(
                    run, prepared, CrashTrigger(step, passes), f"{step} {seed}"
                )
                verdict.problems += [f"{step}, seed {seed}: {problem}" for problem in problems]
                crashes += 1
            run.print_progress(f"{crashes} crashes, the last ones at {step!r}")
        requests = len(receiver.callbacks)
    verdict.figures = (
        f"{len(CRASH_POINTS)} steps, {crashes} crashes, {requests:,} requests, "
        f"{len(verdict.problems)} problems, seed {run.seed}"
    )
    return verdict


def _prepare_instance(instance: Instance, receiver: FailFirstReceiver) -> PreparedInstance:
    clock = ManualClock()
    with instance.open_services(clock) as services:
        account_id, _ = factories.create_account(services)
        products = [
            (factories.create_test(services), "assessment"),
            (factories.create_package(services), "check"),
        ]
        orders = [
            factories.place_order(
                services,
                account_id,
                *products[number % 2],
                callback_url=f"{receiver.url}/callbacks/{number}",
            )
            for number in range(ORDER_COUNT)
        ]
    return PreparedInstance(instance, clock, orders, receiver)


def _crash_and_recover(
    run: Run, prepared: PreparedInstance, trigger: CrashTrigger, name: str
) -> list[str]:
    """Kill one process and let another continue; return the problems."""
    folder = run.folder / name.replace(" ", "-")
    shutil.copytree(prepared.instance.folder, folder)
    instance = prepared.instance.with_folder(folder)
    earlier_callbacks = len(prepared.receiver.callbacks)
    now = prepared.clock.now()
    killed = _run_process(instance, prepared.orders, now, trigger)
    # A day later every lease of the first process has expired.
    continued = _run_process(instance, prepared.orders, now + timedelta(days=1), CrashTrigger())
    verdict = ScenarioVerdict("")
    verdict.require(killed == -signal.SIGKILL, f"the first process was not killed: {killed}")
    verdict.require(continued == 0, f"the second process ended with {continued}")
    with instance.open_services(prepared.clock) as services:
        expected, undelivered = load_expected_statuses(services), count_undelivered(services)
    verdict.add_problems_of(
        check_deliveries(
            expected,
            prepared.receiver.callbacks[earlier_callbacks:],
            max_repeats=MAX_CONCURRENT_SENDS,
        )
    )
    verdict.require(len(expected) == ORDER_COUNT * 3, f"{len(expected)} statuses were written")
    verdict.require(not undelivered, f"{undelivered} messages are not delivered")
    verdict.problems += _find_missing(instance, prepared, expected)
    shutil.rmtree(folder)
    return verdict.problems


def _run_process(
    instance: Instance, orders: list[str], now: datetime, trigger: CrashTrigger
) -> int | None:
    process = PROCESS_CONTEXT.Process(
        target=run_orders, args=(instance.environment, orders, now, trigger)
    )
    process.start()
    process.join(PROCESS_TIMEOUT_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode


def _find_missing(
    instance: Instance, prepared: PreparedInstance, expected: list[ExpectedStatus]
) -> list[str]:
    """Return the acknowledged statuses that are missing from the orders' events."""
    lines = Path(instance.folder / "acknowledged").read_text().splitlines()
    known = {(status.order, status.sequence) for status in expected}
    paths = {order: f"/callbacks/{number}" for number, order in enumerate(prepared.orders)}
    acknowledged = [line.split() for line in lines]
    return [
        f"acknowledged, but missing: {order} {sequence}"
        for order, sequence in acknowledged
        if (paths[order], int(sequence)) not in known
    ]
