"""A Firefox with a fake camera, driven through Marionette, its own remote protocol.

Playwright needs a Firefox of its own, which no package manager has.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

FIREFOX_PATHS = ("/usr/bin/firefox-esr", "/usr/bin/firefox")
FIREFOX_PATH = next(filter(os.path.exists, FIREFOX_PATHS), "")
# A newer Firefox needs the last one to let `set_offline` change it; an older one ignores it.
FLAGS = ("--headless", "--marionette", "--no-remote", "--remote-allow-system-access")
START_TIMEOUT_SECONDS = 60.0
SCRIPT_TIMEOUT_MS = 60_000
POLL_SECONDS = 0.2
PORT_FILE = "MarionetteActivePort"  # in the profile
PREFERENCES: dict[str, Any] = {
    "marionette.port": 0,  # any free one
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "dom.disable_beforeunload": True,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.disable-localhost-when-offline": True,
}


class Firefox:
    """One window. Scripts run in its page."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), START_TIMEOUT_SECONDS)
        self._stream = self._socket.makefile("rb")
        self._receive()  # the greeting
        self._count = 0
        self.command("WebDriver:NewSession", {"timeouts": {"script": SCRIPT_TIMEOUT_MS}})

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def command(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        """Send a command and return its result. RuntimeError: what Firefox says against it."""
        self._count += 1
        message = json.dumps([0, self._count, name, parameters or {}]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(f"{name}: {error['error']}: {error['message']}")
        return result.get("value", result) if isinstance(result, dict) else result

    def open(self, url: str) -> None:
        self.command("WebDriver:Navigate", {"url": url})

    def reload(self) -> None:
        self.command("WebDriver:Refresh")

    def set_offline(self, is_offline: bool) -> None:
        """Cut the line of all tabs, or join it again."""
        self.command("Marionette:SetContext", {"value": "chrome"})
        script = f"Services.io.offline = {json.dumps(is_offline)}"
        self.command("WebDriver:ExecuteScript", {"script": script, "args": []})
        self.command("Marionette:SetContext", {"value": "content"})

    def run(self, script: str) -> Any:
        """Return the value of an expression, awaited in the page."""
        body = (
            f"const done = arguments[0]; Promise.resolve({script}).then(done, e => done(`${{e}}`))"
        )
        return self.command("WebDriver:ExecuteAsyncScript", {"script": body, "args": []})

    def wait_until(self, script: str, timeout_seconds: float = 40.0) -> None:
        """Wait until an expression is true; a page that is just being left is asked again."""
        deadline = time.monotonic() + timeout_seconds
        problem: Exception | None = None
        while time.monotonic() < deadline:
            try:
                if self.run(script) is True:
                    return
            except RuntimeError as error:
                problem = error
            time.sleep(POLL_SECONDS)
        text = self.run("document.body.innerText")
        raise AssertionError(f"not true: {script} ({problem})\n{text}")

    def wait_for_text(self, text: str) -> None:
        self.wait_until(f"document.body.innerText.includes({json.dumps(text)})")

    def press(self, text: str) -> None:
        """Press the visible button or link with this text, as soon as it is enabled."""
        find = (
            "[...document.querySelectorAll('button, a')].find(e => "
            f"e.innerText.trim() === {json.dumps(text)} && e.checkVisibility() && !e.disabled)"
        )
        self.wait_until(f"Boolean({find})")
        self.run(f"setTimeout(() => {find}.click())")

    def _receive(self) -> Any:
        length = b""
        while (byte := self._stream.read(1)) not in (b":", b""):
            length += byte
        return json.loads(self._stream.read(int(length)))


@contextmanager
def running_firefox(folder: Path, *, is_killed: bool = False) -> Iterator[Firefox]:
    """Start a Firefox with the profile in `folder`, and stop it at the end.

    A killed one leaves its profile, and the next one of the folder goes on with it.
    """
    profile = folder / "firefox"
    profile.mkdir(exist_ok=True)
    (profile / PORT_FILE).unlink(missing_ok=True)  # of a killed one
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines), "utf-8")
    process = subprocess.Popen(
        [FIREFOX_PATH, *FLAGS, "--profile", str(profile)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"HOME": str(folder)},
        start_new_session=is_killed,
    )
    try:
        with closing(Firefox(_wait_for_port(profile, process))) as firefox:
            yield firefox
    finally:
        if is_killed:
            os.killpg(process.pid, signal.SIGKILL)  # the processes of its tabs, too
            process.wait()
        else:
            _stop(process)
            shutil.rmtree(profile, ignore_errors=True)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_port(profile: Path, process: "subprocess.Popen[bytes]") -> int:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    port_file = profile / PORT_FILE
    while time.monotonic() < deadline and process.poll() is None:
        if port_file.exists() and (text := port_file.read_text("utf-8")):
            return int(text)
        time.sleep(POLL_SECONDS)
    raise RuntimeError("Firefox does not start")
