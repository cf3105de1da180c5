"""A real Redis or Valkey server without persistence."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.storage import rate_limit

SERVER_PROGRAMS = ("valkey-server", "redis-server")
HOST = "127.0.0.1"


def find_server_program() -> str:
    """Return the path of the machine's server. Without a server the test is skipped."""
    program = next(filter(None, map(shutil.which, SERVER_PROGRAMS)), None)
    if program is None:
        reason = "No Redis and no Valkey: apt-get install redis-server"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return program


class ValkeyServer:
    """A server on loopback that can be stopped and started at the same address."""

    def __init__(self, folder: Path) -> None:
        self._program, self._folder = find_server_program(), folder
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self._port = probe.getsockname()[1]
        self.url = f"valkey://{HOST}:{self._port}/0"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the server and wait until it listens."""
        command = (self._program, "--bind", HOST, "--port", str(self._port), "--save", "")
        self._process = subprocess.Popen(
            command, cwd=self._folder, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        assert any("Ready to accept" in line for line in self._process.stdout)

    def stop(self) -> None:
        """Kill the server."""
        if self._process and self._process.stdout:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


@pytest.fixture
def valkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ValkeyServer]:
    # A busy machine must not make the program give up on the server.
    monkeypatch.setattr(rate_limit, "REDIS_TIMEOUT_SECONDS", 10.0)
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.stop()
