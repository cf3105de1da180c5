"""Random histories of 200 events each in a simulation; the same seed gives the same history."""

import random
from datetime import timedelta

from tests.endurance.cluster import open_instance
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.simulated_world import SEND_OUTCOMES, SimulatedWorld

EVENTS_PER_HISTORY = 200
LONG_SEED_COUNT, SHORT_SEED_COUNT = 10_000, 8
SUCCESS_OUTCOMES = ("accepted",) * 6  # six times as likely as each failure


def simulation(run: Run) -> ScenarioVerdict:
    """Run many histories. A failure names its seed."""
    with open_instance(run, "simulation") as instance:
        return _run_histories(run, SimulatedWorld.create(instance.settings))


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
    """Run one history, and check that every message is delivered in the end."""
    random.seed(rng.random())  # the dispatcher uses the global generator
    for _ in range(EVENTS_PER_HISTORY):
        _apply_random_event(world, rng)
    world.settle_all()


def _apply_random_event(world: SimulatedWorld, rng: random.Random) -> None:
    chance, dispatcher = rng.random(), rng.randrange(2)
    if chance < 0.2:
        world.append(rng.randrange(4), rng.randrange(3), rng.choice(["completed", "expired"]))
    elif chance < 0.5:
        world.run_dispatcher(dispatcher, is_failing=rng.random() < 0.02)
    elif chance < 0.85:
        world.complete_send(
            dispatcher, rng.randrange(8), rng.choice([*SUCCESS_OUTCOMES, *SEND_OUTCOMES])
        )
    elif chance < 0.95:
        world.advance_clock(timedelta(seconds=rng.choice([0.1, 1, 7, 40, 70, 400, 4000, 90_000])))
    elif chance < 0.97:
        world.crash_dispatcher(dispatcher, rng.randrange(4))
    elif chance < 0.99:
        world.requeue(rng.randrange(10))
    else:
        world.replace_token(rng.randrange(2))
