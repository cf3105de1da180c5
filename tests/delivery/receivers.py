"""A receiver that follows a script byte for byte, and functions that send to it."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from provider.ats import CallbackRequest, CallbackResponse
from provider.delivery.channels.callback import send_callback
from provider.delivery.http import client as client_module
from provider.delivery.http.client import HttpClient, RequestFailed

SHORT_DEADLINE_SECONDS = 0.3  # for receivers that never answer
Behaviour = Callable[[socket.socket], None]
ResolvedAddresses = Callable[[], list[str]]  # returns the addresses of a name

TIMEOUT_ERROR = "The receiver did not answer in time"
NO_RESPONSE_ERROR = "The receiver hung up without an answer"
UNREACHABLE_ERROR = "The receiver could not be reached"
TLS_ERROR = "The receiver's certificate or TLS is not right"
INVALID_HTTP_ERROR = "The receiver's answer is not HTTP"


class ScriptedReceiver:
    """Accepts connections; each runs the next behaviour, and the last behaviour repeats."""

    def __init__(self) -> None:
        self.behaviours: list[Behaviour] = []
        self.requests: list[bytes] = []
        self.test_ended = threading.Event()  # ends slow behaviours
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/x"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def add_behaviours(self, *behaviours: Behaviour) -> None:
        self.behaviours.extend(behaviours)

    def read_request(self, sock: socket.socket) -> bytes:
        """Read one request and record it."""
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"}"):
            chunk = sock.recv(65536)
            if not chunk:
                return b""
            received += chunk
        self.requests.append(received)
        return received

    def close(self) -> None:
        self.test_ended.set()
        with contextlib.suppress(OSError):  # it may be closed already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                behaviour = self.behaviours.pop(0) if self.behaviours[1:] else self.behaviours[0]
                thread = threading.Thread(target=self._run_behaviour, args=(behaviour, sock))
                thread.start()
                self._threads.append(thread)

    def _run_behaviour(self, behaviour: Behaviour, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            behaviour(sock)

    def respond_with(self, *responses: bytes, then: Behaviour | None = None) -> Behaviour:
        """Return a behaviour that sends a response per request, runs `then`, and closes."""

        def behave(sock: socket.socket) -> None:
            for response in responses:
                if self.read_request(sock):
                    sock.sendall(response)
            if then:
                then(sock)

        return behave

    def respond_slowly(self, head: bytes, chunk: bytes) -> Behaviour:
        """Return a behaviour that sends `head` and then `chunk` every 20 ms without end."""

        def behave(sock: socket.socket) -> None:
            self.read_request(sock)
            sock.sendall(head)
            while not self.test_ended.wait(0.02):
                sock.sendall(chunk)

        return behave

    def keep_open(self, _sock: socket.socket) -> None:
        """Keep the connection open without sending."""
        self.test_ended.wait(10)


def put_request(url: str) -> CallbackRequest:
    return CallbackRequest("PUT", url, {"Authorization": "Bearer cb-token"})


def send_within_deadline(http_client: HttpClient, url: str) -> CallbackResponse:
    """Send, and check that it takes at most the deadline and a second."""
    started_at = time.monotonic()
    try:
        return send_callback(http_client, put_request(url), b'{"a": 1}', {"Idempotency-Key": "k"})
    finally:
        assert time.monotonic() - started_at < client_module.TIMEOUT_SECONDS + 1


def failure_message(http_client: HttpClient, url: str) -> str:
    """Send and return the text of the error."""
    with pytest.raises(RequestFailed) as caught:
        send_within_deadline(http_client, url)
    return str(caught.value)
