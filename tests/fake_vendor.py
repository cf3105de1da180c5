"""A strict local HTTP server that plays a vendor: it refuses what is not a right order."""

import json
import re
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.local_server import LocalServer

ORDER_FIELDS = {"name", "born", "order", "callback", "what"}
ORDER_PATH = re.compile(r"/orders/(V-\d+)")


@dataclass(frozen=True)
class VendorRequest:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    json: Any


class FakeVendor(LocalServer):
    """Takes orders at `/orders`, and answers polls at `/orders/REFERENCE` with `state`.

    An order with a known idempotency key gets the same answer again. `failures` are status codes
    that are answered first; with `drops` the order is taken and the connection closed.
    """

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.received: list[VendorRequest] = []
        self.orders: dict[str, dict[str, Any]] = {}  # by idempotency key
        self.failures: deque[int] = deque()
        self.drops = 0
        self.state: dict[str, Any] = {"state": "running"}
        self._lock = threading.Lock()
        super().__init__(_handler(self))

    def answer(self, request: VendorRequest) -> tuple[int, Any]:
        """Return the status code and the JSON of an answer; 0 closes the connection."""
        with self._lock:
            self.received.append(request)
            if request.headers.get("authorization") != self.secret:
                return 401, {"error": "wrong key"}
            if self.failures:
                return self.failures.popleft(), {"error": "later"}
            if match := ORDER_PATH.fullmatch(request.path):
                return 200, self.state | {"id": match[1]}
            if (request.method, request.path) != ("POST", "/orders"):
                return 404, {"error": "no such path"}
            return self._take_order(request)

    def _take_order(self, request: VendorRequest) -> tuple[int, Any]:
        key = request.headers.get("idempotency-key", "")
        is_json = request.headers.get("content-type") == "application/json"
        is_right = isinstance(request.json, dict) and set(request.json) == ORDER_FIELDS
        if not key or not is_json or not is_right:
            return 422, {"error": f"not an order: {request.json}"}
        if key in self.orders and self.orders[key] != request.json:
            return 409, {"error": "another order with this key"}
        self.orders[key] = request.json
        if self.drops:
            self.drops -= 1
            return 0, None
        reference = f"V-{list(self.orders).index(key) + 1}"
        return 201, {"id": reference, "state": "queued"}


def _handler(vendor: FakeVendor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Write no log."""

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, document: Any) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = VendorRequest(self.command, self.path, headers, document)
            code, answer = vendor.answer(request)
            if not code:
                self.close_connection = True
                return
            body = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
