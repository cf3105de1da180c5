"""The servers that are measured, each a process of its own, and the processor time they take."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep

ROOT = Path(__file__).parents[2]
USUAL = ROOT / ".venv-bench" / "bin" / "python"
TICKS = os.sysconf("SC_CLK_TCK")  # per second, in which the kernel counts


class Server:
    """A running server; `cores` pins all of it."""

    def __init__(
        self, command: list[str], port: int, env: dict[str, str], cores: set[int] | None = None
    ) -> None:
        self.port = port
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the server)
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | env, stdout=self._said, stderr=self._said
        )
        if cores:
            os.sched_setaffinity(self._process.pid, cores)
        self._wait()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._said.close()

    def cpu(self) -> float:
        """Return the seconds of processor time that its processes have taken, user and system."""
        return sum(map(_cpu, _family(self._process.pid)))

    def _wait(self) -> None:
        until = monotonic() + 30
        while self._process.poll() is None and monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                sleep(0.02)
            else:
                return
        self._said.seek(0)
        raise RuntimeError(f"{self._process.args!r} does not answer: {self._said.read()!r}")


def bare() -> Server:
    """Return Flask and nothing else, on our server with our settings."""
    port = _free_port()
    return Server([sys.executable, "-m", "tests.bench.serve", "bare", str(port)], port, {})


def ours(env: dict[str, str], *, courier: bool = False, cores: set[int] | None = None) -> Server:
    """Return our server with these settings, with the courier as `provider serve` has it."""
    port = _free_port()
    program = ["provider.cli", "serve", "--port"] if courier else ["tests.bench.serve", "ours"]
    return Server([sys.executable, "-m", *program, str(port)], port, env, cores)


def usual(folder: Path) -> Server:
    """Return the same endpoints the usual way."""
    port = _free_port()
    # `uvicorn` alone would put neither uvloop nor httptools aside: both are installed.
    command = [str(USUAL), "-m", "uvicorn", "tests.bench.usual_way:app", "--port", str(port)]
    quiet = ["--log-level", "error", "--no-access-log"]
    return Server([*command, *quiet], port, {"USUAL_DATABASE": str(folder / "usual.db")})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _cpu(pid: int) -> float:
    # After the name, which may hold anything: user and system time are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
