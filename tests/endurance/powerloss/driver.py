"""An ATS and its candidates at a recorded server: they place and decline orders."""

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
TIMEOUT_SECONDS = 60.0  # for each request and wait


@dataclass
class PlannedOrder:
    """An order to place, whether its candidate declines, and the responses so far."""

    number: int
    should_decline: bool
    order_id: str | None = None
    is_declined: bool = False
    error_responses: list[requests.Response] = field(default_factory=list)

    @property
    def is_acknowledged(self) -> bool:
        """True when the order, and the decline if planned, is acknowledged."""
        return self.order_id is not None and (self.is_declined or not self.should_decline)

    @property
    def callback_path(self) -> str:
        """The path of the callback URL."""
        return f"/callbacks/{self.number}"


class OrderPlan:
    """Plans orders; about half of the candidates decline."""

    def __init__(self, rng: random.Random) -> None:
        self.orders: list[PlannedOrder] = []
        self._rng = rng

    def add_orders(self, count: int) -> list[PlannedOrder]:
        """Return `count` new orders."""
        known = len(self.orders)
        self.orders += [
            PlannedOrder(known + offset, self._rng.random() < 0.5) for offset in range(count)
        ]
        return self.orders[known:]

    @property
    def unacknowledged(self) -> list[PlannedOrder]:
        return [order for order in self.orders if not order.is_acknowledged]


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
        connection = json.loads(self._process.stdout.readline() or "null")
        assert connection, f"the server did not start: {self.log_text[-1000:]}"
        self.url, self.test_id = connection["url"], connection["test"]
        self._auth_headers = {"Authorization": f"Bearer {connection['token']}"}

    @property
    def log_text(self) -> str:
        return (self.disk.root.parent / "server.log").read_text()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the process, as a power loss would."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        self._log_file.close()

    def place_orders(self, orders: list[PlannedOrder]) -> None:
        """Place the orders that are not acknowledged yet, once each, from several clients."""
        with ThreadPoolExecutor(CLIENT_COUNT) as clients:
            list(
                clients.map(
                    self._place_and_decline,
                    [order for order in orders if not order.is_acknowledged],
                )
            )

    def wait_for_deliveries(self, orders: list[PlannedOrder]) -> list[str]:
        """Wait for the e-mails and callbacks of all orders; return the undelivered ones."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (undelivered := self._undelivered(orders)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return undelivered

    def _undelivered(self, orders: list[PlannedOrder]) -> list[str]:
        received_paths = {request.path for request in tuple(self.ats.received)}
        emails = list((self.disk.instance / "mail").glob("*.eml"))
        missing_callbacks = [
            order.callback_path
            for order in orders
            if order.is_declined and order.callback_path not in received_paths
        ]
        placed = sum(order.order_id is not None for order in orders)
        return missing_callbacks + ["an e-mail"] * (placed - len(emails))

    def _place_and_decline(self, order: PlannedOrder) -> None:
        with requests.Session() as browser:
            response = self._place_order(browser, order)
            invitation = response.headers.get("X-Invitation")
            if invitation and order.should_decline:
                self._decline(browser, order, invitation)

    def _place_order(self, browser: requests.Session, order: PlannedOrder) -> requests.Response:
        body = {
            "test_id": self.test_id,
            "callback_url": f"{self.ats.url}{order.callback_path}",
            "candidate": {"email": f"candidate-{order.number}@provider.test"},
        }
        response = browser.post(
            f"{self.url}/assessments",
            json=body,
            headers=self._auth_headers,
            timeout=TIMEOUT_SECONDS,
        )
        if response.ok:
            order.order_id = response.json()["assessment_id"]
        else:
            order.error_responses.append(response)
        return response

    def _decline(self, browser: requests.Session, order: PlannedOrder, invitation: str) -> None:
        response = browser.get(invitation, timeout=TIMEOUT_SECONDS)
        if response.ok:
            response = browser.post(
                f"{self.url}/c/o/{order.order_id}/decline",
                {"csrf_token": factories.csrf_token(response.text)},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        if response.status_code == 303:
            order.is_declined = True
        else:
            order.error_responses.append(response)


@contextmanager
def recorded_server(disk: RecordedDisk, synchronous: str = "FULL") -> Iterator[RecordedServer]:
    """Run a server under the shim, with an ATS; at the end the server is killed."""
    with FakeAts() as ats:
        server = RecordedServer(disk, ats, synchronous)
        try:
            yield server
        finally:
            server.kill()
