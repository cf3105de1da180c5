"""The programs that deliver a backlog: ours, Celery and Dramatiq, each one process with threads."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from provider.outbox import PARKED
from provider.storage.database import Database
from tests.bench.backlog import CALLBACK_BODY, Backlog
from tests.bench.servers import (
    BENCH_PYTHON,
    ROOT,
    ServerProcess,
    _process_cpu_seconds,
    _process_tree,
    free_port,
)

REDIS_PROGRAM = "redis-server"
SAVED_DATABASE_NUMBER = 1  # the Redis database that keeps the backlog; rounds copy it


class WorkerProcess:
    """A process without a port; its output is kept for error messages."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._log_file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the worker)
        # Dramatiq's worker survives its parent, so the process group is killed as a whole.
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | env,
            stdout=self._log_file,
            stderr=self._log_file,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process id. RuntimeError: the process has ended; the error ends with its output."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended: {self.log_tail()}")
        return self._process.pid

    def log_tail(self) -> str:
        """Return the end of the output."""
        self._log_file.seek(0)
        return self._log_file.read().decode("utf-8", "replace")[-3000:]

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of the process and its children, user and system."""
        return sum(map(_process_cpu_seconds, _process_tree(self.pid)))

    def peak_memory_mb(self) -> float:
        """Return the peak resident memory in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def kill(self) -> None:
        """Kill the process and its children."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log_file.close()


class Contender(ABC):
    """A program that delivers a backlog; `start_round` and `end_round` enclose a round."""

    name: str
    threads = 8
    worker: WorkerProcess

    @abstractmethod
    def start_round(self) -> None:
        """Restore the backlog, and start a process that delivers it."""

    @abstractmethod
    def is_settled(self) -> bool:
        """Return True when no delivery is left; RuntimeError when the process has failed."""

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all processes of the contender."""
        return self.worker.cpu_seconds()

    def end_round(self) -> None:
        self.worker.kill()


class ProviderContender(Contender):
    """Our dispatcher on SQLite with synchronous=FULL."""

    name = "ours"

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._folder = backlog.folder.with_name(f"{backlog.folder.name}-round")

    def start_round(self) -> None:
        self._backlog.copy(self._folder)
        self._db = Database(f"sqlite:///{self._folder / 'provider.db'}")
        env = self._backlog.instance.env | {"PROVIDER_INSTANCE": str(self._folder)}
        self.worker = WorkerProcess(
            [sys.executable, "-m", "tests.bench.drain", str(self.threads)], env
        )

    def is_settled(self) -> bool:
        """Query one waiting message, which costs the database almost nothing."""
        waiting_query = "SELECT 1 FROM messages WHERE state = 'waiting' LIMIT 1"
        parked_query = f"SELECT 1 FROM messages WHERE state = '{PARKED}' LIMIT 1"
        with self._db.reading() as session:
            connection = session.connection()
            if connection.exec_driver_sql(parked_query).first():
                raise RuntimeError(f"messages were parked: {self.worker.log_tail()}")
            return connection.exec_driver_sql(waiting_query).first() is None

    def end_round(self) -> None:
        super().end_round()
        self._db.close()
        shutil.rmtree(self._folder)


class RedisServer:
    """A Redis server with the default settings: snapshots, and no append-only file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        command = [REDIS_PROGRAM, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.server = ServerProcess(command, port, {})
        self._connection = socket.create_connection(("127.0.0.1", port))
        self._responses = self._connection.makefile("rb")

    def execute(self, *arguments: str | int) -> int:
        """Run a command whose reply is an integer, or OK, which becomes 0."""
        self._connection.sendall((" ".join(map(str, arguments)) + "\r\n").encode())
        reply = self._responses.readline()
        if reply[:1] not in b":+":
            raise RuntimeError(f"Redis answered {reply!r} to {arguments}")
        return int(reply[1:]) if reply[:1] == b":" else 0

    def close(self) -> None:
        self._responses.close()
        self._connection.close()
        self.server.__exit__()


class TaskQueueContender(Contender):
    """A task queue on Redis; its backlog is queued once and copied for every round."""

    module: str
    backlog_keys: tuple[str, ...]  # the Redis keys that hold the backlog
    pending_count_commands: tuple[tuple[str, str], ...]  # they count what is not settled

    def __init__(self, folder: Path, count: int, port: int) -> None:
        self.redis = RedisServer(folder / self.name)
        self._env = {"USUAL_REDIS": self.redis.url, "USUAL_BODY": CALLBACK_BODY}
        fill_command = [
            str(BENCH_PYTHON),
            "-m",
            self.module,
            str(count),
            f"http://127.0.0.1:{port}",
        ]
        subprocess.run(fill_command, cwd=ROOT, env=os.environ | self._env, check=True)
        for key in self.backlog_keys:
            self.redis.execute("COPY", key, key, "DB", SAVED_DATABASE_NUMBER)

    @abstractmethod
    def command(self) -> list[str]:
        """Return the worker's command line, without the interpreter."""

    def start_round(self) -> None:
        self.redis.execute("SELECT", 0)
        self.redis.execute("FLUSHDB")
        self.redis.execute("SELECT", SAVED_DATABASE_NUMBER)
        for key in self.backlog_keys:
            self.redis.execute("COPY", key, key, "DB", 0)
        self.redis.execute("SELECT", 0)
        self.worker = WorkerProcess([str(BENCH_PYTHON), "-m", *self.command()], self._env)

    def is_settled(self) -> bool:
        """Count the queued and the unacknowledged deliveries."""
        return self.worker.pid > 0 and not any(
            self.redis.execute(*command) for command in self.pending_count_commands
        )

    def cpu_seconds(self) -> float:
        """Add the CPU seconds of Redis, which stores the state of each delivery."""
        return super().cpu_seconds() + self.redis.server.cpu_seconds()

    def close(self) -> None:
        self.redis.close()


class CeleryContender(TaskQueueContender):
    """Celery with its thread pool, without the communication between workers."""

    name = "Celery"
    module = "tests.bench.celery_way"
    backlog_keys = ("celery",)
    pending_count_commands = (("LLEN", "celery"), ("HLEN", "unacked"))

    def command(self) -> list[str]:
        options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        pool = ["--pool", "threads", "--concurrency", str(self.threads)]
        return ["celery", "-A", self.module, "worker", *pool, *options, "--loglevel", "WARNING"]


class DramatiqContender(TaskQueueContender):
    """Dramatiq with one process, as ours."""

    name = "Dramatiq"
    module = "tests.bench.dramatiq_way"
    backlog_keys = ("dramatiq:default", "dramatiq:default.msgs")
    pending_count_commands = (("HLEN", "dramatiq:default.msgs"),)

    def command(self) -> list[str]:
        return ["dramatiq", self.module, "--processes", "1", "--threads", str(self.threads)]


def start_receiver(delay_seconds: float = 0.0) -> ServerProcess:
    """Start the receiver that all contenders share; it answers after `delay_seconds`."""
    port = free_port()
    return ServerProcess(
        [sys.executable, "-m", "tests.bench.receiver", str(port), str(delay_seconds)], port, {}
    )


def missing_requirement() -> str | None:
    """Return what must be installed before the comparison, or None."""
    return (
        None
        if shutil.which(REDIS_PROGRAM)
        else f"{REDIS_PROGRAM} is missing: apt-get install {REDIS_PROGRAM}"
    )
