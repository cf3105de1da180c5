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

NEVER_ACCEPTED = (inf, 0)


@dataclass(frozen=True, order=True)
class ExpectedStatus:
    """A status that the ATS must learn, in its own words; `order` is its callback's path."""

    order: str
    sequence: int
    status: str


@dataclass(frozen=True)
class ReceivedCallback:
    """One request as the receiver saw it; `answered` is None where it was left without answer."""

    order: str
    key: str | None
    sequence: str | None
    body: bytes
    status_code: int | None
    received_at: float = 0.0  # seconds on the receiver's clock
    response_delay_seconds: float = 0.0  # seconds, at least, until it was answered

    @property
    def is_accepted(self) -> bool:
        """Whether the receiver said that it has it."""
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def sequence_number(self) -> int | None:
        """The sequence as a number; None where it is none."""
        return int(self.sequence) if self.sequence and self.sequence.isdecimal() else None


@dataclass(frozen=True)
class Problem:
    """One broken word: `what` it is called, and where."""

    category: str
    details: str

    def __str__(self) -> str:
        return f"{self.category}: {self.details}"


@dataclass(frozen=True)
class DeliveryVerdict:
    """What came of a history; no problems is a pass."""

    problems: tuple[Problem, ...]
    expected: int
    received: int
    accepted: int  # messages that were taken at least once
    repeats: int  # of those that were taken already

    def count_problems(self, category: str) -> int:
        """Return how many problems are of one sort."""
        return sum(problem.category == category for problem in self.problems)

    @property
    def figures(self) -> str:
        """The history in one line."""
        return (
            f"{self.expected:,} promised, {self.received:,} requests, {self.accepted:,} taken, "
            f"{self.count_problems('lost')} lost, {self.count_problems('reordered')} out of order, "
            f"{self.count_problems('changed')} changed, {self.repeats} repeated"
        )


def check_deliveries(
    expected: Iterable[ExpectedStatus],
    received: Sequence[ReceivedCallback],
    *,
    max_repeats: int = 0,
) -> DeliveryVerdict:
    """Hold what came, in the order in which it came, against what was promised."""
    promises = sorted(set(expected))
    named = [each for each in received if each.key and each.sequence_number is not None]
    repeats = _count_repeats(named)
    problems = [
        *_find_unidentified(received),
        *_find_lost(promises, named),
        *_find_unexpected(promises, named),
        *_find_changed(named),
        *_find_duplicate_keys(named),
        *_find_reordered(named),
    ]
    if repeats > max_repeats:
        problems.append(Problem("repeated", f"{repeats} times, {max_repeats} at most"))
    taken = len({each.key for each in named if each.is_accepted})
    return DeliveryVerdict(tuple(problems), len(promises), len(received), taken, repeats)


def _find_unidentified(received: Sequence[ReceivedCallback]) -> Iterator[Problem]:
    for each in received:
        if not each.key or each.sequence_number is None:
            yield Problem("unnamed", f"{each.order} (key {each.key}, sequence {each.sequence})")


def _find_lost(
    expected: Sequence[ExpectedStatus], identified: Sequence[ReceivedCallback]
) -> Iterator[Problem]:
    taken = {(each.order, each.sequence_number) for each in identified if each.is_accepted}
    for promise in expected:
        if (promise.order, promise.sequence) not in taken:
            yield Problem("lost", f"{promise.order} {promise.sequence} {promise.status}")


def _find_unexpected(
    expected: Sequence[ExpectedStatus], identified: Sequence[ReceivedCallback]
) -> Iterator[Problem]:
    known = {(each.order, each.sequence): each.status for each in expected}
    for each in identified:
        status = known.get((each.order, each.sequence_number or 0))
        if _status_in(each.body) != status:
            yield Problem(
                "unpromised",
                f"{each.order} {each.sequence_number} says {_status_in(each.body)}, not {status}",
            )


def _find_changed(identified: Sequence[ReceivedCallback]) -> Iterator[Problem]:
    first: dict[str | None, ReceivedCallback] = {}
    for each in identified:
        known = first.setdefault(each.key, each)
        if (known.order, known.sequence_number, known.body) != (
            each.order,
            each.sequence_number,
            each.body,
        ):
            yield Problem("changed", f"{each.order} {each.sequence_number} under {each.key}")


def _find_duplicate_keys(identified: Sequence[ReceivedCallback]) -> Iterator[Problem]:
    keys = defaultdict(set)
    for each in identified:
        keys[each.order, each.sequence_number].add(each.key)
    for (order, number), found in keys.items():
        if len(found) > 1:
            yield Problem("two keys", f"{order} {number} came under {len(found)} keys")


def _find_reordered(identified: Sequence[ReceivedCallback]) -> Iterator[Problem]:
    """A status may set out only when the one before it, of those that came, was taken."""
    begun: dict[tuple[str, int], tuple[float, int]] = {}
    heard: dict[tuple[str, int], tuple[float, int]] = {}
    for moment, each in enumerate(identified):
        status = each.order, each.sequence_number or 0
        begun.setdefault(status, (each.received_at, moment))
        if each.is_accepted:
            answer = each.received_at + each.response_delay_seconds, moment
            heard[status] = min(answer, heard.get(status, answer))
    for earlier, later in pairwise(sorted(begun)):
        if earlier[0] == later[0] and begun[later] < heard.get(earlier, NEVER_ACCEPTED):
            yield Problem("reordered", f"{later[0]} {later[1]} set out before {earlier[1]}")


def _count_repeats(identified: Sequence[ReceivedCallback]) -> int:
    """Count what was taken again under a key that had been taken already."""
    had: set[str | None] = set()
    again = 0
    for each in identified:
        if each.is_accepted:
            again += each.key in had
            had.add(each.key)
    return again


def _status_in(body: bytes) -> str | None:
    try:
        return str(json.loads(body)["status"])
    except (ValueError, KeyError, TypeError):
        return None
