"""Deliveries by `provider worker` on PostgreSQL: one, two and four, and a courier alone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import monotonic, sleep

from sqlalchemy import Engine, create_engine, text

from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS
from provider.delivery.limits import SHARE
from provider.storage.procrastinate_schema import SCHEMA_NAME
from tests.bench.backlog import Backlog
from tests.bench.cluster import Cluster
from tests.bench.contenders import WorkerProcess, start_receiver
from tests.bench.delivery import WARM_UP_DELIVERIES
from tests.bench.fill import TIMESTAMP_SQL
from tests.bench.receiver import RequestCounter
from tests.bench.table import Figure

QUEUE_COUNT = 8
RESPONSE_SECONDS = 0.02  # seconds that the receiver takes
WORKER_COUNTS = (0, 1, 2, 4)  # worker processes; none is the courier without the engine
MEASURED_SHARE = (
    0.9  # share of the backlog that is measured: at its end there is less than one can carry
)
TIMEOUT_SECONDS = 240.0  # seconds for a start, and for a round
POSTPONE_SQL = "UPDATE messages SET due_at = '2036-11-01 09:00:00+00'"
MAKE_DUE_SQL = f"UPDATE messages SET due_at = {TIMESTAMP_SQL}"

CONNECTION_COUNT_SQL = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class WorkerGroup:
    """So many workers, or the courier alone, on a copy of a backlog, and what each round found."""

    def __init__(self, cluster: Cluster, backlog: Backlog, worker_count: int) -> None:
        self._cluster, self._backlog, self.worker_count = cluster, backlog, worker_count
        self.rates: list[float] = []
        self.cpu_microseconds: list[float] = []  # microseconds of processor for each delivery
        self.database_cpu_microseconds: list[float] = []  # the same of PostgreSQL

    @property
    def total_cpu_microseconds(self) -> float:
        """Microseconds of processor that a delivery takes here and in PostgreSQL."""
        return median(
            a + b
            for a, b in zip(self.cpu_microseconds, self.database_cpu_microseconds, strict=True)
        )

    @property
    def summary(self) -> str:
        """The medians in words."""
        own, theirs = median(self.cpu_microseconds), median(self.database_cpu_microseconds)
        return f"{own:,.0f} µs of CPU and {theirs:,.0f} of PostgreSQL's for each"

    def run(self, port: int) -> None:
        """Deliver it once."""
        with self._running_workers() as workers, RequestCounter(port) as counter:
            count = self._backlog.count
            before = counter()
            _wait_for(lambda: counter() - before >= min(WARM_UP_DELIVERIES, count // 10), workers)
            warm, began = counter(), monotonic()
            cpu, theirs = _total_cpu_seconds(workers), self._cluster.cpu_seconds()
            _wait_for(lambda: counter() - before >= count * MEASURED_SHARE, workers)
            came, took = counter() - warm, monotonic() - began
            self.cpu_microseconds.append((_total_cpu_seconds(workers) - cpu) / came * 1e6)
            self.database_cpu_microseconds.append(
                (self._cluster.cpu_seconds() - theirs) / came * 1e6
            )
        self.rates.append(came / took)

    @contextmanager
    def _running_workers(self) -> Iterator[list[WorkerProcess]]:
        """Have the workers stand ready, and only then let everything be due."""
        url = self._cluster.create_database(self._backlog.instance.env["PROVIDER_DATABASE_URL"])
        env = self._backlog.instance.env | {"PROVIDER_DATABASE_URL": url}
        engine = create_engine(url)
        workers = [WorkerProcess([sys.executable, "-m", *each], env) for each in self._commands()]
        try:
            _wait_for(lambda: self._is_ready(engine), workers)
            with engine.begin() as connection:
                connection.execute(text(MAKE_DUE_SQL))
            yield workers
        finally:
            for worker in workers:
                worker.kill()
            engine.dispose()
            self._cluster.drop(url)

    def _commands(self) -> list[list[str]]:
        if not self.worker_count:
            return [["tests.bench.drain", str(int(MAX_CONCURRENT_SENDS * SHARE))]]
        return [["provider.cli", "worker"]] * self.worker_count

    def _is_ready(self, engine: Engine) -> bool:
        """Say whether all have come to work: workers sign on, a courier alone looks for work."""
        signs = (
            f"SELECT count(*) FROM {SCHEMA_NAME}.procrastinate_workers"
            if self.worker_count
            else CONNECTION_COUNT_SQL
        )
        with engine.connect() as connection:
            return bool(connection.scalar(text(signs)) >= max(1, self.worker_count))


def measure_workers(cluster: Cluster, folder: Path, count: int, rounds: int) -> Iterator[Figure]:
    """Return the rows, all numbers taking turns."""
    with start_receiver(RESPONSE_SECONDS) as server:
        backlog = Backlog.create(
            folder, count, server.port, queue_count=QUEUE_COUNT, url=cluster.create_database()
        )
        with backlog.instance.fast_transaction() as connection:
            connection.execute(text(POSTPONE_SQL))
        backlog.instance.services.db.close()
        crews = [WorkerGroup(cluster, backlog, number) for number in WORKER_COUNTS]
        for _ in range(rounds):
            for crew in crews:
                crew.run(server.port)
    yield from _figures(
        crews, f"{QUEUE_COUNT} accounts, a receiver that takes {RESPONSE_SECONDS * 1e3:.0f} ms"
    )


def _figures(groups: list[WorkerGroup], label: str) -> Iterator[Figure]:
    alone, one, *more = groups
    rate = median(alone.rates)
    yield Figure(f"{label}: the courier alone", rate, None, "/s", note=alone.summary)
    cost = f"{_median_ratio(one, alone):.2f} × the courier alone at {one.total_cpu_microseconds / alone.total_cpu_microseconds:.2f} of its CPU"
    yield Figure(
        "the same by 1 worker", median(one.rates), None, "/s", note=f"{one.summary}: {cost}"
    )
    for crew in more:
        beside = f"{crew.summary}: {_median_ratio(crew, one):.2f} × one worker"
        name = f"the same by {crew.worker_count} workers"
        yield Figure(name, median(crew.rates), None, "/s", note=beside)


def _median_ratio(group: WorkerGroup, other: WorkerGroup) -> float:
    return median(a / b for a, b in zip(group.rates, other.rates, strict=True))


def _total_cpu_seconds(workers: list[WorkerProcess]) -> float:
    return sum(worker.cpu_seconds() for worker in workers)


def _wait_for(condition: Callable[[], bool], workers: list[WorkerProcess]) -> None:
    patience = monotonic() + TIMEOUT_SECONDS
    while not condition():
        if monotonic() > patience:
            raise RuntimeError(f"nothing goes on: {workers[0].log_tail()}")
        for worker in workers:
            assert worker.pid  # it still runs
        sleep(0.02)
