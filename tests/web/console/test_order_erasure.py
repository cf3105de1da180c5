"""Erasing in the console: confirmed by the candidate's address, and shown as a certificate."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from provider.core.orders import Order
from provider.services import Services
from tests import factories
from tests.kind_factories import KIND_FACTORIES
from tests.maintenance.test_erasure import (
    ACTOR,
    PERSON,
    completed_order,
    deliver_everything,
    table_texts,
)
from tests.web.console_client import ORDERS_PATH, ConsoleClient

pytestmark = pytest.mark.both


def place_second_order(services: Services) -> str:
    """Return an open check of the same candidate."""
    with services.db.reading() as session:
        account_id = session.scalars(select(Order.account_id)).one()
    product_id = KIND_FACTORIES["check"].create_product(services)
    return factories.place_order(services, account_id, product_id, "check", **PERSON)


def erase(
    services: Services, client: FlaskClient, order_id: str, email: str, **form: str
) -> TestResponse:
    console = ConsoleClient.signed_in(services, client, "admin")
    path = f"{ORDERS_PATH}{order_id}/erase/"
    seen = console.read_field(path, "seen")
    return console.submit(path, page=path, email=email, seen=seen, **form)


def test_erase_deletes_the_order_and_shows_what(services: Services, client: FlaskClient) -> None:
    order_id = completed_order(services, "interview")
    response = erase(services, client, order_id, "  Zenobia.Quill@EXAMPLE.com ")
    assert response.status_code == 200
    assert "The data is erased" in response.text
    assert order_id in response.text
    assert "Candidates: 1" in response.text
    assert '<td data-label="Files deleted">3</td>' in response.text
    assert "Zenobia" not in response.text
    assert "Zenobia" not in table_texts(services)


@pytest.mark.parametrize("email", ["", "zenobia", "zenobia.quill@example.org"])
def test_erase_with_another_address_deletes_nothing(
    services: Services, client: FlaskClient, email: str
) -> None:
    response = erase(services, client, completed_order(services, "assessment"), email)
    assert response.status_code == 400
    assert "nothing was deleted" in response.text
    assert "Zenobia" in table_texts(services)


def test_erase_of_one_order_keeps_the_others(services: Services, client: FlaskClient) -> None:
    order_id = completed_order(services, "assessment")
    other = place_second_order(services)
    assert erase(services, client, order_id, PERSON["email"]).status_code == 200
    with services.db.reading() as session:
        assert session.scalars(select(Order.public_id)).all() == [other]


def test_erase_of_a_person_with_an_open_order_deletes_nothing(
    services: Services, client: FlaskClient
) -> None:
    order_id = completed_order(services, "assessment")
    other = place_second_order(services)
    response = erase(services, client, order_id, PERSON["email"], scope="person")
    assert response.status_code == 409
    assert f"Order {other} is open: cancel it first." in response.text
    assert " --" not in response.text.partition("<main")[2]  # no words of the command
    with services.db.reading() as session:
        assert len(session.scalars(select(Order.public_id)).all()) == 2


def test_erase_of_a_person_deletes_all_orders(services: Services, client: FlaskClient) -> None:
    order_id = completed_order(services, "assessment")
    other = place_second_order(services)
    with services.db.writing() as session:
        Order.find(session, other).cancel(session, "sam", "The candidate asked", services.now())
    deliver_everything(services)
    response = erase(services, client, order_id, PERSON["email"], scope="person")
    assert response.status_code == 200
    assert order_id in response.text
    assert other in response.text
    assert "Zenobia" not in table_texts(services)


def test_erase_gives_up_deliveries_only_when_asked(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product_id, **PERSON)
    factories.finish_test(services, order_id)
    console = ConsoleClient.signed_in(services, client, "admin")
    path = f"{ORDERS_PATH}{order_id}/erase/"
    form = {"page": path, "email": PERSON["email"], "seen": console.read_field(path, "seen")}
    response = console.submit(path, **form)
    assert response.status_code == 409
    assert "deliver them first, or give them up." in response.text
    assert console.submit(path, **form, give_up="on").status_code == 200
    assert "Zenobia" not in table_texts(services)


def test_erase_from_an_outdated_page_says_who_did_what(
    services: Services, client: FlaskClient
) -> None:
    order_id = completed_order(services, "assessment")
    console = ConsoleClient.signed_in(services, client, "admin")
    path = f"{ORDERS_PATH}{order_id}/erase/"
    seen = console.read_field(path, "seen")
    with services.db.writing() as session:
        Order.find(session, order_id).hold(session, ACTOR, "A dispute", services.now())
    response = console.submit(path, page=path, email=PERSON["email"], seen=seen)
    assert response.status_code == 409
    assert f"Put on hold: not erased</strong> by {ACTOR}" in response.text
    assert "Zenobia" in table_texts(services)


@pytest.mark.parametrize(("role", "is_offered"), [("admin", True), ("operator", False)])
def test_order_page_offers_erasing_to_admins_only(
    services: Services, client: FlaskClient, role: str, is_offered: bool
) -> None:
    order_id = completed_order(services, "assessment")
    page = ConsoleClient.signed_in(services, client, role).get_text(f"{ORDERS_PATH}{order_id}")
    assert ("Erase the candidate’s data…" in page) == is_offered


def test_erase_that_stops_midway_shows_what_was_deleted(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = completed_order(services, "assessment")
    other = place_second_order(services)
    with services.db.writing() as session:
        Order.find(session, other).cancel(session, "sam", "The candidate asked", services.now())
    deliver_everything(services)
    truncate_wal = services.db.truncate_wal

    def reopen_other() -> None:
        truncate_wal()
        with services.db.writing() as session:
            order = Order.find(session, other)
            order.reopen(session, services.secret_box, "sam", "After all", services.now())

    monkeypatch.setattr(services.db, "truncate_wal", reopen_other)
    response = erase(services, client, order_id, PERSON["email"], scope="person")
    assert response.status_code == 409
    assert "Not everything is erased" in response.text
    assert f"Order {other} is open: cancel it first." in response.text
    assert "Candidates: 1" in response.text
