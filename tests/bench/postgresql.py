"""The figures of SQLite again, on PostgreSQL beside SQLite."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import sleep

from sqlalchemy import text

from provider.delivery.runners.notifier import JobNotifier
from provider.storage.procrastinate_schema import SCHEMA_NAME
from tests.bench.cluster import Cluster
from tests.bench.contenders import WorkerProcess
from tests.bench.growth import measure_growth
from tests.bench.instance import BenchmarkInstance
from tests.bench.load import LoadGenerator
from tests.bench.rates import RateRace, comparison_figure
from tests.bench.table import Figure
from tests.bench.waits import in_process_dispatcher, measure_answer, measure_callback

WORKER_COUNT_QUERY = text(f"SELECT count(*) FROM {SCHEMA_NAME}.procrastinate_workers")
NAME_PREFIX = "on PostgreSQL"


def measure_postgres_rates(
    instances: dict[str, BenchmarkInstance],
    cluster: Cluster,
    loader: LoadGenerator,
    rounds: int,
    seconds: float,
) -> Iterator[Figure]:
    """Compare the requests per second on both databases."""
    with RateRace(loader, instances, database_cpu={"PostgreSQL": cluster.cpu_seconds}) as race:
        result = race.measure(rounds, seconds)
    rows = {
        "`GET /tests`, 20 tests": result.list_tests,
        "`GET /assessments/:id`, pending": result.poll_pending,
        "the same, completed": result.poll_completed,
        "`POST /assessments`, durable": result.place_order,
    }
    for name, runners in rows.items():
        yield comparison_figure(
            f"{NAME_PREFIX}: {name} ÷ on SQLite", runners, None, "SQLite", "PostgreSQL"
        )


def measure_postgres_waits(
    instances: dict[str, BenchmarkInstance],
    loader: LoadGenerator,
    callbacks: int,
    candidates: int,
    seconds: float,
) -> Iterator[Figure]:
    """Compare the latency of a callback and of a saved answer on both databases."""
    sqlite, postgres = instances["SQLite"], instances["PostgreSQL"]
    yield _compare_with_sqlite(
        measure_callback(postgres, callbacks, running_worker),
        measure_callback(sqlite, callbacks, in_process_dispatcher),
    )
    figures = [
        measure_answer(instance, loader, candidates, seconds) for instance in (postgres, sqlite)
    ]
    yield _compare_with_sqlite(*figures)


def measure_postgres_growth(
    small: BenchmarkInstance, large: BenchmarkInstance, sizes: str, rounds: int
) -> Iterator[Figure]:
    """Measure how many times longer each action takes with many orders."""
    for figure in measure_growth(small, large, f"{NAME_PREFIX}, {sizes}", rounds):
        yield replace(figure, goal=None)


@contextmanager
def running_worker(instance: BenchmarkInstance) -> Iterator[None]:
    """Deliver by `provider worker`, which learns of commits as from `provider serve`."""
    services = instance.services
    process = WorkerProcess([sys.executable, "-m", "provider.cli", "worker"], instance.env)
    notifier = JobNotifier(services.db).start()
    services.db.on_commit.append(notifier.notify)
    try:
        while not _has_worker(instance):
            assert process.pid  # raises when the worker has ended
            sleep(0.05)
        yield
    finally:
        notifier.stop()
        process.kill()


def _has_worker(instance: BenchmarkInstance) -> bool:
    with instance.services.db.reading() as session:
        return bool(session.scalar(WORKER_COUNT_QUERY))


def _compare_with_sqlite(figure: Figure, sqlite_figure: Figure) -> Figure:
    note = (
        f"{figure.note}; on SQLite {sqlite_figure.value:.3g} {sqlite_figure.unit}, "
        f"{sqlite_figure.note}"
    )
    return replace(figure, name=f"{NAME_PREFIX}: {figure.name}", goal=None, note=note)
