"""The load generator: a few keep-alive sockets in a process of its own."""

import multiprocessing
import selectors
import socket
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

COUNTER_PLACEHOLDER = b"########"  # replaced by the request's number, of the same length


@dataclass(frozen=True)
class LoadResult:
    """The duration of the load, and the latency of each response, in seconds."""

    seconds: float
    latencies: list[float] = field(repr=False)

    @property
    def requests_per_second(self) -> float:
        """Responses per second."""
        return len(self.latencies) / self.seconds


def get_request(path: str, token: str = "") -> bytes:
    """Return the bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_authorization_header(token)}\r\n".encode()


def post_request(path: str, body: bytes, token: str = "", **headers: str) -> bytes:
    """Return the bytes of a POST request, of JSON unless `headers` say otherwise."""
    all_headers = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_authorization_header(token)}{lines}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class LoadGenerator:
    """The process that sends requests, at a rate or as fast as they are answered."""

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
        """Send the requests in turn on several connections; RuntimeError for an error response."""
        return self._pool.submit(
            _run_load, port, requests, seconds, connection_count, first_number, target_rate
        ).result()


class _Connection:
    """A connection with at most one request in flight."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._received = b""

    def send(self, request: bytes, due: float) -> None:
        self.due, self._received = due, b""
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what has arrived. Return True when the response is complete."""
        received = self.socket.recv(65536)
        if not received:
            raise RuntimeError("the server closed the connection")
        self._received += received
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
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
    idle_connections = deque(_Connection(port) for _ in range(connection_count))
    with selectors.DefaultSelector() as selector:
        for connection in idle_connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        try:
            return _send_requests(
                selector, idle_connections, requests, seconds, first_number, target_rate
            )
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
    connection_count, sent = len(idle_connections), 0
    latencies: list[float] = []
    started_at = now = perf_counter()
    while now < started_at + seconds or len(idle_connections) < connection_count:
        # Latency counts from the due time, so that a stalled server does not look faster.
        due = started_at + sent / target_rate if target_rate else now
        while idle_connections and due <= now < started_at + seconds:
            request = requests[sent % len(requests)].replace(
                COUNTER_PLACEHOLDER, b"%08d" % (first_number + sent)
            )
            idle_connections.popleft().send(request, due)
            sent += 1
            due = started_at + sent / target_rate if target_rate else now
        for key, _ in selector.select(max(0.0, due - now) if target_rate else None):
            if key.data.receive():
                latencies.append(perf_counter() - key.data.due)
                idle_connections.append(key.data)
        now = perf_counter()
    return LoadResult(now - started_at, latencies)


def _content_length(head: bytes) -> int:
    _, separator, rest = head.lower().partition(b"\r\ncontent-length:")
    if not separator:
        raise RuntimeError(f"a response without Content-Length: {head!r}")
    return int(rest.partition(b"\r\n")[0])


def _authorization_header(token: str) -> str:
    return f"Authorization: Bearer {token}\r\n" if token else ""
