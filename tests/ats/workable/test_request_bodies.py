"""Request bodies and their `callback_url`: each is a valid order, or an error names the problem."""

import json
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from provider.app import create_app
from provider.config import Settings
from provider.core.email_address import split_address
from provider.core.orders import Order
from provider.services import Services
from provider.web.body_limits import MAX_BODY_BYTES
from tests import factories
from tests.ats.workable_client import (
    ASSESSMENTS,
    CHECKS,
    INTERVIEWS,
    KIND_CONTRACTS,
    KindContract,
    SharedServer,
    WorkableClient,
    parse_error,
    replace_field,
    without_field,
)

TOO_LARGE = f"The body should have at most {MAX_BODY_BYTES} bytes"


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
def test_body_that_is_no_json_object_is_invalid_json(
    shared_server: SharedServer, body: bytes
) -> None:
    for contract in KIND_CONTRACTS:
        error = shared_server.expect_error(contract, data=body, content_type="application/json")
        assert error == (400, "Invalid JSON")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
def test_other_content_type_is_415(
    shared_server: SharedServer, contract: KindContract, content_type: str
) -> None:
    error = shared_server.expect_error(contract, data=b"{}", content_type=content_type)
    assert error == (415, "Content-Type should be application/json")


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
def test_json_content_types_are_accepted(
    groove: WorkableClient, services: Services, contract: KindContract, content_type: str | None
) -> None:
    order_body = json.dumps(contract.order_body(contract.create_product(services))).encode()
    answer = groove.post(f"/{contract.orders}", data=order_body, content_type=content_type)
    assert answer.status_code == 201


def test_body_of_ten_megabytes_is_413(shared_server: SharedServer, contract: KindContract) -> None:
    order_body = shared_server.order_body(contract) | {"more": "x" * 10_000_000}
    assert shared_server.expect_error(contract, order_body) == (413, TOO_LARGE)


def test_chunked_body_above_limit_is_413(
    shared_server: SharedServer, contract: KindContract
) -> None:
    # Truncated after a mebibyte, the body would be a valid order.
    order_body = json.dumps(shared_server.order_body(contract)) + " " * 2 * MAX_BODY_BYTES
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    error = shared_server.expect_error(
        contract, data=order_body, content_type="application/json", environ_overrides=chunked
    )
    assert error == (413, TOO_LARGE)


def test_chunked_body_is_accepted(groove: WorkableClient, services: Services) -> None:
    order_body = json.dumps(ASSESSMENTS.order_body(ASSESSMENTS.create_product(services)))
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    answer = groove.post("/assessments", data=order_body, environ_overrides=chunked)
    assert answer.status_code == 201


def test_missing_field_is_named_with_path(
    shared_server: SharedServer, contract: KindContract
) -> None:
    order_body = shared_server.order_body(contract)
    for path in (contract.product_id, "callback_url", "candidate", "candidate.email"):
        for body in (without_field(order_body, path), replace_field(order_body, path, None)):
            missing = (422, f"Missing field: {path} should be provided")
            assert shared_server.expect_error(contract, body) == missing


def test_empty_object_has_missing_field(
    shared_server: SharedServer, contract: KindContract
) -> None:
    code, message = shared_server.expect_error(contract, {})
    assert code == 422
    assert message.startswith("Missing field: ")


def test_invalid_field_is_reported_before_missing_field(
    shared_server: SharedServer, contract: KindContract
) -> None:
    error = shared_server.expect_error(contract, {"candidate": {"email": 5}})
    assert error == (400, "Invalid field: candidate.email should be a string")


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("test_id", True, "should be a string or an integer"),
        ("test_id", 1.5, "should be a string or an integer"),
        ("test_id", {"id": 1}, "should be a string or an integer"),
        ("test_id", "x" * 201, "should have at most 200 characters"),
        ("test_id", 10**40, "should have at most 40 digits"),
        ("test_id", "a\x00", "should not contain NUL or half characters"),
        ("candidate", [], "should be an object"),
        ("candidate", "Lakita", "should be an object"),
        ("candidate", True, "should be an object"),
        ("candidate.email", "", "should be an e-mail address"),
        ("candidate.email", "lakita", "should be an e-mail address"),
        ("candidate.email", "a@b@c", "should be an e-mail address"),
        ("candidate.email", "a@b\nBcc: c@d", "should be an e-mail address"),
        ("candidate.email", "a@b,c@d", "should be an e-mail address"),
        ("candidate.email", "anna smith@example.com", "should be an e-mail address"),
        ("candidate.email", "a" * 65 + "@example.com", "should be an e-mail address"),
        ("candidate.email", "anna@exa..mple.com", "should be an e-mail address"),
        ("candidate.email", "anna@☕.example", "should be an e-mail address"),
        ("candidate.email", "=?utf-8?q?anna?=@example.com", "should be an e-mail address"),
        ("candidate.email", "a@b>", "should be an e-mail address"),
        ("candidate.email", "a" * 250 + "@b.io", "should have at most 254 characters"),
    ],
)
def test_invalid_field_is_named_with_path(
    shared_server: SharedServer, path: str, value: Any, problem: str
) -> None:
    order_body = replace_field(shared_server.order_body(ASSESSMENTS), path, value)
    assert shared_server.expect_error(ASSESSMENTS, order_body) == (
        400,
        f"Invalid field: {path} {problem}",
    )


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


