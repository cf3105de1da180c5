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

from provider.db import Database
from provider.outbox import PARKED
from tests.bench.backlog import BODY, Backlog
from tests.bench.servers import ROOT, USUAL, Server, _cpu, _family, _free_port

REDIS = "redis-server"
SAVED = 1  # the logical database that keeps the backlog from which rounds begin


class Worker:
    """A process that listens nowhere; what it says is kept for when it fails."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the worker)
        # A group of its own, for a worker of Dramatiq's outlives its parent and goes on delivering.
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | env, stdout=self._said, stderr=self._said,
            start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id, while it runs; RuntimeError with its last words afterwards."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended: {self.words()}")
        return self._process.pid

    def words(self) -> str:
        """Return the end of what it said."""
        self._said.seek(0)
        return self._said.read().decode("utf-8", "replace")[-3000:]

    def cpu(self) -> float:
        """Return the seconds of processor time that it has taken, user and system."""
        return sum(map(_cpu, _family(self.pid)))

    def memory(self) -> float:
        """Return the most memory that it ever held, in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def end(self) -> None:
        """Kill it with its children: what it leaves behind is for nobody."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._said.close()


class Contender(ABC):
    """Somebody who delivers a backlog; `begin` and `end` make a round."""

    name: str
    threads = 8
    worker: Worker

    @abstractmethod
    def begin(self) -> None:
        """Put a fresh backlog there, and set a process to work."""

    @abstractmethod
    def settled(self) -> bool:
        """Say whether nothing is left, sent or not; RuntimeError when something went wrong."""

    def cpu(self) -> float:
        """Return the seconds of processor time of all that takes part."""
        return self.worker.cpu()

    def end(self) -> None:
        """Stop."""
        self.worker.end()


class Ours(Contender):
    """The courier on SQLite with synchronous=FULL."""

    name = "ours"

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._folder = backlog.folder.with_name(f"{backlog.folder.name}-round")

    def begin(self) -> None:
        """Copy the backlog, and start a courier on it."""
        self._backlog.copy(self._folder)
        self._db = Database(f"sqlite:///{self._folder / 'provider.db'}")
        env = self._backlog.ground.env | {"PROVIDER_INSTANCE": str(self._folder)}
        self.worker = Worker([sys.executable, "-m", "tests.bench.drain", str(self.threads)], env)

    def settled(self) -> bool:
        """Ask for one that waits, which costs the database nothing."""
        waiting = "SELECT 1 FROM messages WHERE state = 'waiting' LIMIT 1"
        parked = f"SELECT 1 FROM messages WHERE state = '{PARKED}' LIMIT 1"
        with self._db.reading() as session:
            connection = session.connection()
            if connection.exec_driver_sql(parked).first():
                raise RuntimeError(f"messages were parked: {self.worker.words()}")
            return connection.exec_driver_sql(waiting).first() is None

    def end(self) -> None:
        """Stop, and throw the copy away."""
        super().end()
        self._db.close()
        shutil.rmtree(self._folder)


class Redis:
    """A Redis of our own with its own defaults: snapshots, and no append-only file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        port = _free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        command = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.server = Server(command, port, {})
        self._line = socket.create_connection(("127.0.0.1", port))
        self._answers = self._line.makefile("rb")

    def ask(self, *words: str | int) -> int:
        """Run a command that answers with a number, or with OK, which is none."""
        self._line.sendall((" ".join(map(str, words)) + "\r\n").encode())
        answer = self._answers.readline()
        if answer[:1] not in b":+":
            raise RuntimeError(f"Redis answered {answer!r} to {words}")
        return int(answer[1:]) if answer[:1] == b":" else 0

    def close(self) -> None:
        """Stop it."""
        self._answers.close()
        self._line.close()
        self.server.__exit__()


class Rival(Contender):
    """A task queue on Redis, with its backlog queued once and copied for every round."""

    module: str
    backlog: tuple[str, ...]  # the keys in which it stands
    left: tuple[tuple[str, str], ...]  # the commands that count what is not settled

    def __init__(self, folder: Path, count: int, port: int) -> None:
        self.redis = Redis(folder / self.name)
        self._env = {"USUAL_REDIS": self.redis.url, "USUAL_BODY": BODY}
        fill = [str(USUAL), "-m", self.module, str(count), f"http://127.0.0.1:{port}"]
        subprocess.run(fill, cwd=ROOT, env=os.environ | self._env, check=True)
        for key in self.backlog:
            self.redis.ask("COPY", key, key, "DB", SAVED)

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line of its worker, our Python left out."""

    def begin(self) -> None:
        """Copy the backlog, and start a worker on it."""
        self.redis.ask("SELECT", 0)
        self.redis.ask("FLUSHDB")
        self.redis.ask("SELECT", SAVED)
        for key in self.backlog:
            self.redis.ask("COPY", key, key, "DB", 0)
        self.redis.ask("SELECT", 0)
        self.worker = Worker([str(USUAL), "-m", *self.command()], self._env)

    def settled(self) -> bool:
        """Count what is queued and what is not acknowledged."""
        return self.worker.pid > 0 and not any(self.redis.ask(*asked) for asked in self.left)

    def cpu(self) -> float:
        """Count Redis too: it is where a delivery is settled."""
        return super().cpu() + self.redis.server.cpu()

    def close(self) -> None:
        """Stop Redis."""
        self.redis.close()


class Celery(Rival):
    """Celery with its thread pool, and without what talks to other workers."""

    name = "Celery"
    module = "tests.bench.celery_way"
    backlog = ("celery",)
    left = (("LLEN", "celery"), ("HLEN", "unacked"))

    def command(self) -> list[str]:
        """Return its own command line."""
        alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        pool = ["--pool", "threads", "--concurrency", str(self.threads)]
        return ["celery", "-A", self.module, "worker", *pool, *alone, "--loglevel", "WARNING"]


class Dramatiq(Rival):
    """Dramatiq with one process, as ours is one."""

    name = "Dramatiq"
    module = "tests.bench.dramatiq_way"
    backlog = ("dramatiq:default", "dramatiq:default.msgs")
    left = (("HLEN", "dramatiq:default.msgs"),)  # what is queued or not acknowledged

    def command(self) -> list[str]:
        """Return its own command line."""
        return ["dramatiq", self.module, "--processes", "1", "--threads", str(self.threads)]


def receiver(delay: float = 0.0) -> Server:
    """Return the receiver, the same for all who deliver, that answers after `delay` seconds."""
    port = _free_port()
    return Server([sys.executable, "-m", "tests.bench.receiver", str(port), str(delay)], port, {})


def missing() -> str | None:
    """Say what has to be installed before anybody can be raced, if anything."""
    return None if shutil.which(REDIS) else f"{REDIS} is missing: apt-get install {REDIS}"
