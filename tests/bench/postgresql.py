"""The figures of the embedded default again, on PostgreSQL beside SQLite."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import sleep

from sqlalchemy import text

from provider.courier.doorbell import Doorbell
from provider.engine import SCHEMA
from tests.bench.cluster import Cluster
from tests.bench.contenders import Worker
from tests.bench.ground import Ground
from tests.bench.growth import growth
from tests.bench.load import Loader
from tests.bench.rates import Rates, row
from tests.bench.table import Figure
from tests.bench.waits import answer, callback, courier

SIGNED_ON = text(f"SELECT count(*) FROM {SCHEMA}.procrastinate_workers")
HERE = "on PostgreSQL"


def rates(
    houses: dict[str, Ground], cluster: Cluster, loader: Loader, rounds: int, seconds: float
) -> Iterator[Figure]:
    """Return how the requests a second compare; `houses` are `SQLite`'s and `PostgreSQL`'s."""
    with Rates(loader, houses, beside={"PostgreSQL": cluster.cpu}) as racing:
        raced = racing.measure(rounds, seconds)
    rows = {
        "`GET /tests`, 20 tests": raced.listed,
        "`GET /assessments/:id`, pending": raced.polled,
        "the same, completed": raced.told,
        "`POST /assessments`, durable": raced.placed,
    }
    for name, runners in rows.items():
        yield row(f"{HERE}: {name} ÷ on SQLite", runners, None, "SQLite", "PostgreSQL")


def waits(
    houses: dict[str, Ground], loader: Loader, callbacks: int, candidates: int, seconds: float
) -> Iterator[Figure]:
    """Return how long a callback and an answer that is saved wait, on both."""
    lite, postgres = houses["SQLite"], houses["PostgreSQL"]
    yield _beside(callback(postgres, callbacks, worker), callback(lite, callbacks, courier))
    saved = [answer(house, loader, candidates, seconds) for house in (postgres, lite)]
    yield _beside(*saved)


def grown(small: Ground, large: Ground, sizes: str, rounds: int) -> Iterator[Figure]:
    """Return how many times longer each thing takes with many orders."""
    for figure in growth(small, large, f"{HERE}, {sizes}", rounds):
        yield replace(figure, goal=None)


@contextmanager
def worker(ground: Ground) -> Iterator[None]:
    """Deliver as `provider worker` does, told of commits as by `provider serve`."""
    house = ground.house
    process = Worker([sys.executable, "-m", "provider.cli", "worker"], ground.env)
    doorbell = Doorbell(house.db).start()
    house.db.on_commit.append(doorbell.ring)
    try:
        while not _signed_on(ground):
            assert process.pid  # it still runs
            sleep(0.05)
        yield
    finally:
        doorbell.stop()
        process.end()


def _signed_on(ground: Ground) -> bool:
    with ground.house.db.reading() as session:
        return bool(session.scalar(SIGNED_ON))


def _beside(figure: Figure, lite: Figure) -> Figure:
    beside = f"{figure.beside}; on SQLite {lite.value:.3g} {lite.unit}, {lite.beside}"
    return replace(figure, name=f"{HERE}: {figure.name}", goal=None, beside=beside)
