"""How quickly a backlog is delivered: beside task queues, and to a receiver that takes its time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic, sleep

from tests.bench.backlog import Backlog
from tests.bench.contenders import (
    Celery,
    Contender,
    Dramatiq,
    Ours,
    receiver,
)
from tests.bench.receiver import Counter
from tests.bench.table import Figure

THREADS = (8, 16, 32, 64)  # everybody goes with what suits them best
TRIED = 2_000  # deliveries by which that is found
WARM = 500  # deliveries after which measuring begins
PATIENCE = 300.0  # seconds in which a round must be over
FLAT = 1.3
SLOW, AT_ONCE = 0.1, 64  # a slow receiver's seconds, and how many it is sent at the same time


@dataclass(frozen=True)
class Leg:
    """What one round found: deliveries a second, and microseconds of processor for each."""

    rate: float
    cost: float


@dataclass(frozen=True)
class Medians:
    """The rounds of one contender."""

    legs: list[Leg]
    threads: int

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return median(leg.rate for leg in self.legs)

    @property
    def said(self) -> str:
        """The medians in words."""
        cost = median(leg.cost for leg in self.legs)
        return f"{self.rate:,.0f}/s at {cost:,.0f} µs of CPU, {self.threads} threads"


def delivery(
    folder: Path, count: int, rounds: int, queued: tuple[int, int], *, usual: bool
) -> Iterator[Figure]:
    """Return the rows; without `usual` those against the others are left out."""
    with receiver() as fast:
        yield from _race(folder, count, rounds, fast.port, usual=usual)
        yield memory(folder, fast.port, *queued)
    yield slow(folder, count // 4)


def memory(folder: Path, port: int, less: int, more: int) -> Figure:
    """Measure how much more memory a courier needs that has more queued, sending as many."""
    laid = [Backlog.lay(folder / f"queued-{queued}", less, port) for queued in (less, more)]
    peaks = [_peak(backlog, n, port) for backlog, n in zip(laid, (less, more), strict=True)]
    name = f"memory of a courier, {less:,} → {more:,} queued"
    beside = f"{peaks[0]:.0f} MB and {peaks[1]:.0f} MB, each after {less * 4 // 5:,} deliveries"
    return Figure(name, peaks[1] / peaks[0], FLAT, most=True, beside=beside)


def _peak(backlog: Backlog, queued: int, port: int) -> float:
    backlog.grow(queued)
    ours = Ours(backlog)
    with Counter(port) as count:
        enough = count() + backlog.count * 4 // 5
        ours.begin()
        try:
            _wait(lambda: count() >= enough, ours)
            return ours.worker.memory()
        finally:
            ours.end()


def slow(folder: Path, count: int) -> Figure:
    """Measure ours with a receiver that takes its time."""
    with receiver(SLOW) as server:
        ours = Ours(Backlog.lay(folder / "slow", count, server.port))
        ours.threads = AT_ONCE
        rate = _leg(ours, server.port, count, count).rate
    most = AT_ONCE / SLOW
    name = f"deliveries to a receiver that takes {SLOW * 1e3:.0f} ms, of what {AT_ONCE} hands allow"
    return Figure(name, rate / most, 0.9, beside=f"{rate:,.0f}/s of {most:,.0f}/s")


def _race(folder: Path, count: int, rounds: int, port: int, *, usual: bool) -> Iterator[Figure]:
    ready = Ours(Backlog.lay(folder / "ready", count, port))
    rivals = [kind(folder, count, port) for kind in (Celery, Dramatiq) if usual]
    try:
        raced = _rounds([ready, *rivals], port, count, rounds)
    finally:
        for rival in rivals:
            rival.close()
    ours = raced[ready.name]
    what = f"a backlog of {count:,}, each of about 1 kB and settled durably"
    for rival, goal in zip(rivals, (3.0, 1.2), strict=False):
        theirs = raced[rival.name]
        ratio = median(a.rate / b.rate for a, b in zip(ours.legs, theirs.legs, strict=True))
        beside = f"{ours.said}; {rival.name} {theirs.said}"
        yield Figure(f"{what} ÷ {rival.name} + Redis", ratio, goal, beside=beside)
    yield _rendering(folder, count // 4, port, ready.threads, f"{ours.rate:,.0f}/s without")


def _rendering(folder: Path, count: int, port: int, threads: int, without: str) -> Figure:
    """Measure ours where the bytes are not there yet, as they are not at a first try."""
    bare = Ours(Backlog.lay(folder / "bare", count, port, rendered=False))
    bare.threads = threads
    leg = _leg(bare, port, count, count)
    name = f"a backlog of {count:,} that is rendered too"
    return Figure(name, leg.rate, None, "/s", beside=f"at {leg.cost:,.0f} µs of CPU; {without}")


def _rounds(contenders: list[Contender], port: int, count: int, rounds: int) -> dict[str, Medians]:
    """Race them in turns, each with the number of threads that suits it."""
    for contender in contenders:
        contender.threads = _best(contender, port, count)
    legs: dict[str, list[Leg]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            legs[contender.name].append(_leg(contender, port, count, count))
    return {one.name: Medians(legs[one.name], one.threads) for one in contenders}


def _best(contender: Contender, port: int, count: int) -> int:
    rates = {}
    for contender.threads in THREADS:
        rates[contender.threads] = _leg(contender, port, count, min(count, TRIED)).rate
    return max(rates, key=lambda threads: rates[threads])


def _leg(contender: Contender, port: int, count: int, most: int) -> Leg:
    """Measure from when it is warm to when all is settled, or `most` have come."""
    with Counter(port) as counter:
        before = counter()
        contender.begin()
        try:
            _wait(lambda: counter() - before >= min(WARM, count // 10), contender)
            warm, began, cpu = counter(), monotonic(), contender.cpu()
            _wait(lambda: counter() - before >= most < count, contender)
            came, took, cpu = counter(), monotonic() - began, contender.cpu() - cpu
        finally:
            contender.end()
    if not most <= came - before <= count:
        raise RuntimeError(f"{contender.name} made {came - before} deliveries of {count}")
    return Leg((came - warm) / took, cpu / (came - warm) * 1e6)


def _wait(until: Callable[[], bool], contender: Contender) -> None:
    """Wait for it, or until the contender has settled all."""
    patience = monotonic() + PATIENCE
    while not until() and not contender.settled():
        if monotonic() > patience:
            raise RuntimeError(f"{contender.name} came to a stop: {contender.worker.words()}")
        sleep(0.02)
