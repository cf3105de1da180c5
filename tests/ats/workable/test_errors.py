"""The errors of Workable's contract, and repeated orders, of which each is answered or refused."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from provider.app import create_app
from provider.config import Settings
from provider.core.accounts import Account
from provider.core.orders import Candidate, Order
from provider.core.products import Product
from provider.services import Services
from provider.storage import sqlite
from provider.storage.database import Base, insert_row
from tests import factories
from tests.ats.workable_client import (
    ASSESSMENTS,
    CHECKS,
    KIND_CONTRACTS,
    KindContract,
    SharedServer,
    WorkableClient,
    complete_order,
    count_invitations,
    count_orders,
    parse_error,
    replace_field,
)
from tests.conftest import LiveServer


def paths(contract: KindContract, order_id: str = "x") -> list[tuple[str, str]]:
    return [
        ("GET", f"/{contract.products}"),
        ("POST", f"/{contract.orders}"),
        ("GET", f"/{contract.orders}/{order_id}"),
        ("GET", f"/{contract.orders}/{order_id}/shared-link"),
    ]


@pytest.mark.parametrize("prefix", ["", "/workable"])
@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "Missing Token"),
        ("", "Missing Token"),
        ("Bearer", "Missing Token"),
        ("Bearer   ", "Missing Token"),
        ("Basic Z3Jvb3ZlOnRlY2g=", "Missing Token"),
        ("Bearer 78e3be68d98268509ea304a506ed6362d", "Invalid Token"),
        ("Bearer prv_", "Invalid Token"),
        ("Bearer \xff\xfe", "Invalid Token"),
        ("Bearer " + "x" * 8000, "Invalid Token"),
    ],
)
def test_missing_or_invalid_token_is_401(
    shared_server: SharedServer,
    contract: KindContract,
    prefix: str,
    header: str | None,
    message: str,
) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in paths(contract):
        answer = shared_server.client.client.open(prefix + path, method=method, headers=headers)
        assert parse_error(answer) == (401, message)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_invalid_token_error_equals_documented_example(
    shared_server: SharedServer, contract: KindContract
) -> None:
    answer = WorkableClient(shared_server.client.client, "wrong").get(f"/{contract.products}")
    assert answer.get_json() == contract.load_example("error")


def test_bearer_scheme_is_case_insensitive(groove: WorkableClient) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {groove.token}"}
        assert groove.client.get("/tests", headers=headers).status_code == 200


@pytest.mark.parametrize("change", [str.upper, lambda token: token[:-1], lambda token: token + "x"])
def test_similar_token_is_invalid(groove: WorkableClient, change: Callable[[str], str]) -> None:
    other = WorkableClient(groove.client, change(groove.token))
    assert parse_error(other.get("/tests")) == (401, "Invalid Token")


def test_revoked_token_is_invalid_after_five_seconds(
    groove: WorkableClient, services: Services
) -> None:
    assert groove.get("/tests").status_code == 200
    revoke(services, groove.token)
    services.clock.advance(timedelta(seconds=5))  # type: ignore[attr-defined]
    assert parse_error(groove.get("/tests")) == (401, "Invalid Token")


def test_revoked_token_is_invalid_after_cache_is_cleared(
    groove: WorkableClient, services: Services
) -> None:
    assert groove.get("/tests").status_code == 200
    revoke(services, groove.token)
    services.authenticator.clear_cache()
    assert parse_error(groove.get("/tests")) == (401, "Invalid Token")


def revoke(services: Services, token: str) -> None:
    with services.db.writing() as session:
        session.scalars(select(Account)).one().revoke_token(
            token[:12], services.now(), services.secret_box
        )


def test_token_of_other_ats_is_invalid(client: FlaskClient, services: Services) -> None:
    other_ats = WorkableClient(
        client, factories.create_account(services, "Elsewhere", ats="another")[1]
    )
    for contract in KIND_CONTRACTS:
        assert parse_error(other_ats.get(f"/{contract.products}")) == (401, "Invalid Token")


def test_order_of_other_account_is_not_found(
    groove: WorkableClient, acme: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    complete_order(services, contract, order_id)
    for suffix in ("", "/shared-link"):
        path = f"/{contract.orders}/{order_id}{suffix}"
        assert groove.get(path).status_code == 200
        assert parse_error(acme.get(path)) == (404, "There is no such order")


def test_order_of_other_kind_is_not_found(groove: WorkableClient, services: Services) -> None:
    order_ids = {
        contract.kind: groove.place_order(
            contract, contract.order_body(contract.create_product(services))
        )
        for contract in KIND_CONTRACTS
    }
    for asked in KIND_CONTRACTS:
        for kind, order_id in order_ids.items():
            expected = 200 if asked.kind == kind else 404
            assert groove.get(f"/{asked.orders}/{order_id}").status_code == expected
            expected = 409 if asked.kind == kind else 404
            assert groove.get(f"/{asked.orders}/{order_id}/shared-link").status_code == expected


def test_product_of_other_kind_cannot_be_ordered(
    groove: WorkableClient, services: Services
) -> None:
    product_ids = {contract.kind: contract.create_product(services) for contract in KIND_CONTRACTS}
    for asked in KIND_CONTRACTS:
        for kind, product in product_ids.items():
            url = f"https://a.workable.com/{asked.kind}/{kind}"
            answer = groove.post(f"/{asked.orders}", asked.order_body(product, callback_url=url))
            assert answer.status_code == (201 if asked.kind == kind else 422)


@pytest.mark.parametrize(
    "order_id",
    [
        "2044922",
        "x" * 22,
        "x" * 23,
        "x" * 5000,
        "%00",
        "a%00b",
        "%ED%A0%80",
        "%FF",
        "..",
        "%20",
        "🙂",
    ],
)
def test_unknown_order_id_is_not_found(
    shared_server: SharedServer, contract: KindContract, order_id: str
) -> None:
    for suffix in ("", "/shared-link"):
        assert (
            parse_error(shared_server.client.get(f"/{contract.orders}/{order_id}{suffix}"))[0]
            == 404
        )


@pytest.mark.parametrize("state", ["draft", "archived", "unknown"])
def test_unpublished_product_cannot_be_ordered(
    groove: WorkableClient, services: Services, contract: KindContract, state: str
) -> None:
    content = {
        "assessment": factories.TEST_CONTENT,
        "interview": factories.INTERVIEW_CONTENT,
        "check": factories.PACKAGE_CONTENT,
    }
    product = "x" * 200
    if state != "unknown":
        publish = state == "archived"
        product = factories.create_product(
            services, contract.kind, content[contract.kind], "k", "N", publish=publish
        )
    if state == "archived":
        with services.db.writing() as session:
            Product.find(session, product).archive(services.now())
    noun = {"assessment": "test", "interview": "interview template", "check": "package"}[
        contract.kind
    ]
    answer = groove.post(f"/{contract.orders}", contract.order_body(product))
    assert parse_error(answer) == (422, f"Unknown {noun}: {product}")
    assert count_orders(services) == 0


@pytest.mark.parametrize("path", ["/nowhere", "/workable/nowhere", "/assessments/x/y", "/workable"])
def test_unknown_path_is_404_in_contract_shape(shared_server: SharedServer, path: str) -> None:
    assert parse_error(shared_server.client.get(path)) == (404, "Not Found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_wrong_method_is_405_in_contract_shape(
    shared_server: SharedServer, contract: KindContract, method: str
) -> None:
    workable = shared_server.client
    for allowed, path in paths(contract):
        answer = workable.client.open(path, method=method, headers=workable.headers)
        assert parse_error(answer) == (405, "Method Not Allowed")
        assert allowed in answer.headers["Allow"]


def test_head_is_answered_like_get_without_body(
    shared_server: SharedServer, contract: KindContract
) -> None:
    workable = shared_server.client
    answer = workable.client.head(f"/{contract.products}", headers=workable.headers)
    assert (answer.status_code, answer.data) == (200, b"")
    assert workable.client.head(f"/{contract.products}").status_code == 401


def test_options_lists_allowed_methods(shared_server: SharedServer, contract: KindContract) -> None:
    workable = shared_server.client
    answer = workable.client.options(f"/{contract.orders}", headers=workable.headers)
    assert answer.status_code == 200
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("prefix", ["", "/workable"])
def test_internal_error_is_500_without_details(
    groove: WorkableClient, services: Services, contract: KindContract, prefix: str
) -> None:
    order_body = contract.order_body(contract.create_product(services))
    order_id = groove.place_order(contract, order_body)
    complete_order(services, contract, order_id)
    with services.db.writing() as session:
        session.connection().exec_driver_sql("DROP TABLE results")
        session.connection().exec_driver_sql("ALTER TABLE products RENAME TO lost")
    for method, path in paths(contract, order_id):
        body = order_body | {"callback_url": "https://a.workable.com/2"}
        with capture_logs() as log:
            answer = groove.client.open(
                prefix + path, method=method, headers=groove.headers, json=body
            )
        assert parse_error(answer) == (500, "Internal Server Error")
        assert [line["log_level"] for line in log] == ["error"]
        logged = str(log[0]["exc_info"][1])
        assert "no such table" in logged or "does not exist" in logged


def test_undecryptable_token_is_503_without_details(
    groove: WorkableClient, services: Services
) -> None:
    order_id = groove.place_order(
        ASSESSMENTS, ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    )
    complete_order(services, ASSESSMENTS, order_id)
    with services.db.writing() as session:
        for link in Order.find(session, order_id).links:
            link.token_encrypted = b"lost" + link.token_encrypted[4:]
    with capture_logs() as log:
        answer = groove.get(f"/assessments/{order_id}")
    assert parse_error(answer) == (503, "Service Unavailable")
    assert "PROVIDER_SECRET_KEY" in str(log[0]["exc_info"][1])


@pytest.mark.sqlite
def test_order_is_503_while_database_is_locked(
    settings: Settings, clock: factories.ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    services = factories.build_services(settings, clock)
    workable = WorkableClient(
        create_app(services).test_client(), factories.create_account(services)[1]
    )
    order_body = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    other = factories.build_services(settings, clock)
    with other.db.writing() as session, capture_logs():
        session.connection()
        assert parse_error(workable.post("/assessments", order_body)) == (
            503,
            "Service Unavailable",
        )
        assert workable.get("/tests").status_code == 200, "reads are not blocked"
    assert workable.post("/assessments", order_body).status_code == 201
    services.db.close()
    other.db.close()


# Repeated orders: the same callback_url and content make one order, other content a conflict


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
    live_server: LiveServer,
) -> None:
    token = factories.create_account(live_server.services)[1]
    order_body = ASSESSMENTS.order_body(ASSESSMENTS.create_product(live_server.services))
    barrier = threading.Barrier(50)

    def order(_: int) -> tuple[int, str]:
        barrier.wait()
        answer = requests.post(
            f"{live_server.url}/{ASSESSMENTS.orders}",
            json=order_body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        return answer.status_code, answer.json()[ASSESSMENTS.order_id]

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
) -> None:
    other = factories.build_services(settings, clock)
    apps = (app, create_app(other))
    token = factories.create_account(services)[1]
    order_body = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    barrier = threading.Barrier(20)

    def order(number: int) -> str:
        barrier.wait()
        return WorkableClient(apps[number % 2].test_client(), token).place_order(
            ASSESSMENTS, order_body
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
