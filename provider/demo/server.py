"""The demo's server: `provider` commands and `provider serve` on a folder of their own."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import requests

from provider.demo.console_output import ConsoleOutput
from provider.errors import Conflict, ProviderError, Unavailable

MARKER_FILE = ".demo"  # the demo empties only a folder that contains this file
SERVER_TIMEOUT_SECONDS = 60.0  # for a start, a stop and an e-mail


class DemoServer:
    """A folder, the commands that use it, and the server on a free port."""

    def __init__(self, folder: Path, output: ConsoleOutput) -> None:
        self.folder, self._output = folder, output
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "DemoServer":
        self._lock = _empty_folder(self.folder)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(SERVER_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._lock.close()

    def run_command(self, *arguments: str, stdin: str = "") -> str:
        """Run a `provider` command and return its output; Unavailable if it fails."""
        self._output.print_command(list(arguments))
        result = subprocess.run(  # noqa: S603  (our own program)
            [*PROVIDER_COMMAND, *arguments],
            input=stdin,
            env=self._environment(),
            text=True,
            capture_output=True,
            check=False,
        )
        if result.returncode:
            raise Unavailable(f"`provider {arguments[0]}` failed: {result.stderr.strip()}")
        return result.stdout

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
        for path in (self.folder / "mail").glob("*.eml"):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            if email in str(message["To"]):
                link = _first_link(message, f"{self.url}/c/")
                if link and link != old_link:
                    return link
        return None

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


def free_port() -> int:
    """Return the number of a free port on the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _empty_folder(folder: Path) -> IO[str]:
    """Empty a folder of the demo and return its lock; Conflict if it is in use or not ours."""
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
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != marker:
            path.unlink()
    return lock


def _first_link(email: EmailMessage, prefix: str) -> str | None:
    text = email.get_body(("plain",))
    words = text.get_content().split() if text else []
    return next((word for word in words if word.startswith(prefix)), None)


def _wait_for(condition: Any, error_message: str) -> Any:
    deadline = time.monotonic() + SERVER_TIMEOUT_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise ProviderError(f"{error_message} within {SERVER_TIMEOUT_SECONDS:.0f} seconds")
        time.sleep(0.05)
    return value
