"""Deliveries by `provider worker` on PostgreSQL: one, two and four, and a courier alone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import monotonic, sleep

from sqlalchemy import Engine, create_engine, text

from provider.courier.courier import HANDS
from provider.courier.hands import SHARE
from provider.engine import SCHEMA
from tests.bench.backlog import Backlog
from tests.bench.cluster import Cluster
from tests.bench.contenders import Worker, receiver
from tests.bench.delivery import WARM
from tests.bench.fill import AT
from tests.bench.receiver import Counter
from tests.bench.table import Figure

LANES = 8
ANSWER = 0.02  # seconds that the receiver takes
NUMBERS = (0, 1, 2, 4)  # worker processes; none is the courier without the engine
MOST = 0.9  # share of the backlog that is measured: at its end there is less than one can carry
PATIENCE = 240.0  # seconds for a start, and for a round
LATER = "UPDATE messages SET due_at = '2036-11-01 09:00:00+00'"
NOW = f"UPDATE messages SET due_at = {AT}"

LOOKED = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class Crew:
    """So many workers, or the courier alone, on a copy of a backlog, and what each round found."""

    def __init__(self, cluster: Cluster, backlog: Backlog, number: int) -> None:
        self._cluster, self._backlog, self.number = cluster, backlog, number
        self.rates: list[float] = []
        self.costs: list[float] = []  # microseconds of processor for each delivery
        self.theirs: list[float] = []  # the same of PostgreSQL

    @property
    def cost(self) -> float:
        """Microseconds of processor that a delivery takes here and in PostgreSQL."""
        return median(a + b for a, b in zip(self.costs, self.theirs, strict=True))

    @property
    def said(self) -> str:
        """The medians in words."""
        own, theirs = median(self.costs), median(self.theirs)
        return f"{own:,.0f} µs of CPU and {theirs:,.0f} of PostgreSQL's for each"

    def run(self, port: int) -> None:
        """Deliver it once."""
        with self._round() as workers, Counter(port) as counter:
            count = self._backlog.count
            before = counter()
            _until(lambda: counter() - before >= min(WARM, count // 10), workers)
            warm, began = counter(), monotonic()
            cpu, theirs = _cpu(workers), self._cluster.cpu()
            _until(lambda: counter() - before >= count * MOST, workers)
            came, took = counter() - warm, monotonic() - began
            self.costs.append((_cpu(workers) - cpu) / came * 1e6)
            self.theirs.append((self._cluster.cpu() - theirs) / came * 1e6)
        self.rates.append(came / took)

    @contextmanager
    def _round(self) -> Iterator[list[Worker]]:
        """Have the workers stand ready, and only then let everything be due."""
        url = self._cluster.database(self._backlog.ground.env["PROVIDER_DATABASE_URL"])
        env = self._backlog.ground.env | {"PROVIDER_DATABASE_URL": url}
        engine = create_engine(url)
        workers = [Worker([sys.executable, "-m", *each], env) for each in self._commands()]
        try:
            _until(lambda: self._ready(engine), workers)
            with engine.begin() as connection:
                connection.execute(text(NOW))
            yield workers
        finally:
            for worker in workers:
                worker.end()
            engine.dispose()
            self._cluster.drop(url)

    def _commands(self) -> list[list[str]]:
        if not self.number:
            return [["tests.bench.drain", str(int(HANDS * SHARE))]]
        return [["provider.cli", "worker"]] * self.number

    def _ready(self, engine: Engine) -> bool:
        """Say whether all have come to work: workers sign on, a courier alone looks for work."""
        signs = f"SELECT count(*) FROM {SCHEMA}.procrastinate_workers" if self.number else LOOKED
        with engine.connect() as connection:
            return bool(connection.scalar(text(signs)) >= max(1, self.number))


def workers(cluster: Cluster, folder: Path, count: int, rounds: int) -> Iterator[Figure]:
    """Return the rows, all numbers taking turns."""
    with receiver(ANSWER) as server:
        backlog = Backlog.lay(folder, count, server.port, lanes=LANES, url=cluster.database())
        with backlog.ground.hasty() as connection:
            connection.execute(text(LATER))
        backlog.ground.house.db.close()
        crews = [Crew(cluster, backlog, number) for number in NUMBERS]
        for _ in range(rounds):
            for crew in crews:
                crew.run(server.port)
    yield from _rows(crews, f"{LANES} accounts, a receiver that takes {ANSWER * 1e3:.0f} ms")


def _rows(crews: list[Crew], what: str) -> Iterator[Figure]:
    alone, one, *more = crews
    rate = median(alone.rates)
    yield Figure(f"{what}: the courier alone", rate, None, "/s", beside=alone.said)
    cost = f"{_times(one, alone):.2f} × the courier alone at {one.cost / alone.cost:.2f} of its CPU"
    yield Figure(
        "the same by 1 worker", median(one.rates), None, "/s", beside=f"{one.said}: {cost}"
    )
    for crew in more:
        beside = f"{crew.said}: {_times(crew, one):.2f} × one worker"
        name = f"the same by {crew.number} workers"
        yield Figure(name, median(crew.rates), None, "/s", beside=beside)


def _times(crew: Crew, other: Crew) -> float:
    return median(a / b for a, b in zip(crew.rates, other.rates, strict=True))


def _cpu(workers: list[Worker]) -> float:
    return sum(worker.cpu() for worker in workers)


def _until(true: Callable[[], bool], workers: list[Worker]) -> None:
    patience = monotonic() + PATIENCE
    while not true():
        if monotonic() > patience:
            raise RuntimeError(f"nothing goes on: {workers[0].words()}")
        for worker in workers:
            assert worker.pid  # it still runs
        sleep(0.02)
