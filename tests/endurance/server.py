"""Instances, and the `provider` processes that work on them; each process can be killed."""

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

from provider import config
from provider.clock import Clock
from provider.maintenance import schema_version
from provider.services import Services
from provider.storage.database import Database
from tests.factories import build_services
from tests.forked_program import ForkedProgram

ROOT = Path(__file__).parents[2]
SERVER_TIMEOUT_SECONDS = 60.0  # a start takes one or two on an idle machine


class Instance:
    """A folder with a migrated database, and the environment of its processes."""

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
        schema_version.upgrade(db)
        db.close()

    def with_folder(self, folder: Path) -> "Instance":
        """Return the same instance in another folder, a copy of this one."""
        instance = copy(self)
        instance.folder = folder
        instance.environment = self.environment | {"PROVIDER_INSTANCE": str(folder)}
        return instance

    @property
    def settings(self) -> config.Settings:
        """The settings of the instance's server."""
        return config.load_settings(self.environment)

    @contextmanager
    def open_services(self, clock: Clock | None = None) -> Iterator[Services]:
        """Open the instance in this process.

        At the end the database is closed, so that only a dead server leaves a WAL file behind.
        """
        services = build_services(self.settings, clock)
        try:
            yield services
        finally:
            services.db.close()

    def expire_leases(self) -> None:
        """Act as if a minute had passed since the server died: its leases expire."""
        with self.open_services() as services, services.db.writing() as session:
            session.execute(text("UPDATE messages SET leased_until = '2000-01-01 00:00:00.000000'"))

    def run_command(self, *arguments: str) -> str:
        """Run a `provider` command and return its output."""
        return subprocess.run(
            [sys.executable, "-m", "provider.cli", *arguments],
            cwd=ROOT,
            env=self.process_environment(),
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def start_server(self, port: int = 0) -> "ServerProcess":
        """Start a server, by default at the instance's port."""
        return ServerProcess(self, port or self.port)

    def start_worker(self) -> "WorkerProcess":
        return WorkerProcess(self)

    def process_environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("PROVIDER_")
        }
        return inherited | self.environment


class ProviderProcess:
    """A running `provider` command in a process group of its own."""

    def __init__(self, instance: Instance, *arguments: str) -> None:
        self._log_file = instance.folder / f"{arguments[0]}.log"
        self.process = ForkedProgram(arguments, instance.process_environment(), self._log_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill the process group with SIGKILL."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Stop the process with SIGTERM; return its exit code."""
        self.process.terminate()
        return self.process.wait(SERVER_TIMEOUT_SECONDS)

    def log_tail(self) -> str:
        return self._log_file.read_bytes()[-2000:].decode("utf-8", "replace")


class WorkerProcess(ProviderProcess):
    """A running `provider worker`."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance, "worker")

    def suspend(self) -> None:
        """Stop the process with SIGSTOP, whatever it does."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the process with SIGCONT."""
        self.process.send_signal(signal.SIGCONT)


class ServerProcess(ProviderProcess):
    """A running `provider serve`."""

    def __init__(self, instance: Instance, port: int) -> None:
        self.port = port
        super().__init__(instance, "serve", "--port", str(port))

    def wait_until_ready(self) -> "ServerProcess":
        """Wait until the server answers. RuntimeError: it does not; the error ends with its log."""
        deadline = time.monotonic() + SERVER_TIMEOUT_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if is_answering(self.port):
                return self
            time.sleep(0.02)
        raise RuntimeError(f"the server does not answer: {self.log_tail()}")

    def kill(self) -> None:
        """Kill the process group with SIGKILL, and wait until the port is free."""
        super().kill()
        _wait_until_port_is_free(self.port)


def is_answering(port: int) -> bool:
    """Return whether a server at a port says that it is alive."""
    try:
        with closing(
            HTTPConnection("127.0.0.1", port, timeout=SERVER_TIMEOUT_SECONDS)
        ) as connection:
            connection.request("GET", "/health")
            return bool(json.loads(connection.getresponse().read())["status"] == "alive")
    except (OSError, HTTPException):
        return False


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_port_is_free(port: int) -> None:
    deadline = time.monotonic() + SERVER_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                time.sleep(0.01)
            else:
                return
    raise RuntimeError(f"a process still listens on port {port}")
