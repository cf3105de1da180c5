"""Many: servers and workers on one PostgreSQL; any of them is killed, and PostgreSQL restarted."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from provider.courier.courier import HANDS
from tests.postgres import Postgres
from tests.soak.crew import Crew
from tests.soak.fleet import let_time_pass, scaled
from tests.soak.kill import judged
from tests.soak.play import Stage, plays
from tests.soak.proof import Run, Verdict
from tests.soak.receiver import Receiver
from tests.soak.server import Instance, Program, Server, free_port

DOWN = (0.0, 3.0)  # seconds that PostgreSQL is away
LAST = 900.0  # seconds for what is left when nobody kills any more
PATIENCE = 10_000  # refusals of one step: PostgreSQL is away for long


@dataclass(frozen=True)
class Plan:
    """How much is played by whom, and how often it is interrupted."""

    servers: int
    workers: int
    orders: int
    statuses: int
    kills: int
    between: tuple[float, float]  # seconds from one death to the next
    restarts: tuple[float, float]  # seconds from one restart of PostgreSQL to the next
    pages: int  # every how many-th order is played through the pages


LONG = Plan(2, 4, 1000, 5, 100, (0.5, 4.0), (5.0, 40.0), 10)
SHORT = Plan(2, 2, 12, 2, 2, (0.5, 1.0), (0.0, 1.0), 4)


class Fleet:
    """The programs that run, each replaced as soon as it is killed."""

    def __init__(self, instance: Instance, plan: Plan) -> None:
        self.ports = [instance.port, *(free_port() for _ in range(plan.servers - 1))]
        self._begin: list[Callable[[], Program]] = [
            *(lambda port=port: instance.start(port) for port in self.ports),
            *([instance.work] * plan.workers),
        ]
        self._running = [begin() for begin in self._begin]

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._running:
            program.kill()

    @property
    def servers(self) -> list[Server]:
        """Those that serve."""
        return [program for program in self._running if isinstance(program, Server)]

    def replace(self, luck: random.Random) -> None:
        """Kill one of all, and start another in its place."""
        index = luck.randrange(len(self._running))
        self._running[index].kill()
        self._running[index] = self._begin[index]()

    def stop(self) -> list[int]:
        """Stop all of them clean, and return their exit codes."""
        return [program.stop() for program in self._running]


def many(run: Run) -> Verdict:
    """Nothing is lost, nothing out of order, and no repeat differs, whoever dies."""
    plan = SHORT if run.short else LONG
    with (
        scaled(run, "many") as (instance, postgres),
        Receiver(run.luck("receiver"), 0.1) as receiver,
        Crew() as crew,
    ):
        stage = Stage.lay(instance, receiver.url)
        stage.pages, stage.patience = plan.pages, PATIENCE
        began = time.monotonic()
        with Fleet(instance, plan) as fleet:
            _give(crew, plan, [stage, *(stage.beside(port) for port in fleet.ports[1:])])
            restarts = _deaths(run, plan, fleet, crew, postgres, stage)
            if run.short:
                let_time_pass(instance, "2 minutes")
            played, arrived = _rest(run, fleet, stage, crew, receiver)
            stage.actor.leave()
            codes = fleet.stop()
        seconds = time.monotonic() - began
        verdict = judged(instance, crew, receiver, (plan.kills + plan.workers * restarts) * HANDS)
    verdict.figures += (
        f"; {plan.kills} of {plan.servers} servers and {plan.workers} workers killed, PostgreSQL "
        f"restarted {restarts} times in {seconds:.0f} s, seed {run.seed}"
    )
    verdict.claim(played, f"not all was played within {LAST:.0f} s")
    verdict.claim(arrived, f"not all had arrived after {LAST:.0f} s")
    verdict.claim(not any(codes), f"they ended with {codes}")
    return verdict


def _give(crew: Crew, plan: Plan, stages: list[Stage]) -> None:
    everything = plays(stages[0], plan.orders, plan.statuses)
    for play in everything:
        play.stage = stages[play.number // plan.pages % len(stages)]
    crew.give(everything)


def _deaths(
    run: Run, plan: Plan, fleet: Fleet, crew: Crew, postgres: Postgres, stage: Stage
) -> int:
    """Kill until it is enough; return how often PostgreSQL was restarted meanwhile.

    Each has done its part of the work before the next dies, so that who starts slowly lives too.
    """
    luck, restarts = run.luck("kills"), 0
    share = plan.orders * plan.statuses / (plan.kills + 1)
    next_restart = time.monotonic() + luck.uniform(*plan.restarts)
    for kills in range(1, plan.kills + 1):
        stage.actor.join(luck.choice(fleet.servers).process.pid)
        crew.wait_for(int(kills * share), LAST)
        time.sleep(luck.uniform(*plan.between))
        fleet.replace(luck)
        if time.monotonic() >= next_restart:
            postgres.stop()
            time.sleep(luck.uniform(*DOWN))
            postgres.start()
            restarts += 1
            next_restart = time.monotonic() + luck.uniform(*plan.restarts)
        if kills % 10 == 0:
            run.say(f"{kills} kills, {restarts} restarts, {crew.done:,} statuses acknowledged")
    return restarts


def _rest(
    run: Run, fleet: Fleet, stage: Stage, crew: Crew, receiver: Receiver
) -> tuple[bool, bool]:
    """Let all be played and delivered; say whether it was."""
    for server in fleet.servers:
        server.wait()
    stage.actor.join(fleet.servers[0].process.pid)
    run.say(f"nobody dies any more; {crew.done:,} statuses acknowledged")
    played, expected = crew.wait(LAST), crew.done
    run.say(f"all is played; {receiver.taken:,} of {expected:,} taken")
    return played, receiver.wait_until(lambda it: it.taken >= expected, LAST)
