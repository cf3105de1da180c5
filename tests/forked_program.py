"""The `provider` program in a process that is forked from one with the imports done.

A new interpreter needs more than a second of CPU time for the imports. The tests' own process is
not forked, because it has threads. Tests of the start itself use a new interpreter.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

PROCESS_CONTEXT = get_context("forkserver")
PROCESS_CONTEXT.set_forkserver_preload(
    [
        "tests.endurance.crash_points",
        "provider.app",
        "provider.cli.server",
        "provider.cli.workers",
        "provider.delivery.runners.worker",
        "provider.web.http_server",
    ]
)
ROOT = Path(__file__).parents[1]


class ForkedProgram:
    """A running `provider` command in a process group of its own; its output goes to a file."""

    def __init__(
        self, arguments: tuple[str, ...], environment: Mapping[str, str], log_file: Path
    ) -> None:
        self._arguments = arguments
        self._lock = threading.Lock()  # only one thread may read the exit code from its pipe
        ready, child_ready = PROCESS_CONTEXT.Pipe(duplex=False)
        self._process = PROCESS_CONTEXT.Process(
            target=_run, args=(child_ready, arguments, dict(environment), log_file), daemon=True
        )
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid
        child_ready.close()
        with ready, suppress(EOFError):
            ready.recv()  # the process group exists

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        with self._lock:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code. TimeoutExpired: the process still runs."""
        wait([self._process.sentinel], timeout)
        exit_code = self.poll()
        if exit_code is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
        return exit_code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(
    ready: Connection, arguments: tuple[str, ...], environment: dict[str, str], log_file: Path
) -> None:
    os.setpgid(0, 0)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for output in (1, 2):
        os.dup2(log, output)
    ready.send(None)
    ready.close()
    from provider.cli import main  # late: the tests' processes do not need it

    main(arguments, prog_name="provider")
