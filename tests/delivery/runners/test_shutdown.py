"""Stopping with the process, when the main thread ends."""

import subprocess
import sys
import threading

import pytest

from provider.delivery.runners import shutdown

IMPORTS = """
from provider.delivery.runners import shutdown
shutdown.CHECK_INTERVAL_SECONDS = 0.01
"""
MAIN_ENDS = """
shutdown.stop_when_main_thread_ends(lambda: print("stopped"), lambda: False)
print("the main thread ends")
"""


def output_of(program: str, *args: str) -> str:
    """Run a program; return the output of all its processes once the last one has ended."""
    completed = subprocess.run(
        [sys.executable, "-c", IMPORTS + program, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    return completed.stdout


def test_stop_is_called_when_main_thread_ends() -> None:
    assert output_of(MAIN_ENDS).splitlines() == ["the main thread ends", "stopped"]


def test_watching_ends_when_already_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "CHECK_INTERVAL_SECONDS", 0.01)
    stopped, other_threads = threading.Event(), set(threading.enumerate())
    shutdown.stop_when_main_thread_ends(lambda: None, stopped.is_set)
    (watching,) = set(threading.enumerate()) - other_threads
    stopped.set()
    watching.join(10)
    assert not watching.is_alive()
