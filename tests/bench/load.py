"""The load: a few keep-alive sockets in a process of its own, cheap and the same for everybody."""

import multiprocessing
import selectors
import socket
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

COUNTER = b"########"  # in a request: replaced by its number, of the same length


@dataclass(frozen=True)
class Load:
    """What came of it: answers, seconds, and each answer's wait in seconds."""

    seconds: float
    waits: list[float] = field(repr=False)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.waits) / self.seconds


def get(path: str, token: str = "") -> bytes:
    """Return a GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{_bearer(token)}\r\n".encode()


def post(path: str, body: bytes, token: str = "", **headers: str) -> bytes:
    """Return a POST as it goes over the wire, of JSON unless headers say otherwise."""
    named = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{_bearer(token)}{lines}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Loader:
    """The process that makes the load; `pace` requests a second, or as many as are answered."""

    def __enter__(self) -> "Loader":
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def drive(
        self,
        port: int,
        requests: Sequence[bytes],
        *,
        seconds: float,
        lines: int = 8,
        first: int = 0,
        pace: float | None = None,
    ) -> Load:
        """Send the requests in turn on so many lines; RuntimeError for an answer that is no 2xx."""
        return self._pool.submit(_drive, port, requests, seconds, lines, first, pace).result()


class _Line:
    """One connection with at most one request on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._read = b""

    def send(self, request: bytes, due: float) -> None:
        self.due, self._read = due, b""
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Take what came; True when the answer is whole."""
        came = self.socket.recv(65536)
        if not came:
            raise RuntimeError("the server hung up")
        self._read += came
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return False
        if not head.startswith((b"HTTP/1.1 2", b"HTTP/1.1 30")):
            raise RuntimeError(f"the server answered {self._read[:2000]!r}")
        return True


def _drive(
    port: int, requests: Sequence[bytes], seconds: float, lines: int, first: int, pace: float | None
) -> Load:
    free = deque(_Line(port) for _ in range(lines))
    with selectors.DefaultSelector() as selector:
        for line in free:
            selector.register(line.socket, selectors.EVENT_READ, line)
        try:
            return _exchange(selector, free, requests, seconds, first, pace)
        finally:
            for key in list(selector.get_map().values()):
                key.data.socket.close()


def _exchange(
    selector: selectors.BaseSelector,
    free: deque[_Line],
    requests: Sequence[bytes],
    seconds: float,
    first: int,
    pace: float | None,
) -> Load:
    lines, sent = len(free), 0
    waits: list[float] = []
    began = now = perf_counter()
    while now < began + seconds or len(free) < lines:
        # A paced request's wait counts from when it was due: a server that stalls must not gain.
        due = began + sent / pace if pace else now
        while free and due <= now < began + seconds:
            request = requests[sent % len(requests)].replace(COUNTER, b"%08d" % (first + sent))
            free.popleft().send(request, due)
            sent += 1
            due = began + sent / pace if pace else now
        for key, _ in selector.select(max(0.0, due - now) if pace else None):
            if key.data.answered():
                waits.append(perf_counter() - key.data.due)
                free.append(key.data)
        now = perf_counter()
    return Load(now - began, waits)


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise RuntimeError(f"an answer without a length: {head!r}")
    return int(rest.partition(b"\r\n")[0])


def _bearer(token: str) -> str:
    return f"Authorization: Bearer {token}\r\n" if token else ""
