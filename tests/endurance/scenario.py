"""The input and the verdict of a scenario."""

import logging
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tests.endurance.verdict import DeliveryVerdict

MAX_PRINTED_PROBLEMS = 20  # for each scenario


@dataclass(frozen=True)
class Run:
    """One run of a scenario: its folder, its length and its seed.

    With `postgresql`, scenarios that support both databases run on PostgreSQL: see `open_instance`.
    """

    folder: Path
    short: bool = False
    seed: int = 0
    verbose: bool = True
    postgresql: bool = False

    def rng(self, purpose: str) -> random.Random:
        """Return a generator for one purpose, so that threads never share one."""
        return random.Random(f"{self.seed}/{purpose}")

    def print_progress(self, text: str) -> None:
        if self.verbose:
            print(f"  {time.strftime('%H:%M:%S', time.gmtime())} {text}", flush=True)

    def create_folder(self, name: str) -> Path:
        """Return a new folder below the run's folder."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        return folder


@dataclass
class ScenarioVerdict:
    """The figures of a scenario and its problems; no problems means passed."""

    figures: str
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.problems

    def require(self, condition: bool, problem: str) -> None:
        """Add `problem` unless `condition` is true."""
        if not condition:
            self.problems.append(problem)

    def add_problems_of(self, deliveries: DeliveryVerdict) -> None:
        self.problems += map(str, deliveries.problems)

    def print_summary(self, name: str) -> None:
        """Print the verdict on one line to stdout, and the problems to stderr."""
        print(f"{'PASS' if self.passed else 'FAIL'} {name}: {self.figures}", flush=True)
        for problem in self.problems[:MAX_PRINTED_PROBLEMS]:
            print(f"  {problem}", file=sys.stderr, flush=True)
        if (more := len(self.problems) - MAX_PRINTED_PROBLEMS) > 0:
            print(f"  … and {more} more", file=sys.stderr, flush=True)


def silence_logs() -> None:
    """Log nothing below CRITICAL in this process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


Scenario = Callable[[Run], ScenarioVerdict]
