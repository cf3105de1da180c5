"""`make bench`: measure, print one table with its goals, and keep it in figures.md.

`--quick` grows to a hundred thousand orders only, `--only` measures a part, `--smoke` sees that
everything runs, and judges nothing. None of these keeps a file.
"""

import argparse
import logging
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
from tests.bench.ground import BenchmarkInstance
from tests.bench.growth import measure_growth
from tests.bench.load import LoadGenerator
from tests.bench.million import measure_large_instance
from tests.bench.rates import RateRace, comparison_figures
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
    candidates: int = 50  # who answer at the same time
    answering_seconds: float = 15.0  # seconds
    order_counts: tuple[int, int] = (10_000, 1_000_000)
    calls_per_endpoint: int = 150  # of each kind on the small and the large house
    requests_per_page: int = 40  # times for each call and page
    backlog_callbacks: int = 20_000  # callbacks to deliver
    worker_callbacks: int = 12_000  # callbacks that workers share
    delivery_rounds: int = 3
    queued_callbacks: tuple[int, int] = (1_000, 1_000_000)
    with_rivals: bool = True


FULL_PLAN = Plan()
QUICK_PLAN = replace(
    FULL_PLAN, order_counts=(10_000, 100_000), delivery_rounds=1, queued_callbacks=(1_000, 100_000)
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
    backlog_callbacks=200,
    worker_callbacks=400,
    delivery_rounds=1,
    queued_callbacks=(50, 100),
    with_rivals=False,
)
DATABASES = ("SQLite", "PostgreSQL")


class InstancePool:
    """Where it is measured: houses are laid when somebody first needs them, and kept."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self._stack = ExitStack()
        self._instances: dict[tuple[str, str], BenchmarkInstance] = {}

    def __enter__(self) -> "InstancePool":
        return self

    def __exit__(self, *_: object) -> None:
        for ground in self._instances.values():
            ground.services.db.close()
        self._stack.close()

    @cached_property
    def cluster(self) -> Cluster:
        """A PostgreSQL server."""
        return self._stack.enter_context(Cluster())

    def instance(self, name: str, database: str = "SQLite", orders: int = 0) -> BenchmarkInstance:
        """Return the house of this name on a database, with so many orders."""
        if (name, database) not in self._instances:
            url = self.cluster.create_database() if database == "PostgreSQL" else None
            ground = BenchmarkInstance.create(self.folder / f"{name}-{database}", url)
            self._instances[name, database] = ground
            ground.fill_to(orders)
        return self._instances[name, database]

    def instances(self, name: str, orders: int = 0) -> dict[str, BenchmarkInstance]:
        """Return the houses of this name on both databases."""
        return {database: self.instance(name, database, orders) for database in DATABASES}


def measure(pool: InstancePool, parts: list[str]) -> Iterator[Figure]:
    """Measure these parts."""
    for name in parts:
        began = monotonic()
        _print_progress(f"measuring {name} …")
        for figure in PARTS[name](pool):
            _print_progress(f"  {figure.line}")
            yield figure
        _print_progress(f"… {monotonic() - began:.0f} s")


def _measure_rates(pool: InstancePool) -> Iterator[Figure]:
    plan, services_list = pool.plan, {"ours": pool.instance("rates")}
    usual = pool.folder if plan.with_rivals else None
    with (
        LoadGenerator() as loader,
        RateRace(loader, services_list, with_flask=True, rival_folder=usual) as racing,
    ):
        yield from comparison_figures(racing.measure(plan.rounds, plan.seconds))


def _measure_waits(pool: InstancePool) -> Iterator[Figure]:
    plan, waiting = pool.plan, pool.instance("waits")
    yield measure_callback(waiting, plan.callbacks, in_process_dispatcher)
    yield measure_report(plan.reports)
    with LoadGenerator() as loader:
        yield measure_answer(waiting, loader, plan.candidates, plan.answering_seconds)


def _measure_large_instance(pool: InstancePool) -> Iterator[Figure]:
    more = pool.plan.order_counts[1]
    yield from measure_large_instance(
        pool.instances("large", more), f"{more:,}", pool.plan.requests_per_page
    )


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
        raced = pool.instances("raced")
        yield from postgresql.measure_postgres_rates(
            raced, pool.cluster, loader, plan.rounds, plan.seconds
        )
        waiting = pool.instances("waiting")
        yield from postgresql.measure_postgres_waits(
            waiting, loader, plan.callbacks, plan.candidates, plan.answering_seconds
        )
    both = _small_and_large(pool, "PostgreSQL")
    yield from postgresql.measure_postgres_growth(
        *both, _order_counts_label(pool), plan.calls_per_endpoint
    )


def _measure_workers(pool: InstancePool) -> Iterator[Figure]:
    plan = pool.plan
    yield from measure_workers(
        pool.cluster, pool.folder / "workers", plan.worker_callbacks, plan.delivery_rounds
    )


# Growth leaves all that was ever sent due again, so what asks of the same houses goes before.
PARTS: dict[str, Callable[[InstancePool], Iterator[Figure]]] = {
    "rates": _measure_rates,
    "waits": _measure_waits,
    "million": _measure_large_instance,
    "growth": _measure_growth,
    "delivery": _measure_delivery,
    "postgres": _measure_postgres,
    "workers": _measure_workers,
}


def _small_and_large(
    pool: InstancePool, database: str
) -> tuple[BenchmarkInstance, BenchmarkInstance]:
    less, more = pool.plan.order_counts
    return pool.instance("small", database, less), pool.instance("large", database, more)


def _order_counts_label(pool: InstancePool) -> str:
    less, more = pool.plan.order_counts
    return f"{less:,} → {more:,} orders"


def main() -> None:
    """Run it all, or as much as was asked for."""
    options = argparse.ArgumentParser(prog="python -m tests.bench")
    options.add_argument("--quick", action="store_true", help="grow to 100,000 orders only")
    options.add_argument("--smoke", action="store_true", help="only see that everything runs")
    options.add_argument("--only", choices=PARTS, help="measure this part alone")
    chosen = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    plan = SMOKE_PLAN if chosen.smoke else QUICK_PLAN if chosen.quick else FULL_PLAN
    parts = [chosen.only] if chosen.only else list(PARTS)
    if plan.with_rivals and not servers.BENCH_PYTHON.exists():
        raise SystemExit("There is no .venv-bench yet: run `make bench`")
    if plan.with_rivals and "delivery" in parts and (missing := contenders.missing_requirement()):
        raise SystemExit(missing)
    with (
        tempfile.TemporaryDirectory(prefix="provider-bench-") as folder,
        InstancePool(plan, Path(folder)) as site,
    ):
        found = list(measure(site, parts))
    if chosen.smoke:
        found = [replace(figure, goal=None) for figure in found]
    print(f"{describe_machine()}\n\n{markdown_table(found)}")
    if plan is FULL_PLAN and not chosen.only:
        save_figures(found)
        print(f"\nKept in {FIGURES_FILE.relative_to(servers.ROOT)}")


def _print_progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
