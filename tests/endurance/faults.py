"""Faults: what the engine says is lost, kept back or never said; the outbox is the truth."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from sqlalchemy import text

from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS
from provider.delivery.runners.notifier import JobNotifier
from provider.services import Services
from tests import factories
from tests.endurance.actors import STEPS
from tests.endurance.cluster import (
    execute_sql,
    open_postgres_instance,
    procrastinate_tables,
    simulate_elapsed_time,
    sql_transaction,
)
from tests.endurance.expected_statuses import count_undelivered, load_expected_statuses
from tests.endurance.receiver import CallbackReceiver
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance, WorkerProcess
from tests.endurance.verdict import check_deliveries

SCRIPT = ("decline", "reopen")  # again and again
LONG_SIZES, SHORT_SIZES = (200, 4, 5), (12, 1, 1)  # orders, workers, rounds of all faults
LONG_LOCK_SECONDS, SHORT_LOCK_SECONDS = 30.0, 6.0  # seconds; longer than the engine's own patience
MAX_COMMIT_SECONDS = 4.0  # seconds that a commit may take whatever the engine does
FINISH_TIMEOUT_SECONDS = 900.0  # seconds
RUNNING_JOBS_SQL = (
    "SELECT count(*) FROM provider_engine.procrastinate_jobs WHERE task_name = 'drain'"
)


@dataclass
class FaultContext:
    """An instance with its workers, and the house in which orders live, as a server has it."""

    run: Run
    instance: Instance
    services: Services
    orders: list[str]
    stack: ExitStack
    worker_count: int
    workers: list[WorkerProcess] = field(default_factory=list)
    steps: int = 0
    slowest_commit_seconds: float = 0.0  # seconds for a commit

    def start_workers(self) -> None:
        """Have as many workers as there should be."""
        while len(self.workers) < self.worker_count:
            self.workers.append(self.stack.enter_context(self.instance.start_worker()))

    def wait_until_idle(self) -> None:
        """Wait until nobody works in a lane: what comes next is in the engine's hands alone."""
        until = time.monotonic() + FINISH_TIMEOUT_SECONDS
        while self._has_running_jobs() and time.monotonic() < until:
            time.sleep(0.05)

    def _has_running_jobs(self) -> bool:
        with self.services.db.engine.connect() as connection:
            return bool(connection.scalar(text(RUNNING_JOBS_SQL)))

    def advance_orders(self) -> None:
        """Bring the next status of every order about."""
        for order in self.orders:
            began = time.monotonic()
            with self.services.db.writing() as session:
                for part in STEPS[SCRIPT[self.steps % len(SCRIPT)]]:
                    part(self.services, session, order, self.services.now())
            self.slowest_commit_seconds = max(self.slowest_commit_seconds, time.monotonic() - began)
        self.steps += 1


def truncate_tables(context: FaultContext) -> None:
    """Empty the engine's tables under the workers' feet, with statuses before and after it."""
    context.advance_orders()
    execute_sql(context.instance, f"TRUNCATE {procrastinate_tables()}")
    context.advance_orders()


def lock_tables(context: FaultContext) -> None:
    """Keep the engine's tables locked for longer than anybody of the engine's waits."""
    with sql_transaction(context.services, f"LOCK TABLE {procrastinate_tables()}"):
        context.advance_orders()
        time.sleep(SHORT_LOCK_SECONDS if context.run.short else LONG_LOCK_SECONDS)


def kill_workers(context: FaultContext) -> None:
    """Kill all workers, let an hour go by, and have new ones."""
    context.advance_orders()
    for worker in context.workers:
        worker.kill()
    context.workers.clear()
    context.advance_orders()
    simulate_elapsed_time(context.instance, "1 hour")
    context.start_workers()


def drop_schema(context: FaultContext) -> None:
    """Take the whole schema away, and have it made again by `init`."""
    execute_sql(context.instance, "DROP SCHEMA provider_engine CASCADE")
    context.advance_orders()
    context.instance.run_command("init")


FAST_FAULTS: dict[str, Callable[[FaultContext], None]] = {
    "emptied": truncate_tables,
    "locked": lock_tables,
    "deserted": kill_workers,
}
ALL_FAULTS = FAST_FAULTS | {"gone": drop_schema}


def faults(run: Run) -> ScenarioVerdict:
    """All of them are delay, and nothing but delay; no commit waits for any of it."""
    count, crew, rounds = SHORT_SIZES if run.short else LONG_SIZES
    verdict, deaths, chosen = (
        ScenarioVerdict(""),
        crew * rounds,
        FAST_FAULTS if run.short else ALL_FAULTS,
    )
    with (
        open_postgres_instance(run, "faults") as (instance, _),
        CallbackReceiver(run.rng("receiver")) as receiver,
        _fault_context(run, instance, receiver, count, crew) as scene,
    ):
        for _ in range(rounds):
            for name, fault in chosen.items():
                scene.wait_until_idle()
                fault(scene)
                verdict.require(_wait_for_all(scene, receiver, name), f"{name}: not all came")
        codes = [worker.stop() for worker in scene.workers]
        kept, waiting = load_expected_statuses(scene.services), count_undelivered(scene.services)
    judgement = check_deliveries(
        kept, receiver.callbacks, max_repeats=deaths * MAX_CONCURRENT_SENDS
    )
    verdict.figures = f"{rounds * len(chosen)} faults, {judgement.figures}, slowest commit {scene.slowest_commit_seconds:.2f} s"
    verdict.add_problems_of(judgement)
    verdict.require(not waiting, f"{waiting} messages are not settled as delivered")
    verdict.require(
        scene.slowest_commit_seconds < MAX_COMMIT_SECONDS, "a commit waited for the engine"
    )
    verdict.require(codes == [0] * crew, f"the workers ended with {codes}")
    return verdict


def _wait_for_all(context: FaultContext, receiver: CallbackReceiver, fault_name: str) -> bool:
    came, due = receiver.accepted_count, context.steps * len(context.orders)
    began = time.monotonic()
    whole = receiver.wait_until(lambda it: it.accepted_count >= due, FINISH_TIMEOUT_SECONDS)
    took = time.monotonic() - began
    context.run.print_progress(
        f"{fault_name}: {due - came} were still to come, and did within {took:.1f} s"
    )
    return whole


@contextmanager
def _fault_context(
    run: Run, instance: Instance, receiver: CallbackReceiver, count: int, worker_count: int
) -> Iterator[FaultContext]:
    with instance.open_services() as services, ExitStack() as stack:
        account, _ = factories.create_account(services)
        test = factories.create_test(services)
        orders = [
            factories.place_order(
                services, account, test, callback_url=f"{receiver.url}/callbacks/{number}"
            )
            for number in range(count)
        ]
        doorbell = JobNotifier(services.db).start()
        services.db.on_commit.append(doorbell.ring)
        scene = FaultContext(run, instance, services, orders, stack, worker_count)
        scene.start_workers()
        yield scene
        doorbell.stop()
