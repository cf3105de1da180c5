"""The check that all scenarios share: the statuses the ATS must learn against what it received.

lost          no 2xx was returned for an expected status
reordered     a status was sent before the response that accepted the status before it
changed       a repeat has another body, order or sequence than the first attempt
unidentified  a callback has no key, or no sequence that is a number
two keys      a status was sent under two keys: the ATS would process it twice
unexpected    an unexpected status, or another status than the expected one
repeated      more accepted repeats than the kills of the sender explain
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
    """A status that the ATS must learn, in its own words; `order` is the callback's path."""

    order: str
    sequence: int
    status: str


@dataclass(frozen=True)
class ReceivedCallback:
    """One request as the receiver saw it; `status_code` is None when it was not answered."""

    order: str
    key: str | None
    sequence: str | None
    body: bytes
    status_code: int | None
    received_at: float = 0.0  # in seconds, on the receiver's clock
    response_delay_seconds: float = 0.0  # at least

    @property
    def is_accepted(self) -> bool:
        """True when the receiver answered with a 2xx."""
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def sequence_number(self) -> int | None:
        """The sequence as a number, or None when it is not a number."""
        return int(self.sequence) if self.sequence and self.sequence.isdecimal() else None


@dataclass(frozen=True)
class Problem:
    """One problem: its category (see above) and its details."""

    category: str
    details: str

    def __str__(self) -> str:
        return f"{self.category}: {self.details}"


@dataclass(frozen=True)
class DeliveryVerdict:
    """The result of a check; no problems means passed."""

    problems: tuple[Problem, ...]
    expected: int
    received: int
    accepted: int  # messages that were accepted at least once
    repeats: int  # of messages that were accepted before

    def count_problems(self, category: str) -> int:
        return sum(problem.category == category for problem in self.problems)

    @property
    def figures(self) -> str:
        """The result on one line."""
        return (
            f"{self.expected:,} expected, {self.received:,} requests, {self.accepted:,} accepted, "
            f"{self.count_problems('lost')} lost, {self.count_problems('reordered')} out of order, "
            f"{self.count_problems('changed')} changed, {self.repeats} repeated"
        )


def check_deliveries(
    expected: Iterable[ExpectedStatus],
    received: Sequence[ReceivedCallback],
    *,
    max_repeats: int = 0,
) -> DeliveryVerdict:
    """Compare the received callbacks, in order of arrival, with the expected statuses."""
    statuses = sorted(set(expected))
    identified = [
        callback for callback in received if callback.key and callback.sequence_number is not None
    ]
    repeats = _count_repeats(identified)
    problems = [
        *_find_unidentified(received),
        *_find_lost(statuses, identified),
        *_find_unexpected(statuses, identified),
        *_find_changed(identified),
        *_find_duplicate_keys(identified),
        *_find_reordered(identified),
    ]
    if repeats > max_repeats:
        problems.append(Problem("repeated", f"{repeats} times, {max_repeats} at most"))
    accepted = len({callback.key for callback in identified if callback.is_accepted})
    return DeliveryVerdict(tuple(problems), len(statuses), len(received), accepted, repeats)


def _find_unidentified(received: Sequence[ReceivedCallback]) -> Iterator[Problem]:
    for callback in received:
        if not callback.key or callback.sequence_number is None:
            yield Problem(
                "unidentified",
                f"{callback.order} (key {callback.key}, sequence {callback.sequence})",
            )


def _find_lost(
    expected: Sequence[ExpectedStatus], identified: Sequence[ReceivedCallback]
) -> Iterator[Problem]:
    accepted = {
        (callback.order, callback.sequence_number)
        for callback in identified
        if callback.is_accepted
    }
    for status in expected:
        if (status.order, status.sequence) not in accepted:
            yield Problem("lost", f"{status.order} {status.sequence} {status.status}")


def _find_unexpected(
    expected: Sequence[ExpectedStatus], identified: Sequence[ReceivedCallback]
) -> Iterator[Problem]:
    statuses = {(status.order, status.sequence): status.status for status in expected}
    for callback in identified:
        status = statuses.get((callback.order, callback.sequence_number or 0))
        received_status = _status_in(callback.body)
        if received_status != status:
            yield Problem(
                "unexpected",
                f"{callback.order} {callback.sequence_number} is {received_status}, not {status}",
            )


def _find_changed(identified: Sequence[ReceivedCallback]) -> Iterator[Problem]:
    first: dict[str | None, ReceivedCallback] = {}
    for callback in identified:
        earlier = first.setdefault(callback.key, callback)
        if (earlier.order, earlier.sequence_number, earlier.body) != (
            callback.order,
            callback.sequence_number,
            callback.body,
        ):
            yield Problem(
                "changed", f"{callback.order} {callback.sequence_number} under {callback.key}"
            )


def _find_duplicate_keys(identified: Sequence[ReceivedCallback]) -> Iterator[Problem]:
    keys = defaultdict(set)
    for callback in identified:
        keys[callback.order, callback.sequence_number].add(callback.key)
    for (order, sequence), status_keys in keys.items():
        if len(status_keys) > 1:
            yield Problem("two keys", f"{order} {sequence} was sent under {len(status_keys)} keys")


def _find_reordered(identified: Sequence[ReceivedCallback]) -> Iterator[Problem]:
    """Find statuses sent before the previous received status was accepted."""
    first_received: dict[tuple[str, int], tuple[float, int]] = {}
    first_accepted: dict[tuple[str, int], tuple[float, int]] = {}
    for index, callback in enumerate(identified):
        status = callback.order, callback.sequence_number or 0
        first_received.setdefault(status, (callback.received_at, index))
        if callback.is_accepted:
            accepted = callback.received_at + callback.response_delay_seconds, index
            first_accepted[status] = min(accepted, first_accepted.get(status, accepted))
    for earlier, later in pairwise(sorted(first_received)):
        accepted = first_accepted.get(earlier, NEVER_ACCEPTED)
        if earlier[0] == later[0] and first_received[later] < accepted:
            yield Problem("reordered", f"{later[0]} {later[1]} was sent before {earlier[1]}")


def _count_repeats(identified: Sequence[ReceivedCallback]) -> int:
    """Count accepted callbacks whose key had been accepted before."""
    accepted_keys: set[str | None] = set()
    repeats = 0
    for callback in identified:
        if callback.is_accepted:
            repeats += callback.key in accepted_keys
            accepted_keys.add(callback.key)
    return repeats


def _status_in(body: bytes) -> str | None:
    try:
        return str(json.loads(body)["status"])
    except (ValueError, KeyError, TypeError):
        return None
