"""The ATS's side of Workable's contract: paths and keys of each kind, and a client."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from provider.ats import ADAPTERS, StatusUpdate
from provider.core.kinds import KINDS
from provider.core.orders import Order, Result, TimedOrder
from provider.core.orders.queries import get_result
from provider.outbox import Message
from provider.services import Services
from tests import factories

EXAMPLES_FOLDER = Path(__file__).parents[1] / "contract"


@dataclass(frozen=True)
class KindContract:
    """The contract's paths and keys for one kind."""

    kind: str
    orders: str
    order_id: str
    products: str
    products_key: str
    product_id: str

    def load_example(self, name: str) -> Any:
        """Return an example of Workable's documentation, from tests/contract/."""
        return json.loads((EXAMPLES_FOLDER / self.orders / f"{name}.json").read_text())

    def create_product(
        self, services: Services, name: str = "Aptitude Test", key: str = "aptitude"
    ) -> str:
        """Publish a product of this kind and return its id."""
        content = {
            "assessment": factories.TEST_CONTENT,
            "interview": factories.INTERVIEW_CONTENT,
            "check": factories.PACKAGE_CONTENT,
        }
        return factories.create_product(services, self.kind, content[self.kind], key, name)

    def order_body(self, product_id: Any, **changes: Any) -> dict[str, Any]:
        """Return the documented order for a product, with changes."""
        body: dict[str, Any] = self.load_example("order")
        return body | {self.product_id: product_id} | changes

    def expected_result(self) -> Result:
        """Return the documented result as a `Result`."""
        example = self.load_example("status")[self.kind]
        if self.kind == "check":
            return Result(
                figures={"overall_status": example["overall_status"], "findings": example["result"]}
            )
        return Result(
            score=78.0,
            grade=example["grade"],
            summary=example["summary"],
            details=example["details"],
            duration=3677,
        )


ASSESSMENTS = KindContract(
    "assessment", "assessments", "assessment_id", "tests", "tests", "test_id"
)
INTERVIEWS = KindContract(
    "interview",
    "interviews",
    "interview_id",
    "interview-templates",
    "interview_templates",
    "interview_template_id",
)
CHECKS = KindContract(
    "check", "checks", "background_check_id", "packages", "packages", "package_id"
)
KIND_CONTRACTS = (ASSESSMENTS, INTERVIEWS, CHECKS)


@dataclass(frozen=True)
class WorkableClient:
    """A client that calls the contract's endpoints with an account's token."""

    client: FlaskClient
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, headers=self.headers)

    def post(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        if not options:
            options = {"json": body}
        return self.client.post(path, headers=self.headers, **options)

    def place_order(self, contract: KindContract, body: dict[str, Any]) -> str:
        """Place an order and return its id."""
        answer = self.post(f"/{contract.orders}", body)
        assert answer.status_code == 201, answer.text
        return str(answer.get_json()[contract.order_id])

    def poll(self, contract: KindContract, order_id: str) -> Any:
        answer = self.get(f"/{contract.orders}/{order_id}")
        assert answer.status_code == 200, answer.text
        return answer.get_json()


def complete_order(
    services: Services, contract: KindContract, order_id: str, result: Result | None = None
) -> None:
    """Complete an order, by default with the documented result."""
    with services.db.writing() as session:
        order = KINDS[contract.kind].order_class.find(session, order_id)
        if isinstance(order, TimedOrder):
            order.start(session, services.now())
        order.complete(
            session,
            services.secret_box,
            result or contract.expected_result(),
            "system",
            services.now(),
        )


def callback_bodies(services: Services, order_id: str) -> list[Any]:
    """Return the bodies of an order's callbacks, the oldest first."""
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        messages = session.scalars(
            select(Message)
            .where(Message.ordering_key == order_id, Message.topic == "status")
            .order_by(Message.sequence)
        )
        payloads = [message.get_payload(services.secret_box) for message in messages]
        return [_render_body(services, session, order, payload) for payload in payloads]


def _render_body(services: Services, session: Any, order: Order, payload: dict[str, Any]) -> Any:
    update = StatusUpdate(order.kind, payload["status"], order.reply_context, order.account.options)
    if payload["result"]:
        result_and_tokens = get_result(
            session, services.secret_box, order.public_id, payload["result"]
        )
        update = update.with_result(*result_and_tokens, services.urls)
    return json.loads(ADAPTERS["workable"].render(update))


def count_invitations(services: Services) -> int:
    with services.db.reading() as session:
        return len(session.scalars(select(Message.id).where(Message.topic == "invitation")).all())


def json_shape(value: Any) -> Any:
    """Return a JSON document with types instead of values; a list has its first item only."""
    if isinstance(value, dict):
        return {name: json_shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [json_shape(value[0])]
    return type(value).__name__


def parse_error(response: TestResponse) -> tuple[int, str]:
    """Return an error's status code and message, after a check of its shape."""
    assert response.mimetype == "application/json", response.text
    body = response.get_json()
    assert list(body) == ["status", "message"]
    assert body["status"] == response.status_code
    assert isinstance(body["message"], str)
    return response.status_code, body["message"]


def count_orders(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count()).select_from(Order)) or 0


def without_field(body: dict[str, Any], path: str) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(body))
    *parents, last = path.split(".")
    inner = copy
    for parent in parents:
        inner = inner[parent]
    del inner[last]
    return copy


def replace_field(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(body))
    *parents, last = path.split(".")
    inner = copy
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return copy


@dataclass(frozen=True)
class SharedServer:
    """A server with a published product of each kind, and a client of one account."""

    services: Services
    client: WorkableClient
    products: dict[str, str]

    def order_body(self, contract: KindContract, **changes: Any) -> dict[str, Any]:
        return contract.order_body(self.products[contract.kind], **changes)

    def expect_error(
        self, contract: KindContract, body: Any = None, **options: Any
    ) -> tuple[int, str]:
        """Post an order; return the status code and message of the error."""
        return parse_error(self.client.post(f"/{contract.orders}", body, **options))
