"""Clients that hold a server up: they send bodies byte by byte, or never read a response."""

import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, cycle
from typing import Self

HOST = "127.0.0.1"  # in every request
ADDRESS_COUNT = 50  # from which the clients come
PHASES = 10  # of a tick: clients of the internet do not send at the same moment
UNREAD_BUFFER_BYTES = 4096  # of a client that does not read


@dataclass(frozen=True)
class HostileClient:
    """A request whose `drip` is sent again at every tick; without a drip, nothing is read."""

    request: bytes
    drip: bytes = b""


def dripped_body(path: str) -> HostileClient:
    """Return a client that sends one byte of a form at a time."""
    return HostileClient(_head("POST", path, 100_000, "application/x-www-form-urlencoded"), b"x")


def slow_upload(path: str, size: int, bytes_per_tick: int) -> HostileClient:
    """Return a client that sends a piece of a recording slowly."""
    return HostileClient(
        _head("PATCH", path, size, "application/offset+octet-stream"), b"x" * bytes_per_tick
    )


def unread_download(path: str, cookie: str = "") -> HostileClient:
    """Return a client that requests a file and reads nothing."""
    lines = f"Host: {HOST}\r\nCookie: {cookie}\r\n\r\n"
    return HostileClient(f"GET {path} HTTP/1.1\r\n{lines}".encode())


class HostileClients:
    """Hostile clients at work, in a thread; with `reconnect`, a closed one begins again.

    The clients connect one after another within `ramp_seconds`, before the block begins.
    """

    def __init__(
        self,
        port: int,
        clients: Sequence[HostileClient],
        tick_seconds: float,
        *,
        reconnect: bool = False,
        ramp_seconds: float = 0.0,
    ) -> None:
        self._ramp_seconds = ramp_seconds
        self._port, self._tick_seconds, self._reconnect = port, tick_seconds, reconnect
        self._clients = clients
        self._sockets: dict[socket.socket, HostileClient] = {}
        self._numbers = count()
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="hostile-clients")
        self.closed_count = 0  # connections that the server closed

    def __enter__(self) -> Self:
        for client in self._clients:
            self._connect(client)
            self._stopping.wait(self._ramp_seconds / len(self._clients))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for connection in self._sockets:
            connection.close()

    @property
    def open_count(self) -> int:
        """The number of connections."""
        return len(self._sockets)

    def wait_until_closed(self, count: int, timeout_seconds: float) -> bool:
        """Return whether the server closes so many connections in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.closed_count >= count, timeout_seconds)

    def _run(self) -> None:
        for phase in cycle(range(PHASES)):
            if self._stopping.wait(self._tick_seconds / PHASES):
                return
            for connection, client in list(self._sockets.items())[phase::PHASES]:
                if client.drip and not self._send_drip(connection, client.drip):
                    self._replace(connection)

    def _connect(self, client: HostileClient) -> None:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BUFFER_BYTES)
        connection.bind((f"127.0.1.{next(self._numbers) % ADDRESS_COUNT + 1}", 0))
        connection.settimeout(10)
        connection.connect(("127.0.0.1", self._port))
        connection.sendall(client.request)
        connection.setblocking(False)
        self._sockets[connection] = client

    def _send_drip(self, connection: socket.socket, drip: bytes) -> bool:
        """Return False once the server has closed the connection, or answered."""
        try:
            connection.send(drip)
            connection.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _replace(self, connection: socket.socket) -> None:
        client = self._sockets.pop(connection)
        connection.close()
        with self._changed:
            self.closed_count += 1
            self._changed.notify_all()
        if self._reconnect:
            self._connect(client)


def _head(method: str, path: str, size: int, content_type: str) -> bytes:
    lines = f"Host: {HOST}\r\nContent-Type: {content_type}\r\nContent-Length: {size}\r\n\r\n"
    return f"{method} {path} HTTP/1.1\r\n{lines}".encode()
