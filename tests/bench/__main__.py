"""`make bench` measures, prints one table with goals, and saves it in figures.md.

`--quick` stops at a hundred thousand orders. `--only` measures one part. `--smoke` checks that
every part runs, and compares nothing with its goal. None of these options saves the table.
"""

import argparse
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import monotonic

import structlog

from tests.bench import contenders, postgresql, servers
from tests.bench.cluster import Cluster
from tests.bench.delivery import measure_delivery
from tests.bench.field_encryption import measure_field_encryption
from tests.bench.growth import measure_growth
from tests.bench.instance import BenchmarkInstance
from tests.bench.interviews import measure_interviews
from tests.bench.load import LoadGenerator
from tests.bench.million import measure_large_instance
from tests.bench.pages import measure_pages
from tests.bench.queue import OPEN_PERCENTS, CheckInstance, measure_queue
from tests.bench.rates import RateRace, comparison_figures
from tests.bench.rounds import measure_rounds
from tests.bench.scoring import measure_scoring
from tests.bench.table import FIGURES_FILE, Figure, describe_machine, markdown_table, save_figures
from tests.bench.waits import (
    in_process_dispatcher,
    measure_answer,
    measure_callback,
    measure_report,
)
from tests.bench.workers import measure_workers


@dataclass(frozen=True)
class Plan:
    """How long and how much is measured."""

    rounds: int = 7
    seconds: float = 1.5  # of a round
    callbacks: int = 200
    reports: int = 50
    candidates: int = 500  # who answer at the same time, each at a test of her own
    answering_seconds: float = 15.0
    order_counts: tuple[int, int] = (10_000, 1_000_000)
    calls_per_endpoint: int = 150  # on the small and the large instance
    requests_per_page: int = 40  # for each call and page
    checks: int = 1_000_000  # whose screenings are in the queue
    backlog_callbacks: int = 20_000
    worker_callbacks: int = 12_000  # that the workers share
    delivery_rounds: int = 3
    queued_callbacks: tuple[int, int] = (1_000, 1_000_000)
    listed_records: int = 100_000  # that an ATS's API lists in one round
    quiet_intervals: int = 100  # in which an ATS has nothing new
    written_results: int = 1_000  # through an ATS's API
    scored_attempts: int = 10_000
    page_rounds: int = 30
    recording_candidates: int = 50  # at the same time
    recording_seconds: float = 30.0
    upload_bytes: int = 500_000_000
    first_frames: int = 50
    with_rivals: bool = True


FULL_PLAN = Plan()
QUICK_PLAN = replace(
    FULL_PLAN,
    order_counts=(10_000, 100_000),
    checks=100_000,
    delivery_rounds=1,
    queued_callbacks=(1_000, 100_000),
)
SMOKE_PLAN = Plan(
    rounds=2,
    seconds=0.1,
    callbacks=5,
    reports=2,
    candidates=5,
    answering_seconds=0.5,
    order_counts=(2_000, 3_000),
    calls_per_endpoint=5,
    requests_per_page=2,
    checks=3_000,
    backlog_callbacks=200,
    worker_callbacks=400,
    delivery_rounds=1,
    queued_callbacks=(50, 100),
    listed_records=1_000,
    quiet_intervals=3,
    written_results=20,
    scored_attempts=50,
    page_rounds=2,
    recording_candidates=5,
    recording_seconds=2.0,
    upload_bytes=8_000_000,
    first_frames=2,
    with_rivals=False,
)
DATABASES = ("SQLite", "PostgreSQL")


