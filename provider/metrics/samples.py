"""Figures by their lines: plain, so that those of many processes can be kept and added up."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import Metric

MOST_HOSTS = 1000  # that are counted apart; the names of more would fill the memory of who scrapes
OTHERS = "others"
HOST = "host"  # the label

Labels = tuple[tuple[str, str], ...]
Line = tuple[str, Labels]  # what is counted, and of what
Counts = Mapping[Line, float]  # none of them ever falls; a histogram's buckets stand in order


def read(families: Iterable[Metric]) -> Counts:
    """Take the figures of metrics."""
    samples = (sample for family in families for sample in family.samples)
    return {(one.name, tuple(one.labels.items())): one.value for one in samples}


def add(many: Iterable[Counts]) -> Counts:
    """Add figures up, line by line."""
    sums: dict[Line, float] = {}
    for counts in many:
        for line, value in counts.items():
            sums[line] = sums.get(line, 0) + value
    return sums


def less(counts: Counts, base: Counts) -> Counts:
    """Take off figures what they were before."""
    return {line: value - base.get(line, 0) for line, value in counts.items()}


def of_few_hosts(counts: Counts) -> Counts:
    """Put the hosts beyond the first thousand together."""
    hosts = dict.fromkeys(name for _, labels in counts for key, name in labels if key == HOST)
    others = set(list(hosts)[MOST_HOSTS:])

    def renamed(line: Line) -> Line:
        of, labels = line
        pairs = ((key, OTHERS if key == HOST and name in others else name) for key, name in labels)
        return of, tuple(pairs)

    return add({renamed(line): value} for line, value in counts.items()) if others else counts


def dump(counts: Counts) -> list[Any]:
    """Turn figures into what JSON can say."""
    return [[name, dict(labels), value] for (name, labels), value in counts.items()]


def load(kept: Iterable[Any]) -> Counts:
    """Read what `dump` wrote."""
    return {(name, tuple(labels.items())): value for name, labels, value in kept}