OPTIONAL_VALUES: list[tuple[str, Any, Any, bool]] = [
    # the field, what the ATS sends, what the order has, whether the order notes it
    ("job_title", "Chef\u202e\tde partie", "Chef de partie", False),
    ("job_title", 5, "5", False),
    ("job_title", ["x"], "", True),
    ("job_title", "x" * 501, "x" * 500, True),
    ("job_title", "a\x00b", "a b", False),
    ("job_title", "a\ud800b", "a b", False),
    ("job_id", 6789, "6789", False),
    ("job_id", 10**40, "", True),
    ("job_id", [], "", True),
    ("candidate.first_name", "\u200fAnna\u200b", "Anna", False),
    ("candidate.first_name", "क्‍ष", "क्‍ष", False),
    ("candidate.first_name", {}, "", True),
    ("candidate.last_name", 7, "7", False),
    ("candidate.last_name", "x" * 201, "x" * 200, True),
    ("candidate.phone", 306912345678, "306912345678", False),
    ("candidate.phone", 1e400, "", True),
    ("candidate.phone", False, "", True),
    ("candidate.phone", ["+30 691"], "", True),
    ("candidate.phone", "\ud83d", "", False),
    ("preferences", [], {}, True),
    ("preferences", "x", {}, True),
    ("preferences", nested(21), {}, True),
    ("preferences", {"a": nested(20)}, {}, True),
    ("preferences", {"a": [["\x00"]]}, {}, True),
    ("preferences", {"\ud800": 1}, {}, True),
    ("preferences", {"a": 1e999}, {}, True),
    # Fields that the contract does not use are ignored, whatever they are.
    ("candidate.resume_url", ["not", "a", "url"], None, False),
    ("candidate.social_profiles", "none", None, False),
    ("candidate.address", 5, None, False),
    ("job_department", {"\x00": "\ud800"}, None, False),
]


@pytest.mark.parametrize(("path", "value", "expected", "is_noted"), OPTIONAL_VALUES)
def test_field_that_no_invitation_needs_never_refuses_an_order(
    groove: WorkableClient,
    services: Services,
    path: str,
    value: Any,
    expected: Any,
    is_noted: bool,
) -> None:
    # The contract's own example of preferences has a key that no template names.
    order_body = INTERVIEWS.order_body(INTERVIEWS.create_product(services)) | {"preferences": {}}
    body = json.dumps(replace_field(order_body, path, value)).replace("Infinity", "1e999")
    answer = groove.post("/interviews", data=body, content_type="application/json")
    assert answer.status_code == 201, answer.get_json()
    with services.db.reading() as session:
        order = Order.find(session, answer.get_json()["interview_id"])
        (placed,) = order.events
        owner, name = (
            (order.candidate, path.removeprefix("candidate.")) if "." in path else (order, path)
        )
        name = {"job_id": "job_reference"}.get(name, name)
        assert expected is None or getattr(owner, name) == expected
        assert (path in placed.note) == is_noted
        assert bool(placed.note) == is_noted


@pytest.mark.parametrize(
    ("email", "stored", "recipient"),
    [
        (" anna@example.com\t", "anna@example.com", "anna@example.com"),
        ("anna\uff20example.com", "anna@example.com", "anna@example.com"),
        ("\u200eanna@example.com\u202c", "anna@example.com", "anna@example.com"),
        ("anna@straße.example", "anna@straße.example", "anna@xn--strae-oqa.example"),
        ("info@σας.example", "info@σας.example", "info@xn--mxa8ab.example"),
        ("анна@почта.рф", "анна@почта.рф", "анна@xn--80a1acny.xn--p1ai"),
    ],
)
def test_address_that_can_be_mended_is_invited(
    groove: WorkableClient, services: Services, email: str, stored: str, recipient: str
) -> None:
    order_body = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    order_id = groove.place_order(ASSESSMENTS, replace_field(order_body, "candidate.email", email))
    with services.db.reading() as session:
        assert Order.find(session, order_id).candidate.email == stored
    assert "@".join(split_address(stored) or ()) == recipient


