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
from tests.bench.delivery import delivery
from tests.bench.ground import Ground
from tests.bench.growth import growth
from tests.bench.load import Loader
from tests.bench.million import million
from tests.bench.rates import Rates, figures
from tests.bench.table import FILE, Figure, keep, machine, table
from tests.bench.waits import answer, callback, courier, report
from tests.bench.workers import workers


@dataclass(frozen=True)
class Plan:
    """How long and how much is measured."""

    rounds: int = 7
    seconds: float = 1.5  # of a round
    callbacks: int = 200
    reports: int = 50
    candidates: int = 50  # who answer at the same time
    answering: float = 15.0  # seconds
    orders: tuple[int, int] = (10_000, 1_000_000)
    calls: int = 150  # of each kind on the small and the large house
    asked: int = 40  # times for each call and page
    backlog: int = 20_000  # callbacks to deliver
    shared: int = 12_000  # callbacks that workers share
    races: int = 3
    queued: tuple[int, int] = (1_000, 1_000_000)
    usual: bool = True


FULL = Plan()
QUICK = replace(FULL, orders=(10_000, 100_000), races=1, queued=(1_000, 100_000))
SMOKE = Plan(
    rounds=2, seconds=0.1, callbacks=5, reports=2, candidates=5, answering=0.5,
    orders=(2_000, 3_000), calls=5, asked=2, backlog=200, shared=400, races=1, queued=(50, 100),
    usual=False,
)  # fmt: skip
DATABASES = ("SQLite", "PostgreSQL")


class Site:
    """Where it is measured: houses are laid when somebody first needs them, and kept."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self._stack = ExitStack()
        self._laid: dict[tuple[str, str], Ground] = {}

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        for ground in self._laid.values():
            ground.house.db.close()
        self._stack.close()

    @cached_property
    def cluster(self) -> Cluster:
        """A PostgreSQL server."""
        return self._stack.enter_context(Cluster())

    def house(self, name: str, database: str = "SQLite", orders: int = 0) -> Ground:
        """Return the house of this name on a database, with so many orders."""
        if (name, database) not in self._laid:
            url = self.cluster.database() if database == "PostgreSQL" else None
            ground = Ground.lay(self.folder / f"{name}-{database}", url)
            self._laid[name, database] = ground
            ground.fill(orders)
        return self._laid[name, database]

    def houses(self, name: str, orders: int = 0) -> dict[str, Ground]:
        """Return the houses of this name on both databases."""
        return {database: self.house(name, database, orders) for database in DATABASES}


def measure(site: Site, parts: list[str]) -> Iterator[Figure]:
    """Measure these parts."""
    for name in parts:
        began = monotonic()
        _say(f"measuring {name} …")
        for figure in PARTS[name](site):
            _say(f"  {figure.line}")
            yield figure
        _say(f"… {monotonic() - began:.0f} s")


def _rates(site: Site) -> Iterator[Figure]:
    plan, houses = site.plan, {"ours": site.house("rates")}
    usual = site.folder if plan.usual else None
    with Loader() as loader, Rates(loader, houses, bare=True, usual=usual) as racing:
        yield from figures(racing.measure(plan.rounds, plan.seconds))


def _waits(site: Site) -> Iterator[Figure]:
    plan, waiting = site.plan, site.house("waits")
    yield callback(waiting, plan.callbacks, courier)
    yield report(plan.reports)
    with Loader() as loader:
        yield answer(waiting, loader, plan.candidates, plan.answering)


def _million(site: Site) -> Iterator[Figure]:
    more = site.plan.orders[1]
    yield from million(site.houses("large", more), f"{more:,}", site.plan.asked)


def _growth(site: Site) -> Iterator[Figure]:
    yield from growth(*_small_and_large(site, "SQLite"), _sizes(site), site.plan.calls)


def _delivery(site: Site) -> Iterator[Figure]:
    plan, folder = site.plan, site.folder / "delivery"
    yield from delivery(folder, plan.backlog, plan.races, plan.queued, usual=plan.usual)


def _postgres(site: Site) -> Iterator[Figure]:
    plan = site.plan
    with Loader() as loader:
        raced = site.houses("raced")
        yield from postgresql.rates(raced, site.cluster, loader, plan.rounds, plan.seconds)
        waiting = site.houses("waiting")
        yield from postgresql.waits(
            waiting, loader, plan.callbacks, plan.candidates, plan.answering
        )
    both = _small_and_large(site, "PostgreSQL")
    yield from postgresql.grown(*both, _sizes(site), plan.calls)


def _workers(site: Site) -> Iterator[Figure]:
    plan = site.plan
    yield from workers(site.cluster, site.folder / "workers", plan.shared, plan.races)


# Growth leaves all that was ever sent due again, so what asks of the same houses goes before.
PARTS: dict[str, Callable[[Site], Iterator[Figure]]] = {
    "rates": _rates, "waits": _waits, "million": _million, "growth": _growth,
    "delivery": _delivery, "postgres": _postgres, "workers": _workers,
}  # fmt: skip


def _small_and_large(site: Site, database: str) -> tuple[Ground, Ground]:
    less, more = site.plan.orders
    return site.house("small", database, less), site.house("large", database, more)


def _sizes(site: Site) -> str:
    less, more = site.plan.orders
    return f"{less:,} → {more:,} orders"


def main() -> None:
    """Run it all, or as much as was asked for."""
    options = argparse.ArgumentParser(prog="python -m tests.bench")
    options.add_argument("--quick", action="store_true", help="grow to 100,000 orders only")
    options.add_argument("--smoke", action="store_true", help="only see that everything runs")
    options.add_argument("--only", choices=PARTS, help="measure this part alone")
    chosen = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    plan = SMOKE if chosen.smoke else QUICK if chosen.quick else FULL
    parts = [chosen.only] if chosen.only else list(PARTS)
    if plan.usual and not servers.USUAL.exists():
        raise SystemExit("There is no .venv-bench yet: run `make bench`")
    if plan.usual and "delivery" in parts and (missing := contenders.missing()):
        raise SystemExit(missing)
    with (
        tempfile.TemporaryDirectory(prefix="provider-bench-") as folder,
        Site(plan, Path(folder)) as site,
    ):
        found = list(measure(site, parts))
    if chosen.smoke:
        found = [replace(figure, goal=None) for figure in found]
    print(f"{machine()}\n\n{table(found)}")
    if plan is FULL and not chosen.only:
        keep(found)
        print(f"\nKept in {FILE.relative_to(servers.ROOT)}")


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
