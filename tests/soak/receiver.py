"""The ATS's side of a proof: it keeps every request as it came, and fails as the dice say."""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Self

from tests.fake_ats import Behaviour, FakeAts, Received, answering
from tests.soak.history import Arrival

SLOW = 0.3  # seconds
AT_ONCE = struct.pack("ii", 1, 0)  # a socket that is closed so sends a reset
KEY, SEQUENCE = "Idempotency-Key", "X-Provider-Sequence"

Answer = tuple[int | None, int | Behaviour]  # what is noted as answered, and what is done


class Receiver(FakeAts):
    """A `FakeAts` with a history; `faults` is the share of requests that go wrong."""

    def __init__(
        self,
        luck: random.Random,
        faults: float = 0.0,
        host: str = "127.0.0.1",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host)
        self._clock = clock
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
            code, act = self._answer(request)
            arrival = Arrival(
                request.path, request.headers.get(KEY), request.headers.get(SEQUENCE),
                request.body, code, self._clock(), SLOW if act is _slowly else 0.0,
            )  # fmt: skip
            self.arrived.append(arrival)
            if arrival.taken:
                self._taken.add((arrival.order, arrival.sequence))
            self._came.notify_all()
        return act

    def _answer(self, request: Received) -> Answer:
        if self.refusing:
            return 503, 503
        if self._luck.random() >= self.faults:
            return 200, 200
        return self._luck.choices(FAULTS, WEIGHTS)[0]


class Dead:
    """A port of every host of this machine where nobody is at home.

    It accepts and never answers, or resets at once.
    """

    def __init__(self, *, resets: bool) -> None:
        self._resets = resets
        self._listening = socket.create_server(("0.0.0.0", 0), backlog=512)
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self.port = self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (*self._held, self._listening):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            if self._resets:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                connection.close()
            else:
                self._held.append(connection)


class Slow(FakeAts):
    """A port of every host of this machine where all is taken, `seconds` after it came."""

    def __init__(self, seconds: float) -> None:
        super().__init__("0.0.0.0")
        self.port = self._server.server_port
        self._seconds, self._closing = seconds, threading.Event()

    def __exit__(self, *told: object) -> None:
        self._closing.set()
        super().__exit__(*told)

    def note(self, request: Received) -> Behaviour:
        """Keep a request, and take it after a while."""
        super().note(request)
        return self._after_a_while

    def _after_a_while(self, handler: BaseHTTPRequestHandler) -> None:
        self._closing.wait(self._seconds)
        answering(200)(handler)


class Stubborn(Receiver):
    """Lets the first try of every other status of an order fail, and takes all else."""

    def __init__(self, luck: random.Random) -> None:
        super().__init__(luck)
        self._tried: set[str | None] = set()

    def _answer(self, request: Received) -> Answer:
        key, odd = request.headers.get(KEY), request.headers.get(SEQUENCE, "0")[-1] in "13579"
        first = key not in self._tried
        self._tried.add(key)
        return self._luck.choice(QUICK_FAULTS) if first and odd else (200, 200)


def _later(handler: BaseHTTPRequestHandler) -> None:
    """Ask to be left alone for a second."""
    answering(503, Retry_After="1")(handler)


def _reset(handler: BaseHTTPRequestHandler) -> None:
    """Take all that was sent, and reset the connection instead of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    handler.close_connection = True


def _hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Begin an answer and close in the middle of its first line."""
    handler.wfile.write(b"HTTP/1.1 2")
    handler.close_connection = True


def _slowly(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(SLOW)
    answering(200)(handler)


FAULTS: list[Answer] = [
    (500, 500), (None, _reset), (None, _hang_up), (200, _slowly), (503, _later),
]  # fmt: skip
WEIGHTS = [8, 5, 3, 3, 1]  # one that asks for peace stops a whole lane: it is rare
QUICK_FAULTS: list[Answer] = [(500, 500), (None, _reset), (None, _hang_up), (503, _later)]
