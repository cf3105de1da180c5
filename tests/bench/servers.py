"""The measured servers, each a process of its own, and their CPU time."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

ROOT = Path(__file__).parents[2]
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerProcess:
    """A running server; `cores` pins all its threads."""

    def __init__(
        self, command: list[str], port: int, env: dict[str, str], cores: set[int] | None = None
    ) -> None:
        self.port = port
        self._log_file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the server)
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | env, stdout=self._log_file, stderr=self._log_file
        )
        if cores:
            os.sched_setaffinity(self._process.pid, cores)
        self._wait_until_ready()

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log_file.close()

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of its processes, user and system."""
        return sum(map(_process_cpu_seconds, _process_tree(self._process.pid)))

    def memory_bytes(self) -> list[int]:
        """Return the resident memory of each of its processes."""
        return [_process_memory_bytes(pid) for pid in _process_tree(self._process.pid)]

    def _wait_until_ready(self) -> None:
        if wait_for_port(self.port, lambda: self._process.poll() is None):
            return
        self._log_file.seek(0)
        raise RuntimeError(f"{self._process.args!r} does not answer: {self._log_file.read()!r}")


def wait_for_port(port: int, is_running: Callable[[], bool]) -> bool:
    """Wait until a process listens on a port; return False when it ends, or after 30 s."""
    deadline = monotonic() + 30
    while is_running() and monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            sleep(0.02)
        else:
            return True
    return False


def start_flask() -> ServerProcess:
    """Start a bare Flask app on our server with our settings."""
    port = free_port()
    return ServerProcess([sys.executable, "-m", "tests.bench.serve", "bare", str(port)], port, {})


def start_provider(
    env: dict[str, str], *, with_dispatcher: bool = False, cores: set[int] | None = None
) -> ServerProcess:
    """Start our server with these settings, with the dispatcher as in `provider serve`."""
    port = free_port()
    program = (
        ["provider.cli", "serve", "--port"] if with_dispatcher else ["tests.bench.serve", "ours"]
    )
    return ServerProcess([sys.executable, "-m", *program, str(port)], port, env, cores)


def start_fastapi(folder: Path) -> ServerProcess:
    """Start the same endpoints written the usual way."""
    port = free_port()
    # uvloop and httptools are installed, so uvicorn uses them.
    command = [str(BENCH_PYTHON), "-m", "uvicorn", "tests.bench.usual_way:app", "--port", str(port)]
    log_options = ["--log-level", "error", "--no-access-log"]
    return ServerProcess(
        [*command, *log_options], port, {"USUAL_DATABASE": str(folder / "usual.db")}
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _process_tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [pid, *(member for child in children for member in _process_tree(int(child)))]


def _process_memory_bytes(pid: int) -> int:
    # The second field of statm: resident pages.
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _process_cpu_seconds(pid: int) -> float:
    # The process name may contain anything. User and system time are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_PER_SECOND
