"""The load: a few keep-alive sockets in a process of its own, cheap and the same for everybody."""

import multiprocessing
import selectors
import socket
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

COUNTER_PLACEHOLDER = b"########"  # in a request: replaced by its number, of the same length


@dataclass(frozen=True)
class LoadResult:
    """What came of it: answers, seconds, and each answer's wait in seconds."""

    seconds: float
    latencies: list[float] = field(repr=False)

    @property
    def requests_per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


def get_request(path: str, token: str = "") -> bytes:
    """Return a GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{_authorization_header(token)}\r\n".encode()


def post_request(path: str, body: bytes, token: str = "", **headers: str) -> bytes:
    """Return a POST as it goes over the wire, of JSON unless headers say otherwise."""
    named = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{_authorization_header(token)}{lines}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class LoadGenerator:
    """The process that makes the load; `pace` requests a second, or as many as are answered."""

    def __enter__(self) -> "LoadGenerator":
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def run(
        self,
        port: int,
        requests: Sequence[bytes],
        *,
        seconds: float,
        connection_count: int = 8,
        first_number: int = 0,
        target_rate: float | None = None,
    ) -> LoadResult:
        """Send the requests in turn on so many lines; RuntimeError for an answer that is no 2xx."""
        return self._pool.submit(
            _run_load, port, requests, seconds, connection_count, first_number, target_rate
        ).result()


class _Connection:
    """One connection with at most one request on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._received = b""

    def send(self, request: bytes, due: float) -> None:
        self.due, self._received = due, b""
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what came; True when the answer is whole."""
        came = self.socket.recv(65536)
        if not came:
            raise RuntimeError("the server hung up")
        self._received += came
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _content_length(head):
            return False
        if not head.startswith((b"HTTP/1.1 2", b"HTTP/1.1 30")):
            raise RuntimeError(f"the server answered {self._received[:2000]!r}")
        return True


def _run_load(
    port: int,
    requests: Sequence[bytes],
    seconds: float,
    connection_count: int,
    first_number: int,
    target_rate: float | None,
) -> LoadResult:
    free = deque(_Connection(port) for _ in range(connection_count))
    with selectors.DefaultSelector() as selector:
        for line in free:
            selector.register(line.socket, selectors.EVENT_READ, line)
        try:
            return _send_requests(selector, free, requests, seconds, first_number, target_rate)
        finally:
            for key in list(selector.get_map().values()):
                key.data.socket.close()


def _send_requests(
    selector: selectors.BaseSelector,
    idle_connections: deque[_Connection],
    requests: Sequence[bytes],
    seconds: float,
    first_number: int,
    target_rate: float | None,
) -> LoadResult:
    lines, sent = len(idle_connections), 0
    waits: list[float] = []
    began = now = perf_counter()
    while now < began + seconds or len(idle_connections) < lines:
        # A paced request's wait counts from when it was due: a server that stalls must not gain.
        due = began + sent / target_rate if target_rate else now
        while idle_connections and due <= now < began + seconds:
            request = requests[sent % len(requests)].replace(
                COUNTER_PLACEHOLDER, b"%08d" % (first_number + sent)
            )
            idle_connections.popleft().send(request, due)
            sent += 1
            due = began + sent / target_rate if target_rate else now
        for key, _ in selector.select(max(0.0, due - now) if target_rate else None):
            if key.data.answered():
                waits.append(perf_counter() - key.data.due)
                idle_connections.append(key.data)
        now = perf_counter()
    return LoadResult(now - began, waits)


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise RuntimeError(f"an answer without a length: {head!r}")
    return int(rest.partition(b"\r\n")[0])


def _authorization_header(token: str) -> str:
    return f"Authorization: Bearer {token}\r\n" if token else ""
