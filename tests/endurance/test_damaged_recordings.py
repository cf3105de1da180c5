"""A thousand damaged recordings: each is refused or mended, and none is served broken."""

import os
from pathlib import Path

import pytest

from tests.core.kinds.interview.test_recording_fuzz import (
    MAX_CPU_SECONDS,
    MAX_MEMORY_BYTES,
    damaged_recordings,
    find_broken,
    run_readers,
)

COUNT_PER_FORMAT = 334


@pytest.mark.skipif("DAMAGED_RECORDINGS" not in os.environ, reason="takes minutes: make soak")
def test_a_thousand_damaged_recordings_are_refused_or_mended(tmp_path: Path) -> None:
    results = run_readers(tmp_path, damaged_recordings(tmp_path, COUNT_PER_FORMAT))
    assert len(results) > 1000
    assert find_broken(results) == []
    assert max(row["memory_bytes"] for row in results.values()) <= MAX_MEMORY_BYTES
    assert max(row["cpu_seconds"] for row in results.values()) <= MAX_CPU_SECONDS