class InstancePool:
    """The instances to measure on, created at first use and kept for all parts."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self._stack = ExitStack()
        self._instances: dict[tuple[str, str], BenchmarkInstance] = {}

    def __enter__(self) -> "InstancePool":
        return self

    def __exit__(self, *_: object) -> None:
        for instance in self._instances.values():
            instance.services.db.close()
        self._stack.close()

    @cached_property
    def cluster(self) -> Cluster:
        """The PostgreSQL server of all instances."""
        return self._stack.enter_context(Cluster())

    def instance(self, name: str, database: str = "SQLite", orders: int = 0) -> BenchmarkInstance:
        """Return the instance of this name on a database, with `orders` orders."""
        if (name, database) not in self._instances:
            url = self.cluster.create_database() if database == "PostgreSQL" else None
            instance = BenchmarkInstance.create(self.folder / f"{name}-{database}", url)
            self._instances[name, database] = instance
            instance.fill_to(orders)
        return self._instances[name, database]

    def instances(self, name: str, orders: int = 0) -> dict[str, BenchmarkInstance]:
        """Return the instances of this name on both databases."""
        return {database: self.instance(name, database, orders) for database in DATABASES}


def measure(pool: InstancePool, parts: list[str]) -> Iterator[Figure]:
    """Measure the named parts."""
    for name in parts:
        started_at = monotonic()
        _print_progress(f"measuring {name} …")
        for figure in PARTS[name](pool):
            _print_progress(f"  {figure.line}")
            yield figure
        _print_progress(f"… {monotonic() - started_at:.0f} s")


def _measure_rounds(pool: InstancePool) -> Iterator[Figure]:
    plan, folder = pool.plan, pool.folder / "rounds"
    yield from measure_rounds(
        folder, plan.listed_records, plan.quiet_intervals, plan.written_results
    )


def _measure_rates(pool: InstancePool) -> Iterator[Figure]:
    plan, instances = pool.plan, {"ours": pool.instance("rates")}
    rival_folder = pool.folder if plan.with_rivals else None
    with (
        LoadGenerator() as loader,
        RateRace(loader, instances, with_flask=True, rival_folder=rival_folder) as race,
    ):
        yield from comparison_figures(race.measure(plan.rounds, plan.seconds))


def _measure_waits(pool: InstancePool) -> Iterator[Figure]:
    plan, instance = pool.plan, pool.instance("waits")
    yield measure_callback(instance, plan.callbacks, in_process_dispatcher)
    yield measure_report(plan.reports)
    with LoadGenerator() as loader:
        yield measure_answer(instance, loader, plan.candidates, plan.answering_seconds)


def _measure_pages(pool: InstancePool) -> Iterator[Figure]:
    yield from measure_pages(pool.instance("pages"), pool.plan.page_rounds)


def _measure_interviews(pool: InstancePool) -> Iterator[Figure]:
    plan = pool.plan
    yield from measure_interviews(
        pool.instance("interviews"),
        plan.recording_candidates,
        plan.recording_seconds,
        plan.upload_bytes,
        plan.first_frames,
    )


def _measure_scoring(pool: InstancePool) -> Iterator[Figure]:
    yield from measure_scoring(pool.plan.scored_attempts)


def _measure_field_encryption(_pool: InstancePool) -> Iterator[Figure]:
    yield from measure_field_encryption(500)


def _measure_large_instance(pool: InstancePool) -> Iterator[Figure]:
    large_count = pool.plan.order_counts[1]
    yield from measure_large_instance(
        pool.instances("large", large_count), f"{large_count:,}", pool.plan.requests_per_page
    )


def _measure_queue(pool: InstancePool) -> Iterator[Figure]:
    """Measure one instance after the other, because each takes gigabytes."""
    plan = pool.plan
    for database in DATABASES:
        is_sqlite = database == "SQLite"
        for open_percent in OPEN_PERCENTS:
            url = None if is_sqlite else pool.cluster.create_database()
            folder = pool.folder / f"queue-{open_percent}-{database}"
            name = f"{plan.checks:,} checks on {database}, {open_percent} % open"
            check_instance = CheckInstance.create(folder, url, plan.checks, open_percent)
            cpu_seconds = None if is_sqlite else pool.cluster.cpu_seconds
            yield from measure_queue(
                check_instance, name, plan.requests_per_page, cpu_seconds, _print_progress
            )
            check_instance.instance.services.db.close()
            shutil.rmtree(folder)
            if url:
                pool.cluster.drop(url)


def _measure_growth(pool: InstancePool) -> Iterator[Figure]:
    yield from measure_growth(
        *_small_and_large(pool, "SQLite"), _order_counts_label(pool), pool.plan.calls_per_endpoint
    )


def _measure_delivery(pool: InstancePool) -> Iterator[Figure]:
    plan, folder = pool.plan, pool.folder / "delivery"
    yield from measure_delivery(
        folder,
        plan.backlog_callbacks,
        plan.delivery_rounds,
        plan.queued_callbacks,
        with_rivals=plan.with_rivals,
    )


def _measure_postgres(pool: InstancePool) -> Iterator[Figure]:
    plan = pool.plan
    with LoadGenerator() as loader:
        rate_instances = pool.instances("rates")
        yield from postgresql.measure_postgres_rates(
            rate_instances, pool.cluster, loader, plan.rounds, plan.seconds
        )
        wait_instances = pool.instances("waits")
        yield from postgresql.measure_postgres_waits(
            wait_instances, loader, plan.callbacks, plan.candidates, plan.answering_seconds
        )
    small_and_large = _small_and_large(pool, "PostgreSQL")
    yield from postgresql.measure_postgres_growth(
        *small_and_large, _order_counts_label(pool), plan.calls_per_endpoint
    )


def _measure_workers(pool: InstancePool) -> Iterator[Figure]:
    plan = pool.plan
    yield from measure_workers(
        pool.cluster, pool.folder / "workers", plan.worker_callbacks, plan.delivery_rounds
    )


# `rounds` measures the memory of this process, so it is the first. `growth` makes all messages of
# its instances due again, so it follows `million`.
PARTS: dict[str, Callable[[InstancePool], Iterator[Figure]]] = {
    "rounds": _measure_rounds,
    "rates": _measure_rates,
    "waits": _measure_waits,
    "pages": _measure_pages,
    "interviews": _measure_interviews,
    "scoring": _measure_scoring,
    "encryption": _measure_field_encryption,
    "million": _measure_large_instance,
    "queue": _measure_queue,
    "growth": _measure_growth,
    "delivery": _measure_delivery,
    "postgres": _measure_postgres,
    "workers": _measure_workers,
}
PARTS_WITHOUT_RIVALS = ("encryption", "interviews", "queue", "rounds", "scoring")


def _small_and_large(
    pool: InstancePool, database: str
) -> tuple[BenchmarkInstance, BenchmarkInstance]:
    small_count, large_count = pool.plan.order_counts
    return pool.instance("small", database, small_count), pool.instance(
        "large", database, large_count
    )


def _order_counts_label(pool: InstancePool) -> str:
    small_count, large_count = pool.plan.order_counts
    return f"{small_count:,} → {large_count:,} orders"


def main() -> None:
    """Measure everything, or the chosen part."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="grow to 100,000 orders only")
    parser.add_argument("--smoke", action="store_true", help="only check that every part runs")
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    plan = SMOKE_PLAN if args.smoke else QUICK_PLAN if args.quick else FULL_PLAN
    parts = [args.only] if args.only else list(PARTS)
    has_rivals = plan.with_rivals and args.only not in PARTS_WITHOUT_RIVALS
    if has_rivals and not servers.BENCH_PYTHON.exists():
        raise SystemExit(".venv-bench is missing: run `make bench`")
    if plan.with_rivals and "delivery" in parts and (missing := contenders.missing_requirement()):
        raise SystemExit(missing)
    with (
        tempfile.TemporaryDirectory(prefix="provider-bench-") as folder,
        InstancePool(plan, Path(folder)) as pool,
    ):
        figures = list(measure(pool, parts))
    if args.smoke:
        figures = [replace(figure, goal=None) for figure in figures]
    print(f"{describe_machine()}\n\n{markdown_table(figures)}")
    if plan is FULL_PLAN and not args.only:
        save_figures(figures)
        print(f"\nSaved in {FIGURES_FILE.relative_to(servers.ROOT)}")


def _print_progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
