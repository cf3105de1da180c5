"""Whatever is sent to Workable's contract: an order, or a refusal that names what is wrong."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from provider.core.orders import Order
from provider.services import Services
from tests.ats.workable_client import (
    ASSESSMENTS,
    CHECKS,
    KIND_CONTRACTS,
    KindContract,
    SharedServer,
    WorkableClient,
    parse_error,
    replace_field,
    without_field,
)

MEBIBYTE = 1024 * 1024
TOO_LARGE = f"The body should have at most {MEBIBYTE} bytes"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"true",
        b"1",
        b'"text"',
        b"[]",
        b"[{}]",
        b"{'test_id': 1}",
        b'{"test_id": 1,}',
        b"\xff\xfe{}",
        b'{"a": "\xff"}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1' + b"0" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"test_id=1&callback_url=x",
        b"{} {}",
    ],
)
def test_what_is_not_a_json_object_is_invalid_json(
    shared_server: SharedServer, body: bytes
) -> None:
    for contract in KIND_CONTRACTS:
        refused = shared_server.expect_error(contract, data=body, content_type="application/json")
        assert refused == (400, "Invalid JSON")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
def test_a_body_that_is_said_to_be_no_json_is_refused(
    shared_server: SharedServer, contract: KindContract, content_type: str
) -> None:
    refused = shared_server.expect_error(contract, data=b"{}", content_type=content_type)
    assert refused == (415, "Content-Type should be application/json")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON;charset=UTF-8",
        "application/vnd.api+json",
    ],
)
def test_json_is_read_however_it_is_announced(
    groove: WorkableClient, services: Services, contract: KindContract, content_type: str | None
) -> None:
    wish = json.dumps(contract.order_body(contract.create_product(services))).encode()
    answer = groove.post(f"/{contract.orders}", data=wish, content_type=content_type)
    assert answer.status_code == 201


def test_a_body_of_ten_megabytes_is_too_large(
    shared_server: SharedServer, contract: KindContract
) -> None:
    wish = shared_server.order_body(contract) | {"more": "x" * 10_000_000}
    assert shared_server.expect_error(contract, wish) == (413, TOO_LARGE)


def test_a_body_that_turns_out_too_large_as_it_comes_is_refused_too(
    shared_server: SharedServer, contract: KindContract
) -> None:
    # Cut off after a mebibyte this would be a perfectly good order.
    wish = json.dumps(shared_server.order_body(contract)) + " " * 2 * MEBIBYTE
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    refused = shared_server.expect_error(
        contract, data=wish, content_type="application/json", environ_overrides=chunked
    )
    assert refused == (413, TOO_LARGE)


def test_a_body_that_comes_in_chunks_is_read(groove: WorkableClient, services: Services) -> None:
    wish = json.dumps(ASSESSMENTS.order_body(ASSESSMENTS.create_product(services)))
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    answer = groove.post("/assessments", data=wish, environ_overrides=chunked)
    assert answer.status_code == 201


def test_what_is_missing_is_named_with_its_path(
    shared_server: SharedServer, contract: KindContract
) -> None:
    wish = shared_server.order_body(contract)
    for path in (contract.product_id, "callback_url", "candidate", "candidate.email"):
        for body in (without_field(wish, path), replace_field(wish, path, None)):
            missing = (422, f"Missing field: {path} should be provided")
            assert shared_server.expect_error(contract, body) == missing


def test_an_empty_object_misses_something(
    shared_server: SharedServer, contract: KindContract
) -> None:
    code, message = shared_server.expect_error(contract, {})
    assert code == 422
    assert message.startswith("Missing field: ")


def test_what_is_wrong_is_said_before_what_is_missing(
    shared_server: SharedServer, contract: KindContract
) -> None:
    refused = shared_server.expect_error(contract, {"candidate": {"email": 5}})
    assert refused == (400, "Invalid field: candidate.email should be a string")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("job_title", 5, "should be a string"),
        ("job_title", ["x"], "should be a string"),
        ("job_title", "x" * 501, "should have at most 500 characters"),
        ("job_title", "a\x00b", "should not contain NUL or half characters"),
        ("job_title", "a\ud800b", "should not contain NUL or half characters"),
        ("test_id", True, "should be a string or an integer"),
        ("test_id", 1.5, "should be a string or an integer"),
        ("test_id", {"id": 1}, "should be a string or an integer"),
        ("test_id", "x" * 201, "should have at most 200 characters"),
        ("test_id", 10**40, "should have at most 40 digits"),
        ("test_id", "a\x00", "should not contain NUL or half characters"),
        ("job_shortcode", [], "should be a string or an integer"),
        ("candidate", [], "should be an object"),
        ("candidate", "Lakita", "should be an object"),
        ("candidate", True, "should be an object"),
        ("candidate.first_name", {}, "should be a string"),
        ("candidate.last_name", 7, "should be a string"),
        ("candidate.last_name", "x" * 201, "should have at most 200 characters"),
        ("candidate.phone", False, "should be a string"),
        ("candidate.phone", "\ud83d", "should not contain NUL or half characters"),
        ("candidate.email", "", "should be an e-mail address"),
        ("candidate.email", "lakita", "should be an e-mail address"),
        ("candidate.email", "a@b@c", "should be an e-mail address"),
        ("candidate.email", "a@b\nBcc: c@d", "should be an e-mail address"),
        ("candidate.email", "a@b,c@d", "should be an e-mail address"),
        ("candidate.email", "a@b>", "should be an e-mail address"),
        ("candidate.email", "a" * 250 + "@b.io", "should have at most 254 characters"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(
    shared_server: SharedServer, path: str, value: Any, said: str
) -> None:
    wish = replace_field(shared_server.order_body(ASSESSMENTS), path, value)
    assert shared_server.expect_error(ASSESSMENTS, wish) == (400, f"Invalid field: {path} {said}")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "should be an object"),
        ("x", "should be an object"),
        (nested(21), "should have at most 20 levels"),
        ({"a": nested(20)}, "should have at most 20 levels"),
        ({"a": [["\x00"]]}, "should not contain NUL or half characters"),
        ({"\ud800": 1}, "should not contain NUL or half characters"),
        ({"a": 1e999}, "should contain only finite numbers"),
    ],
)
def test_preferences_that_could_not_be_kept_are_refused(
    shared_server: SharedServer, value: Any, said: str
) -> None:
    body = json.dumps(shared_server.order_body(CHECKS, preferences=value)).replace(
        "Infinity", "1e999"
    )
    refused = shared_server.expect_error(CHECKS, data=body, content_type="application/json")
    assert refused == (400, f"Invalid field: preferences {said}")


def test_preferences_are_kept_as_they_came(groove: WorkableClient, services: Services) -> None:
    value = {"a": [1, 2.5, None, True, "é🙂", {"b": 10**30}], "": {}, "deep": nested(18)}
    wish = CHECKS.order_body(CHECKS.create_product(services), preferences=value)
    order_id = groove.place_order(CHECKS, wish)
    with services.db.reading() as session:
        assert Order.find(session, order_id).preferences == value
    turned = dict(reversed(value.items()))
    assert groove.place_order(CHECKS, wish | {"preferences": turned}) == order_id


def test_of_keys_that_come_twice_the_last_counts(
    groove: WorkableClient, services: Services
) -> None:
    wish = json.dumps(ASSESSMENTS.order_body(ASSESSMENTS.create_product(services)))
    body = '{"test_id": [], "job_title": 7, ' + wish[1:]
    answer = groove.post("/assessments", data=body, content_type="application/json")
    assert answer.status_code == 201


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_in_any_unicode_encoding_is_read(
    groove: WorkableClient, services: Services, encoding: str
) -> None:
    wish = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services), job_title="Küchenchef")
    body = json.dumps(wish, ensure_ascii=False).encode(encoding)
    answer = groove.post("/assessments", data=body, content_type="application/json")
    assert answer.status_code == 201


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = (
    "{product}",
    "job_title",
    "job_shortcode",
    "job_id",
    "callback_url",
    "preferences",
    "candidate",
    "candidate.email",
    "candidate.first_name",
    "candidate.last_name",
    "candidate.phone",
)


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(FIELDS), value=ANY, kind=st.sampled_from(KIND_CONTRACTS))
def test_no_value_in_any_field_is_more_than_refused(
    groove: WorkableClient, services: Services, path: str, value: Any, kind: KindContract
) -> None:
    path = path.format(product=kind.product_id)
    wish = kind.order_body(
        kind.create_product(services), callback_url=f"https://a.workable.com/{kind.kind}"
    )
    answer = groove.post(f"/{kind.orders}", replace_field(wish, path, value))
    if answer.status_code != 201:
        code, message = parse_error(answer)
        assert message.startswith(KNOWN[code])
        assert code != 400 or message.startswith(f"Invalid field: {path} should ")


KNOWN: dict[int, str | tuple[str, ...]] = {
    400: "Invalid field: ",
    409: "Entity is already updated",
    422: ("Missing field: ", "Unknown "),
}


@hypothesis_settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60) | ANY.map(lambda value: json.dumps(value).encode()))
def test_no_body_is_more_than_refused(shared_server: SharedServer, body: bytes) -> None:
    for contract in KIND_CONTRACTS:
        refused = shared_server.expect_error(contract, data=body, content_type="application/json")
        assert refused[0] in (400, 422)
