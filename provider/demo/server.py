"""The demo's server: `provider` commands and `provider serve` on a folder of their own."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn

import requests

from provider.demo.command_process import CommandProcess
from provider.demo.console_output import ConsoleOutput
from provider.demo.mailbox import Mailbox
from provider.demo.ports import reserve_ports
from provider.demo.receiver import HOST
from provider.errors import Conflict, ProviderError, Unavailable

MARKER_FILE = ".demo"  # the demo empties only a folder that contains this file
SERVER_TIMEOUT_SECONDS = 60.0  # for a start, a stop and an e-mail


class DemoServer:
    """A folder, the commands that use it, and the server on the port after the ATS's.

    The folder is emptied, unless `ats_port` names the port of the demo that it contains.
    """

    def __init__(self, folder: Path, output: ConsoleOutput, ats_port: int | None = None) -> None:
        self.folder, self._output = folder, output
        self._is_reopened = ats_port is not None
        self.ats_listener = reserve_ports(ats_port)
        self.ats_port = int(self.ats_listener.getsockname()[1])
        self._port = self.ats_port + 1
        self.url = f"http://{HOST}:{self._port}"
        self._mailbox = Mailbox(folder / "mail")
        self._commands = CommandProcess(self._environment())
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "DemoServer":
        try:
            self._lock = _lock_folder(self.folder)
        except ProviderError:
            self.ats_listener.close()
            raise
        if not self._is_reopened:
            _empty_folder(self.folder)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._commands.close()
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(SERVER_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.ats_listener.close()
        self._lock.close()

    def run_command(self, *arguments: str, stdin: str = "") -> str:
        """Run a `provider` command and return its output; Unavailable if it fails."""
        self._output.print_command(list(arguments))
        return self._commands.run(arguments, stdin)

    def create_account(
        self, name: str, ats: str, callback_host: str = "", callback_token: str = ""
    ) -> dict[str, Any]:
        """Create an account; return its `token` and `urls`, which its ATS needs."""
        arguments = ["account", "create", name, "--ats", ats, "--json"]
        if callback_host:
            arguments += ["--callback-host", callback_host]
        # Only a sandbox account may order the sample package: its disclosure is no legal text.
        arguments.append("--sandbox")
        if callback_token:
            arguments += ["--callback-token", "-"]
        account: dict[str, Any] = json.loads(self.run_command(*arguments, stdin=callback_token))
        return account

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._output.print_command(["serve", "--port", str(self._port)])
        with (self.folder / "server.log").open("wb") as log:
            # Its own session: Ctrl-C reaches only the demo, which then stops the server.
            self._process = subprocess.Popen(  # noqa: S603  (our own program)
                [*PROVIDER_COMMAND, "serve", "--port", str(self._port)],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _wait_for(self._is_healthy, "The server does not answer")

    def require_running(self) -> None:
        """Raise Unavailable, with the path of the log, if the server has ended."""
        if self._process and self._process.poll() is not None:
            raise Unavailable(f"The server has ended: read {self.folder / 'server.log'}")

    def wait_for_invitation(self, email: str, old_link: str = "") -> str:
        """Wait for an e-mail to a candidate with another link than `old_link`; return its link."""
        return str(
            _wait_for(lambda: self.find_invitation(email, old_link), f"No e-mail came to {email}")
        )

    def find_invitation(self, email: str, old_link: str = "") -> str | None:
        """Return the link of an e-mail to a candidate, unless it is `old_link`."""
        self.require_running()
        prefix = f"{self.url}/c/"
        links = (message.find_link(prefix) for message in self._mailbox.list_emails(email))
        return next((link for link in links if link and link != old_link), None)

    def wait_until_interrupted(self) -> NoReturn:
        """Wait until Ctrl-C; Unavailable if the server ends before."""
        while True:
            self.require_running()
            time.sleep(1)

    def _is_healthy(self) -> bool:
        self.require_running()
        try:
            return requests.get(f"{self.url}/health", timeout=2).ok
        except requests.RequestException:
            return False

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("PROVIDER_")
        }
        return inherited | {
            "PROVIDER_INSTANCE": str(self.folder),
            "PROVIDER_BASE_URL": self.url,
            "PROVIDER_PRIVATE_CALLBACKS": "allow",
        }


PROVIDER_COMMAND = [sys.executable, "-P", "-m", "provider.cli"]


def _lock_folder(folder: Path) -> IO[str]:
    """Return the lock of a folder of the demo; Conflict if it is in use or not ours."""
    marker = folder / MARKER_FILE
    if folder.exists() and not marker.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} contains other files: give the demo an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    lock = marker.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise Conflict(f"A demo is running in {folder}: give this one another --folder") from None
    return lock


def _empty_folder(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != MARKER_FILE:
            path.unlink()


def _wait_for(condition: Any, error_message: str) -> Any:
    deadline = time.monotonic() + SERVER_TIMEOUT_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise ProviderError(f"{error_message} within {SERVER_TIMEOUT_SECONDS:.0f} seconds")
        time.sleep(0.05)
    return value
