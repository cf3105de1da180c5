"""The HTTP server: waitress, with limits that hold against hostile clients.

The main thread receives a request before one of the few threads runs the app, and sends the
response after that thread has finished. Slow clients therefore hold no thread. A file is sent from
its place; any other large response waits in a temporary file.
"""

import json
import logging
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask

from provider.web import body_limits, request_bodies
from provider.web.request_bodies import MEMORY_BUFFER_BYTES, PieceBody
from provider.web.request_time import RECEIVE_SECONDS_KEY

REQUEST_THREADS = 8
MAX_CONNECTIONS = 8000
FILES_PER_CONNECTION = 3  # the socket, a body and a response, each larger than a memory buffer
OTHER_OPEN_FILES = 500  # databases, deliveries, modules
IDLE_TIMEOUT_SECONDS = 120  # of a connection that neither sends nor receives
STOP_TIMEOUT_SECONDS = 15.0  # for running requests and unsent responses
CHECK_INTERVAL_SECONDS = 1
RECEIVED_BYTES_PER_TURN = 64 * 1024
# One fast reader of a large file must not keep the main thread from the other connections.
SENT_BYTES_PER_TURN = 1024 * 1024
SENT_CHUNK_BYTES = 256 * 1024
# The kernel would let each unread download fill several MB of its memory.
SOCKET_SEND_BUFFER_BYTES = 128 * 1024  # the kernel doubles it
UNLIMITED_BYTES = 1 << 50
CHUNK_OVERHEAD_BYTES = 1024 * 1024  # of a body in chunks


