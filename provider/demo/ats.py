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

MOST_READ = 1024 * 1024
TIMEOUT = 15  # seconds that an answer may take


@dataclass(frozen=True)
class Words:
    """What the contract calls the parts of one kind."""

    products: str
    product_id: str
    orders: str
    order_id: str


CONTRACT = {
    "assessment": Words("tests", "test_id", "assessments", "assessment_id"),
    "interview": Words(
        "interview_templates", "interview_template_id", "interviews", "interview_id"
    ),
    "check": Words("packages", "package_id", "checks", "background_check_id"),
}


@dataclass(frozen=True)
class Placed:
    """An order as the ATS knows it."""

    kind: str
    id: str
    product: str
    candidate: str
    email: str
    path: str
    link: str = ""


@dataclass(frozen=True)
class Put:
    """A callback as it landed."""

    path: str
    sequence: int
    body: dict[str, Any]


class Ats:
    """Both halves of an ATS: a client of the contract, and the receiver of callbacks."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.callback_token = secrets.token_urlsafe(24)
        self.puts: queue.Queue[Put] = queue.Queue()
        self.refused: list[str] = []
        self.orders: dict[str, Placed] = {}
        self._receiver = _Receiver((self.host, 0), _handler(self))
        self._thread = threading.Thread(target=self._receiver.serve_forever, args=(0.1,))
        self.url = f"http://{self.host}:{self._receiver.server_port}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._base = ""

    def __enter__(self) -> "Ats":
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._receiver.shutdown()
        self._thread.join()
        self._receiver.server_close()
        self._session.close()

    def connect(self, base: str, token: str) -> None:
        """Learn the provider's address and the token to send."""
        self._base = base
        self._session.headers["Authorization"] = f"Bearer {token}"

    def products(self, kind: str) -> list[dict[str, str]]:
        """List what can be ordered."""
        name = CONTRACT[kind].products
        listed: list[dict[str, str]] = self._get(f"/{name.replace('_', '-')}")[name]
        return listed

    def order(
        self, kind: str, product: dict[str, str], first: str, last: str, job: str
    ) -> Placed:  # fmt: skip
        """Order a product for a candidate."""
        words, path = CONTRACT[kind], f"/callbacks/{secrets.token_urlsafe(9)}"
        email = f"{first}.{last}@candidate.test".lower()
        wish = {
            words.product_id: product["id"],
            "job_title": job,
            "callback_url": self.url + path,
            "candidate": {"first_name": first, "last_name": last, "email": email},
        }
        url = f"{self._base}/{words.orders}"
        said = _answer(self._session.post(url, json=wish, timeout=TIMEOUT), 201)
        placed = Placed(
            kind, str(said[words.order_id]), product["name"], f"{first} {last}", email, path
        )
        self.orders[path] = placed
        return placed

    def poll(self, placed: Placed) -> dict[str, Any]:
        """Ask how an order stands."""
        return self._get(f"/{CONTRACT[placed.kind].orders}/{placed.id}")

    def shared_link(self, placed: Placed) -> str:
        """Ask for a link to the report that anybody may open."""
        return str(self._get(f"/{CONTRACT[placed.kind].orders}/{placed.id}/shared-link")["url"])

    def heard(self, authorization: str, put: Put) -> int:
        """Take a callback if it carries our token; return the HTTP status to answer."""
        if not hmac.compare_digest(
            authorization.encode(), f"Bearer {self.callback_token}".encode()
        ):
            self.refused.append(put.path)
            return 401
        self.puts.put(put)
        return 200

    def _get(self, path: str) -> dict[str, Any]:
        return _answer(self._session.get(self._base + path, timeout=TIMEOUT), 200)


class _Receiver(ThreadingHTTPServer):
    daemon_threads = True


def _handler(ats: Ats) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = TIMEOUT

        def do_PUT(self) -> None:
            length = min(int(self.headers.get("Content-Length", 0)), MOST_READ)
            body = json.loads(self.rfile.read(length))
            sequence = int(self.headers.get("X-Provider-Sequence", 0))
            code = ats.heard(self.headers.get("Authorization", ""), Put(self.path, sequence, body))
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the demo tells the story itself."""

    return Handler


def _answer(response: requests.Response, code: int) -> dict[str, Any]:
    if response.status_code != code:
        raise ProviderError(
            f"{response.request.method} {response.request.path_url.partition('?')[0]} answered "
            f"{response.status_code} instead of {code}: {response.text[:300]}"
        )
    said: dict[str, Any] = response.json()
    return said
