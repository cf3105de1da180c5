"""The one judge of all proofs: what the ATS was promised, held against what its receiver saw.

lost        a promised status was never taken with a 2xx
reordered   a status was sent before the one before it was answered as taken
changed     a repeat has other bytes, another order or another sequence than the first try
unnamed     a message without a key or without a sequence that is a number
two keys    one status under more than one key: the ATS would take it twice
unpromised  a status that nobody was promised, or another word than was promised
repeated    more messages again, although taken, than the deaths of the sender explain
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

NEVER = (inf, 0)


@dataclass(frozen=True, order=True)
class Promise:
    """A status that the ATS must learn, in its own words; `order` is its callback's path."""

    order: str
    sequence: int
    status: str


@dataclass(frozen=True)
class Arrival:
    """One request as the receiver saw it; `answered` is None where it was left without answer."""

    order: str
    key: str | None
    sequence: str | None
    body: bytes
    answered: int | None
    at: float = 0.0  # seconds on the receiver's clock
    late: float = 0.0  # seconds, at least, until it was answered

    @property
    def taken(self) -> bool:
        """Whether the receiver said that it has it."""
        return self.answered is not None and 200 <= self.answered < 300

    @property
    def number(self) -> int | None:
        """The sequence as a number; None where it is none."""
        return int(self.sequence) if self.sequence and self.sequence.isdecimal() else None


@dataclass(frozen=True)
class Problem:
    """One broken word: `what` it is called, and where."""

    what: str
    where: str

    def __str__(self) -> str:
        return f"{self.what}: {self.where}"


@dataclass(frozen=True)
class Judgement:
    """What came of a history; no problems is a pass."""

    problems: tuple[Problem, ...]
    promised: int
    arrived: int
    taken: int  # messages that were taken at least once
    repeats: int  # of those that were taken already

    def count(self, what: str) -> int:
        """Return how many problems are of one sort."""
        return sum(problem.what == what for problem in self.problems)

    @property
    def figures(self) -> str:
        """The history in one line."""
        return (
            f"{self.promised:,} promised, {self.arrived:,} requests, {self.taken:,} taken, "
            f"{self.count('lost')} lost, {self.count('reordered')} out of order, "
            f"{self.count('changed')} changed, {self.repeats} repeated"
        )


def judge(
    promised: Iterable[Promise], arrived: Sequence[Arrival], *, repeats_allowed: int = 0
) -> Judgement:
    """Hold what came, in the order in which it came, against what was promised."""
    promises = sorted(set(promised))
    named = [each for each in arrived if each.key and each.number is not None]
    repeats = _repeats(named)
    problems = [
        *_unnamed(arrived),
        *_lost(promises, named),
        *_unpromised(promises, named),
        *_changed(named),
        *_two_keys(named),
        *_reordered(named),
    ]
    if repeats > repeats_allowed:
        problems.append(Problem("repeated", f"{repeats} times, {repeats_allowed} at most"))
    taken = len({each.key for each in named if each.taken})
    return Judgement(tuple(problems), len(promises), len(arrived), taken, repeats)


def _unnamed(arrived: Sequence[Arrival]) -> Iterator[Problem]:
    for each in arrived:
        if not each.key or each.number is None:
            yield Problem("unnamed", f"{each.order} (key {each.key}, sequence {each.sequence})")


def _lost(promises: Sequence[Promise], named: Sequence[Arrival]) -> Iterator[Problem]:
    taken = {(each.order, each.number) for each in named if each.taken}
    for promise in promises:
        if (promise.order, promise.sequence) not in taken:
            yield Problem("lost", f"{promise.order} {promise.sequence} {promise.status}")


def _unpromised(promises: Sequence[Promise], named: Sequence[Arrival]) -> Iterator[Problem]:
    known = {(each.order, each.sequence): each.status for each in promises}
    for each in named:
        status = known.get((each.order, each.number or 0))
        if _word(each.body) != status:
            yield Problem(
                "unpromised", f"{each.order} {each.number} says {_word(each.body)}, not {status}"
            )


def _changed(named: Sequence[Arrival]) -> Iterator[Problem]:
    first: dict[str | None, Arrival] = {}
    for each in named:
        known = first.setdefault(each.key, each)
        if (known.order, known.number, known.body) != (each.order, each.number, each.body):
            yield Problem("changed", f"{each.order} {each.number} under {each.key}")


def _two_keys(named: Sequence[Arrival]) -> Iterator[Problem]:
    keys = defaultdict(set)
    for each in named:
        keys[each.order, each.number].add(each.key)
    for (order, number), found in keys.items():
        if len(found) > 1:
            yield Problem("two keys", f"{order} {number} came under {len(found)} keys")


def _reordered(named: Sequence[Arrival]) -> Iterator[Problem]:
    """A status may set out only when the one before it, of those that came, was taken."""
    begun: dict[tuple[str, int], tuple[float, int]] = {}
    heard: dict[tuple[str, int], tuple[float, int]] = {}
    for moment, each in enumerate(named):
        status = each.order, each.number or 0
        begun.setdefault(status, (each.at, moment))
        if each.taken:
            answer = each.at + each.late, moment
            heard[status] = min(answer, heard.get(status, answer))
    for earlier, later in pairwise(sorted(begun)):
        if earlier[0] == later[0] and begun[later] < heard.get(earlier, NEVER):
            yield Problem("reordered", f"{later[0]} {later[1]} set out before {earlier[1]}")


def _repeats(named: Sequence[Arrival]) -> int:
    """Count what was taken again under a key that had been taken already."""
    had: set[str | None] = set()
    again = 0
    for each in named:
        if each.taken:
            again += each.key in had
            had.add(each.key)
    return again


def _word(body: bytes) -> str | None:
    try:
        return str(json.loads(body)["status"])
    except (ValueError, KeyError, TypeError):
        return None
