"""The ATS of a scenario: it records every request, and fails at random."""

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

SLOW_RESPONSE_SECONDS = 0.3
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close sends a reset
KEY_HEADER, SEQUENCE_HEADER = "Idempotency-Key", "X-Provider-Sequence"

PlannedResponse = tuple[int | None, int | Behaviour]  # the recorded status code, and the action


class CallbackReceiver(FakeAts):
    """A `FakeAts` that records callbacks; `fault_rate` is the share of requests that fail."""

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
        """The number of accepted statuses, each counted once."""
        return len(self._accepted)

    def wait_until(self, condition: Callable[["CallbackReceiver"], bool], timeout: float) -> bool:
        """Wait until `condition` is true. Return False after `timeout` seconds."""
        with self._condition:
            return self._condition.wait_for(lambda: condition(self), timeout)

    def record_request(self, request: ReceivedRequest) -> int | Behaviour:
        """Record a request with its planned response; return how to respond."""
        with self._condition:
            status_code, respond = self._plan_response(request)
            callback = ReceivedCallback(
                request.path,
                request.headers.get(KEY_HEADER),
                request.headers.get(SEQUENCE_HEADER),
                request.body,
                status_code,
                self._clock(),
                SLOW_RESPONSE_SECONDS if respond is _respond_slowly else 0.0,
            )
            self.callbacks.append(callback)
            if callback.is_accepted:
                self._accepted.add((callback.order, callback.sequence))
            self._condition.notify_all()
        return respond

    def _plan_response(self, request: ReceivedRequest) -> PlannedResponse:
        if self.is_refusing:
            return 503, 503
        if self._rng.random() >= self.fault_rate:
            return 200, 200
        return self._rng.choices(FAULTS, FAULT_WEIGHTS)[0]


class UnresponsiveServer:
    """A port on every loopback address that never answers.

    The server accepts connections and stays silent, or resets them at once.
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
        for open_socket in (*self._open_connections, self._listener):
            open_socket.close()

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
    """A port on every loopback address that accepts each request after a delay."""

    def __init__(self, delay_seconds: float) -> None:
        super().__init__("0.0.0.0")
        self.port = self._server.server_port
        self._delay_seconds, self._closing = delay_seconds, threading.Event()

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        super().__exit__(*exc_info)

    def record_request(self, request: ReceivedRequest) -> Behaviour:
        super().record_request(request)
        return self._respond_late

    def _respond_late(self, handler: BaseHTTPRequestHandler) -> None:
        self._closing.wait(self._delay_seconds)
        respond_with(200)(handler)


class FailFirstReceiver(CallbackReceiver):
    """Fails the first attempt of every other status of an order, and accepts all others."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._seen_keys: set[str | None] = set()

    def _plan_response(self, request: ReceivedRequest) -> PlannedResponse:
        key = request.headers.get(KEY_HEADER)
        is_odd = request.headers.get(SEQUENCE_HEADER, "0")[-1] in "13579"
        is_first = key not in self._seen_keys
        self._seen_keys.add(key)
        return self._rng.choice(QUICK_FAULTS) if is_first and is_odd else (200, 200)


def _ask_to_retry_later(handler: BaseHTTPRequestHandler) -> None:
    respond_with(503, Retry_After="1")(handler)


def _reset_connection(handler: BaseHTTPRequestHandler) -> None:
    """Read the request, then reset the connection instead of responding."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    handler.close_connection = True


def _hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection in the middle of the response's first line."""
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
FAULT_WEIGHTS = [8, 5, 3, 3, 1]  # Retry-After is rare, because it pauses a whole queue
QUICK_FAULTS: list[PlannedResponse] = [
    (500, 500),
    (None, _reset_connection),
    (None, _hang_up),
    (503, _ask_to_retry_later),
]
