"""Several servers and workers share one PostgreSQL; all are killed or restarted at random."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS
from tests.endurance.cluster import open_postgres_instance, simulate_elapsed_time
from tests.endurance.kill import check_run
from tests.endurance.order_drivers import OrderDrivers
from tests.endurance.order_script import ScriptContext, create_scripts
from tests.endurance.receiver import CallbackReceiver
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import (
    SERVER_TIMEOUT_SECONDS,
    Instance,
    ProviderProcess,
    ServerProcess,
    free_port,
)
from tests.postgres_server import PostgresServer

POSTGRES_DOWNTIME_RANGE_SECONDS = (0.0, 3.0)
RESTART_DELAY_SECONDS = 0.5  # of a process that ended by itself
FINISH_TIMEOUT_SECONDS = 900.0  # for the rest, after the last kill
MAX_STEP_REFUSALS = 10_000  # of one step: every request fails while PostgreSQL is down


@dataclass(frozen=True)
class Plan:
    """How many processes process how many orders, and how often they are killed."""

    servers: int
    workers: int
    orders: int
    statuses: int
    kills: int
    kill_interval_range_seconds: tuple[float, float]
    restart_interval_range_seconds: tuple[float, float]  # of PostgreSQL
    page_interval: int  # every n-th order uses the pages


LONG_PLAN = Plan(2, 4, 1000, 5, 100, (0.5, 4.0), (5.0, 40.0), 10)
SHORT_PLAN = Plan(2, 2, 12, 2, 2, (0.5, 1.0), (0.0, 1.0), 4)


class NodeGroup:
    """The running servers and workers; each is replaced as soon as it has ended.

    A server that starts while PostgreSQL is away ends with an error. A supervisor starts it again,
    as systemd does.
    """

    def __init__(self, instance: Instance, plan: Plan) -> None:
        self.ports = [instance.port, *(free_port() for _ in range(plan.servers - 1))]
        self._starters: list[Callable[[], ProviderProcess]] = [
            *(lambda port=port: instance.start_server(port) for port in self.ports),
            *([instance.start_worker] * plan.workers),
        ]
        self._processes = [start() for start in self._starters]
        self._lock, self._is_stopping = threading.Lock(), threading.Event()
        self._supervisor = threading.Thread(target=self._replace_ended)

    def __enter__(self) -> "NodeGroup":
        self._supervisor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_supervisor()
        for process in self._processes:
            process.kill()

    @property
    def servers(self) -> list[ServerProcess]:
        return [process for process in self._processes if isinstance(process, ServerProcess)]

    def kill_and_replace(self, rng: random.Random) -> None:
        """Kill a random process, and start another in its place."""
        index = rng.randrange(len(self._processes))
        with self._lock:
            self._processes[index].kill()
            self._processes[index] = self._starters[index]()

    def stop(self) -> list[int]:
        """Stop all processes with SIGTERM; return their exit codes."""
        self._end_supervisor()
        return [process.stop() for process in self._processes]

    def wait_until_ready(self) -> None:
        """Wait until each server answers. RuntimeError: one of them ends again and again."""
        deadline = time.monotonic() + SERVER_TIMEOUT_SECONDS
        while True:
            try:
                for server in self.servers:
                    server.wait_until_ready()
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RESTART_DELAY_SECONDS)
            else:
                return

    def _end_supervisor(self) -> None:
        self._is_stopping.set()
        self._supervisor.join()

    def _replace_ended(self) -> None:
        while not self._is_stopping.wait(RESTART_DELAY_SECONDS):
            with self._lock:
                for index, process in enumerate(self._processes):
                    if process.process.poll() is not None:
                        self._processes[index] = self._starters[index]()


def multi_node(run: Run) -> ScenarioVerdict:
    """Nothing is lost, nothing is out of order, and every repeat equals the first attempt."""
    plan = SHORT_PLAN if run.short else LONG_PLAN
    with (
        open_postgres_instance(run, "multi-node") as (instance, postgres),
        CallbackReceiver(run.rng("receiver"), 0.1) as receiver,
        OrderDrivers() as drivers,
    ):
        context = ScriptContext.create(instance, receiver.url)
        context.page_interval, context.max_refusals = plan.page_interval, MAX_STEP_REFUSALS
        started_at = time.monotonic()
        with NodeGroup(instance, plan) as nodes:
            _distribute_scripts(
                drivers, plan, [context, *(context.for_server(port) for port in nodes.ports[1:])]
            )
            restarts = _kill_repeatedly(run, plan, nodes, drivers, postgres, context)
            if run.short:
                simulate_elapsed_time(instance, "2 minutes")
            finished, arrived = _wait_for_rest(run, nodes, context, drivers, receiver)
            context.actor.close()
            exit_codes = nodes.stop()
        seconds = time.monotonic() - started_at
        max_repeats = (plan.kills + plan.workers * restarts) * MAX_CONCURRENT_SENDS
        verdict = check_run(instance, drivers, receiver, max_repeats)
    verdict.figures += (
        f"; {plan.kills} of {plan.servers} servers and {plan.workers} workers killed, PostgreSQL "
        f"restarted {restarts} times in {seconds:.0f} s, seed {run.seed}"
    )
    verdict.require(finished, f"scripts unfinished after {FINISH_TIMEOUT_SECONDS:.0f} s")
    verdict.require(arrived, f"statuses missing after {FINISH_TIMEOUT_SECONDS:.0f} s")
    verdict.require(not any(exit_codes), f"the processes ended with {exit_codes}")
    return verdict


def _distribute_scripts(drivers: OrderDrivers, plan: Plan, contexts: list[ScriptContext]) -> None:
    scripts = create_scripts(contexts[0], plan.orders, plan.statuses)
    for script in scripts:
        script.context = contexts[script.number // plan.page_interval % len(contexts)]
    drivers.add(scripts)


def _kill_repeatedly(
    run: Run,
    plan: Plan,
    nodes: NodeGroup,
    drivers: OrderDrivers,
    postgres: PostgresServer,
    context: ScriptContext,
) -> int:
    """Kill processes one after another; return how often PostgreSQL was restarted.

    Between two kills the drivers complete a share of the steps, so that slow starters also work.
    """
    rng, restarts = run.rng("kills"), 0
    share = plan.orders * plan.statuses / (plan.kills + 1)
    next_restart = time.monotonic() + rng.uniform(*plan.restart_interval_range_seconds)
    for kills in range(1, plan.kills + 1):
        context.actor.start(rng.choice(nodes.servers).process.pid)
        drivers.wait_for_steps(int(kills * share), FINISH_TIMEOUT_SECONDS)
        time.sleep(rng.uniform(*plan.kill_interval_range_seconds))
        nodes.kill_and_replace(rng)
        if time.monotonic() >= next_restart:
            postgres.stop()
            time.sleep(rng.uniform(*POSTGRES_DOWNTIME_RANGE_SECONDS))
            postgres.start()
            restarts += 1
            next_restart = time.monotonic() + rng.uniform(*plan.restart_interval_range_seconds)
        if kills % 10 == 0:
            run.print_progress(
                f"{kills} kills, {restarts} restarts, "
                f"{drivers.completed_steps:,} statuses acknowledged"
            )
    return restarts


def _wait_for_rest(
    run: Run,
    nodes: NodeGroup,
    context: ScriptContext,
    drivers: OrderDrivers,
    receiver: CallbackReceiver,
) -> tuple[bool, bool]:
    """Wait for all scripts and deliveries. Return whether the scripts finished and all arrived."""
    nodes.wait_until_ready()
    context.actor.start(nodes.servers[0].process.pid)
    run.print_progress(f"no more kills; {drivers.completed_steps:,} statuses acknowledged")
    finished = drivers.wait_until_finished(FINISH_TIMEOUT_SECONDS)
    expected = drivers.completed_steps
    run.print_progress(f"scripts finished; {receiver.accepted_count:,} of {expected:,} accepted")
    return finished, receiver.wait_until(
        lambda receiver: receiver.accepted_count >= expected, FINISH_TIMEOUT_SECONDS
    )
