"""What a proof is given, and what it answers."""

import logging
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tests.endurance.verdict import DeliveryVerdict

MAX_PRINTED_PROBLEMS = 20  # problems of one proof that are written out


@dataclass(frozen=True)
class Run:
    """One run of a proof: its folder, its length, and its luck, the same for the same seed.

    `postgresql` is whether those run there that need no server and no file: see `fleet.instance`.
    """

    folder: Path
    short: bool = False
    seed: int = 0
    verbose: bool = True
    postgresql: bool = False

    def rng(self, purpose: str) -> random.Random:
        """Return dice of their own for one use, so that threads do not mix them up."""
        return random.Random(f"{self.seed}/{purpose}")

    def print_progress(self, text: str) -> None:
        """Tell how far it is."""
        if self.verbose:
            print(f"  {time.strftime('%H:%M:%S', time.gmtime())} {text}", flush=True)

    def create_folder(self, name: str) -> Path:
        """Return a new folder inside the run's."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        return folder


@dataclass
class ScenarioVerdict:
    """The figures of a proof, and what speaks against it; nothing is a pass."""

    figures: str
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    def require(self, condition: bool, problem: str) -> None:
        """Note a problem unless something holds."""
        if not condition:
            self.problems.append(problem)

    def add_problems_of(self, deliveries: DeliveryVerdict) -> None:
        """Take over what the history's judge found."""
        self.problems += map(str, deliveries.problems)

    def print_summary(self, name: str) -> None:
        """Write the verdict in one line, and the problems beneath."""
        print(f"{'PASS' if self.passed else 'FAIL'} {name}: {self.figures}", flush=True)
        for problem in self.problems[:MAX_PRINTED_PROBLEMS]:
            print(f"  {problem}", file=sys.stderr, flush=True)
        if (more := len(self.problems) - MAX_PRINTED_PROBLEMS) > 0:
            print(f"  … and {more} more", file=sys.stderr, flush=True)


def silence_logs() -> None:
    """Let the couriers of this process say nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


Scenario = Callable[[Run], ScenarioVerdict]
