"""The ATS's side of a proof: it keeps every request as it came, and fails as the dice say."""

import random
import socket
import struct
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from tests.fake_ats import Behaviour, FakeAts, Received
from tests.soak.history import Arrival

SLOW = 0.3  # seconds
KEY, SEQUENCE = "Idempotency-Key", "X-Provider-Sequence"

Answer = tuple[int | None, int | Behaviour]  # what is noted as answered, and what is done


class Receiver(FakeAts):
    """A `FakeAts` with a history; `faults` is the share of requests that go wrong."""

    def __init__(self, luck: random.Random, faults: float = 0.0, host: str = "127.0.0.1") -> None:
        super().__init__(host)
        self.arrived: list[Arrival] = []
        self.faults = faults
        self.refusing = False
        self._taken: set[tuple[str, str | None]] = set()
        self._luck = luck

    @property
    def taken(self) -> int:
        """How many statuses were taken, each counted once."""
        return len(self._taken)

    def wait_until(self, holds: Callable[["Receiver"], bool], timeout: float) -> bool:
        """Wait until something holds of it; False after `timeout` seconds."""
        with self._came:
            return self._came.wait_for(lambda: holds(self), timeout)

    def note(self, request: Received) -> int | Behaviour:
        """Keep a request with what it will be answered, then let that be done."""
        with self._came:
            code, act = self._answer()
            arrival = Arrival(
                request.path, request.headers.get(KEY), request.headers.get(SEQUENCE),
                request.body, code, time.monotonic(),
            )  # fmt: skip
            self.arrived.append(arrival)
            if arrival.taken:
                self._taken.add((arrival.order, arrival.sequence))
            self._came.notify_all()
        return act

    def _answer(self) -> Answer:
        if self.refusing:
            return 503, 503
        if self._luck.random() >= self.faults:
            return 200, 200
        return self._luck.choices(FAULTS, WEIGHTS)[0]


def _later(handler: BaseHTTPRequestHandler) -> None:
    """Ask to be left alone for a second."""
    handler.send_response(503)
    handler.send_header("Retry-After", "1")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _reset(handler: BaseHTTPRequestHandler) -> None:
    """Take all that was sent, and reset the connection instead of an answer."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.close_connection = True


def _hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Begin an answer and close in the middle of its first line."""
    handler.wfile.write(b"HTTP/1.1 2")
    handler.close_connection = True


def _slowly(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(SLOW)
    handler.send_response(200)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


FAULTS: list[Answer] = [
    (500, 500), (None, _reset), (None, _hang_up), (200, _slowly), (503, _later),
]  # fmt: skip
WEIGHTS = [8, 5, 3, 3, 1]  # one that asks for peace stops a whole lane: it is rare
