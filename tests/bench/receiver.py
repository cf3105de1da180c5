"""`python -m tests.bench.receiver PORT SECONDS`: takes every request, and answers so much later.

It is the same for all who deliver and must hold up none of them: bare sockets, kept alive, and no
more of HTTP than where a request ends. `GET /count` says how many others came.
"""

import selectors
import socket
import sys
from collections import deque
from http.client import HTTPConnection
from time import monotonic

COUNT_REQUEST = b"GET /count "
RESPONSE_TEMPLATE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
)
DEFAULT_RESPONSE = RESPONSE_TEMPLATE % (2, b"{}")
CONTENT_LENGTH_HEADER = b"\r\ncontent-length:"


class RequestCounter:
    """Asks a receiver how many requests came."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port)

    def __call__(self) -> int:
        """Return how many, the asking itself aside."""
        self._connection.request("GET", "/count")
        return int(self._connection.getresponse().read())

    def __enter__(self) -> "RequestCounter":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class CountingReceiver:
    """Any number of connections in one thread."""

    def __init__(self, port: int, delay_seconds: float) -> None:
        self._selector = selectors.DefaultSelector()
        self._delay_seconds = delay_seconds
        self._count = 0
        self._delayed_responses: deque[tuple[float, socket.socket]] = (
            deque()
        )  # in order: the delay is one
        # On every address of this machine, so that it can be many hosts: 127.0.0.1, 127.0.0.2, …
        self._listener = socket.create_server(("0.0.0.0", port), backlog=1024)
        self._selector.register(self._listener, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Serve until the process is ended."""
        while True:
            for key, _ in self._selector.select(self._seconds_until_next()):
                if key.data is None:
                    self._accept()
                else:
                    self._read(key.fileobj, key.data)  # type: ignore[arg-type]
            while self._delayed_responses and self._delayed_responses[0][0] <= monotonic():
                _send(self._delayed_responses.popleft()[1], DEFAULT_RESPONSE)

    def _seconds_until_next(self) -> float | None:
        return (
            max(0.0, self._delayed_responses[0][0] - monotonic())
            if self._delayed_responses
            else None
        )

    def _accept(self) -> None:
        line, _ = self._listener.accept()
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(line, selectors.EVENT_READ, bytearray())

    def _read(self, connection: socket.socket, buffer: bytearray) -> None:
        try:
            came = connection.recv(65536)
        except ConnectionError:
            came = b""
        if not came:
            self._selector.unregister(connection)
            connection.close()
            return
        buffer += came
        while end := _request_end(buffer):
            asked = buffer.startswith(COUNT_REQUEST)
            del buffer[:end]
            self._respond(connection, is_count_request=asked)

    def _respond(self, connection: socket.socket, *, is_count_request: bool) -> None:
        if is_count_request:
            _send(connection, RESPONSE_TEMPLATE % (len(b"%d" % self._count), b"%d" % self._count))
            return
        self._count += 1
        if self._delay_seconds:
            self._delayed_responses.append((monotonic() + self._delay_seconds, connection))
        else:
            _send(connection, DEFAULT_RESPONSE)


def _request_end(buffer: bytearray) -> int:
    """Return where the first request ends, or 0 when it is not whole yet."""
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return 0
    named = buffer[:head].lower()
    at = named.find(CONTENT_LENGTH_HEADER)
    length = int(named[at + len(CONTENT_LENGTH_HEADER) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    end = head + 4 + length
    return end if len(buffer) >= end else 0


def _send(connection: socket.socket, response: bytes) -> None:
    try:
        connection.sendall(response)
    except OSError:
        return  # who hung up wants no answer


if __name__ == "__main__":
    CountingReceiver(int(sys.argv[1]), float(sys.argv[2])).run()
