"""Connectors: templates, answers, the form, and the signature of callbacks."""

import json
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from provider.core.kinds.check.tables.connector import Connector, sign_callback
from provider.core.kinds.check.vendors.connector_form import (
    InvalidConnector,
    format_statuses,
    parse_connector,
    parse_headers,
)
from provider.core.kinds.check.vendors.request_template import (
    VALUE_NAMES,
    fill_template,
    fill_url,
    parse_template,
)
from provider.core.kinds.check.vendors.trial_request import sample_values
from provider.core.kinds.check.vendors.vendor_answer import VendorRecord, parse_body, read_answer
from provider.errors import Invalid
from provider.services import Services
from tests import check_outside_factories, factories
from tests.check_outside_factories import HEADER_SECRET, PATHS, RESULT, STATUSES, TEMPLATE

FORM = {
    "key": "acme",
    "name": "Acme Checks",
    "url": "https://vendor.example/orders",
    "method": "POST",
    "request_template": TEMPLATE,
    "statuses": format_statuses(STATUSES),
    "path-status": "report.state",
    "poll_url": "",
    "poll_minutes": "0",
}
VALUES: dict[str, Any] = {
    "candidate": {"full_name": "Jo", "address": {"postcode": "1", "lines": ["a", "b"]}},
    "order": {"id": "o.1"},
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ({"a": "{{ candidate.full_name }}"}, {"a": "Jo"}),
        (["x {{candidate.full_name}} {{ order.id }}"], ["x Jo o.1"]),
        ({"a": "{{ candidate.address }}"}, {"a": VALUES["candidate"]["address"]}),
        ({"a": "{{ candidate.address.postcode }}"}, {"a": "1"}),
        ({"a": "{{ candidate.address.lines.1 }}"}, {"a": "b"}),
        ({"a": 5, "b": None, "c": [True]}, {"a": 5, "b": None, "c": [True]}),
    ],
)
def test_template_is_filled_with_values(template: Any, expected: Any) -> None:
    assert fill_template(parse_template(json.dumps(template)), VALUES) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"a": "{{ candidate.password }}"}',
        '{"a": "{{ order.id.__class__ }}", "b": "{{ 7*7 }}"}',
        '{"a": "{{ candidate.full_name|upper }}"}',
        '{"a": "{{ config }}"}',
        '{"a": "{{ candidate.full_name"}',
        '{"{{ order.id }}": 1}',
        "[" * 100_000,
        f'"{"x" * 30_000}"',
    ],
)
def test_template_that_is_not_plain_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_template(text)


def test_template_without_the_detail_is_not_sent() -> None:
    with pytest.raises(Invalid, match="does not ask"):
        fill_template(parse_template('{"a": "{{ candidate.national_id }}"}'), VALUES)


@given(st.text(), st.text())
def test_values_never_change_the_structure(first: str, second: str) -> None:
    template = parse_template('{"a": "{{ candidate.full_name }}", "b": "x{{ order.id }}"}')
    values = {"candidate": {"full_name": first}, "order": {"id": second}}
    filled = fill_template(template, values)
    assert json.loads(json.dumps(filled)) == {"a": first, "b": f"x{second}"}


def test_sample_has_a_value_for_every_placeholder() -> None:
    template = {name: f"{{{{ {name} }}}}" for name in VALUE_NAMES}
    template["part"] = "{{ candidate.address.postcode }}"
    filled = fill_template(parse_template(json.dumps(template)), sample_values())
    assert all(filled.values())
    assert json.dumps(filled)


def test_poll_url_escapes_the_reference() -> None:
    url = fill_url("https://v.example/{{ vendor.reference }}?o={{order.id}}", "a/../b?c", "x.1")
    assert url == "https://v.example/a%2F..%2Fb%3Fc?o=x.1"


def test_answer_is_read_by_paths_and_statuses() -> None:
    answer = read_answer(RESULT, PATHS, STATUSES)
    assert (answer.meaning, answer.reference) == ("consider", "V-1")
    assert answer.text == "One entry of zimtstern"
    assert answer.records == (
        VendorRecord("conviction", "high", "Theft of quassia", date(2017, 5, 14)),
    )


