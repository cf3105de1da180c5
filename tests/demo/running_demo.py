"""A running `provider demo`, and a visitor who opens every link of its pages."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import requests

from provider.demo.forms import parse_page

DEMO = [sys.executable, "-m", "provider.cli", "demo"]


def children(pid: int) -> list[int]:
    """Return the pids of all descendants of a process."""
    pids = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [descendant for pid in pids for descendant in [pid, *children(pid)]]


class RunningDemo:
    """A demo in a process of its own; `lines` are those that it has printed until now."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []

    def read_until(self, text: str) -> None:
        """Read lines until one contains `text`."""
        assert self.process.stdout
        while text not in (line := self.process.stdout.readline()):
            assert line, self.lines
            self.lines.append(line.strip())
        self.lines.append(line.strip())

    def address(self, name: str) -> str:
        """Return the address that the demo has printed after a name."""
        line = next(line for line in self.lines if line.startswith(name))
        return line.removeprefix(name).strip()

    def sign_in(self) -> tuple[str, str]:
        """Return the e-mail address and the password of the console."""
        match = re.search(r"e-mail (\S+), password (\S+)", "\n".join(self.lines))
        assert match
        return match[1], match[2]

    def stop(self) -> str:
        """Send SIGINT, as Ctrl-C does; return the rest of the output."""
        descendants = children(self.process.pid)
        assert descendants
        os.killpg(self.process.pid, signal.SIGINT)
        output, _ = self.process.communicate(timeout=90)
        assert self.process.returncode == 0, output
        assert not any(Path(f"/proc/{pid}").exists() for pid in descendants)
        return output


@contextmanager
def running_demo(*options: str) -> Iterator[RunningDemo]:
    """Start a demo and wait until it is open."""
    process = subprocess.Popen(
        [*DEMO, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        demo = RunningDemo(process)
        demo.read_until("Press Ctrl-C")
        yield demo
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.communicate(timeout=90)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def visit_all(start_url: str) -> dict[str, int]:
    """Open the pages of a site and each page that these link to; return their status codes."""
    statuses: dict[str, int] = {}
    waiting = [start_url]
    with requests.Session() as session:
        while waiting:
            url = waiting.pop()
            if url in statuses:
                continue
            response = session.get(url, timeout=20)
            statuses[url] = response.status_code
            if response.url.startswith(start_url) and "html" in response.headers["Content-Type"]:
                links = parse_page(response.text, response.url).links
                waiting += [urljoin(response.url, link) for link in links]
    return statuses
