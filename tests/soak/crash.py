"""Crash points: a process dies at each labelled step, and the next one goes on from there."""

import shutil
import signal
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests import cast
from tests.cast import HandClock
from tests.soak.actor import SPAWN
from tests.soak.history import Promise, judge
from tests.soak.ledger import unsettled, written
from tests.soak.mortal import HANDS, STEPS, Death, live
from tests.soak.proof import Run, Verdict
from tests.soak.receiver import Stubborn
from tests.soak.server import Instance

SEEDS = 20
ORDERS = 4
LIFE = 120.0  # seconds that a process may take


@dataclass(frozen=True)
class Ground:
    """An instance with orders that wait; every crash happens on a copy of it."""

    instance: Instance
    clock: HandClock
    orders: list[str]
    receiver: Stubborn


def crash(run: Run) -> Verdict:
    """Wherever a process dies, the next one loses nothing and keeps the order."""
    verdict, crashes = Verdict(""), 0
    with Stubborn(run.luck("receiver")) as receiver:
        ground = _lay(Instance(run.part("ground")), receiver)
        for step in STEPS:
            for seed in range(1 if run.short else SEEDS):
                times = run.luck(f"{step}/{seed}").randint(1, STEPS[step])
                problems = _crash(run, ground, Death(step, times), f"{step} {seed}")
                verdict.problems += [f"{step}, seed {seed}: {each}" for each in problems]
                crashes += 1
            run.say(f"{crashes} crashes, the last ones {step}")
        requests = len(receiver.arrived)
    verdict.figures = (
        f"{len(STEPS)} steps, {crashes} crashes, {requests:,} requests, "
        f"{len(verdict.problems)} problems, seed {run.seed}"
    )
    return verdict


def _lay(instance: Instance, receiver: Stubborn) -> Ground:
    clock = HandClock()
    with instance.house(clock) as house:
        account_id, _ = cast.account(house)
        products = [(cast.test(house), "assessment"), (cast.package(house), "check")]
        orders = [
            cast.order(
                house, account_id, *products[number % 2],
                callback_url=f"{receiver.url}/callbacks/{number}",
            )
            for number in range(ORDERS)
        ]  # fmt: skip
    return Ground(instance, clock, orders, receiver)


def _crash(run: Run, ground: Ground, death: Death, name: str) -> list[str]:
    """Let one process die and another go on; return what is wrong then."""
    folder = run.folder / name.replace(" ", "-")
    shutil.copytree(ground.instance.folder, folder)
    instance = ground.instance.at(folder)
    begin = len(ground.receiver.arrived)
    began = ground.clock.now()
    died = _live(instance, ground.orders, began, death)
    # A day later no lease of the first process still runs.
    went_on = _live(instance, ground.orders, began + timedelta(days=1), Death())
    verdict = Verdict("")
    verdict.claim(died == -signal.SIGKILL, f"the first process did not die, it ended with {died}")
    verdict.claim(went_on == 0, f"the second process ended with {went_on}")
    with instance.house(ground.clock) as house:
        kept, waiting = written(house), unsettled(house)
    judgement = judge(kept, ground.receiver.arrived[begin:], repeats_allowed=HANDS)
    verdict.hold(judgement)
    verdict.claim(len(kept) == ORDERS * 3, f"{len(kept)} statuses were brought about")
    verdict.claim(not waiting, f"{waiting} messages are not settled as delivered")
    verdict.problems += _forgotten(instance, ground, kept)
    shutil.rmtree(folder)
    return verdict.problems


def _live(instance: Instance, orders: list[str], at: datetime, death: Death) -> int | None:
    process = SPAWN.Process(target=live, args=(instance.environment, orders, at, death))
    process.start()
    process.join(LIFE)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode


def _forgotten(instance: Instance, ground: Ground, kept: list[Promise]) -> list[str]:
    """Return what was acknowledged and is not in the orders' stories."""
    told = Path(instance.folder / "acknowledged").read_text().split()
    known = {(each.order, each.sequence) for each in kept}
    paths = {order: f"/callbacks/{number}" for number, order in enumerate(ground.orders)}
    pairs = zip(told[::2], told[1::2], strict=True)
    return [f"forgotten: {o} {n}" for o, n in pairs if (paths[o], int(n)) not in known]
