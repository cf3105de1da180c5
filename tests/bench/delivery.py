"""How quickly a backlog is delivered: beside task queues, and to a receiver that takes its time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic, sleep

from tests.bench.backlog import Backlog
from tests.bench.contenders import (
    CeleryContender,
    Contender,
    DramatiqContender,
    ProviderContender,
    start_receiver,
)
from tests.bench.receiver import RequestCounter
from tests.bench.table import Figure

THREAD_COUNTS = (8, 16, 32, 64)  # everybody goes with what suits them best
TRIAL_DELIVERIES = 2_000  # deliveries by which that is found
WARM_UP_DELIVERIES = 500  # deliveries after which measuring begins
ROUND_TIMEOUT_SECONDS = 300.0  # seconds in which a round must be over
MAX_MEMORY_RATIO = 1.3
SLOW_RESPONSE_SECONDS, CONCURRENT_SENDS = (
    0.1,
    64,
)  # a slow receiver's seconds, and how many it is sent at the same time


@dataclass(frozen=True)
class RoundResult:
    """What one round found: deliveries a second, and microseconds of processor for each."""

    rate: float
    cpu_microseconds: float


@dataclass(frozen=True)
class ContenderResult:
    """The rounds of one contender."""

    rounds: list[RoundResult]
    threads: int

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return median(leg.rate for leg in self.rounds)

    @property
    def summary(self) -> str:
        """The medians in words."""
        cost = median(leg.cpu_microseconds for leg in self.rounds)
        return f"{self.rate:,.0f}/s at {cost:,.0f} µs of CPU, {self.threads} threads"


def measure_delivery(
    folder: Path, count: int, rounds: int, queued_counts: tuple[int, int], *, with_rivals: bool
) -> Iterator[Figure]:
    """Return the rows; without `usual` those against the others are left out."""
    with start_receiver() as fast:
        yield from _race(folder, count, rounds, fast.port, with_rivals=with_rivals)
        yield measure_memory(folder, fast.port, *queued_counts)
    yield measure_slow_receiver(folder, count // 4)


def measure_memory(folder: Path, port: int, small_count: int, large_count: int) -> Figure:
    """Measure how much more memory a courier needs that has more queued, sending as many."""
    laid = [
        Backlog.create(folder / f"queued-{queued}", small_count, port)
        for queued in (small_count, large_count)
    ]
    peaks = [
        _peak_memory(backlog, n, port)
        for backlog, n in zip(laid, (small_count, large_count), strict=True)
    ]
    name = f"memory of a courier, {small_count:,} → {large_count:,} queued"
    beside = (
        f"{peaks[0]:.0f} MB and {peaks[1]:.0f} MB, each after {small_count * 4 // 5:,} deliveries"
    )
    return Figure(name, peaks[1] / peaks[0], MAX_MEMORY_RATIO, is_upper_limit=True, note=beside)


def _peak_memory(backlog: Backlog, queued: int, port: int) -> float:
    backlog.grow(queued)
    ours = ProviderContender(backlog)
    with RequestCounter(port) as count:
        enough = count() + backlog.count * 4 // 5
        ours.start_round()
        try:
            _wait_for(lambda: count() >= enough, ours)
            return ours.worker.peak_memory_mb()
        finally:
            ours.end_round()


def measure_slow_receiver(folder: Path, count: int) -> Figure:
    """Measure ours with a receiver that takes its time."""
    with start_receiver(SLOW_RESPONSE_SECONDS) as server:
        ours = ProviderContender(Backlog.create(folder / "slow", count, server.port))
        ours.threads = CONCURRENT_SENDS
        rate = _run_round(ours, server.port, count, count).rate
    most = CONCURRENT_SENDS / SLOW_RESPONSE_SECONDS
    name = f"deliveries to a receiver that takes {SLOW_RESPONSE_SECONDS * 1e3:.0f} ms, of what {CONCURRENT_SENDS} hands allow"
    return Figure(name, rate / most, 0.9, note=f"{rate:,.0f}/s of {most:,.0f}/s")


def _race(
    folder: Path, count: int, rounds: int, port: int, *, with_rivals: bool
) -> Iterator[Figure]:
    ready = ProviderContender(Backlog.create(folder / "ready", count, port))
    rivals = [
        kind(folder, count, port) for kind in (CeleryContender, DramatiqContender) if with_rivals
    ]
    try:
        raced = _run_rounds([ready, *rivals], port, count, rounds)
    finally:
        for rival in rivals:
            rival.close()
    ours = raced[ready.name]
    what = f"a backlog of {count:,}, each of about 1 kB and settled durably"
    for rival, goal in zip(rivals, (3.0, 1.2), strict=False):
        theirs = raced[rival.name]
        ratio = median(a.rate / b.rate for a, b in zip(ours.rounds, theirs.rounds, strict=True))
        beside = f"{ours.summary}; {rival.name} {theirs.summary}"
        yield Figure(f"{what} ÷ {rival.name} + Redis", ratio, goal, note=beside)
    yield _measure_rendering(folder, count // 4, port, ready.threads, f"{ours.rate:,.0f}/s without")


def _measure_rendering(
    folder: Path, count: int, port: int, threads: int, comparison: str
) -> Figure:
    """Measure ours where the bytes are not there yet, as they are not at a first try."""
    bare = ProviderContender(Backlog.create(folder / "bare", count, port, with_body=False))
    bare.threads = threads
    leg = _run_round(bare, port, count, count)
    name = f"a backlog of {count:,} that is rendered too"
    return Figure(
        name, leg.rate, None, "/s", note=f"at {leg.cpu_microseconds:,.0f} µs of CPU; {comparison}"
    )


def _run_rounds(
    contenders: list[Contender], port: int, count: int, rounds: int
) -> dict[str, ContenderResult]:
    """Race them in turns, each with the number of threads that suits it."""
    for contender in contenders:
        contender.threads = _best_thread_count(contender, port, count)
    legs: dict[str, list[RoundResult]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            legs[contender.name].append(_run_round(contender, port, count, count))
    return {one.name: ContenderResult(legs[one.name], one.threads) for one in contenders}


def _best_thread_count(contender: Contender, port: int, count: int) -> int:
    rates = {}
    for contender.threads in THREAD_COUNTS:
        rates[contender.threads] = _run_round(
            contender, port, count, min(count, TRIAL_DELIVERIES)
        ).rate
    return max(rates, key=lambda threads: rates[threads])


def _run_round(contender: Contender, port: int, count: int, max_deliveries: int) -> RoundResult:
    """Measure from when it is warm to when all is settled, or `most` have come."""
    with RequestCounter(port) as counter:
        before = counter()
        contender.start_round()
        try:
            _wait_for(lambda: counter() - before >= min(WARM_UP_DELIVERIES, count // 10), contender)
            warm, began, cpu = counter(), monotonic(), contender.cpu_seconds()
            _wait_for(lambda: counter() - before >= max_deliveries < count, contender)
            came, took, cpu = counter(), monotonic() - began, contender.cpu_seconds() - cpu
        finally:
            contender.end_round()
    if not max_deliveries <= came - before <= count:
        raise RuntimeError(f"{contender.name} made {came - before} deliveries of {count}")
    return RoundResult((came - warm) / took, cpu / (came - warm) * 1e6)


def _wait_for(condition: Callable[[], bool], contender: Contender) -> None:
    """Wait for it, or until the contender has settled all."""
    patience = monotonic() + ROUND_TIMEOUT_SECONDS
    while not condition() and not contender.is_settled():
        if monotonic() > patience:
            raise RuntimeError(f"{contender.name} came to a stop: {contender.worker.log_tail()}")
        sleep(0.02)
