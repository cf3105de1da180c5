"""What a proof is given, and what it answers."""

import logging
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tests.soak.history import Judgement

MOST_SHOWN = 20  # problems of one proof that are written out


@dataclass(frozen=True)
class Run:
    """One run of a proof: its folder, its length, and its luck, the same for the same seed.

    `postgresql` is whether those run there that need no server and no file: see `fleet.instance`.
    """

    folder: Path
    short: bool = False
    seed: int = 0
    loud: bool = True
    postgresql: bool = False

    def luck(self, what: str) -> random.Random:
        """Return dice of their own for one use, so that threads do not mix them up."""
        return random.Random(f"{self.seed}/{what}")

    def say(self, what: str) -> None:
        """Tell how far it is."""
        if self.loud:
            print(f"  {time.strftime('%H:%M:%S', time.gmtime())} {what}", flush=True)

    def part(self, name: str) -> Path:
        """Return a new folder inside the run's."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        return folder


@dataclass
class Verdict:
    """The figures of a proof, and what speaks against it; nothing is a pass."""

    figures: str
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    def claim(self, holds: bool, otherwise: str) -> None:
        """Note a problem unless something holds."""
        if not holds:
            self.problems.append(otherwise)

    def hold(self, judgement: Judgement) -> None:
        """Take over what the history's judge found."""
        self.problems += map(str, judgement.problems)

    def show(self, name: str) -> None:
        """Write the verdict in one line, and the problems beneath."""
        print(f"{'PASS' if self.passed else 'FAIL'} {name}: {self.figures}", flush=True)
        for problem in self.problems[:MOST_SHOWN]:
            print(f"  {problem}", file=sys.stderr, flush=True)
        if (more := len(self.problems) - MOST_SHOWN) > 0:
            print(f"  … and {more} more", file=sys.stderr, flush=True)


def quiet() -> None:
    """Let the couriers of this process say nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


Proof = Callable[[Run], Verdict]