def test_preferences_are_stored_unchanged(groove: WorkableClient, services: Services) -> None:
    value = {"a": [1, 2.5, None, True, "é🙂", {"b": 10**30}], "": {}, "deep": nested(18)}
    order_body = CHECKS.order_body(CHECKS.create_product(services), preferences=value)
    order_id = groove.place_order(CHECKS, order_body)
    with services.db.reading() as session:
        assert Order.find(session, order_id).preferences == value
    reordered = dict(reversed(value.items()))
    assert groove.place_order(CHECKS, order_body | {"preferences": reordered}) == order_id


def test_last_of_duplicate_keys_is_used(groove: WorkableClient, services: Services) -> None:
    order_body = json.dumps(ASSESSMENTS.order_body(ASSESSMENTS.create_product(services)))
    body = '{"test_id": [], "job_title": 7, ' + order_body[1:]
    answer = groove.post("/assessments", data=body, content_type="application/json")
    assert answer.status_code == 201


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_in_any_unicode_encoding_is_accepted(
    groove: WorkableClient, services: Services, encoding: str
) -> None:
    order_body = ASSESSMENTS.order_body(
        ASSESSMENTS.create_product(services), job_title="Küchenchef"
    )
    body = json.dumps(order_body, ensure_ascii=False).encode(encoding)
    answer = groove.post("/assessments", data=body, content_type="application/json")
    assert answer.status_code == 201


JSON_VALUES = st.recursive(
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
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(FIELDS), value=JSON_VALUES, kind=st.sampled_from(KIND_CONTRACTS))
def test_any_value_in_any_field_is_accepted_or_rejected(
    groove: WorkableClient, services: Services, path: str, value: Any, kind: KindContract
) -> None:
    path = path.format(product=kind.product_id)
    order_body = kind.order_body(
        kind.create_product(services), callback_url=f"https://a.workable.com/{kind.kind}"
    )
    answer = groove.post(f"/{kind.orders}", replace_field(order_body, path, value))
    if answer.status_code != 201:
        code, message = parse_error(answer)
        assert message.startswith(MESSAGE_PREFIXES[code])
        if code == 400:
            assert path in (kind.product_id, "callback_url", "candidate", "candidate.email")
            assert message.startswith(f"Invalid field: {path} should ")


MESSAGE_PREFIXES: dict[int, str | tuple[str, ...]] = {
    400: "Invalid field: ",
    409: "Entity is already updated",
    422: ("Missing field: ", "Unknown "),
}


