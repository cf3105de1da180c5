"""`make bench`: measure, print one table with its goals, and keep it in figures.md.

`--quick` grows to a hundred thousand orders only; `--smoke` sees that everything runs, and judges
nothing. Both keep no file.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from tests.bench import servers
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
    usual: bool = True


FULL = Plan()
QUICK = replace(FULL, orders=(10_000, 100_000))
SMOKE = Plan(2, 0.1, 5, 2, 5, 0.5, (2_000, 3_000), 5, usual=False)


def measure(plan: Plan, folder: Path) -> Iterator[Figure]:
    """Measure everything, each part on data of its own."""

    def ground(name: str, orders: int = 0) -> Ground:
        laid = Ground.lay(folder / name)
        laid.fill(orders)
        return laid

    with Loader() as loader:
        _say("requests a second")
        with Rates(ground("rates"), loader, folder, usual=plan.usual) as rates:
            yield from rates.measure(plan.rounds, plan.seconds)
        _say("waits")
        waiting = ground("waits")
        yield callback(waiting, plan.callbacks)
        yield report(plan.reports)
        yield answer(waiting, loader, plan.candidates, plan.answering)
    less, more = plan.orders
    _say(f"growth to {more:,} orders")
    sizes = f"{less:,} → {more:,} orders"
    yield from growth(ground("small", less), ground("large", more), sizes, plan.calls)


def main() -> None:
    """Run it all, or as much as was asked for."""
    options = argparse.ArgumentParser(prog="python -m tests.bench")
    options.add_argument("--quick", action="store_true", help="grow to 100,000 orders only")
    options.add_argument("--smoke", action="store_true", help="only see that everything runs")
    chosen = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    plan = SMOKE if chosen.smoke else QUICK if chosen.quick else FULL
    if plan.usual and not servers.USUAL.exists():
        raise SystemExit("There is no .venv-bench yet: run `make bench`")
    with tempfile.TemporaryDirectory(prefix="provider-bench-") as folder:
        figures = list(measure(plan, Path(folder)))
    if chosen.smoke:
        figures = [replace(figure, goal=None) for figure in figures]
    print(f"{machine()}\n\n{table(figures)}")
    if plan is FULL:
        keep(figures)
        print(f"\nKept in {FILE.relative_to(servers.ROOT)}")


def _say(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
