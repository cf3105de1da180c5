"""Who delivers a backlog: ours, Celery and Dramatiq, each one process with as many threads."""

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
    _free_port,
    _process_cpu_seconds,
    _process_tree,
)

REDIS_PROGRAM = "redis-server"
SAVED_DATABASE_NUMBER = 1  # the logical database that keeps the backlog from which rounds begin


class WorkerProcess:
    """A process that listens nowhere; what it says is kept for when it fails."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._log_file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the worker)
        # A group of its own, for a worker of Dramatiq's outlives its parent and goes on delivering.
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
        """Its process id, while it runs; RuntimeError with its last words afterwards."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended: {self.log_tail()}")
        return self._process.pid

    def log_tail(self) -> str:
        """Return the end of what it said."""
        self._log_file.seek(0)
        return self._log_file.read().decode("utf-8", "replace")[-3000:]

    def cpu_seconds(self) -> float:
        """Return the seconds of processor time that it has taken, user and system."""
        return sum(map(_process_cpu_seconds, _process_tree(self.pid)))

    def peak_memory_mb(self) -> float:
        """Return the most memory that it ever held, in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def kill(self) -> None:
        """Kill it with its children: what it leaves behind is for nobody."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log_file.close()


class Contender(ABC):
    """Somebody who delivers a backlog; `begin` and `end` make a round."""

    name: str
    threads = 8
    worker: WorkerProcess

    @abstractmethod
    def start_round(self) -> None:
        """Put a fresh backlog there, and set a process to work."""

    @abstractmethod
    def is_settled(self) -> bool:
        """Say whether nothing is left, sent or not; RuntimeError when something went wrong."""

    def cpu_seconds(self) -> float:
        """Return the seconds of processor time of all that takes part."""
        return self.worker.cpu_seconds()

    def end_round(self) -> None:
        """Stop."""
        self.worker.kill()


class ProviderContender(Contender):
    """The courier on SQLite with synchronous=FULL."""

    name = "ours"

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._folder = backlog.folder.with_name(f"{backlog.folder.name}-round")

    def start_round(self) -> None:
        """Copy the backlog, and start a courier on it."""
        self._backlog.copy(self._folder)
        self._db = Database(f"sqlite:///{self._folder / 'provider.db'}")
        env = self._backlog.instance.env | {"PROVIDER_INSTANCE": str(self._folder)}
        self.worker = WorkerProcess(
            [sys.executable, "-m", "tests.bench.drain", str(self.threads)], env
        )

    def is_settled(self) -> bool:
        """Ask for one that waits, which costs the database nothing."""
        waiting = "SELECT 1 FROM messages WHERE state = 'waiting' LIMIT 1"
        parked = f"SELECT 1 FROM messages WHERE state = '{PARKED}' LIMIT 1"
        with self._db.reading() as session:
            connection = session.connection()
            if connection.exec_driver_sql(parked).first():
                raise RuntimeError(f"messages were parked: {self.worker.log_tail()}")
            return connection.exec_driver_sql(waiting).first() is None

    def end_round(self) -> None:
        """Stop, and throw the copy away."""
        super().end_round()
        self._db.close()
        shutil.rmtree(self._folder)


class RedisServer:
    """A Redis of our own with its own defaults: snapshots, and no append-only file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        port = _free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        command = [REDIS_PROGRAM, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.server = ServerProcess(command, port, {})
        self._connection = socket.create_connection(("127.0.0.1", port))
        self._responses = self._connection.makefile("rb")

    def execute(self, *arguments: str | int) -> int:
        """Run a command that answers with a number, or with OK, which is none."""
        self._connection.sendall((" ".join(map(str, arguments)) + "\r\n").encode())
        answer = self._responses.readline()
        if answer[:1] not in b":+":
            raise RuntimeError(f"Redis answered {answer!r} to {arguments}")
        return int(answer[1:]) if answer[:1] == b":" else 0

    def close(self) -> None:
        """Stop it."""
        self._responses.close()
        self._connection.close()
        self.server.__exit__()


class TaskQueueContender(Contender):
    """A task queue on Redis, with its backlog queued once and copied for every round."""

    module: str
    backlog_keys: tuple[str, ...]  # the keys in which it stands
    pending_count_commands: tuple[
        tuple[str, str], ...
    ]  # the commands that count what is not settled

    def __init__(self, folder: Path, count: int, port: int) -> None:
        self.redis = RedisServer(folder / self.name)
        self._env = {"USUAL_REDIS": self.redis.url, "USUAL_BODY": CALLBACK_BODY}
        fill = [str(BENCH_PYTHON), "-m", self.module, str(count), f"http://127.0.0.1:{port}"]
        subprocess.run(fill, cwd=ROOT, env=os.environ | self._env, check=True)
        for key in self.backlog_keys:
            self.redis.execute("COPY", key, key, "DB", SAVED_DATABASE_NUMBER)

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line of its worker, our Python left out."""

    def start_round(self) -> None:
        """Copy the backlog, and start a worker on it."""
        self.redis.execute("SELECT", 0)
        self.redis.execute("FLUSHDB")
        self.redis.execute("SELECT", SAVED_DATABASE_NUMBER)
        for key in self.backlog_keys:
            self.redis.execute("COPY", key, key, "DB", 0)
        self.redis.execute("SELECT", 0)
        self.worker = WorkerProcess([str(BENCH_PYTHON), "-m", *self.command()], self._env)

    def is_settled(self) -> bool:
        """Count what is queued and what is not acknowledged."""
        return self.worker.pid > 0 and not any(
            self.redis.execute(*asked) for asked in self.pending_count_commands
        )

    def cpu_seconds(self) -> float:
        """Count Redis too: it is where a delivery is settled."""
        return super().cpu_seconds() + self.redis.server.cpu_seconds()

    def close(self) -> None:
        """Stop Redis."""
        self.redis.close()


class CeleryContender(TaskQueueContender):
    """Celery with its thread pool, and without what talks to other workers."""

    name = "Celery"
    module = "tests.bench.celery_way"
    backlog_keys = ("celery",)
    pending_count_commands = (("LLEN", "celery"), ("HLEN", "unacked"))

    def command(self) -> list[str]:
        """Return its own command line."""
        alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        pool = ["--pool", "threads", "--concurrency", str(self.threads)]
        return ["celery", "-A", self.module, "worker", *pool, *alone, "--loglevel", "WARNING"]


class DramatiqContender(TaskQueueContender):
    """Dramatiq with one process, as ours is one."""

    name = "Dramatiq"
    module = "tests.bench.dramatiq_way"
    backlog_keys = ("dramatiq:default", "dramatiq:default.msgs")
    pending_count_commands = (
        ("HLEN", "dramatiq:default.msgs"),
    )  # what is queued or not acknowledged

    def command(self) -> list[str]:
        """Return its own command line."""
        return ["dramatiq", self.module, "--processes", "1", "--threads", str(self.threads)]


def start_receiver(delay_seconds: float = 0.0) -> ServerProcess:
    """Return the receiver, the same for all who deliver, that answers after `delay` seconds."""
    port = _free_port()
    return ServerProcess(
        [sys.executable, "-m", "tests.bench.receiver", str(port), str(delay_seconds)], port, {}
    )


def missing_requirement() -> str | None:
    """Say what has to be installed before anybody can be raced, if anything."""
    return (
        None
        if shutil.which(REDIS_PROGRAM)
        else f"{REDIS_PROGRAM} is missing: apt-get install {REDIS_PROGRAM}"
    )
