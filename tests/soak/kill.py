"""Kill: the whole process group dies with -9, again and again, while orders live their lives."""

import random
import time
from dataclasses import dataclass

from provider.courier.courier import HANDS
from tests.soak.crew import Crew
from tests.soak.history import judge
from tests.soak.ledger import unsettled, waiting, written
from tests.soak.play import Stage, plays
from tests.soak.proof import Run, Verdict
from tests.soak.receiver import Receiver
from tests.soak.server import Instance, Server

STILLBORN = 0.1  # share of servers that are killed while they start
STARTS = 0.3  # seconds: no server that is started sends anything so soon
LAST = 300.0  # seconds for what is left when nobody kills any more


@dataclass(frozen=True)
class Plan:
    """How much is played, and how often it is interrupted."""

    orders: int
    statuses: int
    kills: int
    faults: float
    # Seconds from its first answer to its death; None: when it has done its part of the work.
    between: tuple[float, float] | None
    pages: int  # every how many-th order is played through the pages


LONG = Plan(2000, 5, 100, 0.1, (1.0, 5.0), 10)
SHORT = Plan(24, 3, 2, 0.1, None, 3)


def kill(run: Run) -> Verdict:
    """Nothing is lost, nothing out of order, and no repeat differs."""
    plan = SHORT if run.short else LONG
    instance = Instance(run.part("kill"))
    with Receiver(run.luck("receiver"), plan.faults) as receiver, Crew() as crew:
        stage = Stage.lay(instance, receiver.url)
        stage.pages = plan.pages
        began = time.monotonic()
        deaths = _deaths(run, plan, instance, stage, crew)
        with instance.start() as server:
            stage.actor.join(server.wait().process.pid)
            played = crew.wait(LAST)
            expected = crew.done
            arrived = receiver.wait_until(lambda it: it.taken >= expected, LAST)
            run.say("all is over; every order is placed once more")
            _settle(instance)
            moved = [play.path for play in crew.plays if play.place() != play.id]
            stage.actor.leave()
            code = server.stop()
        seconds = time.monotonic() - began
    explained = sum(death.explains(receiver) for death in deaths)
    verdict = judged(instance, crew, receiver, explained)
    verdict.figures += (
        f" of at most {explained}; {len(deaths)} kills in {seconds:.0f} s, seed {run.seed}"
    )
    verdict.claim(explained <= len(deaths) * HANDS, f"{explained} were in flight")
    verdict.claim(not moved, f"orders that got another id: {moved[:5]}")
    verdict.claim(played, f"not all was played within {LAST:.0f} s")
    verdict.claim(arrived, f"not all had arrived after {LAST:.0f} s")
    verdict.claim(code == 0, f"the last server ended with {code}")
    return verdict


def _settle(instance: Instance) -> None:
    """Wait until nothing is left to send: a repeat may have been refused, and come again."""
    until = time.monotonic() + LAST
    with instance.house() as house:
        while unsettled(house) and time.monotonic() < until:
            time.sleep(0.05)


def judged(instance: Instance, crew: Crew, receiver: Receiver, repeats_allowed: int) -> Verdict:
    """Hold what was acknowledged, what is kept and what arrived against each other."""
    told = {promise for play in crew.plays for promise in play.promised}
    with instance.house() as house:
        kept, left = set(written(house)), unsettled(house)
    judgement = judge(told | kept, receiver.arrived, repeats_allowed=repeats_allowed)
    verdict = Verdict(f"{len(crew.plays):,} orders, {judgement.figures}")
    verdict.hold(judgement)
    verdict.problems += crew.broken
    verdict.claim(
        told == kept,
        f"acknowledged, not kept: {sorted(told - kept)[:5]}; "
        f"kept, not acknowledged: {sorted(kept - told)[:5]}",
    )
    verdict.claim(not left, f"{left} messages are not settled as delivered")
    return verdict


@dataclass(frozen=True)
class Death:
    """What a server that was killed left unsettled, since when it had lived and until when."""

    left: set[tuple[str, str]]
    since: float
    until: float

    def explains(self, receiver: Receiver) -> int:
        """Return how many repeats it explains: what it had delivered and did not settle."""
        had = {
            (each.order, each.sequence)
            for each in receiver.arrived
            if each.taken and self.since <= each.at < self.until
        }
        return len(self.left & had)


def _deaths(run: Run, plan: Plan, instance: Instance, stage: Stage, crew: Crew) -> list[Death]:
    """Start and kill until it is enough, giving each server its share of the orders."""
    luck = run.luck("kills")
    orders = plays(stage, plan.orders, plan.statuses)
    share = -(-len(orders) // plan.kills)
    deaths: list[Death] = []
    for kills in range(plan.kills):
        crew.give(orders[kills * share : (kills + 1) * share])
        with instance.start() as server:
            stage.actor.join(server.process.pid)
            _live(plan, crew, server, luck)
            server.kill()
        with instance.house() as house:
            since = deaths[-1].until if deaths else 0.0
            deaths.append(Death(waiting(house), since, time.monotonic() + STARTS))
        if not plan.between:
            instance.let_leases_lapse()
        if kills % 10 == 9:
            run.say(f"{kills + 1} kills, {crew.done:,} statuses acknowledged")
    return deaths


def _live(plan: Plan, crew: Crew, server: Server, luck: random.Random) -> None:
    """Let a server live until its death: now and then it does not even get to its feet."""
    if not plan.between:
        crew.wait_for(sum(len(play.script) for play in crew.plays) * 2 // 3, LAST)
    elif luck.random() < STILLBORN:
        time.sleep(luck.uniform(0.0, plan.between[0]))
    else:
        server.wait()
        time.sleep(luck.uniform(*plan.between))