@hypothesis_settings(deadline=None)
@given(body=st.binary(max_size=60) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_rejected_with_400_or_422(shared_server: SharedServer, body: bytes) -> None:
    for contract in KIND_CONTRACTS:
        error = shared_server.expect_error(contract, data=body, content_type="application/json")
        assert error[0] in (400, 422)


# Callback URLs: https, on a host that the account allows


NOT_A_URL = "Invalid field: callback_url should be an absolute https URL"
NOT_PLAIN = "Invalid field: callback_url should be a URL without credentials and without a fragment"
NOT_HTTPS = "Invalid field: callback_url should be an https URL without a port"
NOT_LISTED = "Invalid field: callback_url should be on a host that the account allows"


@pytest.mark.parametrize(
    ("url", "expected_message"),
    [
        ("", NOT_A_URL),
        ("/assessments/1", NOT_A_URL),
        ("//groove.workable.com/1", NOT_A_URL),
        ("https://", NOT_A_URL),
        ("https:///groove.workable.com", NOT_A_URL),
        ("https://:443/x", NOT_A_URL),
        ("https:groove.workable.com", NOT_A_URL),
        ("ftp://groove.workable.com/1", NOT_A_URL),
        ("file:///etc/passwd", NOT_A_URL),
        ("javascript://groove.workable.com/%0aalert(1)", NOT_A_URL),
        ("https://groove.workable.com/a b", NOT_A_URL),
        ("https://groove.workable.com/\r\nHost: evil.com", NOT_A_URL),
        ("https://groove.workable\t.com/", NOT_A_URL),
        (" https://groove.workable.com/", NOT_A_URL),
        ("https://evil.com\\@groove.workable.com", NOT_A_URL),
        ("https://evil.com\\.workable.com/", NOT_A_URL),
        ("https://groove.workable.com:99999/", NOT_A_URL),
        ("https://groove.workable.com:0/", NOT_A_URL),
        ("https://groove.workable.com:x/", NOT_A_URL),
        ("https://[::1/", NOT_A_URL),
        ("https://münchen.workable.com/", NOT_A_URL),
        ("https://groove。workable.com/", NOT_A_URL),
        ("https://evil.com%23.workable.com/", NOT_A_URL),
        ("https://evil.com;.workable.com/", NOT_A_URL),
        ("https://-groove.workable.com/", NOT_A_URL),
        ("https://a..workable.com/", NOT_A_URL),
        ("https://.workable.com/", NOT_A_URL),
        ("https://" + "a." * 130 + "workable.com/", NOT_A_URL),
        ("https://user:password@groove.workable.com/1", NOT_PLAIN),
        ("https://evil.com@groove.workable.com/1", NOT_PLAIN),
        ("https://@groove.workable.com/1", NOT_PLAIN),
        ("https://groove.workable.com/1#x", NOT_PLAIN),
        ("https://groove.workable.com#@evil.com/", NOT_PLAIN),
        ("http://groove.workable.com/1", NOT_HTTPS),
        ("https://groove.workable.com:8443/1", NOT_HTTPS),
        ("https://groove.workable.com:80/1", NOT_HTTPS),
        ("https://workable.com/1", NOT_LISTED),
        ("https://evilworkable.com/1", NOT_LISTED),
        ("https://groove.workable.com.evil.com/1", NOT_LISTED),
        ("https://evil.com/groove.workable.com", NOT_LISTED),
        ("https://evil.com?.workable.com", NOT_LISTED),
        ("https://localhost/1", NOT_LISTED),
        ("https://10.0.0.1/1", NOT_LISTED),
        ("https://127.0.0.1/1", NOT_LISTED),
        ("https://169.254.169.254/latest/meta-data", NOT_LISTED),
        ("https://2130706433/", NOT_LISTED),
        ("https://0x7f.1/", NOT_LISTED),
        ("https://[::1]/1", NOT_LISTED),
        ("https://[::ffff:127.0.0.1]/1", NOT_LISTED),
        ("https://xn--groove-.example.com/", NOT_LISTED),
        ("https://groove.workable.com/" + "x" * 2000, "Invalid field: callback_url should have at"),
    ],
)
def test_callback_url_outside_allowed_hosts_is_rejected(
    shared_server: SharedServer, url: str, expected_message: str
) -> None:
    code, message = shared_server.expect_error(
        ASSESSMENTS, shared_server.order_body(ASSESSMENTS, callback_url=url)
    )
    assert code == 400
    assert message.startswith(expected_message)


@pytest.mark.parametrize(
    "url",
    [
        "https://groove.workable.com",
        "https://groove.workable.com/",
        "https://groove.workable.com:443/1",
        "https://GROOVE.Workable.COM/1",
        "HTTPS://groove.workable.com/1",
        "https://a.b.c.workable.com/1?x=1&y=%20",
        "https://groove.workable.com./1",
        "https://xn--mnchen-3ya.workable.com/1",
        "https://hooks.example.org/1",
        "https://groove.workable.com/" + "x" * 1900,
    ],
)
def test_callback_url_on_allowed_host_is_accepted(
    client: FlaskClient, services: Services, url: str
) -> None:
    hosts = ["*.Workable.com", "hooks.example.org"]
    workable = WorkableClient(client, factories.create_account(services, hosts=hosts)[1])
    order_body = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services), callback_url=url)
    order_id = workable.place_order(ASSESSMENTS, order_body)
    with services.db.reading() as session:
        assert Order.find(session, order_id).reply_context == {"callback_url": url}, (
            "stored unchanged"
        )


def test_private_callbacks_allow_http_and_ports_on_listed_hosts(
    settings: Settings, clock: factories.ManualClock
) -> None:
    services = factories.build_services(replace(settings, private_callbacks=True), clock)
    client = create_app(services).test_client()
    workable = WorkableClient(client, factories.create_account(services, hosts=["127.0.0.1"])[1])
    order_body = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    local = "http://127.0.0.1:8123/callback"
    assert workable.post("/assessments", order_body | {"callback_url": local}).status_code == 201
    other_host = order_body | {"callback_url": "http://127.0.0.2:8123/callback"}
    assert parse_error(workable.post("/assessments", other_host)) == (400, NOT_LISTED)
    services.db.close()
