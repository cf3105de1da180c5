"""The same order again, at once, from others, and with other content: one order for one wish."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from provider.app import create_app
from provider.config import Settings
from provider.core.orders import Candidate, Order
from provider.core.products import Product
from provider.services import Services
from provider.storage.database import Base, insert_row
from tests import factories
from tests.ats.workable_client import (
    ASSESSMENTS,
    CHECKS,
    KIND_CONTRACTS,
    KindContract,
    WorkableClient,
    complete_order,
    count_invitations,
    count_orders,
    parse_error,
    replace_field,
)
from tests.conftest import LiveServer

CHANGES = {
    "job_title": "Chef",
    "candidate.email": "somebody@else.example",
    "candidate.first_name": "Kalita",
    "candidate.last_name": "",
    "candidate.phone": None,
}


def test_other_content_under_the_same_callback_is_a_conflict(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    wish = contract.order_body(contract.create_product(services))
    order_id = groove.place_order(contract, wish)
    for path, value in CHANGES.items():
        answer = groove.post(f"/{contract.orders}", replace_field(wish, path, value))
        assert parse_error(answer) == (409, "Entity is already updated")
    assert groove.place_order(contract, wish) == order_id
    assert (count_orders(services), count_invitations(services)) == (1, 1)


def test_another_product_or_other_preferences_are_a_conflict(
    groove: WorkableClient, services: Services
) -> None:
    wish = CHECKS.order_body(CHECKS.create_product(services))
    groove.place_order(CHECKS, wish)
    other = CHECKS.create_product(services, "Other", "other")
    for change in ({"package_id": other}, {"preferences": {"key": "other"}}, {"package_id": "?"}):
        answer = groove.post("/checks", wish | change)
        assert parse_error(answer) == (409, "Entity is already updated")


def test_the_same_callback_for_another_kind_is_a_conflict(
    groove: WorkableClient, services: Services
) -> None:
    url = "https://groove-tech.workable.com/1"
    first, *others = KIND_CONTRACTS
    groove.place_order(first, first.order_body(first.create_product(services), callback_url=url))
    for other in others:
        wish = other.order_body(other.create_product(services), callback_url=url)
        assert parse_error(groove.post(f"/{other.orders}", wish))[0] == 409


def test_the_same_callback_of_two_accounts_is_two_orders(
    groove: WorkableClient, acme: WorkableClient, services: Services, contract: KindContract
) -> None:
    wish = contract.order_body(contract.create_product(services))
    assert groove.place_order(contract, wish) != acme.place_order(contract, wish)
    assert (count_orders(services), count_invitations(services)) == (2, 2)
    with services.db.reading() as session:
        assert len(session.scalars(select(Candidate)).all()) == 2, "never shared"


@pytest.mark.both
def test_the_same_order_is_the_same_even_when_it_is_over(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    product = contract.create_product(services)
    wish = contract.order_body(product)
    order_id = groove.place_order(contract, wish)
    complete_order(services, contract, order_id)
    with services.db.writing() as session:
        Product.find(session, product).archive(services.now())
    assert groove.place_order(contract, wish) == order_id
    assert groove.poll(contract, order_id)["status"] == "completed"
    assert count_invitations(services) == 1


def test_the_same_order_is_the_same_after_the_candidate_was_erased(
    groove: WorkableClient, services: Services
) -> None:
    wish = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    order_id = groove.place_order(ASSESSMENTS, wish)
    with services.db.writing() as session:
        lakita = Order.find(session, order_id).candidate
        lakita.email, lakita.first_name, lakita.last_name, lakita.phone = "erased", "", "", ""
    assert groove.place_order(ASSESSMENTS, wish) == order_id
    other = replace_field(wish, "candidate.email", "other@example.com")
    assert groove.post("/assessments", other).status_code == 409


@pytest.mark.both
def test_fifty_at_once_over_real_connections_are_one_order_and_one_invitation(
    live_server: LiveServer, contract: KindContract
) -> None:
    token = factories.create_account(live_server.services)[1]
    wish = contract.order_body(contract.create_product(live_server.services))
    together = threading.Barrier(50)

    def order(_: int) -> tuple[int, str]:
        together.wait()
        answer = requests.post(
            f"{live_server.url}/{contract.orders}",
            json=wish,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        return answer.status_code, answer.json()[contract.order_id]

    with ThreadPoolExecutor(50) as crowd:
        answers = set(crowd.map(order, range(50)))
    assert len(answers) == 1
    assert answers.pop()[0] == 201
    assert (count_orders(live_server.services), count_invitations(live_server.services)) == (1, 1)


@pytest.mark.both
def test_two_servers_on_one_database_make_one_order(
    settings: Settings,
    clock: factories.ManualClock,
    services: Services,
    app: Flask,
    contract: KindContract,
) -> None:
    other = Services.build(settings, clock)
    apps = (app, create_app(other))
    token = factories.create_account(services)[1]
    wish = contract.order_body(contract.create_product(services))
    together = threading.Barrier(20)

    def order(number: int) -> str:
        together.wait()
        return WorkableClient(apps[number % 2].test_client(), token).place_order(contract, wish)

    with ThreadPoolExecutor(20) as crowd:
        assert len(set(crowd.map(order, range(20)))) == 1
    assert (count_orders(services), count_invitations(services)) == (1, 1)
    other.db.close()


@pytest.mark.both
@pytest.mark.parametrize(("losses", "code"), [(1, 201), (2, 500)])
def test_who_loses_the_race_between_look_and_write_looks_again(
    groove: WorkableClient,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    losses: int,
    code: int,
) -> None:
    left = [losses]

    def lose(session: Session, model: type[Base], **columns: Any) -> int:
        if model is Order and left[0]:
            left[0] -= 1
            raise IntegrityError("INSERT INTO orders", {}, Exception("UNIQUE constraint failed"))
        return insert_row(session, model, **columns)

    monkeypatch.setattr(sys.modules["provider.core.orders.placement"], "insert_row", lose)
    with capture_logs():
        answer = groove.post(
            "/assessments", ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
        )
    assert answer.status_code == code
    assert (count_orders(services), count_invitations(services)) == (
        (1, 1) if code == 201 else (0, 0)
    )
