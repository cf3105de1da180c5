"""One demo at a time: each test's demo takes the first free ports, and opens on them again."""

import fcntl
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import pytest


@pytest.fixture(autouse=True)
def _only_demo() -> Iterator[None]:
    """Wait until no other worker has a demo: it could take the ports between two openings."""
    with Path(gettempdir(), "provider-demo-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
