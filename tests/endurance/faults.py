"""Procrastinate's tables are emptied, locked or dropped; the outbox still delivers everything."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from sqlalchemy import text

from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS
from provider.delivery.runners.notifier import JobNotifier
from provider.services import Services
from provider.storage.procrastinate_schema import SCHEMA_NAME
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

SCRIPT = ("decline", "reopen")  # repeated
LONG_SIZES, SHORT_SIZES = (200, 4, 5), (12, 1, 1)  # orders, workers, rounds of all faults
# Both are longer than Procrastinate's lock timeout.
LONG_LOCK_SECONDS, SHORT_LOCK_SECONDS = 30.0, 6.0
MAX_COMMIT_SECONDS = 4.0  # a commit must not wait for Procrastinate's tables
FINISH_TIMEOUT_SECONDS = 900.0
RUNNING_JOBS_SQL = (
    f"SELECT count(*) FROM {SCHEMA_NAME}.procrastinate_jobs WHERE task_name = 'deliver_queue'"
)


@dataclass
class FaultContext:
    """An instance with its workers, and services that change statuses as a server does."""

    run: Run
    instance: Instance
    services: Services
    orders: list[str]
    stack: ExitStack
    worker_count: int
    workers: list[WorkerProcess] = field(default_factory=list)
    steps: int = 0
    slowest_commit_seconds: float = 0.0

    def start_workers(self) -> None:
        """Start workers until there are `worker_count`."""
        while len(self.workers) < self.worker_count:
            self.workers.append(self.stack.enter_context(self.instance.start_worker()))

    def wait_until_idle(self) -> None:
        """Wait until no job runs, so that the next delivery depends on Procrastinate alone."""
        deadline = time.monotonic() + FINISH_TIMEOUT_SECONDS
        while self._has_running_jobs() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _has_running_jobs(self) -> bool:
        with self.services.db.engine.connect() as connection:
            return bool(connection.scalar(text(RUNNING_JOBS_SQL)))

    def advance_orders(self) -> None:
        """Give every order its next status."""
        for order in self.orders:
            started_at = time.monotonic()
            with self.services.db.writing() as session:
                for act in STEPS[SCRIPT[self.steps % len(SCRIPT)]]:
                    act(self.services, session, order, self.services.now())
            self.slowest_commit_seconds = max(
                self.slowest_commit_seconds, time.monotonic() - started_at
            )
        self.steps += 1


def truncate_tables(context: FaultContext) -> None:
    """Empty Procrastinate's tables, with new statuses before and after."""
    context.advance_orders()
    execute_sql(context.instance, f"TRUNCATE {procrastinate_tables()}")
    context.advance_orders()


def lock_tables(context: FaultContext) -> None:
    """Lock Procrastinate's tables for longer than its lock timeout."""
    with sql_transaction(context.services, f"LOCK TABLE {procrastinate_tables()}"):
        context.advance_orders()
        time.sleep(SHORT_LOCK_SECONDS if context.run.short else LONG_LOCK_SECONDS)


def kill_workers(context: FaultContext) -> None:
    """Kill all workers, let an hour pass, and start new workers."""
    context.advance_orders()
    for worker in context.workers:
        worker.kill()
    context.workers.clear()
    context.advance_orders()
    simulate_elapsed_time(context.instance, "1 hour")
    context.start_workers()


def drop_schema(context: FaultContext) -> None:
    """Drop Procrastinate's schema; `provider init` creates it again."""
    execute_sql(context.instance, f"DROP SCHEMA {SCHEMA_NAME} CASCADE")
    context.advance_orders()
    context.instance.run_command("init")


FAST_FAULTS: dict[str, Callable[[FaultContext], None]] = {
    "tables emptied": truncate_tables,
    "tables locked": lock_tables,
    "workers killed": kill_workers,
}
ALL_FAULTS = FAST_FAULTS | {"schema dropped": drop_schema}


def faults(run: Run) -> ScenarioVerdict:
    """Every fault only delays deliveries; no commit waits for a fault."""
    order_count, worker_count, rounds = SHORT_SIZES if run.short else LONG_SIZES
    chosen_faults = FAST_FAULTS if run.short else ALL_FAULTS
    verdict, kills = ScenarioVerdict(""), worker_count * rounds
    with (
        open_postgres_instance(run, "faults") as (instance, _),
        CallbackReceiver(run.rng("receiver")) as receiver,
        _fault_context(run, instance, receiver, order_count, worker_count) as context,
    ):
        for _ in range(rounds):
            for name, fault in chosen_faults.items():
                context.wait_until_idle()
                fault(context)
                verdict.require(
                    _wait_for_all(context, receiver, name), f"{name}: not all statuses arrived"
                )
        exit_codes = [worker.stop() for worker in context.workers]
        expected = load_expected_statuses(context.services)
        undelivered = count_undelivered(context.services)
    deliveries = check_deliveries(
        expected, receiver.callbacks, max_repeats=kills * MAX_CONCURRENT_SENDS
    )
    verdict.figures = (
        f"{rounds * len(chosen_faults)} faults, {deliveries.figures}, "
        f"slowest commit {context.slowest_commit_seconds:.2f} s"
    )
    verdict.add_problems_of(deliveries)
    verdict.require(not undelivered, f"{undelivered} messages are not delivered")
    verdict.require(
        context.slowest_commit_seconds < MAX_COMMIT_SECONDS, "a commit waited for Procrastinate"
    )
    verdict.require(exit_codes == [0] * worker_count, f"the workers ended with {exit_codes}")
    return verdict


def _wait_for_all(context: FaultContext, receiver: CallbackReceiver, fault_name: str) -> bool:
    accepted, expected = receiver.accepted_count, context.steps * len(context.orders)
    started_at = time.monotonic()
    all_arrived = receiver.wait_until(
        lambda receiver: receiver.accepted_count >= expected, FINISH_TIMEOUT_SECONDS
    )
    seconds = time.monotonic() - started_at
    context.run.print_progress(
        f"{fault_name}: waited {seconds:.1f} s for {expected - accepted} statuses"
    )
    return all_arrived


@contextmanager
def _fault_context(
    run: Run, instance: Instance, receiver: CallbackReceiver, order_count: int, worker_count: int
) -> Iterator[FaultContext]:
    with instance.open_services() as services, ExitStack() as stack:
        account_id, _ = factories.create_account(services)
        test = factories.create_test(services)
        orders = [
            factories.place_order(
                services, account_id, test, callback_url=f"{receiver.url}/callbacks/{number}"
            )
            for number in range(order_count)
        ]
        notifier = JobNotifier(services.db).start()
        services.db.on_commit.append(notifier.notify)
        context = FaultContext(run, instance, services, orders, stack, worker_count)
        context.start_workers()
        yield context
        notifier.stop()