class HttpServer(TcpWSGIServer):  # type: ignore[misc]
    """Serves a WSGI app at a bound socket, until `stop`."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        listener: socket.socket,
        request_timeout_seconds: float,
    ) -> None:
        self.channel_class = _Channel
        self._request_timeout_seconds = request_timeout_seconds
        self._is_stopping = False
        self._selector = selectors.DefaultSelector()
        self._interests: dict[int, int] = {}  # by file descriptor: the selector's events
        # Accepted sockets inherit this.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_SEND_BUFFER_BYTES)
        # A busy server would log a warning for each waiting request.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        adjustments = Adjustments(
            sockets=[listener],
            threads=REQUEST_THREADS,
            connection_limit=_raise_connection_limit(),
            channel_timeout=IDLE_TIMEOUT_SECONDS,
            cleanup_interval=CHECK_INTERVAL_SECONDS,
            recv_bytes=RECEIVED_BYTES_PER_TURN,
            inbuf_overflow=MEMORY_BUFFER_BYTES,
            outbuf_overflow=MEMORY_BUFFER_BYTES,
            # A thread that waited for a slow reader could run no other request.
            outbuf_high_watermark=UNLIMITED_BYTES,
            # The sizes of chunks count too.
            max_request_body_size=body_limits.MAX_DISCARDED_BYTES + CHUNK_OVERHEAD_BYTES,
            # The app decides which proxies it trusts.
            clear_untrusted_proxy_headers=False,
            log_socket_errors=False,
            ident=None,
        )
        super().__init__(
            app,
            map={},
            _sock=listener,
            adj=adjustments,
            bind_socket=False,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        )
        # The dispatchers (connections, the listener, the trigger) whose interest may have changed.
        self.changed: set[Any] = {self, self.trigger}

    def run(self) -> None:
        """Serve until `stop` is called; then finish the running requests and return."""
        while not self._is_stopping:
            self._poll(1.0)
        self._finish()

    def stop(self) -> None:
        """Make `run` end; a signal handler or another thread may call this."""
        if not self._is_stopping:
            # In this order: once `run` sees the flag, it may close the trigger.
            self.pull_trigger()
            self._is_stopping = True

    def maintenance(self, now: float) -> None:
        """Close idle connections, and those whose request has not arrived in time."""
        started_before = time.monotonic() - self._request_timeout_seconds
        for channel in list(self.active_channels.values()):
            if channel.is_overdue(started_before):
                channel.answer_overdue_request()
                channel.handle_close()
            elif channel.is_idle(now - self.adj.channel_timeout):
                # `will_close` would wait until the client reads.
                channel.handle_close()

    def forget(self, file_descriptor: int) -> None:
        """Remove a socket that is about to be closed from the selector."""
        if self._interests.pop(file_descriptor, 0):
            self._selector.unregister(file_descriptor)

    def _poll(self, timeout_seconds: float) -> None:
        """Handle what happens at the sockets.

        `wasyncore.poll2` asks every connection at each turn, so hundreds of idle ones use a core.
        """
        for dispatcher in list(self.changed):
            self._update_interest(dispatcher)
        for key, events in self._selector.select(timeout_seconds):
            self.changed.add(key.data)
            if events & selectors.EVENT_READ:
                wasyncore.read(key.data)
            if events & selectors.EVENT_WRITE and self._map.get(key.fd) is key.data:
                wasyncore.write(key.data)

    def _update_interest(self, dispatcher: Any) -> None:
        # Read first: a thread ends its request after everything else that it changes.
        is_running = bool(getattr(dispatcher, "requests", None))
        if not is_running and dispatcher is not self:
            self.changed.discard(dispatcher)
        events = selectors.EVENT_READ if dispatcher.readable() else 0
        if dispatcher.writable() and not dispatcher.accepting:
            events |= selectors.EVENT_WRITE
        file_descriptor = dispatcher._fileno
        if self._map.get(file_descriptor) is not dispatcher:
            self.changed.discard(dispatcher)
        elif not events:
            self.forget(file_descriptor)
        elif file_descriptor not in self._interests:
            self._selector.register(file_descriptor, events, dispatcher)
            self._interests[file_descriptor] = events
        elif self._interests[file_descriptor] != events:
            self._selector.modify(file_descriptor, events, dispatcher)
            self._interests[file_descriptor] = events

    def _finish(self) -> None:
        self.forget(self._fileno)
        self.changed.discard(self)
        wasyncore.dispatcher.close(self)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while self._close_idle_channels() and time.monotonic() < deadline:
            self._poll(0.1)
        self.task_dispatcher.shutdown(timeout=max(0.0, deadline - time.monotonic()))
        wasyncore.close_all(self._map)
        self._selector.close()

    def _close_idle_channels(self) -> bool:
        """Return whether a channel still has a running request or an unsent response."""
        for channel in list(self.active_channels.values()):
            if not channel.is_busy():
                channel.handle_close()
        return bool(self.active_channels)


class _RequestParser(HTTPRequestParser):  # type: ignore[misc]
    """Keeps a body up to its limit. A larger one is discarded; the app answers 413 by its size."""

    def __init__(self, adj: Adjustments) -> None:
        super().__init__(adj)
        self.began_at = time.monotonic()  # the first byte creates the parser

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.body_rcv is not None:
            self.body_rcv.buf = request_bodies.open_body(self.content_length, self.path)

    @property
    def window(self) -> memoryview | None:
        """The memory for the rest of a body in a piece buffer."""
        body = self.body_rcv.getbuf() if self.body_rcv else None
        return body.window if isinstance(body, PieceBody) else None


class _Task(WSGITask):  # type: ignore[misc]
    """Calls the app, and tells it how long the request took to arrive."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[RECEIVE_SECONDS_KEY] = time.monotonic() - self.request.began_at
        return environ

    def set_close_on_finish(self) -> None:
        """Close the connection after the response, unless a 204 or a 304 alone asks for it.

        waitress closes it because such a response has no Content-Length. Every piece of an upload
        would then need a new connection.
        """
        connection = self.request.headers.get("CONNECTION", "").lower()
        if self.has_body or self.version != "1.1" or connection == "close":
            super().set_close_on_finish()


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    """Answers a request that is no HTTP, or a failure while sending, in the contract's form."""

    def execute(self) -> None:
        error = self.request.error
        body = _error_body(error.code, error.reason)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection."""

    parser_class = _RequestParser
    task_class = _Task
    error_task_class = _ErrorTask
    request: _RequestParser | None
    requests: list[_RequestParser]
    sendbuf_len: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sendbuf_len = min(self.sendbuf_len, SENT_CHUNK_BYTES)
        self._bytes_left_in_turn = SENT_BYTES_PER_TURN

    def is_busy(self) -> bool:
        """Return whether a thread runs a request, or a response is not sent yet."""
        # In this order: a thread writes its response before it removes its request.
        return bool(self.requests) or self.total_outbufs_len > 0

    def is_idle(self, active_before: float) -> bool:
        """Return whether nothing was sent or received since this Unix time."""
        return not self.requests and bool(self.last_activity < active_before)

    def is_overdue(self, started_before: float) -> bool:
        """Return whether an incomplete request began before this monotonic time."""
        return (
            not self.requests
            and self.request is not None
            and self.request.began_at < started_before
        )

    def answer_overdue_request(self) -> None:
        """Send a 408, unless an earlier response still waits.

        A proxy that passes bodies on as they arrive would take a mere close for a broken server.
        """
        if self.total_outbufs_len:
            return
        # Unread bytes would turn the close into a reset, and the response could be lost.
        with suppress(OSError):
            self.socket.recv(RECEIVED_BYTES_PER_TURN)
        with suppress(OSError):
            self.socket.send(_overdue_response())

    def add_channel(self, map: dict[int, Any] | None = None) -> None:
        super().add_channel(map)
        self.server.changed.add(self)

    def del_channel(self, map: dict[int, Any] | None = None) -> None:
        self.server.forget(self._fileno)
        super().del_channel(map)

    def service(self) -> None:
        # A client that sends requests without reading responses could fill the disk.
        if self.total_outbufs_len > self.adj.outbuf_overflow:
            with self.requests_lock:
                self.close_when_flushed = True
                for request in self.requests:
                    request.close()
                self.requests = []
            self.server.pull_trigger()
        else:
            super().service()

    def recv(self, buffer_size: int) -> bytes | memoryview:
        """Receive into the piece buffer of a body; waitress receives everything else."""
        window = self.request.window if self.request else None
        if not window:
            data: bytes = super().recv(buffer_size)
            return data
        count = self.socket.recv_into(window)
        if not count:
            self.handle_close()
        return window[:count]

    def handle_write(self) -> None:
        self._bytes_left_in_turn = SENT_BYTES_PER_TURN
        super().handle_write()

    def send(self, data: bytes, do_close: bool = True) -> int:
        if self._bytes_left_in_turn <= 0:
            return 0
        sent: int = super().send(data, do_close=do_close)
        self._bytes_left_in_turn -= sent
        return sent


def _error_body(status: int, message: str) -> bytes:
    return json.dumps({"status": status, "message": message}).encode()


def _overdue_response() -> bytes:
    body = _error_body(408, "The request should arrive faster")
    head = (
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _raise_connection_limit() -> int:
    """Raise this process's limit of open files; return how many connections it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS * FILES_PER_CONNECTION + OTHER_OPEN_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(100, min(MAX_CONNECTIONS, (soft - OTHER_OPEN_FILES) // FILES_PER_CONNECTION))
