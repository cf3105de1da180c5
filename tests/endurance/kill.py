"""The server's process group is killed again and again while orders are processed."""

import random
import time
from dataclasses import dataclass

from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS
from tests.endurance.expected_statuses import (
    count_undelivered,
    load_expected_statuses,
    undelivered_messages,
)
from tests.endurance.order_drivers import OrderDrivers
from tests.endurance.order_script import ScriptContext, create_scripts
from tests.endurance.receiver import CallbackReceiver
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance, ServerProcess
from tests.endurance.verdict import check_deliveries

EARLY_KILL_RATE = 0.1  # share of servers that are killed while they start
MIN_START_SECONDS = 0.3  # a new server sends nothing before
FINISH_TIMEOUT_SECONDS = 300.0  # for the rest, after the last kill


@dataclass(frozen=True)
class Plan:
    """How many orders are processed, and how often the server is killed."""

    orders: int
    statuses: int
    kills: int
    fault_rate: float
    # From a server's first response to its kill; None kills it after its share of the steps.
    kill_delay_range_seconds: tuple[float, float] | None
    page_interval: int  # every n-th order uses the pages


LONG_PLAN = Plan(2000, 5, 100, 0.1, (1.0, 5.0), 10)
SHORT_PLAN = Plan(12, 3, 1, 0.1, None, 3)


def kill(run: Run) -> ScenarioVerdict:
    """Nothing is lost, nothing is out of order, and every repeat equals the first attempt."""
    plan = SHORT_PLAN if run.short else LONG_PLAN
    instance = Instance(run.create_folder("kill"))
    with (
        CallbackReceiver(run.rng("receiver"), plan.fault_rate) as receiver,
        OrderDrivers() as drivers,
    ):
        context = ScriptContext.create(instance, receiver.url)
        context.page_interval = plan.page_interval
        started_at = time.monotonic()
        kills = _kill_repeatedly(run, plan, instance, context, drivers)
        with instance.start_server() as server:
            context.actor.start(server.wait_until_ready().process.pid)
            finished = drivers.wait_until_finished(FINISH_TIMEOUT_SECONDS)
            expected = drivers.completed_steps
            arrived = receiver.wait_until(
                lambda receiver: receiver.accepted_count >= expected, FINISH_TIMEOUT_SECONDS
            )
            run.print_progress("all statuses arrived; placing every order once more")
            _wait_until_settled(instance)
            changed_ids = [
                script.callback_path
                for script in drivers.scripts
                if script.place_order() != script.id
            ]
            context.actor.close()
            exit_code = server.stop()
        seconds = time.monotonic() - started_at
    explained = sum(server_kill.count_explained_repeats(receiver) for server_kill in kills)
    verdict = check_run(instance, drivers, receiver, explained)
    verdict.figures += (
        f" of at most {explained}; {len(kills)} kills in {seconds:.0f} s, seed {run.seed}"
    )
    verdict.require(explained <= len(kills) * MAX_CONCURRENT_SENDS, f"{explained} were in flight")
    verdict.require(not changed_ids, f"orders that got another id: {changed_ids[:5]}")
    verdict.require(finished, f"scripts unfinished after {FINISH_TIMEOUT_SECONDS:.0f} s")
    verdict.require(arrived, f"statuses missing after {FINISH_TIMEOUT_SECONDS:.0f} s")
    verdict.require(exit_code == 0, f"the last server ended with {exit_code}")
    return verdict


def _wait_until_settled(instance: Instance) -> None:
    """Wait until no status waits: a repeat may fail and be sent again."""
    deadline = time.monotonic() + FINISH_TIMEOUT_SECONDS
    with instance.open_services() as services:
        while count_undelivered(services) and time.monotonic() < deadline:
            time.sleep(0.05)


def check_run(
    instance: Instance, drivers: OrderDrivers, receiver: CallbackReceiver, max_repeats: int
) -> ScenarioVerdict:
    """Compare the acknowledged statuses with the database and with the received callbacks."""
    acknowledged = {status for script in drivers.scripts for status in script.expected_statuses}
    with instance.open_services() as services:
        stored, undelivered = set(load_expected_statuses(services)), count_undelivered(services)
    deliveries = check_deliveries(
        acknowledged | stored, receiver.callbacks, max_repeats=max_repeats
    )
    verdict = ScenarioVerdict(f"{len(drivers.scripts):,} orders, {deliveries.figures}")
    verdict.add_problems_of(deliveries)
    verdict.problems += drivers.errors
    verdict.require(
        acknowledged == stored,
        f"acknowledged, not stored: {sorted(acknowledged - stored)[:5]}; "
        f"stored, not acknowledged: {sorted(stored - acknowledged)[:5]}",
    )
    verdict.require(not undelivered, f"{undelivered} messages are not delivered")
    return verdict


@dataclass(frozen=True)
class ServerKill:
    """A killed server: when it could send, and which messages it left undelivered."""

    undelivered: set[tuple[str, str]]
    started_at: float
    ended_at: float

    def count_explained_repeats(self, receiver: CallbackReceiver) -> int:
        """Count its messages that the receiver had accepted and the server had not settled."""
        accepted = {
            (callback.order, callback.sequence)
            for callback in receiver.callbacks
            if callback.is_accepted and self.started_at <= callback.received_at < self.ended_at
        }
        return len(self.undelivered & accepted)


def _kill_repeatedly(
    run: Run, plan: Plan, instance: Instance, context: ScriptContext, drivers: OrderDrivers
) -> list[ServerKill]:
    """Start and kill servers, each with its share of the orders."""
    rng = run.rng("kills")
    orders = create_scripts(context, plan.orders, plan.statuses)
    share = -(-len(orders) // plan.kills)
    kills: list[ServerKill] = []
    for number in range(plan.kills):
        drivers.add(orders[number * share : (number + 1) * share])
        with instance.start_server() as server:
            context.actor.start(server.process.pid)
            _run_until_kill(plan, drivers, server, rng)
            server.kill()
        with instance.open_services() as services:
            started_at = kills[-1].ended_at if kills else 0.0
            kills.append(
                ServerKill(
                    undelivered_messages(services), started_at, time.monotonic() + MIN_START_SECONDS
                )
            )
        if not plan.kill_delay_range_seconds:
            instance.expire_leases()
        if number % 10 == 9:
            run.print_progress(
                f"{number + 1} kills, {drivers.completed_steps:,} statuses acknowledged"
            )
    return kills


def _run_until_kill(
    plan: Plan, drivers: OrderDrivers, server: ServerProcess, rng: random.Random
) -> None:
    """Wait until the server is to be killed; sometimes this is during its start."""
    if not plan.kill_delay_range_seconds:
        drivers.wait_for_steps(
            sum(len(script.steps) for script in drivers.scripts) * 2 // 3, FINISH_TIMEOUT_SECONDS
        )
    elif rng.random() < EARLY_KILL_RATE:
        time.sleep(rng.uniform(0.0, plan.kill_delay_range_seconds[0]))
    else:
        server.wait_until_ready()
        time.sleep(rng.uniform(*plan.kill_delay_range_seconds))
