"""Many: servers and workers on one PostgreSQL; any of them is killed, and PostgreSQL restarted."""

import random
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
from tests.endurance.server import Instance, ProviderProcess, ServerProcess, free_port
from tests.postgres_server import PostgresServer

POSTGRES_DOWNTIME_RANGE_SECONDS = (0.0, 3.0)  # seconds that PostgreSQL is away
FINISH_TIMEOUT_SECONDS = 900.0  # seconds for what is left when nobody kills any more
MAX_STEP_REFUSALS = 10_000  # refusals of one step: PostgreSQL is away for long


@dataclass(frozen=True)
class Plan:
    """How much is played by whom, and how often it is interrupted."""

    servers: int
    workers: int
    orders: int
    statuses: int
    kills: int
    kill_interval_range_seconds: tuple[float, float]  # seconds from one death to the next
    restart_interval_range_seconds: tuple[
        float, float
    ]  # seconds from one restart of PostgreSQL to the next
    page_interval: int  # every how many-th order is played through the pages


LONG_PLAN = Plan(2, 4, 1000, 5, 100, (0.5, 4.0), (5.0, 40.0), 10)
SHORT_PLAN = Plan(2, 2, 12, 2, 2, (0.5, 1.0), (0.0, 1.0), 4)


class NodeGroup:
    """The programs that run, each replaced as soon as it is killed."""

    def __init__(self, instance: Instance, plan: Plan) -> None:
        self.ports = [instance.port, *(free_port() for _ in range(plan.servers - 1))]
        self._starters: list[Callable[[], ProviderProcess]] = [
            *(lambda port=port: instance.start_server(port) for port in self.ports),
            *([instance.start_worker] * plan.workers),
        ]
        self._processes = [begin() for begin in self._starters]

    def __enter__(self) -> "NodeGroup":
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._processes:
            program.kill()

    @property
    def servers(self) -> list[ServerProcess]:
        """Those that serve."""
        return [program for program in self._processes if isinstance(program, ServerProcess)]

    def kill_and_replace(self, rng: random.Random) -> None:
        """Kill one of all, and start another in its place."""
        index = rng.randrange(len(self._processes))
        self._processes[index].kill()
        self._processes[index] = self._starters[index]()

    def stop(self) -> list[int]:
        """Stop all of them clean, and return their exit codes."""
        return [program.stop() for program in self._processes]


def multi_node(run: Run) -> ScenarioVerdict:
    """Nothing is lost, nothing out of order, and no repeat differs, whoever dies."""
    plan = SHORT_PLAN if run.short else LONG_PLAN
    with (
        open_postgres_instance(run, "many") as (instance, postgres),
        CallbackReceiver(run.rng("receiver"), 0.1) as receiver,
        OrderDrivers() as crew,
    ):
        stage = ScriptContext.create(instance, receiver.url)
        stage.page_interval, stage.max_refusals = plan.page_interval, MAX_STEP_REFUSALS
        began = time.monotonic()
        with NodeGroup(instance, plan) as fleet:
            _distribute_scripts(
                crew, plan, [stage, *(stage.for_server(port) for port in fleet.ports[1:])]
            )
            restarts = _kill_repeatedly(run, plan, fleet, crew, postgres, stage)
            if run.short:
                simulate_elapsed_time(instance, "2 minutes")
            played, arrived = _wait_for_rest(run, fleet, stage, crew, receiver)
            stage.actor.close()
            codes = fleet.stop()
        seconds = time.monotonic() - began
        verdict = check_run(
            instance, crew, receiver, (plan.kills + plan.workers * restarts) * MAX_CONCURRENT_SENDS
        )
    verdict.figures += (
        f"; {plan.kills} of {plan.servers} servers and {plan.workers} workers killed, PostgreSQL "
        f"restarted {restarts} times in {seconds:.0f} s, seed {run.seed}"
    )
    verdict.require(played, f"not all was played within {FINISH_TIMEOUT_SECONDS:.0f} s")
    verdict.require(arrived, f"not all had arrived after {FINISH_TIMEOUT_SECONDS:.0f} s")
    verdict.require(not any(codes), f"they ended with {codes}")
    return verdict


def _distribute_scripts(drivers: OrderDrivers, plan: Plan, contexts: list[ScriptContext]) -> None:
    everything = create_scripts(contexts[0], plan.orders, plan.statuses)
    for play in everything:
        play.context = contexts[play.number // plan.page_interval % len(contexts)]
    drivers.add(everything)


def _kill_repeatedly(
    run: Run,
    plan: Plan,
    nodes: NodeGroup,
    drivers: OrderDrivers,
    postgres: PostgresServer,
    context: ScriptContext,
) -> int:
    """Kill until it is enough; return how often PostgreSQL was restarted meanwhile.

    Each has done its part of the work before the next dies, so that who starts slowly lives too.
    """
    luck, restarts = run.rng("kills"), 0
    share = plan.orders * plan.statuses / (plan.kills + 1)
    next_restart = time.monotonic() + luck.uniform(*plan.restart_interval_range_seconds)
    for kills in range(1, plan.kills + 1):
        context.actor.start(luck.choice(nodes.servers).process.pid)
        drivers.wait_for_steps(int(kills * share), FINISH_TIMEOUT_SECONDS)
        time.sleep(luck.uniform(*plan.kill_interval_range_seconds))
        nodes.kill_and_replace(luck)
        if time.monotonic() >= next_restart:
            postgres.stop()
            time.sleep(luck.uniform(*POSTGRES_DOWNTIME_RANGE_SECONDS))
            postgres.start()
            restarts += 1
            next_restart = time.monotonic() + luck.uniform(*plan.restart_interval_range_seconds)
        if kills % 10 == 0:
            run.print_progress(
                f"{kills} kills, {restarts} restarts, {drivers.completed_steps:,} statuses acknowledged"
            )
    return restarts


def _wait_for_rest(
    run: Run,
    nodes: NodeGroup,
    context: ScriptContext,
    drivers: OrderDrivers,
    receiver: CallbackReceiver,
) -> tuple[bool, bool]:
    """Let all be played and delivered; say whether it was."""
    for server in nodes.servers:
        server.wait_until_ready()
    context.actor.start(nodes.servers[0].process.pid)
    run.print_progress(f"nobody dies any more; {drivers.completed_steps:,} statuses acknowledged")
    played, expected = drivers.wait_until_finished(FINISH_TIMEOUT_SECONDS), drivers.completed_steps
    run.print_progress(f"all is played; {receiver.accepted_count:,} of {expected:,} taken")
    return played, receiver.wait_until(
        lambda it: it.accepted_count >= expected, FINISH_TIMEOUT_SECONDS
    )
