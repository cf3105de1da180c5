"""Deliveries by one, two and four `provider worker` on PostgreSQL, and by a dispatcher alone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import monotonic, sleep

from sqlalchemy import Engine, create_engine, text

from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS
from provider.delivery.policy import QUICK_DESTINATION_SHARE
from provider.storage.procrastinate_schema import SCHEMA_NAME
from tests.bench.backlog import Backlog
from tests.bench.cluster import Cluster
from tests.bench.contenders import WorkerProcess, start_receiver
from tests.bench.delivery import WARM_UP_DELIVERIES
from tests.bench.fill import TIMESTAMP_SQL
from tests.bench.receiver import RequestCounter
from tests.bench.table import Figure

QUEUE_COUNT = 8
RESPONSE_SECONDS = 0.02  # of the receiver
WORKER_COUNTS = (0, 1, 2, 4)  # 0 is the dispatcher without Procrastinate
MEASURED_SHARE = 0.9  # of the backlog: its end does not keep all workers busy
TIMEOUT_SECONDS = 240.0  # for a start, and for a round
POSTPONE_SQL = "UPDATE messages SET due_at = '2036-11-01 09:00:00+00'"
MAKE_DUE_SQL = f"UPDATE messages SET due_at = {TIMESTAMP_SQL}"

CONNECTION_COUNT_SQL = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class WorkerGroup:
    """Workers, or the dispatcher alone, on a copy of a backlog, with the results of each round."""

    def __init__(self, cluster: Cluster, backlog: Backlog, worker_count: int) -> None:
        self._cluster, self._backlog, self.worker_count = cluster, backlog, worker_count
        self.rates: list[float] = []
        self.cpu_microseconds: list[float] = []  # per delivery
        self.database_cpu_microseconds: list[float] = []  # per delivery

    @property
    def total_cpu_microseconds(self) -> float:
        """CPU microseconds per delivery, of the workers and PostgreSQL together."""
        return median(
            a + b
            for a, b in zip(self.cpu_microseconds, self.database_cpu_microseconds, strict=True)
        )

    @property
    def summary(self) -> str:
        """The medians as text."""
        own, theirs = median(self.cpu_microseconds), median(self.database_cpu_microseconds)
        return f"{own:,.0f} µs of CPU and {theirs:,.0f} of PostgreSQL's for each"

    def run(self, port: int) -> None:
        """Deliver the backlog once."""
        with self._running_workers() as workers, RequestCounter(port) as counter:
            count = self._backlog.count
            start_count = counter()
            _wait_for(
                lambda: counter() - start_count >= min(WARM_UP_DELIVERIES, count // 10), workers
            )
            warm_up_count, started_at = counter(), monotonic()
            cpu_before, database_cpu_before = (
                _total_cpu_seconds(workers),
                self._cluster.cpu_seconds(),
            )
            _wait_for(lambda: counter() - start_count >= count * MEASURED_SHARE, workers)
            delivered, seconds = counter() - warm_up_count, monotonic() - started_at
            self.cpu_microseconds.append(
                (_total_cpu_seconds(workers) - cpu_before) / delivered * 1e6
            )
            self.database_cpu_microseconds.append(
                (self._cluster.cpu_seconds() - database_cpu_before) / delivered * 1e6
            )
        self.rates.append(delivered / seconds)

    @contextmanager
    def _running_workers(self) -> Iterator[list[WorkerProcess]]:
        """Start the workers; once they are ready, make every message due."""
        url = self._cluster.create_database(self._backlog.instance.env["PROVIDER_DATABASE_URL"])
        env = self._backlog.instance.env | {"PROVIDER_DATABASE_URL": url}
        engine = create_engine(url)
        workers = [
            WorkerProcess([sys.executable, "-m", *command], env) for command in self._commands()
        ]
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
            return [["tests.bench.drain", str(int(MAX_CONCURRENT_SENDS * QUICK_DESTINATION_SHARE))]]
        return [["provider.cli", "worker"]] * self.worker_count

    def _is_ready(self, engine: Engine) -> bool:
        """Return True when all workers have registered, or the dispatcher has connected."""
        query = (
            f"SELECT count(*) FROM {SCHEMA_NAME}.procrastinate_workers"
            if self.worker_count
            else CONNECTION_COUNT_SQL
        )
        with engine.connect() as connection:
            return bool(connection.scalar(text(query)) >= max(1, self.worker_count))


def measure_workers(cluster: Cluster, folder: Path, count: int, rounds: int) -> Iterator[Figure]:
    """Measure all numbers of workers alternately."""
    with start_receiver(RESPONSE_SECONDS) as server:
        backlog = Backlog.create(
            folder, count, server.port, queue_count=QUEUE_COUNT, url=cluster.create_database()
        )
        with backlog.instance.fast_transaction() as connection:
            connection.execute(text(POSTPONE_SQL))
        backlog.instance.services.db.close()
        groups = [WorkerGroup(cluster, backlog, number) for number in WORKER_COUNTS]
        for _ in range(rounds):
            for group in groups:
                group.run(server.port)
    yield from _figures(
        groups, f"{QUEUE_COUNT} accounts, a receiver that takes {RESPONSE_SECONDS * 1e3:.0f} ms"
    )


def _figures(groups: list[WorkerGroup], label: str) -> Iterator[Figure]:
    dispatcher, single, *others = groups
    rate = median(dispatcher.rates)
    yield Figure(f"{label}: the dispatcher alone", rate, None, "/s", note=dispatcher.summary)
    cpu_ratio = single.total_cpu_microseconds / dispatcher.total_cpu_microseconds
    note = (
        f"{single.summary}: {_median_ratio(single, dispatcher):.2f} × the dispatcher alone "
        f"at {cpu_ratio:.2f} of its CPU"
    )
    yield Figure("the same by 1 worker", median(single.rates), None, "/s", note=note)
    for group in others:
        note = f"{group.summary}: {_median_ratio(group, single):.2f} × one worker"
        name = f"the same by {group.worker_count} workers"
        yield Figure(name, median(group.rates), None, "/s", note=note)


def _median_ratio(group: WorkerGroup, other: WorkerGroup) -> float:
    return median(a / b for a, b in zip(group.rates, other.rates, strict=True))


def _total_cpu_seconds(workers: list[WorkerProcess]) -> float:
    return sum(worker.cpu_seconds() for worker in workers)


def _wait_for(condition: Callable[[], bool], workers: list[WorkerProcess]) -> None:
    deadline = monotonic() + TIMEOUT_SECONDS
    while not condition():
        if monotonic() > deadline:
            raise RuntimeError(f"timed out: {workers[0].log_tail()}")
        for worker in workers:
            assert worker.pid  # raises when the worker has ended
        sleep(0.02)
