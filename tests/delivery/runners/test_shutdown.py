"""Stopping with the process: when the main thread ends, or when the server was killed."""

import subprocess
import sys
import threading

import pytest

from provider.delivery.runners import shutdown

IMPORTS = """
import os, subprocess, sys, threading
from provider.delivery.runners import shutdown
shutdown.CHECK_INTERVAL_SECONDS = 0.01
"""
MAIN_ENDS = """
shutdown.stop_when_main_thread_ends(
    lambda: print("stopped"), lambda: False, exit_when_orphaned=True
)
print("the main thread ends")
"""
# The server kills itself once its worker watches. The worker shares its standard output, and reads
# from a pipe that ends with the server.
SERVER = """
ready, notify = os.pipe()
worker = subprocess.Popen(
    [sys.executable, "-c", *sys.argv[1:], str(notify)], stdin=subprocess.PIPE, pass_fds=[notify]
)
os.read(ready, 1)
os.kill(os.getpid(), 9)
"""
WORKER = """
exit_when_orphaned, timeout, notify = sys.argv[1] == "ends", float(sys.argv[2]), int(sys.argv[3])
shutdown.stop_when_main_thread_ends(
    lambda: print("stopped"), lambda: False, exit_when_orphaned=exit_when_orphaned
)
(watching,) = [thread for thread in threading.enumerate() if thread.name == "dispatcher-stop"]
os.write(notify, b"!")
sys.stdin.read()
watching.join(timeout)
print("goes on")
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
    shutdown.stop_when_main_thread_ends(lambda: None, stopped.is_set, exit_when_orphaned=False)
    (watching,) = set(threading.enumerate()) - other_threads
    stopped.set()
    watching.join(10)
    assert not watching.is_alive()


def test_orphaned_worker_exits_and_logs() -> None:
    output = output_of(SERVER, IMPORTS + WORKER, "ends", "20")
    assert "server_process_lost" in output
    assert "goes on" not in output


def test_process_without_exit_when_orphaned_goes_on() -> None:
    output = output_of(SERVER, IMPORTS + WORKER, "stays", "0.3")
    assert output.splitlines() == ["goes on", "stopped"]
