"""`provider serve` as it is run: an instance folder, and a process group that can be killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import copy
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self

from sqlalchemy import text

from provider import config, schema
from provider.clock import Clock
from provider.db import Database
from provider.house import House

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds for what takes one or two on an idle machine


class Instance:
    """A folder with a database of this version, and the environment of those who work on it."""

    def __init__(self, folder: Path, database: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = {
            "PROVIDER_INSTANCE": str(folder),
            "PROVIDER_BASE_URL": f"http://127.0.0.1:{self.port}",
            "PROVIDER_PRIVATE_CALLBACKS": "allow",
            "PROVIDER_RETRY_SCHEDULE": "1s",
        }
        if database:
            key = urlsafe_b64encode(b"k" * 32).decode()
            self.environment |= {"PROVIDER_DATABASE_URL": database, "PROVIDER_SECRET_KEY": key}
        db = Database(self.settings.database_url)
        schema.upgrade(db)
        db.close()

    def at(self, folder: Path) -> "Instance":
        """Return the same instance on a copy of its folder."""
        moved = copy(self)
        moved.folder = folder
        moved.environment = self.environment | {"PROVIDER_INSTANCE": str(folder)}
        return moved

    @property
    def settings(self) -> config.Settings:
        """The settings that the server goes by."""
        return config.read(self.environment)

    @contextmanager
    def house(self, clock: Clock | None = None) -> Iterator[House]:
        """Open the same house from here; closed again, so that a dead server's log is its own."""
        house = House.build(self.settings, clock)
        try:
            yield house
        finally:
            house.db.close()

    def let_leases_lapse(self) -> None:
        """Act as if a minute had passed since the server died: what it had in hand is free."""
        with self.house() as house, house.db.writing() as session:
            session.execute(text("UPDATE messages SET leased_until = '2000-01-01 00:00:00.000000'"))

    def run(self, *words: str) -> str:
        """Run a `provider` command on it and return what it says."""
        return subprocess.run(
            [sys.executable, "-m", "provider.cli", *words],
            cwd=ROOT, env=self.environ(), check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    def start(self, port: int = 0) -> "Server":
        """Start a server on it, at its own port or another one."""
        return Server(self, port or self.port)

    def work(self) -> "Worker":
        """Start a worker on it."""
        return Worker(self)

    def environ(self) -> dict[str, str]:
        # Without the tests' coverage: who is killed writes none, and starts half as fast.
        rest = {k: v for k, v in os.environ.items() if not k.startswith(("PROVIDER_", "COVERAGE_"))}
        return rest | self.environment


class Program:
    """A running command of ours, a process group of its own."""

    def __init__(self, instance: Instance, *words: str) -> None:
        self._log = instance.folder / f"{words[0]}.log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "provider.cli", *words],
                cwd=ROOT, env=instance.environ(), stdout=log, stderr=log, process_group=0,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill the whole process group with -9."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Stop it clean with SIGTERM and return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def last_words(self) -> str:
        """Return the end of its log."""
        return self._log.read_bytes()[-2000:].decode("utf-8", "replace")


class Worker(Program):
    """A running `provider worker`."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance, "worker")

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self.process.send_signal(signal.SIGCONT)


class Server(Program):
    """A running `provider serve`."""

    def __init__(self, instance: Instance, port: int) -> None:
        self.port = port
        super().__init__(instance, "serve", "--port", str(port))

    def wait(self) -> "Server":
        """Wait until it answers; RuntimeError, with its last words, when it does not."""
        until = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < until:
            if self._answers():
                return self
            time.sleep(0.02)
        raise RuntimeError(f"the server does not answer: {self.last_words()}")

    def kill(self) -> None:
        """Kill the whole process group with -9, and wait until nobody listens any more."""
        super().kill()
        _wait_until_free(self.port)

    def _answers(self) -> bool:
        try:
            with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
                connection.request("GET", "/health")
                return bool(json.loads(connection.getresponse().read())["status"] == "alive")
        except (OSError, HTTPException):
            return False


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_free(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                time.sleep(0.01)
            else:
                return
    raise RuntimeError(f"somebody still listens on port {port}")
