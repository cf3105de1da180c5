"""Workable's contract when things go wrong: every refusal has its code, its sentence, its shape."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from structlog.testing import capture_logs

from provider import sqlite
from provider.accounts import Account
from provider.app import create_app
from provider.config import Settings
from provider.house import House
from provider.orders import Order, Product
from tests import cast
from tests.ats.side import ASSESSMENTS, SIDES, Asker, Side, Standing, complete, orders, refusal


def paths(side: Side, order_id: str = "x") -> list[tuple[str, str]]:
    return [
        ("GET", f"/{side.products}"),
        ("POST", f"/{side.orders}"),
        ("GET", f"/{side.orders}/{order_id}"),
        ("GET", f"/{side.orders}/{order_id}/shared-link"),
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
    standing: Standing, side: Side, front: str, header: str | None, message: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in paths(side):
        answer = standing.asker.client.open(front + path, method=method, headers=headers)
        assert refusal(answer) == (401, message)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_documented_error_is_what_a_wrong_token_gets(standing: Standing, side: Side) -> None:
    answer = Asker(standing.asker.client, "wrong").get(f"/{side.products}")
    assert answer.get_json() == side.document("error")


def test_a_token_is_read_however_bearer_is_written(groove: Asker) -> None:
    for word in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{word} {groove.token}"}
        assert groove.client.get("/tests", headers=headers).status_code == 200


@pytest.mark.parametrize("change", [str.upper, lambda token: token[:-1], lambda token: token + "x"])
def test_a_token_that_is_nearly_right_is_wrong(groove: Asker, change: Callable[[str], str]) -> None:
    near = Asker(groove.client, change(groove.token))
    assert refusal(near.get("/tests")) == (401, "Invalid Token")


def test_a_revoked_token_is_refused_within_five_seconds(groove: Asker, house: House) -> None:
    assert groove.get("/tests").status_code == 200
    revoke(house, groove.token)
    house.clock.pass_(timedelta(seconds=5))  # type: ignore[attr-defined]
    assert refusal(groove.get("/tests")) == (401, "Invalid Token")


def test_a_revoked_token_is_refused_at_once_where_it_was_revoked(
    groove: Asker, house: House
) -> None:
    assert groove.get("/tests").status_code == 200
    revoke(house, groove.token)
    house.doorkeeper.forget()
    assert refusal(groove.get("/tests")) == (401, "Invalid Token")


def revoke(house: House, token: str) -> None:
    with house.db.writing() as session:
        session.scalars(select(Account)).one().revoke_token(token[:12], house.now())


def test_a_token_of_another_ats_does_not_open_these_endpoints(
    client: FlaskClient, house: House
) -> None:
    stranger = Asker(client, cast.account(house, "Elsewhere", ats="another")[1])
    for side in SIDES:
        assert refusal(stranger.get(f"/{side.products}")) == (401, "Invalid Token")


def test_another_account_s_order_is_not_there(
    groove: Asker, acme: Asker, house: House, side: Side
) -> None:
    order_id = groove.order(side, side.wish(side.product(house)))
    complete(house, side, order_id)
    for end in ("", "/shared-link"):
        path = f"/{side.orders}/{order_id}{end}"
        assert groove.get(path).status_code == 200
        assert refusal(acme.get(path)) == (404, "There is no such order")


def test_no_endpoint_answers_with_another_kind_s_order(groove: Asker, house: House) -> None:
    made = {side.kind: groove.order(side, side.wish(side.product(house))) for side in SIDES}
    for asked in SIDES:
        for kind, order_id in made.items():
            expected = 200 if asked.kind == kind else 404
            assert groove.get(f"/{asked.orders}/{order_id}").status_code == expected
            expected = 409 if asked.kind == kind else 404
            assert groove.get(f"/{asked.orders}/{order_id}/shared-link").status_code == expected


def test_no_endpoint_orders_another_kind_s_product(groove: Asker, house: House) -> None:
    made = {side.kind: side.product(house) for side in SIDES}
    for asked in SIDES:
        for kind, product in made.items():
            url = f"https://a.workable.com/{asked.kind}/{kind}"
            answer = groove.post(f"/{asked.orders}", asked.wish(product, callback_url=url))
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
def test_an_unknown_id_is_not_found(standing: Standing, side: Side, order_id: str) -> None:
    for end in ("", "/shared-link"):
        assert refusal(standing.asker.get(f"/{side.orders}/{order_id}{end}"))[0] == 404


@pytest.mark.parametrize("state", ["draft", "archived", "unknown"])
def test_a_product_that_is_not_listed_cannot_be_ordered(
    groove: Asker, house: House, side: Side, state: str
) -> None:
    content = {"assessment": cast.TEST, "interview": cast.INTERVIEW, "check": cast.PACKAGE}
    product = "x" * 200
    if state != "unknown":
        publish = state == "archived"
        product = cast.product(house, side.kind, content[side.kind], "k", "N", publish=publish)
    if state == "archived":
        with house.db.writing() as session:
            Product.find(session, product).archive(house.now())
    word = {"assessment": "test", "interview": "interview template", "check": "package"}[side.kind]
    answer = groove.post(f"/{side.orders}", side.wish(product))
    assert refusal(answer) == (422, f"Unknown {word}: {product}")
    assert orders(house) == 0


@pytest.mark.parametrize("path", ["/nowhere", "/workable/nowhere", "/assessments/x/y", "/workable"])
def test_an_unknown_path_is_not_found_in_the_same_shape(standing: Standing, path: str) -> None:
    assert refusal(standing.asker.get(path)) == (404, "Not Found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_another_method_is_refused_in_the_same_shape(
    standing: Standing, side: Side, method: str
) -> None:
    asker = standing.asker
    for allowed, path in paths(side):
        answer = asker.client.open(path, method=method, headers=asker.headers)
        assert refusal(answer) == (405, "Method Not Allowed")
        assert allowed in answer.headers["Allow"]


def test_head_is_answered_like_get_without_a_body(standing: Standing, side: Side) -> None:
    asker = standing.asker
    answer = asker.client.head(f"/{side.products}", headers=asker.headers)
    assert (answer.status_code, answer.data) == (200, b"")
    assert asker.client.head(f"/{side.products}").status_code == 401


def test_options_says_what_may_be_asked(standing: Standing, side: Side) -> None:
    asker = standing.asker
    answer = asker.client.options(f"/{side.orders}", headers=asker.headers)
    assert answer.status_code == 200
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("front", ["", "/workable"])
def test_our_own_failure_has_the_same_shape_and_says_nothing_of_us(
    groove: Asker, house: House, side: Side, front: str
) -> None:
    wish = side.wish(side.product(house))
    order_id = groove.order(side, wish)
    complete(house, side, order_id)
    with house.db.writing() as session:
        session.connection().exec_driver_sql("DROP TABLE results")
        session.connection().exec_driver_sql("ALTER TABLE products RENAME TO lost")
    for method, path in paths(side, order_id):
        body = wish | {"callback_url": "https://a.workable.com/2"}
        with capture_logs() as log:
            answer = groove.client.open(
                front + path, method=method, headers=groove.headers, json=body
            )
        assert refusal(answer) == (500, "Internal Server Error")
        assert [line["log_level"] for line in log] == ["error"]
        said = str(log[0]["exc_info"][1])
        assert "no such table" in said or "does not exist" in said, "but the log has it"


def test_a_secret_that_cannot_be_opened_is_no_business_of_the_caller_s(
    groove: Asker, house: House
) -> None:
    order_id = groove.order(ASSESSMENTS, ASSESSMENTS.wish(ASSESSMENTS.product(house)))
    complete(house, ASSESSMENTS, order_id)
    with house.db.writing() as session:
        for link in Order.find(session, order_id).links:
            link.sealed = b"lost" + link.sealed[4:]
    with capture_logs() as log:
        answer = groove.get(f"/assessments/{order_id}")
    assert refusal(answer) == (503, "Service Unavailable")
    assert "PROVIDER_SECRET_KEY" in str(log[0]["exc_info"][1])


@pytest.mark.sqlite
def test_an_order_is_put_off_while_another_program_keeps_the_database(
    settings: Settings, clock: cast.HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 50)
    house = House.build(settings, clock)
    asker = Asker(create_app(house).test_client(), cast.account(house)[1])
    wish = ASSESSMENTS.wish(ASSESSMENTS.product(house))
    other = House.build(settings, clock)
    with other.db.writing() as session, capture_logs():
        session.connection()
        assert refusal(asker.post("/assessments", wish)) == (503, "Service Unavailable")
        assert asker.get("/tests").status_code == 200, "reading goes on"
    assert asker.post("/assessments", wish).status_code == 201
    for each in (house, other):
        each.db.close()
