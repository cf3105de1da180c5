"""Faults: what the engine says is lost, kept back or never said; the outbox is the truth."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from sqlalchemy import text

from provider.courier.courier import HANDS
from provider.courier.doorbell import Doorbell
from provider.house import House
from tests import cast
from tests.soak.actor import STEPS
from tests.soak.fleet import engines, let_time_pass, scaled, tell, told
from tests.soak.history import judge
from tests.soak.ledger import unsettled, written
from tests.soak.proof import Run, Verdict
from tests.soak.receiver import Receiver
from tests.soak.server import Instance, Worker

SCRIPT = ("decline", "reopen")  # again and again
LONG, SHORT = (200, 4, 5), (12, 1, 1)  # orders, workers, rounds of all faults
LOCKED, BRIEFLY = 30.0, 6.0  # seconds; longer than the engine's own patience
PROMPT = 4.0  # seconds that a commit may take whatever the engine does
LAST = 900.0  # seconds
BUSY = "SELECT count(*) FROM provider_engine.procrastinate_jobs WHERE task_name = 'drain'"


@dataclass
class Scene:
    """An instance with its workers, and the house in which orders live, as a server has it."""

    run: Run
    instance: Instance
    house: House
    orders: list[str]
    stack: ExitStack
    crew: int
    workers: list[Worker] = field(default_factory=list)
    steps: int = 0
    slowest: float = 0.0  # seconds for a commit

    def staff(self) -> None:
        """Have as many workers as there should be."""
        while len(self.workers) < self.crew:
            self.workers.append(self.stack.enter_context(self.instance.work()))

    def settle_down(self) -> None:
        """Wait until nobody works in a lane: what comes next is in the engine's hands alone."""
        until = time.monotonic() + LAST
        while self._busy() and time.monotonic() < until:
            time.sleep(0.05)

    def _busy(self) -> bool:
        with self.house.db.engine.connect() as connection:
            return bool(connection.scalar(text(BUSY)))

    def step(self) -> None:
        """Bring the next status of every order about."""
        for order in self.orders:
            began = time.monotonic()
            with self.house.db.writing() as session:
                for part in STEPS[SCRIPT[self.steps % len(SCRIPT)]]:
                    part(self.house, session, order, self.house.now())
            self.slowest = max(self.slowest, time.monotonic() - began)
        self.steps += 1


def emptied(scene: Scene) -> None:
    """Empty the engine's tables under the workers' feet, with statuses before and after it."""
    scene.step()
    tell(scene.instance, f"TRUNCATE {engines()}")
    scene.step()


def locked(scene: Scene) -> None:
    """Keep the engine's tables locked for longer than anybody of the engine's waits."""
    with told(scene.house, f"LOCK TABLE {engines()}"):
        scene.step()
        time.sleep(BRIEFLY if scene.run.short else LOCKED)


def deserted(scene: Scene) -> None:
    """Kill all workers, let an hour go by, and have new ones."""
    scene.step()
    for worker in scene.workers:
        worker.kill()
    scene.workers.clear()
    scene.step()
    let_time_pass(scene.instance, "1 hour")
    scene.staff()


def gone(scene: Scene) -> None:
    """Take the whole schema away, and have it made again by `init`."""
    tell(scene.instance, "DROP SCHEMA provider_engine CASCADE")
    scene.step()
    scene.instance.run("init")


SOON: dict[str, Callable[[Scene], None]] = {
    "emptied": emptied, "locked": locked, "deserted": deserted,
}  # fmt: skip
ALL = SOON | {"gone": gone}


def faults(run: Run) -> Verdict:
    """All of them are delay, and nothing but delay; no commit waits for any of it."""
    count, crew, rounds = SHORT if run.short else LONG
    verdict, deaths, chosen = Verdict(""), crew * rounds, SOON if run.short else ALL
    with (
        scaled(run, "faults") as (instance, _),
        Receiver(run.luck("receiver")) as receiver,
        _scene(run, instance, receiver, count, crew) as scene,
    ):
        for _ in range(rounds):
            for name, fault in chosen.items():
                scene.settle_down()
                fault(scene)
                verdict.claim(_all_came(scene, receiver, name), f"{name}: not all came")
        codes = [worker.stop() for worker in scene.workers]
        kept, waiting = written(scene.house), unsettled(scene.house)
    judgement = judge(kept, receiver.arrived, repeats_allowed=deaths * HANDS)
    verdict.figures = (
        f"{rounds * len(chosen)} faults, {judgement.figures}, slowest commit {scene.slowest:.2f} s"
    )
    verdict.hold(judgement)
    verdict.claim(not waiting, f"{waiting} messages are not settled as delivered")
    verdict.claim(scene.slowest < PROMPT, "a commit waited for the engine")
    verdict.claim(codes == [0] * crew, f"the workers ended with {codes}")
    return verdict


def _all_came(scene: Scene, receiver: Receiver, after: str) -> bool:
    came, due = receiver.taken, scene.steps * len(scene.orders)
    began = time.monotonic()
    whole = receiver.wait_until(lambda it: it.taken >= due, LAST)
    took = time.monotonic() - began
    scene.run.say(f"{after}: {due - came} were still to come, and did within {took:.1f} s")
    return whole


@contextmanager
def _scene(
    run: Run, instance: Instance, receiver: Receiver, count: int, crew: int
) -> Iterator[Scene]:
    with instance.house() as house, ExitStack() as stack:
        account, _ = cast.account(house)
        test = cast.test(house)
        orders = [
            cast.order(house, account, test, callback_url=f"{receiver.url}/callbacks/{number}")
            for number in range(count)
        ]
        doorbell = Doorbell(house.db).start()
        house.db.on_commit.append(doorbell.ring)
        scene = Scene(run, instance, house, orders, stack, crew)
        scene.staff()
        yield scene
        doorbell.stop()
