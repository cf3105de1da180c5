"""The shared part of the fakes of the ATSes' APIs: a server with a request log, budget and faults.

A fake is stateful and strict: it checks each request as the vendor would. Its clock is the test's.
"""

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.factories import ManualClock
from tests.local_server import LocalServer


@dataclass(frozen=True)
class VendorRequest:
    """One request as it arrived. `target` is the path and query exactly as on the wire."""

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, str]:
        """The fields of a body in the form `application/x-www-form-urlencoded`."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def matches(self, method: str, target_part: str) -> bool:
        """Return whether the method is this one and the path or the query has this part."""
        return self.method == method and target_part in self.target


@dataclass
class Reply:
    """An answer: `body` is bytes, None for an empty one, or what is sent as JSON."""

    status_code: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def encoded(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


@dataclass
class Entry:
    """A line of the request log: a request, when it came, and the status code of its answer.

    `status_code` is None when the fake hung up without an answer, or while it sends one.
    """

    at: datetime  # of the fake's clock
    request: VendorRequest
    status_code: int | None = None


@dataclass
class Fault:
    """A fault of the next request that has this method and part of a path or query.

    `act` sends an answer of its own, or hangs up; it returns the status code that it sent.
    """

    method: str
    target_part: str
    act: Callable[[BaseHTTPRequestHandler], int | None]
    is_after: bool = False  # the vendor carries the request out first


def status(code: int, body: bytes = b"{}", **headers: str) -> Callable[..., int]:
    """Answer with a status code; in the names of headers `_` stands for `-`."""

    def act(handler: BaseHTTPRequestHandler) -> int:
        _send(handler, code, body, {name.replace("_", "-"): text for name, text in headers.items()})
        return code

    return act


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True


def html_page(handler: BaseHTTPRequestHandler) -> int:
    """Answer 200 with a proxy's sign-in page."""
    page = b"<!doctype html><title>Sign in</title>"
    _send(handler, 200, page, {"Content-Type": "text/html"})
    return 200


def truncated(handler: BaseHTTPRequestHandler) -> int:
    """Announce more bytes than are sent, and hang up."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.close_connection = True
    return 200


def huge(handler: BaseHTTPRequestHandler) -> int:
    """Answer with a body above every limit of the client."""
    _send(handler, 200, b'["' + b"x" * 9 * 1024 * 1024 + b'"]', {})
    return 200


def drip(handler: BaseHTTPRequestHandler) -> int:
    """Send a byte of the body each tenth of a second until the client leaves."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b" ")
        time.sleep(0.1)
    handler.close_connection = True
    return 200


def redirect(location: str) -> Callable[..., int]:
    return status(302, b"", Location=location)


class FakeVendor(LocalServer):
    """A vendor's API on 127.0.0.1. A subclass answers in `answer`, one request at a time.

    Requests are counted by `budget_client`; above `budget_limit` requests in a window of
    `budget_window` seconds of the fake's clock the answer is 429. `budget_headers` gives the
    vendor's headers. Without a limit nothing is counted.
    """

    budget_limit: int | None = None
    budget_window = 10  # seconds
    sends_retry_after = True

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.request_log: list[Entry] = []
        self.faults: deque[Fault] = deque()
        self.before_request: list[Callable[[VendorRequest], None]] = []
        self._lock = threading.RLock()
        self._counts: Counter[tuple[str, int]] = Counter()
        super().__init__(_handler_class(self))

    def answer(self, request: VendorRequest) -> Reply:
        """Check and carry out one request."""
        raise NotImplementedError

    def budget_client(self, request: VendorRequest) -> str:
        """Return whose budget a request spends."""
        return request.headers.get("authorization", "")

    def budget_headers(self, remaining: int, resets_at: int, is_over: bool) -> dict[str, str]:
        """Return the headers that tell the budget; `resets_at` is in Unix seconds."""
        return {}

    def fail_next(
        self,
        method: str,
        target_part: str,
        act: Callable[[BaseHTTPRequestHandler], int | None],
        *,
        after: bool = False,
    ) -> None:
        """Let the next such request fail; with `after` the vendor carries it out first."""
        self.faults.append(Fault(method, target_part, act, after))

    def requests(self, method: str, target_part: str) -> list[VendorRequest]:
        """Return the matching requests of the log, in their order."""
        with self._lock:
            return [
                line.request
                for line in self.request_log
                if line.request.matches(method, target_part)
            ]

    def answer_or_fail(self, handler: BaseHTTPRequestHandler, request: VendorRequest) -> None:
        """Answer one request, unless a fault is waiting for it."""
        with self._lock:
            for hook in self.before_request:
                hook(request)
            fault = self._take_fault(request)
            reply = None
            if fault is None or fault.is_after:
                reply = self._answer_within_budget(request)
            entry = Entry(self.clock.now(), request)
            self.request_log.append(entry)
        if fault is not None:
            entry.status_code = fault.act(handler)
        elif reply is not None:
            entry.status_code = reply.status_code
            _send(handler, reply.status_code, reply.encoded, reply.headers)

    def _answer_within_budget(self, request: VendorRequest) -> Reply:
        if self.budget_limit is None:
            return self.answer(request)
        window = int(self.clock.now().timestamp()) // self.budget_window
        resets_at = (window + 1) * self.budget_window
        key = self.budget_client(request), window
        self._counts[key] += 1
        remaining = self.budget_limit - self._counts[key]
        is_over = remaining < 0
        reply = Reply(429, {"error": "Too many requests"}) if is_over else self.answer(request)
        reply.headers |= self.budget_headers(max(0, remaining), resets_at, is_over)
        if is_over and self.sends_retry_after:
            seconds = resets_at - self.clock.now().timestamp()
            reply.headers["Retry-After"] = str(max(1, round(seconds)))
        return reply

    def _take_fault(self, request: VendorRequest) -> Fault | None:
        for fault in self.faults:
            if request.matches(fault.method, fault.target_part):
                self.faults.remove(fault)
                return fault
        return None


def _send(
    handler: BaseHTTPRequestHandler, code: int, body: bytes, headers: Mapping[str, str]
) -> None:
    handler.send_response(code)
    defaults = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    for name, value in (defaults | dict(headers)).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def _handler_class(vendor: FakeVendor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # With Nagle's algorithm the body would wait for the acknowledgement of the head.
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = VendorRequest(self.command, self.path, headers, body)
            vendor.answer_or_fail(self, request)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            """Write no access log."""

    return Handler
