"""A thread that ends with its process: with the main thread, or with the server that is gone."""

import subprocess
import sys
import threading

import pytest

from provider.delivery.runners import shutdown

BEGIN = """
import os, subprocess, sys, threading
from provider.delivery import watch
watch.CHECK_INTERVAL_SECONDS = 0.01
"""
MAIN_ENDS = """
watch.stop_when_main_thread_ends(lambda: print("stopped"), lambda: False, exit_when_orphaned=True)
print("the main thread ends")
"""
# It is killed as soon as its worker watches; that has its output, and reads from it until then.
SERVER = """
ready, tell = os.pipe()
worker = subprocess.Popen(
    [sys.executable, "-c", *sys.argv[1:], str(tell)], stdin=subprocess.PIPE, pass_fds=[tell]
)
os.read(ready, 1)
os.kill(os.getpid(), 9)
"""
WORKER = """
orphan_ends, patience, tell = sys.argv[1] == "ends", float(sys.argv[2]), int(sys.argv[3])
watch.stop_when_main_thread_ends(lambda: print("stopped"), lambda: False, exit_when_orphaned=orphan_ends)
(watching,) = [each for each in threading.enumerate() if each.name == "courier-stop"]
os.write(tell, b"!")
sys.stdin.read()
watching.join(patience)
print("goes on")
"""


def said(program: str, *told: str) -> str:
    """Run a program, and return what it and its children said until the last of them ended."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program, *told],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout


def test_what_runs_beside_the_main_thread_is_stopped_when_that_ends() -> None:
    assert said(MAIN_ENDS).splitlines() == ["the main thread ends", "stopped"]


def test_who_was_stopped_is_watched_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "CHECK_INTERVAL_SECONDS", 0.01)
    stopped, known = threading.Event(), set(threading.enumerate())
    shutdown.stop_when_main_thread_ends(lambda: None, stopped.is_set, exit_when_orphaned=False)
    (watching,) = set(threading.enumerate()) - known
    stopped.set()
    watching.join(10)
    assert not watching.is_alive()


def test_a_worker_ends_with_a_server_that_was_killed_and_says_so() -> None:
    told = said(SERVER, BEGIN + WORKER, "ends", "20")
    assert "the server process is gone; its worker ends" in told
    assert "goes on" not in told


def test_who_is_no_servers_worker_goes_on_without_its_parent() -> None:
    told = said(SERVER, BEGIN + WORKER, "stays", "0.3")
    assert told.splitlines() == ["goes on", "stopped"]
