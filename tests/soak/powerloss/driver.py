"""An ATS and its candidates at a recorded server: they order, decline, and keep the answers."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from tests import cast
from tests.fake_ats import FakeAts
from tests.soak.powerloss.shim import Disk, environment

CLIENTS = 6
PATIENCE = 60.0  # seconds that anything may take before the proof gives up


@dataclass
class Wish:
    """One candidate's order, whether they decline, and what was answered."""

    number: int
    declines: bool
    order: str | None = None
    declined: bool = False
    refused: list[requests.Response] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether all that was wished for was acknowledged."""
        return self.order is not None and (self.declined or not self.declines)

    @property
    def path(self) -> str:
        """Where its callbacks go."""
        return f"/callbacks/{self.number}"


class Wishes:
    """A source of wishes: about half of the candidates decline."""

    def __init__(self, luck: random.Random) -> None:
        self.all: list[Wish] = []
        self._luck = luck

    def more(self, count: int) -> list[Wish]:
        """Return new ones."""
        known = len(self.all)
        self.all += [Wish(known + n, self._luck.random() < 0.5) for n in range(count)]
        return self.all[known:]

    @property
    def undone(self) -> list[Wish]:
        return [wish for wish in self.all if not wish.done]


class Recorded:
    """A running server under the shim."""

    def __init__(self, disk: Disk, ats: FakeAts, synchronous: str) -> None:
        self.disk, self.ats = disk, ats
        self._log = (disk.root.parent / "server.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.powerloss.server", str(disk.root), ats.host,
             synchronous],
            env=environment(disk), stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        assert self._process.stdout
        told = json.loads(self._process.stdout.readline() or "null")
        assert told, f"the server did not start: {self.said[-1000:]}"
        self.url, self.test = told["url"], told["test"]
        self._bearer = {"Authorization": f"Bearer {told['token']}"}

    @property
    def said(self) -> str:
        """What the server has logged."""
        return (self.disk.root.parent / "server.log").read_text()

    @property
    def alive(self) -> bool:
        """Whether it runs still."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a power loss would: without a word."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        self._log.close()

    def fulfil(self, wishes: list[Wish]) -> None:
        """Ask for what has not been acknowledged yet, once each, from a few clients at once."""
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(self._fulfil, [wish for wish in wishes if not wish.done]))

    def delivers(self, wishes: list[Wish]) -> list[str]:
        """Wait until the letters and statuses of all orders are out; return what is not."""
        until = time.monotonic() + PATIENCE
        while (waiting := self._undelivered(wishes)) and time.monotonic() < until:
            time.sleep(0.05)
        return waiting

    def _undelivered(self, wishes: list[Wish]) -> list[str]:
        told = {each.path: each.json["status"] for each in tuple(self.ats.received)}
        letters = list((self.disk.instance / "mail").glob("*.eml"))
        waiting = [each.path for each in wishes if each.declined and each.path not in told]
        return waiting + ["a letter"] * (
            sum(wish.order is not None for wish in wishes) - len(letters)
        )

    def _fulfil(self, wish: Wish) -> None:
        with requests.Session() as browser:
            ordered = self._order(browser, wish)
            invitation = ordered.headers.get("X-Invitation")
            if invitation and wish.declines:
                self._decline(browser, wish, invitation)

    def _order(self, browser: requests.Session, wish: Wish) -> requests.Response:
        said = {
            "test_id": self.test,
            "callback_url": f"{self.ats.url}{wish.path}",
            "candidate": {"email": f"candidate-{wish.number}@provider.test"},
        }
        answer = browser.post(
            f"{self.url}/assessments", json=said, headers=self._bearer, timeout=PATIENCE
        )
        if answer.ok:
            wish.order = answer.json()["assessment_id"]
        else:
            wish.refused.append(answer)
        return answer

    def _decline(self, browser: requests.Session, wish: Wish, invitation: str) -> None:
        page = browser.get(invitation, timeout=PATIENCE)
        if page.ok:
            page = browser.post(
                f"{self.url}/c/o/{wish.order}/decline", {"csrf_token": cast.csrf(page.text)},
                timeout=PATIENCE, allow_redirects=False,
            )  # fmt: skip
        if page.status_code == 303:
            wish.declined = True
        else:
            wish.refused.append(page)


@contextmanager
def recorded(disk: Disk, synchronous: str = "FULL") -> Iterator[Recorded]:
    """Run a server under the shim, with an ATS to call back; it ends as by a power loss."""
    with FakeAts() as ats:
        server = Recorded(disk, ats, synchronous)
        try:
            yield server
        finally:
            server.kill()
