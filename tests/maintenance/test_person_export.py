"""The export of a person: all data and files, and no secret."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from provider.core.accounts import Account
from provider.core.kinds import KINDS
from provider.core.orders import Order
from provider.delivery.dispatcher import Dispatcher
from provider.errors import Conflict, NotFound, Unavailable
from provider.maintenance import PersonExport, export_person
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.check_factories import SIGNED_NAME
from tests.core.orders.test_accommodation import ask_for, decide_on
from tests.kind_factories import KIND_FACTORIES
from tests.maintenance.test_erasure import CALLBACK_URL, PERSON, table_texts

pytestmark = pytest.mark.both


def export(services: Services, folder: Path, email: str = PERSON["email"]) -> PersonExport:
    with services.db.reading() as session:
        account = session.scalars(select(Account)).one()
        return export_person(session, services.media, services.secret_box, account, email, folder)


def completed(services: Services, kind: str) -> str:
    """Return a completed order whose e-mails are sent."""
    account_id, _ = factories.create_account(services)
    product = KIND_FACTORIES[kind].create_product(services)
    order_id = factories.place_order(
        services, account_id, product, kind, callback_url=CALLBACK_URL, **PERSON
    )
    Dispatcher(services).drain(f"{account_id}/email")
    KIND_FACTORIES[kind].complete(services, order_id)
    return order_id


@pytest.mark.parametrize("kind", KINDS)
def test_export_has_the_data_of_each_kind(services: Services, tmp_path: Path, kind: str) -> None:
    order_id = completed(services, kind)
    folder = tmp_path / "export"
    result = export(services, folder)
    data: dict[str, Any] = json.loads((folder / "data.json").read_text("utf-8"))
    (order,) = data["orders"]
    assert (order["order"], result.order_ids) == (order_id, [order_id])
    assert {name: order["candidate"][name] for name in PERSON} == PERSON
    assert {"orders", "order_events", "results"} <= order["tables"].keys()
    assert order["tables"]["orders"][0]["status"] == "completed"
    files = [path for path in folder.rglob("files/**/*") if path.is_file()]
    assert len(files) == result.file_count == (3 if kind == "interview" else 0)
    if kind == "check":
        assert order["encrypted"]["consent_names"] == [SIGNED_NAME]
    if kind == "assessment":
        assert {row["item_key"] for row in order["tables"]["answers"]}
    assert order["emails"][0]["email"]["to"] == PERSON["email"]
    assert "/c/…" in order["emails"][0]["email"]["text"]  # the token of the link is a secret


def test_export_has_the_accommodation(services: Services, tmp_path: Path) -> None:
    account_id, _ = factories.create_account(services)
    product = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product, **PERSON)
    ask_for(services, order_id, percent=50, text="I read slowly")
    decide_on(services, order_id, percent=25, text="Good luck")
    export(services, tmp_path / "export")
    data = json.loads((tmp_path / "export" / "data.json").read_text("utf-8"))
    stored = data["orders"][0]["encrypted"]["accommodation"]
    assert (stored["asked"]["percent"], stored["asked"]["text"]) == (50, "I read slowly")
    assert (stored["decided"]["percent"], stored["decided"]["text"]) == (25, "Good luck")


def test_export_contains_no_token_and_nobody_else(services: Services, tmp_path: Path) -> None:
    order_id = completed(services, "assessment")
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        tokens = [link.get_token(services.secret_box) for link in order.links]
        account_id, product = order.account_id, order.product.public_id
    factories.place_order(services, account_id, product)  # of Lakita
    export(services, tmp_path / "export")
    text = (tmp_path / "export" / "data.json").read_text("utf-8")
    assert "Lakita" in table_texts(services)
    assert "Lakita" not in text
    assert tokens
    assert not [token for token in tokens if token in text]


def test_export_of_unknown_person_or_into_a_folder_is_refused(
    services: Services, tmp_path: Path
) -> None:
    completed(services, "assessment")
    with pytest.raises(NotFound, match=r"has no order of nobody@example\.com"):
        export(services, tmp_path / "export", "nobody@example.com")
    with pytest.raises(Conflict, match="exists already"):
        export(services, tmp_path)
    assert not (tmp_path / "export").exists()


def test_failed_export_leaves_no_folder(services: Services, tmp_path: Path) -> None:
    completed(services, "interview")
    with services.db.writing() as session:  # a body that another key has encrypted
        session.execute(update(Message).values(body_encrypted=b"damaged and long enough" * 4))
    with pytest.raises(Unavailable, match="lacks the key"):
        export(services, tmp_path / "export")
    assert list(tmp_path.glob("*export*")) == []
