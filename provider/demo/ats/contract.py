"""An HTTP client of the provider contract, as Workable has one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests

from provider.demo.receiver import REQUEST_TIMEOUT_SECONDS
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
    placed_at: datetime | None = None


class ContractClient:
    """Calls the contract's endpoints with the token of an account."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session
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
        self, kind: str, product_id: str, candidate: dict[str, str], job_title: str, url: str
    ) -> str:
        """Order a product with `url` as the callback URL; return the order's id."""
        contract = KIND_CONTRACTS[kind]
        body = {
            contract.product_id_key: product_id,
            "job_title": job_title,
            "callback_url": url,
            "candidate": candidate,
        }
        response = self._session.post(
            self._base_url + contract.orders_path, json=body, timeout=REQUEST_TIMEOUT_SECONDS
        )
        return str(_json_response(response, 201)[contract.order_id_key])

    def poll(self, order: PlacedOrder) -> dict[str, Any]:
        """Return the contract's status document of an order."""
        return self._get(_order_path(order))

    def shared_link(self, order: PlacedOrder) -> str:
        """Return the URL of an order's shared link."""
        return str(self._get(f"{_order_path(order)}/shared-link")["url"])

    def _get(self, path: str) -> dict[str, Any]:
        return _json_response(
            self._session.get(self._base_url + path, timeout=REQUEST_TIMEOUT_SECONDS), 200
        )


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
