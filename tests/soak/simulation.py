"""Histories by seed: each 200 events in a small world; the same seed is the same history."""

import random
from datetime import timedelta

from tests.soak.fleet import instance
from tests.soak.proof import Run, Verdict
from tests.soak.world import LANDINGS, World

EVENTS = 200
SEEDS, FEW = 10_000, 8
WELL = ("taken",) * 6  # against one of each other


def simulation(run: Run) -> Verdict:
    """Play many histories; whatever fails names its seed."""
    with instance(run, "world") as ground:
        return _played(run, World.make(ground.settings))


def _played(run: Run, world: World) -> Verdict:
    failures = []
    count = FEW if run.short else SEEDS
    for number in range(count):
        seed = run.seed * 1_000_000 + number
        world = world.again()
        try:
            play(world, random.Random(seed))
        except Exception as error:
            failures.append(f"seed {seed}: {type(error).__name__}: {error}")
            if len(failures) == 5:
                break
    world.house.db.close()
    return Verdict(f"{count:,} histories of {EVENTS} events, {len(failures)} failed", failures)


def play(world: World, dice: random.Random) -> None:
    """Play one history and see that all of it ends well."""
    random.seed(dice.random())  # for what the courier itself throws
    for _ in range(EVENTS):
        _happen(world, dice)
    world.settle()


def _happen(world: World, dice: random.Random) -> None:
    chance, courier = dice.random(), dice.randrange(2)
    if chance < 0.2:
        world.append(dice.randrange(4), dice.randrange(3), dice.choice(["completed", "expired"]))
    elif chance < 0.5:
        world.turn(courier, fails=dice.random() < 0.02)
    elif chance < 0.85:
        world.land(courier, dice.randrange(8), dice.choice([*WELL, *LANDINGS]))
    elif chance < 0.95:
        world.pass_(timedelta(seconds=dice.choice([0.1, 1, 7, 40, 70, 400, 4000, 90_000])))
    elif chance < 0.97:
        world.crash(courier, dice.randrange(4))
    elif chance < 0.99:
        world.send_again(dice.randrange(10))
    else:
        world.new_token(dice.randrange(2))
