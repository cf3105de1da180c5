"""The ATS's side of a proof: it keeps every request as it came, and fails as the dice say."""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Self

from tests.endurance.verdict import ReceivedCallback
from tests.fake_ats import Behaviour, FakeAts, ReceivedRequest, respond_with

SLOW_RESPONSE_SECONDS = 0.3  # seconds
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # a socket that is closed so sends a reset
KEY_HEADER, SEQUENCE_HEADER = "Idempotency-Key", "X-Provider-Sequence"

PlannedResponse = tuple[int | None, int | Behaviour]  # what is noted as answered, and what is done


class CallbackReceiver(FakeAts):
    """A `FakeAts` with a history; `faults` is the share of requests that go wrong."""

    def __init__(
        self,
        rng: random.Random,
        fault_rate: float = 0.0,
        host: str = "127.0.0.1",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host)
        self._clock = clock
        self.callbacks: list[ReceivedCallback] = []
        self.fault_rate = fault_rate
        self.is_refusing = False
        self._accepted: set[tuple[str, str | None]] = set()
        self._rng = rng

    @property
    def accepted_count(self) -> int:
        """How many statuses were taken, each counted once."""
        return len(self._accepted)

    def wait_until(self, condition: Callable[["CallbackReceiver"], bool], timeout: float) -> bool:
        """Wait until something holds of it; False after `timeout` seconds."""
        with self._condition:
            return self._condition.wait_for(lambda: condition(self), timeout)

    def record_request(self, request: ReceivedRequest) -> int | Behaviour:
        """Keep a request with what it will be answered, then let that be done."""
        with self._condition:
            code, act = self._plan_response(request)
            arrival = ReceivedCallback(
                request.path,
                request.headers.get(KEY_HEADER),
                request.headers.get(SEQUENCE_HEADER),
                request.body,
                code,
                self._clock(),
                SLOW_RESPONSE_SECONDS if act is _respond_slowly else 0.0,
            )
            self.callbacks.append(arrival)
            if arrival.is_accepted:
                self._accepted.add((arrival.order, arrival.sequence))
            self._condition.notify_all()
        return act

    def _plan_response(self, request: ReceivedRequest) -> PlannedResponse:
        if self.is_refusing:
            return 503, 503
        if self._rng.random() >= self.fault_rate:
            return 200, 200
        return self._rng.choices(FAULTS, FAULT_WEIGHTS)[0]


class UnresponsiveServer:
    """A port of every host of this machine where nobody is at home.

    It accepts and never answers, or resets at once.
    """

    def __init__(self, *, resets_connections: bool) -> None:
        self._resets_connections = resets_connections
        self._listener = socket.create_server(("0.0.0.0", 0), backlog=512)
        self._open_connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (*self._open_connections, self._listener):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._resets_connections:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                connection.close()
            else:
                self._open_connections.append(connection)


class SlowServer(FakeAts):
    """A port of every host of this machine where all is taken, `seconds` after it came."""

    def __init__(self, delay_seconds: float) -> None:
        super().__init__("0.0.0.0")
        self.port = self._server.server_port
        self._delay_seconds, self._closing = delay_seconds, threading.Event()

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        super().__exit__(*exc_info)

    def record_request(self, request: ReceivedRequest) -> Behaviour:
        """Keep a request, and take it after a while."""
        super().record_request(request)
        return self._respond_late

    def _respond_late(self, handler: BaseHTTPRequestHandler) -> None:
        self._closing.wait(self._delay_seconds)
        respond_with(200)(handler)


class FailFirstReceiver(CallbackReceiver):
    """Lets the first try of every other status of an order fail, and takes all else."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._seen_keys: set[str | None] = set()

    def _plan_response(self, request: ReceivedRequest) -> PlannedResponse:
        key, odd = (
            request.headers.get(KEY_HEADER),
            request.headers.get(SEQUENCE_HEADER, "0")[-1] in "13579",
        )
        first = key not in self._seen_keys
        self._seen_keys.add(key)
        return self._rng.choice(QUICK_FAULTS) if first and odd else (200, 200)


def _ask_to_retry_later(handler: BaseHTTPRequestHandler) -> None:
    """Ask to be left alone for a second."""
    respond_with(503, Retry_After="1")(handler)


def _reset_connection(handler: BaseHTTPRequestHandler) -> None:
    """Take all that was sent, and reset the connection instead of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    handler.close_connection = True


def _hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Begin an answer and close in the middle of its first line."""
    handler.wfile.write(b"HTTP/1.1 2")
    handler.close_connection = True


def _respond_slowly(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(SLOW_RESPONSE_SECONDS)
    respond_with(200)(handler)


FAULTS: list[PlannedResponse] = [
    (500, 500),
    (None, _reset_connection),
    (None, _hang_up),
    (200, _respond_slowly),
    (503, _ask_to_retry_later),
]
FAULT_WEIGHTS = [8, 5, 3, 3, 1]  # one that asks for peace stops a whole lane: it is rare
QUICK_FAULTS: list[PlannedResponse] = [
    (500, 500),
    (None, _reset_connection),
    (None, _hang_up),
    (503, _ask_to_retry_later),
]
