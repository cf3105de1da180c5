"""Histories by seed: each 200 events in a small world; the same seed is the same history."""

import random
from datetime import timedelta

from tests.endurance.cluster import open_instance
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.simulated_world import SEND_OUTCOMES, SimulatedWorld

EVENTS_PER_HISTORY = 200
LONG_SEED_COUNT, SHORT_SEED_COUNT = 10_000, 8
SUCCESS_OUTCOMES = ("taken",) * 6  # against one of each other


def simulation(run: Run) -> ScenarioVerdict:
    """Play many histories; whatever fails names its seed."""
    with open_instance(run, "world") as ground:
        return _run_histories(run, SimulatedWorld.create(ground.settings))


def _run_histories(run: Run, world: SimulatedWorld) -> ScenarioVerdict:
    failures = []
    count = SHORT_SEED_COUNT if run.short else LONG_SEED_COUNT
    for number in range(count):
        seed = run.seed * 1_000_000 + number
        world = world.reset()
        try:
            run_history(world, random.Random(seed))
        except Exception as error:
            failures.append(f"seed {seed}: {type(error).__name__}: {error}")
            if len(failures) == 5:
                break
    world.services.db.close()
    return ScenarioVerdict(
        f"{count:,} histories of {EVENTS_PER_HISTORY} events, {len(failures)} failed", failures
    )


def run_history(world: SimulatedWorld, rng: random.Random) -> None:
    """Play one history and see that all of it ends well."""
    random.seed(rng.random())  # for what the courier itself throws
    for _ in range(EVENTS_PER_HISTORY):
        _apply_random_event(world, rng)
    world.settle_all()


def _apply_random_event(world: SimulatedWorld, rng: random.Random) -> None:
    chance, courier = rng.random(), rng.randrange(2)
    if chance < 0.2:
        world.append(rng.randrange(4), rng.randrange(3), rng.choice(["completed", "expired"]))
    elif chance < 0.5:
        world.run_dispatcher(courier, is_failing=rng.random() < 0.02)
    elif chance < 0.85:
        world.complete_send(
            courier, rng.randrange(8), rng.choice([*SUCCESS_OUTCOMES, *SEND_OUTCOMES])
        )
    elif chance < 0.95:
        world.advance_clock(timedelta(seconds=rng.choice([0.1, 1, 7, 40, 70, 400, 4000, 90_000])))
    elif chance < 0.97:
        world.crash_dispatcher(courier, rng.randrange(4))
    elif chance < 0.99:
        world.requeue(rng.randrange(10))
    else:
        world.replace_token(rng.randrange(2))
