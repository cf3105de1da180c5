"""Kill: the whole process group dies with -9, again and again, while orders live their lives."""

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
MIN_START_SECONDS = 0.3  # seconds: no server that is started sends anything so soon
FINISH_TIMEOUT_SECONDS = 300.0  # seconds for what is left when nobody kills any more


@dataclass(frozen=True)
class Plan:
    """How much is played, and how often it is interrupted."""

    orders: int
    statuses: int
    kills: int
    fault_rate: float
    # Seconds from its first answer to its death; None: when it has done its part of the work.
    kill_delay_range_seconds: tuple[float, float] | None
    page_interval: int  # every how many-th order is played through the pages


LONG_PLAN = Plan(2000, 5, 100, 0.1, (1.0, 5.0), 10)
SHORT_PLAN = Plan(24, 3, 2, 0.1, None, 3)


def kill(run: Run) -> ScenarioVerdict:
    """Nothing is lost, nothing out of order, and no repeat differs."""
    plan = SHORT_PLAN if run.short else LONG_PLAN
    instance = Instance(run.create_folder("kill"))
    with CallbackReceiver(run.rng("receiver"), plan.fault_rate) as receiver, OrderDrivers() as crew:
        stage = ScriptContext.create(instance, receiver.url)
        stage.page_interval = plan.page_interval
        began = time.monotonic()
        deaths = _kill_repeatedly(run, plan, instance, stage, crew)
        with instance.start_server() as server:
            stage.actor.start(server.wait_until_ready().process.pid)
            played = crew.wait_until_finished(FINISH_TIMEOUT_SECONDS)
            expected = crew.completed_steps
            arrived = receiver.wait_until(
                lambda it: it.accepted_count >= expected, FINISH_TIMEOUT_SECONDS
            )
            run.print_progress("all is over; every order is placed once more")
            _wait_until_settled(instance)
            moved = [play.callback_path for play in crew.scripts if play.place_order() != play.id]
            stage.actor.close()
            code = server.stop()
        seconds = time.monotonic() - began
    explained = sum(death.count_explained_repeats(receiver) for death in deaths)
    verdict = check_run(instance, crew, receiver, explained)
    verdict.figures += (
        f" of at most {explained}; {len(deaths)} kills in {seconds:.0f} s, seed {run.seed}"
    )
    verdict.require(explained <= len(deaths) * MAX_CONCURRENT_SENDS, f"{explained} were in flight")
    verdict.require(not moved, f"orders that got another id: {moved[:5]}")
    verdict.require(played, f"not all was played within {FINISH_TIMEOUT_SECONDS:.0f} s")
    verdict.require(arrived, f"not all had arrived after {FINISH_TIMEOUT_SECONDS:.0f} s")
    verdict.require(code == 0, f"the last server ended with {code}")
    return verdict


def _wait_until_settled(instance: Instance) -> None:
    """Wait until nothing is left to send: a repeat may have been refused, and come again."""
    until = time.monotonic() + FINISH_TIMEOUT_SECONDS
    with instance.open_services() as services:
        while count_undelivered(services) and time.monotonic() < until:
            time.sleep(0.05)


def check_run(
    instance: Instance, drivers: OrderDrivers, receiver: CallbackReceiver, max_repeats: int
) -> ScenarioVerdict:
    """Hold what was acknowledged, what is kept and what arrived against each other."""
    told = {promise for play in drivers.scripts for promise in play.expected_statuses}
    with instance.open_services() as services:
        kept, left = set(load_expected_statuses(services)), count_undelivered(services)
    judgement = check_deliveries(told | kept, receiver.callbacks, max_repeats=max_repeats)
    verdict = ScenarioVerdict(f"{len(drivers.scripts):,} orders, {judgement.figures}")
    verdict.add_problems_of(judgement)
    verdict.problems += drivers.errors
    verdict.require(
        told == kept,
        f"acknowledged, not kept: {sorted(told - kept)[:5]}; "
        f"kept, not acknowledged: {sorted(kept - told)[:5]}",
    )
    verdict.require(not left, f"{left} messages are not settled as delivered")
    return verdict


@dataclass(frozen=True)
class ServerKill:
    """What a server that was killed left unsettled, since when it had lived and until when."""

    undelivered: set[tuple[str, str]]
    started_at: float
    ended_at: float

    def count_explained_repeats(self, receiver: CallbackReceiver) -> int:
        """Return how many repeats it explains: what it had delivered and did not settle."""
        had = {
            (each.order, each.sequence)
            for each in receiver.callbacks
            if each.is_accepted and self.started_at <= each.received_at < self.ended_at
        }
        return len(self.undelivered & had)


def _kill_repeatedly(
    run: Run, plan: Plan, instance: Instance, context: ScriptContext, drivers: OrderDrivers
) -> list[ServerKill]:
    """Start and kill until it is enough, giving each server its share of the orders."""
    luck = run.rng("kills")
    orders = create_scripts(context, plan.orders, plan.statuses)
    share = -(-len(orders) // plan.kills)
    deaths: list[ServerKill] = []
    for kills in range(plan.kills):
        drivers.add(orders[kills * share : (kills + 1) * share])
        with instance.start_server() as server:
            context.actor.start(server.process.pid)
            _run_until_kill(plan, drivers, server, luck)
            server.kill()
        with instance.open_services() as services:
            since = deaths[-1].ended_at if deaths else 0.0
            deaths.append(
                ServerKill(
                    undelivered_messages(services), since, time.monotonic() + MIN_START_SECONDS
                )
            )
        if not plan.kill_delay_range_seconds:
            instance.expire_leases()
        if kills % 10 == 9:
            run.print_progress(
                f"{kills + 1} kills, {drivers.completed_steps:,} statuses acknowledged"
            )
    return deaths


def _run_until_kill(
    plan: Plan, drivers: OrderDrivers, server: ServerProcess, rng: random.Random
) -> None:
    """Let a server live until its death: now and then it does not even get to its feet."""
    if not plan.kill_delay_range_seconds:
        drivers.wait_for_steps(
            sum(len(play.steps) for play in drivers.scripts) * 2 // 3, FINISH_TIMEOUT_SECONDS
        )
    elif rng.random() < EARLY_KILL_RATE:
        time.sleep(rng.uniform(0.0, plan.kill_delay_range_seconds[0]))
    else:
        server.wait_until_ready()
        time.sleep(rng.uniform(*plan.kill_delay_range_seconds))
