"""A thousand damaged recordings: each is refused or mended, and none is served broken."""

from tests.core.kinds.interview.test_recording_fuzz import (
    MAX_CPU_SECONDS,
    MAX_MEMORY_BYTES,
    damaged_recordings,
    find_broken,
    run_readers,
)
from tests.endurance.scenario import Run, ScenarioVerdict

LONG_COUNT, SHORT_COUNT = 334, 4  # of each format


def read_damaged_recordings(run: Run) -> ScenarioVerdict:
    """The programs that read a recording keep within their limits, and every copy plays."""
    folder = run.create_folder("damaged-recordings")
    inputs = damaged_recordings(folder, SHORT_COUNT if run.short else LONG_COUNT)
    results = run_readers(folder, inputs)
    served = sum(row["is_served"] for row in results.values())
    memory_bytes = max(row["memory_bytes"] for row in results.values())
    cpu_seconds = max(row["cpu_seconds"] for row in results.values())
    verdict = ScenarioVerdict(
        f"{len(results)} recordings, {served} served, {len(results) - served} refused; at most "
        f"{memory_bytes / 1e6:.0f} MB and {cpu_seconds:.1f} s of CPU"
    )
    verdict.require(len(results) == len(inputs), "the reader did not come to its end")
    verdict.require(memory_bytes <= MAX_MEMORY_BYTES, "a recording took too much memory")
    verdict.require(cpu_seconds <= MAX_CPU_SECONDS, "a recording took too much CPU time")
    for name in find_broken(results):
        verdict.problems.append(f"{name} is served and does not play")
    return verdict
