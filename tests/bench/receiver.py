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

COUNT = b"GET /count "
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
DONE = ANSWER % (2, b"{}")
LENGTH = b"\r\ncontent-length:"


class Counter:
    """Asks a receiver how many requests came."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port)

    def __call__(self) -> int:
        """Return how many, the asking itself aside."""
        self._connection.request("GET", "/count")
        return int(self._connection.getresponse().read())

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class Receiver:
    """Any number of connections in one thread."""

    def __init__(self, port: int, delay: float) -> None:
        self._selector = selectors.DefaultSelector()
        self._delay = delay
        self._came = 0
        self._later: deque[tuple[float, socket.socket]] = deque()  # in order: the delay is one
        # On every address of this machine, so that it can be many hosts: 127.0.0.1, 127.0.0.2, …
        self._door = socket.create_server(("0.0.0.0", port), backlog=1024)
        self._selector.register(self._door, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Serve until the process is ended."""
        while True:
            for key, _ in self._selector.select(self._pause()):
                if key.data is None:
                    self._welcome()
                else:
                    self._read(key.fileobj, key.data)  # type: ignore[arg-type]
            while self._later and self._later[0][0] <= monotonic():
                _send(self._later.popleft()[1], DONE)

    def _pause(self) -> float | None:
        return max(0.0, self._later[0][0] - monotonic()) if self._later else None

    def _welcome(self) -> None:
        line, _ = self._door.accept()
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(line, selectors.EVENT_READ, bytearray())

    def _read(self, line: socket.socket, read: bytearray) -> None:
        try:
            came = line.recv(65536)
        except ConnectionError:
            came = b""
        if not came:
            self._selector.unregister(line)
            line.close()
            return
        read += came
        while end := _end(read):
            asked = read.startswith(COUNT)
            del read[:end]
            self._answer(line, asked=asked)

    def _answer(self, line: socket.socket, *, asked: bool) -> None:
        if asked:
            _send(line, ANSWER % (len(b"%d" % self._came), b"%d" % self._came))
            return
        self._came += 1
        if self._delay:
            self._later.append((monotonic() + self._delay, line))
        else:
            _send(line, DONE)


def _end(read: bytearray) -> int:
    """Return where the first request ends, or 0 when it is not whole yet."""
    head = read.find(b"\r\n\r\n")
    if head < 0:
        return 0
    named = read[:head].lower()
    at = named.find(LENGTH)
    length = int(named[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    end = head + 4 + length
    return end if len(read) >= end else 0


def _send(line: socket.socket, answer: bytes) -> None:
    try:
        line.sendall(answer)
    except OSError:
        return  # who hung up wants no answer


if __name__ == "__main__":
    Receiver(int(sys.argv[1]), float(sys.argv[2])).run()