@pytest.mark.parametrize(
    "payload",
    [None, [], "x", 5, {"state": None}, {"state": ["running"]}, {"report": {"records": "x"}}],
)
def test_answer_without_status_says_nothing(payload: Any) -> None:
    answer = read_answer(payload, PATHS, STATUSES)
    assert (answer.meaning, answer.records) == ("", ())


def test_answer_with_unknown_status_is_refused() -> None:
    with pytest.raises(Invalid, match="mystery"):
        read_answer({"state": "mystery"}, PATHS, STATUSES)


@given(st.binary(max_size=200))
def test_parse_body_of_any_bytes_is_json_or_refused(body: bytes) -> None:
    try:
        payload = parse_body(body)
    except Invalid:
        return
    try:
        read_answer(payload, PATHS, STATUSES)
    except Invalid as error:
        assert "status" in str(error)  # noqa: PT017


def test_records_of_unknown_words_get_usual_ones() -> None:
    payload = {"report": {"records": [{"type": "Oddity", "level": "9", "on": "soon"}, 5]}}
    first, second = read_answer(payload, PATHS, STATUSES).records
    assert first == VendorRecord("other", "medium", "Oddity")
    assert second.text == "The vendor gave no text"


def test_form_gives_the_columns() -> None:
    columns = parse_connector(FORM, allow_http=False)
    assert columns["statuses"] == STATUSES
    assert columns["paths"] == {"status": "report.state"}
    assert columns["poll_minutes"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "Acme Checks"),
        ("name", " "),
        ("url", "http://vendor.example/"),
        ("url", "https://vendor.example:8443/"),
        ("url", "https://user:password@vendor.example/"),
        ("url", "https://{{ order.id }}.example/"),
        ("url", "file:///etc/passwd"),
        ("url", "https://[x"),
        ("method", "DELETE"),
        ("request_template", "{"),
        ("statuses", "done = perfect"),
        ("statuses", "done"),
        ("poll_url", "https://vendor.example/{{ candidate.email }}"),
        ("poll_minutes", "-1"),
        ("poll_minutes", "10"),
        ("poll_minutes", "99999"),
        ("path-status", "a..b"),
        ("path-kind", "$.x"),
    ],
)
def test_form_with_wrong_value_names_the_field(field: str, value: str) -> None:
    with pytest.raises(InvalidConnector) as caught:
        parse_connector(FORM | {field: value}, allow_http=False)
    wrong = "poll_url" if value == "10" else field
    assert set(caught.value.fields) == {wrong}


@pytest.mark.parametrize(
    "text", ["Authorization", "A: ", "Host: x", "X-Y: ü", "X Y: z", "Content-Length: 5"]
)
def test_headers_that_cannot_be_sent_are_refused(text: str) -> None:
    with pytest.raises(InvalidConnector):
        parse_headers(text)


def test_secrets_of_a_connector_are_encrypted(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    connector_id = check_outside_factories.create_connector(services, account_id)
    key = check_outside_factories.signing_key(services, connector_id)
    with services.db.reading() as session:
        stored = repr(session.execute(select(Connector.__table__)).all())
        connector = session.scalars(select(Connector)).one()
        assert connector.get_headers(services.secret_box) == {"Authorization": HEADER_SECRET}
    assert HEADER_SECRET not in stored
    assert key not in stored


@pytest.mark.parametrize(
    ("shift", "is_right"), [(0, True), (299, True), (-299, True), (301, False), (-301, False)]
)
def test_signature_counts_within_the_window(services: Services, shift: int, is_right: bool) -> None:
    account_id, _ = factories.create_account(services)
    connector_id = check_outside_factories.create_connector(services, account_id)
    key = check_outside_factories.signing_key(services, connector_id)
    now = services.now()
    timestamp = str(int((now + timedelta(seconds=shift)).timestamp()))
    with services.db.reading() as session:
        connector = session.scalars(select(Connector)).one()

        def check(body: bytes, time: str, signature: str) -> bool:
            return connector.is_signed(services.secret_box, body, time, signature, now)

        signature = sign_callback(key, b"{}", timestamp)
        assert check(b"{}", timestamp, signature) == is_right
        assert not check(b"{ }", timestamp, signature)
        assert not check(b"{}", str(int(timestamp) + 1), signature)
        assert not check(b"{}", "", signature)
        assert not check(b"{}", "٣", signature)
        assert not check(b"{}", timestamp, "ü")
