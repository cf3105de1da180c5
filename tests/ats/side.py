"""The ATS's side of Workable's contract: what it calls things, and how it asks."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from provider.ats import DIALECTS, News
from provider.house import House
from provider.kinds import KINDS
from provider.orders import Order, Result
from provider.orders.glance import result_kept
from provider.outbox import Message
from tests import cast

DOCUMENTS = Path(__file__).parents[1] / "contract"


@dataclass(frozen=True)
class Side:
    """One kind in the contract's words."""

    kind: str
    orders: str
    order_id: str
    products: str
    products_key: str
    product_id: str

    def document(self, name: str) -> Any:
        """Return a documented example."""
        return json.loads((DOCUMENTS / self.orders / f"{name}.json").read_text())

    def product(self, house: House, name: str = "Aptitude Test", key: str = "aptitude") -> str:
        """Publish a product of this kind and return its id."""
        content = {"assessment": cast.TEST, "interview": cast.INTERVIEW, "check": cast.PACKAGE}
        return cast.product(house, self.kind, content[self.kind], key, name)

    def wish(self, product_id: Any, **changes: Any) -> dict[str, Any]:
        """Return the documented order, for a product that is there."""
        wish: dict[str, Any] = self.document("order")
        return wish | {self.product_id: product_id} | changes

    def result(self) -> Result:
        """Return the documented result, in our words."""
        said = self.document("status")[self.kind]
        if self.kind == "check":
            return Result(
                figures={"overall_status": said["overall_status"], "findings": said["result"]}
            )
        return Result(
            score=78.0, grade=said["grade"], summary=said["summary"], details=said["details"],
            duration=3677,
        )  # fmt: skip


ASSESSMENTS = Side(
    "assessment", "assessments", "assessment_id", "tests", "tests", "test_id"
)  # fmt: skip
INTERVIEWS = Side(
    "interview", "interviews", "interview_id",
    "interview-templates", "interview_templates", "interview_template_id",
)  # fmt: skip
CHECKS = Side("check", "checks", "background_check_id", "packages", "packages", "package_id")
SIDES = (ASSESSMENTS, INTERVIEWS, CHECKS)


@dataclass(frozen=True)
class Asker:
    """An account of the ATS that calls with its token."""

    client: FlaskClient
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, headers=self.headers)

    def post(self, path: str, body: Any = None, **how: Any) -> TestResponse:
        if not how:
            how = {"json": body}
        return self.client.post(path, headers=self.headers, **how)

    def order(self, side: Side, wish: dict[str, Any]) -> str:
        """Place an order and return its id."""
        answer = self.post(f"/{side.orders}", wish)
        assert answer.status_code == 201, answer.text
        return str(answer.get_json()[side.order_id])

    def poll(self, side: Side, order_id: str) -> Any:
        """Return what polling says."""
        answer = self.get(f"/{side.orders}/{order_id}")
        assert answer.status_code == 200, answer.text
        return answer.get_json()


def complete(house: House, side: Side, order_id: str, result: Result | None = None) -> None:
    """Complete an order, with the documented result unless said otherwise."""
    with house.db.writing() as session:
        order = KINDS[side.kind].order.find(session, order_id)
        order.complete(session, house.vault, result or side.result(), "system", house.now())


def callbacks(house: House, order_id: str) -> list[Any]:
    """Return the bodies of every callback of an order, oldest first."""
    with house.db.reading() as session:
        order = Order.find(session, order_id)
        messages = session.scalars(
            select(Message)
            .where(Message.key == order_id, Message.topic == "status")
            .order_by(Message.sequence)
        )
        return [_rendered(house, session, order, message.payload) for message in messages]


def _rendered(house: House, session: Any, order: Order, payload: dict[str, Any]) -> Any:
    news = News(order.kind, payload["status"], order.reply, order.account.switches)
    if payload["result"]:
        found = result_kept(session, house.vault, order.public_id, payload["result"])
        news = news.completed(*found, house.links)
    return json.loads(DIALECTS["workable"].render(news))


def letters(house: House) -> int:
    """Count the invitations in the outbox."""
    with house.db.reading() as session:
        return len(session.scalars(select(Message.id).where(Message.topic == "invitation")).all())


def shape(value: Any) -> Any:
    """Return keys and types of a JSON document, without its values; lists by their first."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])]
    return type(value).__name__


def refusal(answer: TestResponse) -> tuple[int, str]:
    """Return code and message of an error, which must have the contract's shape."""
    assert answer.mimetype == "application/json", answer.text
    said = answer.get_json()
    assert list(said) == ["status", "message"]
    assert said["status"] == answer.status_code
    assert isinstance(said["message"], str)
    return answer.status_code, said["message"]


def orders(house: House) -> int:
    with house.db.reading() as session:
        return session.scalar(select(func.count()).select_from(Order)) or 0


def without(wish: dict[str, Any], path: str) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(wish))
    *parents, last = path.split(".")
    inner = copy
    for parent in parents:
        inner = inner[parent]
    del inner[last]
    return copy


def replaced(wish: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(wish))
    *parents, last = path.split(".")
    inner = copy
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return copy


@dataclass(frozen=True)
class Standing:
    """A server on which a product of each kind can be ordered, if it is asked well."""

    house: House
    asker: Asker
    products: dict[str, str]

    def wish(self, side: Side, **changes: Any) -> dict[str, Any]:
        return side.wish(self.products[side.kind], **changes)

    def refused(self, side: Side, body: Any = None, **how: Any) -> tuple[int, str]:
        """Order, and return code and message of the refusal."""
        return refusal(self.asker.post(f"/{side.orders}", body, **how))
