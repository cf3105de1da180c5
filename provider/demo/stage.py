"""The demo's server: a folder of its own, the real commands, a real `provider serve`."""

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

from provider.demo.screen import Screen
from provider.errors import Conflict, ProviderError, Unready

MARK = ".demo"  # only a folder that holds this, or nothing, is ever emptied
PATIENCE = 60.0  # seconds that the server or a letter may take


class Stage:
    """A folder, the commands that work on it, and the server on a free port."""

    def __init__(self, folder: Path, screen: Screen) -> None:
        self.folder, self._screen = folder, screen
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Stage":
        self._lock = _emptied(self.folder)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        if self._server and self._server.poll() is None:
            self._server.terminate()
            try:
                self._server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._lock.close()

    def command(self, *words: str, stdin: str = "", hide: str = "") -> str:
        """Run a `provider` command to its end and return what it prints."""
        self._screen.command([word if word != hide else "…" for word in words])
        done = subprocess.run(  # noqa: S603  (our own program)
            [*PROGRAM, *words], input=stdin, env=self._environment(), text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Unready(f"`provider {words[0]}` failed: {done.stderr.strip()}")
        return done.stdout

    def account(self, name: str, host: str, callback_token: str) -> str:
        """Connect an ATS and return the token that it is to send."""
        said = self.command(
            "account", "create", name, "--ats", "workable", "--callback-host", host,
            "--callback-token", callback_token, "--json", hide=callback_token,
        )  # fmt: skip
        # The sample package's disclosure is no legal text: only a sandbox may order it.
        self.command("account", "set", name, "sandbox=yes")
        return str(json.loads(said)["token"])

    def serve(self) -> None:
        """Start the server and wait until it answers."""
        self._screen.command(["serve", "--port", str(self._port)])
        with (self.folder / "server.log").open("wb") as log:
            # Its own session: Ctrl-C reaches the demo alone, which then stops the server.
            self._server = subprocess.Popen(  # noqa: S603  (our own program)
                [*PROGRAM, "serve", "--port", str(self._port)],
                env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        _wait(self._answers, "The server does not answer")

    def require_alive(self) -> None:
        """Raise Unready, which names its log, when the server is gone."""
        if self._server and self._server.poll() is not None:
            raise Unready(f"The server has ended; {self.folder / 'server.log'} says why")

    def invitation(self, email: str) -> str:
        """Return the link in the letter that a candidate got; waits for the letter."""
        return str(_wait(lambda: self._link(email), f"No letter came to {email}"))

    def _link(self, email: str) -> str | None:
        self.require_alive()
        for path in (self.folder / "mail").glob("*.eml"):
            letter = message_from_bytes(path.read_bytes(), policy=policy.default)
            if email in str(letter["To"]):
                return _first_link(letter, f"{self.url}/c/")
        return None

    def _answers(self) -> bool:
        self.require_alive()
        try:
            return requests.get(f"{self.url}/health", timeout=2).ok
        except requests.RequestException:
            return False

    def _environment(self) -> dict[str, str]:
        rest = {
            name: value for name, value in os.environ.items() if not name.startswith("PROVIDER_")
        }
        return rest | {
            "PROVIDER_INSTANCE": str(self.folder),
            "PROVIDER_BASE_URL": self.url,
            "PROVIDER_PRIVATE_CALLBACKS": "allow",
        }


PROGRAM = [sys.executable, "-P", "-m", "provider.cli"]


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _emptied(folder: Path) -> IO[str]:
    """Empty a folder that is ours and return its lock; Conflict when it is not, or in use."""
    mark = folder / MARK
    if folder.exists() and not mark.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} holds something else: give the demo an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    lock = mark.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise Conflict(f"A demo is running in {folder}: give this one another --folder") from None
    for each in folder.iterdir():
        if each.is_dir():
            shutil.rmtree(each)
        elif each != mark:
            each.unlink()
    return lock


def _first_link(letter: EmailMessage, start: str) -> str | None:
    text = letter.get_body(("plain",))
    words = text.get_content().split() if text else []
    return next((word for word in words if word.startswith(start)), None)


def _wait(look: Any, problem: str) -> Any:
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > until:
            raise ProviderError(f"{problem} within {PATIENCE:.0f} seconds")
        time.sleep(0.05)
    return found
