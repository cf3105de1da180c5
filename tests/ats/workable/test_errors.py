"""Workable's contract when things go wrong: every refusal has its code, its sentence, its shape."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from structlog.testing import capture_logs

from provider.app import create_app
from provider.config import Settings
from provider.core.accounts import Account
from provider.core.orders import Order
from provider.core.products import Product
from provider.services import Services
from provider.storage import sqlite
from tests import factories
from tests.ats.workable_client import (
    ASSESSMENTS,
    KIND_CONTRACTS,
    KindContract,
    SharedServer,
    WorkableClient,
    complete_order,
    count_orders,
    parse_error,
)


def paths(contract: KindContract, order_id: str = "x") -> list[tuple[str, str]]:
    return [
        ("GET", f"/{contract.products}"),
        ("POST", f"/{contract.orders}"),
        ("GET", f"/{contract.orders}/{order_id}"),
        ("GET", f"/{contract.orders}/{order_id}/shared-link"),
    ]


@pytest.mark.parametrize("front", ["", "/workable"])
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
def test_without_a_good_token_nothing_opens(
    shared_server: SharedServer,
    contract: KindContract,
    front: str,
    header: str | None,
    message: str,
) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in paths(contract):
        answer = shared_server.client.client.open(front + path, method=method, headers=headers)
        assert parse_error(answer) == (401, message)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_documented_error_is_what_a_wrong_token_gets(
    shared_server: SharedServer, contract: KindContract
) -> None:
    answer = WorkableClient(shared_server.client.client, "wrong").get(f"/{contract.products}")
    assert answer.get_json() == contract.load_example("error")


def test_a_token_is_read_however_bearer_is_written(groove: WorkableClient) -> None:
    for word in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{word} {groove.token}"}
        assert groove.client.get("/tests", headers=headers).status_code == 200


@pytest.mark.parametrize("change", [str.upper, lambda token: token[:-1], lambda token: token + "x"])
def test_a_token_that_is_nearly_right_is_wrong(
    groove: WorkableClient, change: Callable[[str], str]
) -> None:
    near = WorkableClient(groove.client, change(groove.token))
    assert parse_error(near.get("/tests")) == (401, "Invalid Token")


def test_a_revoked_token_is_refused_within_five_seconds(
    groove: WorkableClient, services: Services
) -> None:
    assert groove.get("/tests").status_code == 200
    revoke(services, groove.token)
    services.clock.advance(timedelta(seconds=5))  # type: ignore[attr-defined]
    assert parse_error(groove.get("/tests")) == (401, "Invalid Token")


def test_a_revoked_token_is_refused_at_once_where_it_was_revoked(
    groove: WorkableClient, services: Services
) -> None:
    assert groove.get("/tests").status_code == 200
    revoke(services, groove.token)
    services.authenticator.clear_cache()
    assert parse_error(groove.get("/tests")) == (401, "Invalid Token")


def revoke(services: Services, token: str) -> None:
    with services.db.writing() as session:
        session.scalars(select(Account)).one().revoke_token(token[:12], services.now())


def test_a_token_of_another_ats_does_not_open_these_endpoints(
    client: FlaskClient, services: Services
) -> None:
    stranger = WorkableClient(
        client, factories.create_account(services, "Elsewhere", ats="another")[1]
    )
    for contract in KIND_CONTRACTS:
        assert parse_error(stranger.get(f"/{contract.products}")) == (401, "Invalid Token")


def test_another_account_s_order_is_not_there(
    groove: WorkableClient, acme: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    complete_order(services, contract, order_id)
    for end in ("", "/shared-link"):
        path = f"/{contract.orders}/{order_id}{end}"
        assert groove.get(path).status_code == 200
        assert parse_error(acme.get(path)) == (404, "There is no such order")


def test_no_endpoint_answers_with_another_kind_s_order(
    groove: WorkableClient, services: Services
) -> None:
    made = {
        contract.kind: groove.place_order(
            contract, contract.order_body(contract.create_product(services))
        )
        for contract in KIND_CONTRACTS
    }
    for asked in KIND_CONTRACTS:
        for kind, order_id in made.items():
            expected = 200 if asked.kind == kind else 404
            assert groove.get(f"/{asked.orders}/{order_id}").status_code == expected
            expected = 409 if asked.kind == kind else 404
            assert groove.get(f"/{asked.orders}/{order_id}/shared-link").status_code == expected


def test_no_endpoint_orders_another_kind_s_product(
    groove: WorkableClient, services: Services
) -> None:
    made = {contract.kind: contract.create_product(services) for contract in KIND_CONTRACTS}
    for asked in KIND_CONTRACTS:
        for kind, product in made.items():
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
def test_an_unknown_id_is_not_found(
    shared_server: SharedServer, contract: KindContract, order_id: str
) -> None:
    for end in ("", "/shared-link"):
        assert (
            parse_error(shared_server.client.get(f"/{contract.orders}/{order_id}{end}"))[0] == 404
        )


@pytest.mark.parametrize("state", ["draft", "archived", "unknown"])
def test_a_product_that_is_not_listed_cannot_be_ordered(
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
    word = {"assessment": "test", "interview": "interview template", "check": "package"}[
        contract.kind
    ]
    answer = groove.post(f"/{contract.orders}", contract.order_body(product))
    assert parse_error(answer) == (422, f"Unknown {word}: {product}")
    assert count_orders(services) == 0


@pytest.mark.parametrize("path", ["/nowhere", "/workable/nowhere", "/assessments/x/y", "/workable"])
def test_an_unknown_path_is_not_found_in_the_same_shape(
    shared_server: SharedServer, path: str
) -> None:
    assert parse_error(shared_server.client.get(path)) == (404, "Not Found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_another_method_is_refused_in_the_same_shape(
    shared_server: SharedServer, contract: KindContract, method: str
) -> None:
    asker = shared_server.client
    for allowed, path in paths(contract):
        answer = asker.client.open(path, method=method, headers=asker.headers)
        assert parse_error(answer) == (405, "Method Not Allowed")
        assert allowed in answer.headers["Allow"]


def test_head_is_answered_like_get_without_a_body(
    shared_server: SharedServer, contract: KindContract
) -> None:
    asker = shared_server.client
    answer = asker.client.head(f"/{contract.products}", headers=asker.headers)
    assert (answer.status_code, answer.data) == (200, b"")
    assert asker.client.head(f"/{contract.products}").status_code == 401


def test_options_says_what_may_be_asked(
    shared_server: SharedServer, contract: KindContract
) -> None:
    asker = shared_server.client
    answer = asker.client.options(f"/{contract.orders}", headers=asker.headers)
    assert answer.status_code == 200
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("front", ["", "/workable"])
def test_our_own_failure_has_the_same_shape_and_says_nothing_of_us(
    groove: WorkableClient, services: Services, contract: KindContract, front: str
) -> None:
    wish = contract.order_body(contract.create_product(services))
    order_id = groove.place_order(contract, wish)
    complete_order(services, contract, order_id)
    with services.db.writing() as session:
        session.connection().exec_driver_sql("DROP TABLE results")
        session.connection().exec_driver_sql("ALTER TABLE products RENAME TO lost")
    for method, path in paths(contract, order_id):
        body = wish | {"callback_url": "https://a.workable.com/2"}
        with capture_logs() as log:
            answer = groove.client.open(
                front + path, method=method, headers=groove.headers, json=body
            )
        assert parse_error(answer) == (500, "Internal Server Error")
        assert [line["log_level"] for line in log] == ["error"]
        said = str(log[0]["exc_info"][1])
        assert "no such table" in said or "does not exist" in said, "but the log has it"


def test_a_secret_that_cannot_be_opened_is_no_business_of_the_caller_s(
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
def test_an_order_is_put_off_while_another_program_keeps_the_database(
    settings: Settings, clock: factories.ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    services = Services.build(settings, clock)
    asker = WorkableClient(
        create_app(services).test_client(), factories.create_account(services)[1]
    )
    wish = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    other = Services.build(settings, clock)
    with other.db.writing() as session, capture_logs():
        session.connection()
        assert parse_error(asker.post("/assessments", wish)) == (503, "Service Unavailable")
        assert asker.get("/tests").status_code == 200, "reading goes on"
    assert asker.post("/assessments", wish).status_code == 201
    for each in (services, other):
        each.db.close()
