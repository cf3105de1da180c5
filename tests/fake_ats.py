"""A local HTTP server that plays the ATS: it records its requests and fails on demand."""

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.local_server import LocalServer

Behaviour = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeAts(LocalServer):
    """Answers 200, or with the next of `responses`: a status code or a function of the handler."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.received: list[ReceivedRequest] = []
        self.responses: deque[int | Behaviour] = deque()
        self._condition = threading.Condition()
        self.host = host
        super().__init__(_handler_class(self), host)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[ReceivedRequest]:
        """Return all requests once `count` have arrived; fail after `timeout` seconds."""
        with self._condition:
            arrived = self._condition.wait_for(lambda: len(self.received) >= count, timeout)
            assert arrived, f"{len(self.received)} of {count} requests arrived in {timeout} s"
            return list(self.received)

    def record_request(self, request: ReceivedRequest) -> int | Behaviour:
        with self._condition:
            response = self.responses.popleft() if self.responses else 200
            self.received.append(request)
            self._condition.notify_all()
        return response


def respond_with(code: int, **headers: str) -> Behaviour:
    """Return a behaviour that sends `code` and `headers`, in whose names `_` stands for `-`."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in ({"Content-Length": "0"} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return respond


def _handler_class(ats: FakeAts) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # With Nagle's algorithm the body would wait for the acknowledgement of the head.
        disable_nagle_algorithm = True

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            response = ats.record_request(
                ReceivedRequest(self.command, self.path, dict(self.headers), body)
            )
            if callable(response):
                response(self)
                return
            self.send_response(response)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_PUT = do_POST = _respond

        def log_message(self, *_: object) -> None:
            """Write no access log."""

    return Handler
