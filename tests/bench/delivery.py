"""How fast a backlog is delivered: compared with task queues, and to a slow receiver."""

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

THREAD_COUNTS = (8, 16, 32, 64)  # each contender uses the one that it is fastest with
TRIAL_DELIVERIES = 2_000  # to find that number
WARM_UP_DELIVERIES = 500  # not measured
ROUND_TIMEOUT_SECONDS = 300.0
MAX_MEMORY_RATIO = 1.3
SLOW_RESPONSE_SECONDS, CONCURRENT_SENDS = 0.1, 64  # of and to the slow receiver


@dataclass(frozen=True)
class RoundResult:
    """The result of one round: deliveries per second, and CPU microseconds for each."""

    rate: float
    cpu_microseconds: float


@dataclass(frozen=True)
class ContenderResult:
    """The rounds of one contender."""

    rounds: list[RoundResult]
    threads: int

    @property
    def rate(self) -> float:
        """Deliveries per second, the median of the rounds."""
        return median(result.rate for result in self.rounds)

    @property
    def summary(self) -> str:
        """The medians as text."""
        cpu_microseconds = median(result.cpu_microseconds for result in self.rounds)
        return f"{self.rate:,.0f}/s at {cpu_microseconds:,.0f} µs of CPU, {self.threads} threads"


