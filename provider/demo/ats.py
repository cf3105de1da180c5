"""The ATS of the demo: it lists, orders and polls over HTTP, and a real receiver hears back."""

import hmac
import json
import queue
import secrets
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import requests

from provider.errors import ProviderError

MAX_BODY_BYTES = 1024 * 1024
REQUEST_TIMEOUT_SECONDS = 15  # seconds that an answer may take


@dataclass(frozen=True)
class KindContract:
    """What the contract calls the parts of one kind."""

    products: str
    product_id: str
    orders: str
    order_id: str


CONTRACT = {
    "assessment": KindContract("tests", "test_id", "assessments", "assessment_id"),
    "interview": KindContract(
        "interview_templates", "interview_template_id", "interviews", "interview_id"
    ),
    "check": KindContract("packages", "package_id", "checks", "background_check_id"),
}


@dataclass(frozen=True)
class PlacedOrder:
    """An order as the ATS knows it."""

    kind: str
    id: str
    product: str
    candidate: str
    email: str
    path: str
    link: str = ""


@dataclass(frozen=True)
class ReceivedCallback:
    """A callback as it landed."""

    path: str
    sequence: int
    body: dict[str, Any]


class DemoAts:
    """Both halves of an ATS: a client of the contract, and the receiver of callbacks."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.callback_token = secrets.token_urlsafe(24)
        self.callbacks: queue.Queue[ReceivedCallback] = queue.Queue()
        self.unauthorized_paths: list[str] = []
        self.orders: dict[str, PlacedOrder] = {}
        self._receiver = _Receiver((self.host, 0), _handler_class(self))
        self._thread = threading.Thread(target=self._receiver.serve_forever, args=(0.1,))
        self.url = f"http://{self.host}:{self._receiver.server_port}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._base_url = ""

    def __enter__(self) -> "DemoAts":
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._receiver.shutdown()
        self._thread.join()
        self._receiver.server_close()
        self._session.close()

    def connect(self, base_url: str, token: str) -> None:
        """Learn the provider's address and the token to send."""
        self._base_url = base_url
        self._session.headers["Authorization"] = f"Bearer {token}"

    def products(self, kind: str) -> list[dict[str, str]]:
        """List what can be ordered."""
        name = CONTRACT[kind].products
        listed: list[dict[str, str]] = self._get(f"/{name.replace('_', '-')}")[name]
        return listed

    def place_order(
        self, kind: str, product: dict[str, str], first_name: str, last_name: str, job_title: str
    ) -> PlacedOrder:
        """Order a product for a candidate."""
        words, path = CONTRACT[kind], f"/callbacks/{secrets.token_urlsafe(9)}"
        email = f"{first_name}.{last_name}@candidate.test".lower()
        wish = {
            words.product_id: product["id"],
            "job_title": job_title,
            "callback_url": self.url + path,
            "candidate": {"first_name": first_name, "last_name": last_name, "email": email},
        }
        url = f"{self._base_url}/{words.orders}"
        said = _json_response(
            self._session.post(url, json=wish, timeout=REQUEST_TIMEOUT_SECONDS), 201
        )
        placed = PlacedOrder(
            kind,
            str(said[words.order_id]),
            product["name"],
            f"{first_name} {last_name}",
            email,
            path,
        )
        self.orders[path] = placed
        return placed

    def poll(self, order: PlacedOrder) -> dict[str, Any]:
        """Ask how an order stands."""
        return self._get(f"/{CONTRACT[order.kind].orders}/{order.id}")

    def shared_link(self, order: PlacedOrder) -> str:
        """Ask for a link to the report that anybody may open."""
        return str(self._get(f"/{CONTRACT[order.kind].orders}/{order.id}/shared-link")["url"])

    def receive_callback(self, authorization: str, callback: ReceivedCallback) -> int:
        """Take a callback if it carries our token; return the HTTP status to answer."""
        if not hmac.compare_digest(
            authorization.encode(), f"Bearer {self.callback_token}".encode()
        ):
            self.unauthorized_paths.append(callback.path)
            return 401
        self.callbacks.put(callback)
        return 200

    def _get(self, path: str) -> dict[str, Any]:
        return _json_response(
            self._session.get(self._base_url + path, timeout=REQUEST_TIMEOUT_SECONDS), 200
        )


class _Receiver(ThreadingHTTPServer):
    daemon_threads = True


def _handler_class(ats: DemoAts) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = REQUEST_TIMEOUT_SECONDS

        def do_PUT(self) -> None:
            length = min(int(self.headers.get("Content-Length", 0)), MAX_BODY_BYTES)
            body = json.loads(self.rfile.read(length))
            sequence = int(self.headers.get("X-Provider-Sequence", 0))
            code = ats.receive_callback(
                self.headers.get("Authorization", ""), ReceivedCallback(self.path, sequence, body)
            )
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the demo tells the story itself."""

    return Handler


def _json_response(response: requests.Response, expected_status: int) -> dict[str, Any]:
    if response.status_code != expected_status:
        raise ProviderError(
            f"{response.request.method} {response.request.path_url.partition('?')[0]} answered "
            f"{response.status_code} instead of {expected_status}: {response.text[:300]}"
        )
    said: dict[str, Any] = response.json()
    return said
