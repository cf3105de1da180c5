"""`python -m tests.bench.receiver PORT SECONDS` accepts every request and answers after a delay.

The receiver is the same for all contenders and must slow down none: bare keep-alive sockets that
parse no more of HTTP than the end of a request. `GET /count` returns the number of other requests.
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
    """Asks a receiver how many requests it has received."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port)

    def __call__(self) -> int:
        """Return the number of requests, without those to /count."""
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
        # In order of their due times, because all delays are equal.
        self._delayed_responses: deque[tuple[float, socket.socket]] = deque()
        # Every loopback address is accepted, so that the receiver can be many hosts.
        self._listener = socket.create_server(("0.0.0.0", port), backlog=1024)
        self._selector.register(self._listener, selectors.EVENT_READ, None)

    def run(self) -> None:
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
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(connection, selectors.EVENT_READ, bytearray())

    def _read(self, connection: socket.socket, buffer: bytearray) -> None:
        try:
            received = connection.recv(65536)
        except ConnectionError:
            received = b""
        if not received:
            self._selector.unregister(connection)
            connection.close()
            return
        buffer += received
        while end := _request_end(buffer):
            is_count_request = buffer.startswith(COUNT_REQUEST)
            del buffer[:end]
            self._respond(connection, is_count_request=is_count_request)

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
    """Return the end of the first request, or 0 while the request is incomplete."""
    head_end = buffer.find(b"\r\n\r\n")
    if head_end < 0:
        return 0
    head = buffer[:head_end].lower()
    position = head.find(CONTENT_LENGTH_HEADER)
    length = (
        int(head[position + len(CONTENT_LENGTH_HEADER) :].split(b"\r\n", 1)[0])
        if position >= 0
        else 0
    )
    end = head_end + 4 + length
    return end if len(buffer) >= end else 0


def _send(connection: socket.socket, response: bytes) -> None:
    try:
        connection.sendall(response)
    except OSError:
        return  # the client has closed the connection


if __name__ == "__main__":
    CountingReceiver(int(sys.argv[1]), float(sys.argv[2])).run()