def measure_delivery(
    folder: Path, count: int, rounds: int, queued_counts: tuple[int, int], *, with_rivals: bool
) -> Iterator[Figure]:
    """Measure all deliveries; without `with_rivals` only ours."""
    with start_receiver() as fast:
        yield from _race(folder, count, rounds, fast.port, with_rivals=with_rivals)
        yield measure_memory(folder, fast.port, *queued_counts)
    yield measure_slow_receiver(folder, count // 4)


def measure_memory(folder: Path, port: int, small_count: int, large_count: int) -> Figure:
    """Compare the memory of dispatchers with a small and a large queue, after equal deliveries."""
    backlogs = [
        Backlog.create(folder / f"queued-{queued}", small_count, port)
        for queued in (small_count, large_count)
    ]
    peaks = [
        _peak_memory(backlog, queued, port)
        for backlog, queued in zip(backlogs, (small_count, large_count), strict=True)
    ]
    name = f"memory of a dispatcher, {small_count:,} → {large_count:,} queued"
    note = (
        f"{peaks[0]:.0f} MB and {peaks[1]:.0f} MB, each after {small_count * 4 // 5:,} deliveries"
    )
    return Figure(name, peaks[1] / peaks[0], MAX_MEMORY_RATIO, is_upper_limit=True, note=note)


def _peak_memory(backlog: Backlog, queued: int, port: int) -> float:
    backlog.grow(queued)
    contender = ProviderContender(backlog)
    with RequestCounter(port) as count:
        target = count() + backlog.count * 4 // 5
        contender.start_round()
        try:
            _wait_for(lambda: count() >= target, contender)
            return contender.worker.peak_memory_mb()
        finally:
            contender.end_round()


def measure_slow_receiver(folder: Path, count: int) -> Figure:
    """Measure our deliveries to a slow receiver, against the limit of concurrent sends."""
    with start_receiver(SLOW_RESPONSE_SECONDS) as server:
        contender = ProviderContender(Backlog.create(folder / "slow", count, server.port))
        contender.threads = CONCURRENT_SENDS
        rate = _run_round(contender, server.port, count, count).rate
    max_rate = CONCURRENT_SENDS / SLOW_RESPONSE_SECONDS
    name = (
        f"deliveries to a receiver that takes {SLOW_RESPONSE_SECONDS * 1e3:.0f} ms, "
        f"of what {CONCURRENT_SENDS} concurrent sends allow"
    )
    return Figure(name, rate / max_rate, 0.9, note=f"{rate:,.0f}/s of {max_rate:,.0f}/s")


def _race(
    folder: Path, count: int, rounds: int, port: int, *, with_rivals: bool
) -> Iterator[Figure]:
    contender = ProviderContender(Backlog.create(folder / "ready", count, port))
    rivals = [
        kind(folder, count, port) for kind in (CeleryContender, DramatiqContender) if with_rivals
    ]
    try:
        results = _run_rounds([contender, *rivals], port, count, rounds)
    finally:
        for rival in rivals:
            rival.close()
    ours = results[contender.name]
    workload = f"a backlog of {count:,}, each of about 1 kB and settled durably"
    for rival, goal in zip(rivals, (3.0, 1.5), strict=False):
        theirs = results[rival.name]
        ratio = median(a.rate / b.rate for a, b in zip(ours.rounds, theirs.rounds, strict=True))
        note = f"{ours.summary}; {rival.name} {theirs.summary}"
        yield Figure(f"{workload} ÷ {rival.name} + Redis", ratio, goal, note=note)
    yield _measure_rendering(
        folder, count // 4, port, contender.threads, f"{ours.rate:,.0f}/s without"
    )


def _measure_rendering(
    folder: Path, count: int, port: int, threads: int, comparison: str
) -> Figure:
    """Measure our deliveries with rendering, as at every first attempt."""
    contender = ProviderContender(Backlog.create(folder / "bare", count, port, with_body=False))
    contender.threads = threads
    result = _run_round(contender, port, count, count)
    name = f"a backlog of {count:,} with rendering"
    return Figure(
        name,
        result.rate,
        None,
        "/s",
        note=f"at {result.cpu_microseconds:,.0f} µs of CPU; {comparison}",
    )


def _run_rounds(
    contenders: list[Contender], port: int, count: int, rounds: int
) -> dict[str, ContenderResult]:
    """Run the contenders alternately, each with the number of threads it is fastest with."""
    for contender in contenders:
        contender.threads = _best_thread_count(contender, port, count)
    results: dict[str, list[RoundResult]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            results[contender.name].append(_run_round(contender, port, count, count))
    return {
        contender.name: ContenderResult(results[contender.name], contender.threads)
        for contender in contenders
    }


def _best_thread_count(contender: Contender, port: int, count: int) -> int:
    rates = {}
    for contender.threads in THREAD_COUNTS:
        rates[contender.threads] = _run_round(
            contender, port, count, min(count, TRIAL_DELIVERIES)
        ).rate
    return max(rates, key=lambda threads: rates[threads])


def _run_round(contender: Contender, port: int, count: int, max_deliveries: int) -> RoundResult:
    """Measure from the warm-up until everything is settled, or `max_deliveries` have arrived."""
    with RequestCounter(port) as counter:
        start_count = counter()
        contender.start_round()
        try:
            _wait_for(
                lambda: counter() - start_count >= min(WARM_UP_DELIVERIES, count // 10), contender
            )
            warm_up_count, started_at, cpu_seconds = counter(), monotonic(), contender.cpu_seconds()
            _wait_for(lambda: counter() - start_count >= max_deliveries < count, contender)
            end_count, seconds, cpu_seconds = (
                counter(),
                monotonic() - started_at,
                contender.cpu_seconds() - cpu_seconds,
            )
        finally:
            contender.end_round()
    if not max_deliveries <= end_count - start_count <= count:
        raise RuntimeError(f"{contender.name} made {end_count - start_count} deliveries of {count}")
    return RoundResult(
        (end_count - warm_up_count) / seconds, cpu_seconds / (end_count - warm_up_count) * 1e6
    )


def _wait_for(condition: Callable[[], bool], contender: Contender) -> None:
    """Wait until the condition is true, or the contender has settled everything."""
    deadline = monotonic() + ROUND_TIMEOUT_SECONDS
    while not condition() and not contender.is_settled():
        if monotonic() > deadline:
            raise RuntimeError(f"{contender.name} timed out: {contender.worker.log_tail()}")
        sleep(0.02)
