"""Repeated orders: the same callback_url and content make one order, other content a conflict."""

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


def test_same_callback_url_with_other_content_is_conflict(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_body = contract.order_body(contract.create_product(services))
    order_id = groove.place_order(contract, order_body)
    for path, value in CHANGES.items():
        answer = groove.post(f"/{contract.orders}", replace_field(order_body, path, value))
        assert parse_error(answer) == (409, "Entity is already updated")
    assert groove.place_order(contract, order_body) == order_id
    assert (count_orders(services), count_invitations(services)) == (1, 1)


def test_other_product_or_preferences_are_conflict(
    groove: WorkableClient, services: Services
) -> None:
    order_body = CHECKS.order_body(CHECKS.create_product(services))
    groove.place_order(CHECKS, order_body)
    other = CHECKS.create_product(services, "Other", "other")
    for change in ({"package_id": other}, {"preferences": {"key": "other"}}, {"package_id": "?"}):
        answer = groove.post("/checks", order_body | change)
        assert parse_error(answer) == (409, "Entity is already updated")


def test_same_callback_url_for_other_kind_is_conflict(
    groove: WorkableClient, services: Services
) -> None:
    url = "https://groove-tech.workable.com/1"
    first, *others = KIND_CONTRACTS
    groove.place_order(first, first.order_body(first.create_product(services), callback_url=url))
    for other in others:
        order_body = other.order_body(other.create_product(services), callback_url=url)
        assert parse_error(groove.post(f"/{other.orders}", order_body))[0] == 409


def test_same_callback_url_of_two_accounts_is_two_orders(
    groove: WorkableClient, acme: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_body = contract.order_body(contract.create_product(services))
    assert groove.place_order(contract, order_body) != acme.place_order(contract, order_body)
    assert (count_orders(services), count_invitations(services)) == (2, 2)
    with services.db.reading() as session:
        assert len(session.scalars(select(Candidate)).all()) == 2, "each account has its own row"


@pytest.mark.both
def test_repeated_order_after_completion_has_same_id(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    product = contract.create_product(services)
    order_body = contract.order_body(product)
    order_id = groove.place_order(contract, order_body)
    complete_order(services, contract, order_id)
    with services.db.writing() as session:
        Product.find(session, product).archive(services.now())
    assert groove.place_order(contract, order_body) == order_id
    assert groove.poll(contract, order_id)["status"] == "completed"
    assert count_invitations(services) == 1


def test_repeated_order_after_erasure_has_same_id(
    groove: WorkableClient, services: Services
) -> None:
    order_body = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    order_id = groove.place_order(ASSESSMENTS, order_body)
    with services.db.writing() as session:
        candidate = Order.find(session, order_id).candidate
        candidate.email, candidate.phone = "erased", ""
        candidate.first_name = candidate.last_name = ""
    assert groove.place_order(ASSESSMENTS, order_body) == order_id
    other = replace_field(order_body, "candidate.email", "other@example.com")
    assert groove.post("/assessments", other).status_code == 409


@pytest.mark.both
def test_fifty_concurrent_orders_make_one_order_and_invitation(
    live_server: LiveServer, contract: KindContract
) -> None:
    token = factories.create_account(live_server.services)[1]
    order_body = contract.order_body(contract.create_product(live_server.services))
    barrier = threading.Barrier(50)

    def order(_: int) -> tuple[int, str]:
        barrier.wait()
        answer = requests.post(
            f"{live_server.url}/{contract.orders}",
            json=order_body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        return answer.status_code, answer.json()[contract.order_id]

    with ThreadPoolExecutor(50) as executor:
        answers = set(executor.map(order, range(50)))
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
    other = factories.build_services(settings, clock)
    apps = (app, create_app(other))
    token = factories.create_account(services)[1]
    order_body = contract.order_body(contract.create_product(services))
    barrier = threading.Barrier(20)

    def order(number: int) -> str:
        barrier.wait()
        return WorkableClient(apps[number % 2].test_client(), token).place_order(
            contract, order_body
        )

    with ThreadPoolExecutor(20) as executor:
        assert len(set(executor.map(order, range(20)))) == 1
    assert (count_orders(services), count_invitations(services)) == (1, 1)
    other.db.close()


@pytest.mark.both
@pytest.mark.parametrize(("losses", "code"), [(1, 201), (2, 500)])
def test_insert_that_loses_race_is_tried_once_more(
    groove: WorkableClient,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    losses: int,
    code: int,
) -> None:
    losses_left = [losses]

    def lose_race(session: Session, model: type[Base], **columns: Any) -> int:
        if model is Order and losses_left[0]:
            losses_left[0] -= 1
            raise IntegrityError("INSERT INTO orders", {}, Exception("UNIQUE constraint failed"))
        return insert_row(session, model, **columns)

    monkeypatch.setattr(sys.modules["provider.core.orders.placement"], "insert_row", lose_race)
    with capture_logs():
        answer = groove.post(
            "/assessments", ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
        )
    assert answer.status_code == code
    assert (count_orders(services), count_invitations(services)) == (
        (1, 1) if code == 201 else (0, 0)
    )
