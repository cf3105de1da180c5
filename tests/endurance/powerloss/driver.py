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

from tests import factories
from tests.endurance.powerloss.shim import RecordedDisk, shim_environment
from tests.fake_ats import FakeAts

CLIENT_COUNT = 6
TIMEOUT_SECONDS = 60.0  # seconds that anything may take before the proof gives up


@dataclass
class PlannedOrder:
    """One candidate's order, whether they decline, and what was answered."""

    number: int
    should_decline: bool
    order_id: str | None = None
    is_declined: bool = False
    error_responses: list[requests.Response] = field(default_factory=list)

    @property
    def is_acknowledged(self) -> bool:
        """Whether all that was wished for was acknowledged."""
        return self.order_id is not None and (self.is_declined or not self.should_decline)

    @property
    def callback_path(self) -> str:
        """Where its callbacks go."""
        return f"/callbacks/{self.number}"


class OrderPlan:
    """A source of wishes: about half of the candidates decline."""

    def __init__(self, rng: random.Random) -> None:
        self.orders: list[PlannedOrder] = []
        self._rng = rng

    def add_orders(self, count: int) -> list[PlannedOrder]:
        """Return new ones."""
        known = len(self.orders)
        self.orders += [PlannedOrder(known + n, self._rng.random() < 0.5) for n in range(count)]
        return self.orders[known:]

    @property
    def unacknowledged(self) -> list[PlannedOrder]:
        return [wish for wish in self.orders if not wish.is_acknowledged]


class RecordedServer:
    """A running server under the shim."""

    def __init__(self, disk: RecordedDisk, ats: FakeAts, synchronous: str) -> None:
        self.disk, self.ats = disk, ats
        self._log_file = (disk.root.parent / "server.log").open("wb")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.endurance.powerloss.server",
                str(disk.root),
                ats.host,
                synchronous,
            ],
            env=shim_environment(disk),
            stdout=subprocess.PIPE,
            stderr=self._log_file,
        )
        assert self._process.stdout
        told = json.loads(self._process.stdout.readline() or "null")
        assert told, f"the server did not start: {self.log_text[-1000:]}"
        self.url, self.test_id = told["url"], told["test"]
        self._auth_headers = {"Authorization": f"Bearer {told['token']}"}

    @property
    def log_text(self) -> str:
        """What the server has logged."""
        return (self.disk.root.parent / "server.log").read_text()

    @property
    def is_running(self) -> bool:
        """Whether it runs still."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a power loss would: without a word."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        self._log_file.close()

    def place_orders(self, orders: list[PlannedOrder]) -> None:
        """Ask for what has not been acknowledged yet, once each, from a few clients at once."""
        with ThreadPoolExecutor(CLIENT_COUNT) as clients:
            list(
                clients.map(
                    self._place_and_decline, [wish for wish in orders if not wish.is_acknowledged]
                )
            )

    def wait_for_deliveries(self, orders: list[PlannedOrder]) -> list[str]:
        """Wait until the letters and statuses of all orders are out; return what is not."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while (waiting := self._undelivered(orders)) and time.monotonic() < until:
            time.sleep(0.05)
        return waiting

    def _undelivered(self, orders: list[PlannedOrder]) -> list[str]:
        told = {each.path: each.json["status"] for each in tuple(self.ats.received)}
        letters = list((self.disk.instance / "mail").glob("*.eml"))
        waiting = [
            each.callback_path
            for each in orders
            if each.is_declined and each.callback_path not in told
        ]
        return waiting + ["a letter"] * (
            sum(wish.order_id is not None for wish in orders) - len(letters)
        )

    def _place_and_decline(self, order: PlannedOrder) -> None:
        with requests.Session() as browser:
            ordered = self._place_order(browser, order)
            invitation = ordered.headers.get("X-Invitation")
            if invitation and order.should_decline:
                self._decline(browser, order, invitation)

    def _place_order(self, browser: requests.Session, order: PlannedOrder) -> requests.Response:
        said = {
            "test_id": self.test_id,
            "callback_url": f"{self.ats.url}{order.callback_path}",
            "candidate": {"email": f"candidate-{order.number}@provider.test"},
        }
        answer = browser.post(
            f"{self.url}/assessments",
            json=said,
            headers=self._auth_headers,
            timeout=TIMEOUT_SECONDS,
        )
        if answer.ok:
            order.order_id = answer.json()["assessment_id"]
        else:
            order.error_responses.append(answer)
        return answer

    def _decline(self, browser: requests.Session, order: PlannedOrder, invitation: str) -> None:
        page = browser.get(invitation, timeout=TIMEOUT_SECONDS)
        if page.ok:
            page = browser.post(
                f"{self.url}/c/o/{order.order_id}/decline",
                {"csrf_token": factories.csrf_token(page.text)},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        if page.status_code == 303:
            order.is_declined = True
        else:
            order.error_responses.append(page)


@contextmanager
def recorded_server(disk: RecordedDisk, synchronous: str = "FULL") -> Iterator[RecordedServer]:
    """Run a server under the shim, with an ATS to call back; it ends as by a power loss."""
    with FakeAts() as ats:
        server = RecordedServer(disk, ats, synchronous)
        try:
            yield server
        finally:
            server.kill()
