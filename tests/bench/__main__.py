"""`make bench`: measure, print one table with its goals, and keep it in figures.md.

`--quick` grows to a hundred thousand orders only, `--only` measures a part, `--smoke` sees that
everything runs, and judges nothing. None of these keeps a file.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from tests.bench import contenders, servers
from tests.bench.delivery import delivery
from tests.bench.ground import Ground
from tests.bench.growth import growth
from tests.bench.load import Loader
from tests.bench.rates import Rates
from tests.bench.table import FILE, Figure, keep, machine, table
from tests.bench.waits import answer, callback, report


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
    backlog: int = 20_000  # callbacks to deliver
    races: int = 3
    queued: tuple[int, int] = (1_000, 1_000_000)
    usual: bool = True


FULL = Plan()
QUICK = replace(FULL, orders=(10_000, 100_000), races=1, queued=(1_000, 100_000))
SMOKE = Plan(2, 0.1, 5, 2, 5, 0.5, (2_000, 3_000), 5, 200, 1, (50, 100), usual=False)


def measure(plan: Plan, folder: Path, parts: list[str]) -> Iterator[Figure]:
    """Measure these parts, each on data of its own."""
    for name in parts:
        _say(name)
        (folder / name).mkdir()
        yield from PARTS[name](plan, folder / name)


def _rates(plan: Plan, folder: Path) -> Iterator[Figure]:
    with (
        Loader() as loader,
        Rates(_ground(folder), loader, folder, usual=plan.usual) as rates,
    ):
        yield from rates.measure(plan.rounds, plan.seconds)


def _waits(plan: Plan, folder: Path) -> Iterator[Figure]:
    waiting = _ground(folder)
    yield callback(waiting, plan.callbacks)
    yield report(plan.reports)
    with Loader() as loader:
        yield answer(waiting, loader, plan.candidates, plan.answering)


def _growth(plan: Plan, folder: Path) -> Iterator[Figure]:
    less, more = plan.orders
    small, large = _ground(folder / "small", less), _ground(folder / "large", more)
    yield from growth(small, large, f"{less:,} → {more:,} orders", plan.calls)


def _delivery(plan: Plan, folder: Path) -> Iterator[Figure]:
    yield from delivery(folder, plan.backlog, plan.races, plan.queued, usual=plan.usual)


PARTS: dict[str, Callable[[Plan, Path], Iterator[Figure]]] = {
    "rates": _rates, "waits": _waits, "growth": _growth, "delivery": _delivery,
}  # fmt: skip


def _ground(folder: Path, orders: int = 0) -> Ground:
    laid = Ground.lay(folder)
    laid.fill(orders)
    return laid


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
    with tempfile.TemporaryDirectory(prefix="provider-bench-") as folder:
        figures = list(measure(plan, Path(folder), parts))
    if chosen.smoke:
        figures = [replace(figure, goal=None) for figure in figures]
    print(f"{machine()}\n\n{table(figures)}")
    if plan is FULL and not chosen.only:
        keep(figures)
        print(f"\nKept in {FILE.relative_to(servers.ROOT)}")


def _say(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
