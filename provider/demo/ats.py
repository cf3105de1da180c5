"""The ATS of the demo: an HTTP client of the contract, and an HTTP receiver of callbacks."""

import hmac
import json
import queue
import secrets
from dataclasses import dataclass
from typing import Any

import requests

from provider.demo.receiver import (
    MAX_BODY_BYTES,
    REQUEST_TIMEOUT_SECONDS,
    CallbackHandler,
    CallbackReceiver,
)
from provider.errors import ProviderError


@dataclass(frozen=True)
class KindContract:
    """The contract's paths and keys for one kind."""

    products_key: str
    product_id_key: str
    orders_path: str
    order_id_key: str


KIND_CONTRACTS = {
    "assessment": KindContract("tests", "test_id", "/assessments", "assessment_id"),
    "interview": KindContract(
        "interview_templates", "interview_template_id", "/interviews", "interview_id"
    ),
    "check": KindContract("packages", "package_id", "/checks", "background_check_id"),
}


@dataclass(frozen=True)
class PlacedOrder:
    """An order of the ATS; `link` is the invitation, `path` the path of a callback URL, if any."""

    kind: str
    id: str
    product: str
    candidate: str
    email: str
    path: str = ""
    link: str = ""


@dataclass(frozen=True)
class ReceivedCallback:
    """A callback that the receiver accepted; `sequence` is X-Provider-Sequence."""

    path: str
    sequence: int
    body: dict[str, Any]


class DemoAts(CallbackReceiver):
    """An ATS: a client of the contract and a receiver of callbacks on a port of its own."""

    def __init__(self) -> None:
        super().__init__(_handler_class(self))
        self.callback_token = secrets.token_urlsafe(24)
        self.callbacks: queue.Queue[ReceivedCallback] = queue.Queue()
        self.unauthorized_paths: list[str] = []
        self.orders: dict[str, PlacedOrder] = {}
        self._base_url = ""

    def connect(self, base_url: str, token: str) -> None:
        self._base_url = base_url
        self._session.headers["Authorization"] = f"Bearer {token}"

    def products(self, kind: str) -> list[dict[str, str]]:
        """Return the products of a kind, each with `id` and `name`."""
        key = KIND_CONTRACTS[kind].products_key
        products: list[dict[str, str]] = self._get(f"/{key.replace('_', '-')}")[key]
        return products

    def place_order(
        self, kind: str, product: dict[str, str], first_name: str, last_name: str, job_title: str
    ) -> PlacedOrder:
        contract, path = KIND_CONTRACTS[kind], f"/callbacks/{secrets.token_urlsafe(9)}"
        email = f"{first_name}.{last_name}@candidate.test".lower()
        body = {
            contract.product_id_key: product["id"],
            "job_title": job_title,
            "callback_url": self.url + path,
            "candidate": {"first_name": first_name, "last_name": last_name, "email": email},
        }
        url = self._base_url + contract.orders_path
        answer = _json_response(
            self._session.post(url, json=body, timeout=REQUEST_TIMEOUT_SECONDS), 201
        )
        order = PlacedOrder(
            kind,
            str(answer[contract.order_id_key]),
            product["name"],
            f"{first_name} {last_name}",
            email,
            path,
        )
        self.orders[path] = order
        return order

    def poll(self, order: PlacedOrder) -> dict[str, Any]:
        """Return the contract's status document of an order."""
        return self._get(_order_path(order))

    def shared_link(self, order: PlacedOrder) -> str:
        """Return the URL of an order's shared link."""
        return str(self._get(f"{_order_path(order)}/shared-link")["url"])

    def receive_callback(self, authorization: str, callback: ReceivedCallback) -> int:
        """Queue a callback that carries the account's token; return the status code to answer."""
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


def _handler_class(ats: DemoAts) -> type[CallbackHandler]:
    class Handler(CallbackHandler):
        def do_PUT(self) -> None:  # noqa: N802  (the standard library's name)
            length = min(int(self.headers.get("Content-Length", 0)), MAX_BODY_BYTES)
            body = json.loads(self.rfile.read(length))
            sequence = int(self.headers.get("X-Provider-Sequence", 0))
            authorization = self.headers.get("Authorization", "")
            callback = ReceivedCallback(self.path, sequence, body)
            self.answer(ats.receive_callback(authorization, callback))

    return Handler


def _order_path(order: PlacedOrder) -> str:
    return f"{KIND_CONTRACTS[order.kind].orders_path}/{order.id}"


def _json_response(response: requests.Response, expected_status: int) -> dict[str, Any]:
    if response.status_code != expected_status:
        raise ProviderError(
            f"{response.request.method} {response.request.path_url.partition('?')[0]} answered "
            f"{response.status_code} instead of {expected_status}: {response.text[:300]}"
        )
    body: dict[str, Any] = response.json()
    return body
