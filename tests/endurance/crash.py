"""Crash points: a process dies at each labelled step, and the next one goes on from there."""

import shutil
import signal
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests import factories
from tests.endurance.actors import PROCESS_CONTEXT
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

LONG_SEED_COUNT = 20
ORDER_COUNT = 4
PROCESS_TIMEOUT_SECONDS = 120.0  # seconds that a process may take


@dataclass(frozen=True)
class PreparedInstance:
    """An instance with orders that wait; every crash happens on a copy of it."""

    instance: Instance
    clock: ManualClock
    orders: list[str]
    receiver: FailFirstReceiver


def crash(run: Run) -> ScenarioVerdict:
    """Wherever a process dies, the next one loses nothing and keeps the order."""
    verdict, crashes = ScenarioVerdict(""), 0
    with FailFirstReceiver(run.rng("receiver")) as receiver:
        ground = _prepare_instance(Instance(run.create_folder("ground")), receiver)
        for step in CRASH_POINTS:
            for seed in range(1 if run.short else LONG_SEED_COUNT):
                times = run.rng(f"{step}/{seed}").randint(1, CRASH_POINTS[step])
                problems = _crash_and_recover(
                    run, ground, CrashTrigger(step, times), f"{step} {seed}"
                )
                verdict.problems += [f"{step}, seed {seed}: {each}" for each in problems]
                crashes += 1
            run.print_progress(f"{crashes} crashes, the last ones {step}")
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
    """Let one process die and another go on; return what is wrong then."""
    folder = run.folder / name.replace(" ", "-")
    shutil.copytree(prepared.instance.folder, folder)
    instance = prepared.instance.with_folder(folder)
    begin = len(prepared.receiver.callbacks)
    began = prepared.clock.now()
    died = _run_process(instance, prepared.orders, began, trigger)
    # A day later no lease of the first process still runs.
    went_on = _run_process(instance, prepared.orders, began + timedelta(days=1), CrashTrigger())
    verdict = ScenarioVerdict("")
    verdict.require(died == -signal.SIGKILL, f"the first process did not die, it ended with {died}")
    verdict.require(went_on == 0, f"the second process ended with {went_on}")
    with instance.open_services(prepared.clock) as services:
        kept, waiting = load_expected_statuses(services), count_undelivered(services)
    judgement = check_deliveries(
        kept, prepared.receiver.callbacks[begin:], max_repeats=MAX_CONCURRENT_SENDS
    )
    verdict.add_problems_of(judgement)
    verdict.require(len(kept) == ORDER_COUNT * 3, f"{len(kept)} statuses were brought about")
    verdict.require(not waiting, f"{waiting} messages are not settled as delivered")
    verdict.problems += _find_missing(instance, prepared, kept)
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
    """Return what was acknowledged and is not in the orders' stories."""
    told = Path(instance.folder / "acknowledged").read_text().split()
    known = {(each.order, each.sequence) for each in expected}
    paths = {order: f"/callbacks/{number}" for number, order in enumerate(prepared.orders)}
    pairs = zip(told[::2], told[1::2], strict=True)
    return [f"forgotten: {o} {n}" for o, n in pairs if (paths[o], int(n)) not in known]
