"""Callbacks of vendors: signatures, sizes, order of arrival, and other accounts."""

import json
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from provider.core.kinds.check import Check
from provider.core.kinds.check.tables.connector import Connector
from provider.core.kinds.check.tables.found_record import FoundRecord
from provider.core.kinds.check.tables.vendor_order import VendorOrder
from provider.core.orders import OrderEvent
from provider.services import Services
from provider.web.check_hooks import MAX_BODY_BYTES, TIMESTAMP_HEADER
from tests import check_outside_factories, factories
from tests.check_outside_factories import (
    RESULT,
    VENDOR_SCREENING,
    read_vendor_order,
    signed_headers,
    task_state,
)
from tests.factories import ManualClock

TASK = "record"
RUNNING, QUEUED, BROKEN = {"state": "running"}, {"state": "queued"}, {"state": "broken"}


@pytest.fixture
def check(services: Services) -> str:
    return check_outside_factories.place_consented_check(services, VENDOR_SCREENING)


@pytest.fixture
def connector_id(services: Services, check: str) -> str:
    with services.db.reading() as session:
        return session.scalars(select(Connector.public_id)).one()


def call(
    services: Services,
    client: FlaskClient,
    connector_id: str,
    key: str,
    payload: Any,
    **headers: str,
) -> TestResponse:
    body = json.dumps(payload).encode()
    signed = signed_headers(services, connector_id, body)
    return client.post(
        f"/hooks/connectors/{connector_id}/{key}", data=body, headers=signed | headers
    )


def count_records(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count(FoundRecord.id))) or 0


@pytest.mark.parametrize(
    ("payloads", "state", "task"),
    [
        ([QUEUED], "submitted", "submitted"),
        ([RUNNING], "in progress", "submitted"),
        ([QUEUED, RUNNING, QUEUED], "in progress", "submitted"),
        ([BROKEN], "error", "error"),
        ([BROKEN, RUNNING, QUEUED], "error", "error"),
        ([BROKEN, RESULT], "answered", "in progress"),
        ([RESULT], "answered", "in progress"),
        ([RESULT, RESULT, RUNNING, QUEUED, BROKEN], "answered", "in progress"),
    ],
)
def test_callback_never_moves_a_screening_backwards(
    services: Services,
    client: FlaskClient,
    check: str,
    connector_id: str,
    payloads: list[Any],
    state: str,
    task: str,
) -> None:
    key = read_vendor_order(services, check).key
    for payload in payloads:
        assert call(services, client, connector_id, key, payload).status_code == 200
    assert read_vendor_order(services, check).state == state
    assert task_state(services, check, TASK) == task
    assert count_records(services) == (RESULT in payloads)


def test_callback_with_reference_finds_its_order(
    services: Services, client: FlaskClient, check: str, connector_id: str
) -> None:
    assert call(services, client, connector_id, "events", RESULT).status_code == 404
    with services.db.writing() as session:
        session.scalars(select(VendorOrder)).one().reference = "V-1"
    assert call(services, client, connector_id, "events", RESULT).status_code == 200
    assert read_vendor_order(services, check).state == "answered"
    assert call(services, client, connector_id, "events", QUEUED).status_code == 404


def test_changed_result_is_noted_and_first_one_stays(
    services: Services, client: FlaskClient, check: str, connector_id: str
) -> None:
    key = read_vendor_order(services, check).key
    for payload in (RESULT, {"state": "clear"}, {"state": "clear"}):
        call(services, client, connector_id, key, payload)
    result = read_vendor_order(services, check).get_result(services.secret_box)
    assert result
    assert result.outcome == "consider"
    with services.db.reading() as session:
        types = [event.type for event in session.scalars(select(OrderEvent))]
    assert types.count("vendor changed answer") == 1


def test_callback_of_earlier_attempt_counts_only_as_result(
    services: Services, client: FlaskClient, check: str, connector_id: str
) -> None:
    key = read_vendor_order(services, check).key
    with services.db.writing() as session:
        session.scalars(select(VendorOrder)).one().attempt = 2
    call(services, client, connector_id, key, BROKEN)
    assert read_vendor_order(services, check).state == "to send"
    call(services, client, connector_id, key, RESULT)
    assert read_vendor_order(services, check).state == "answered"


def test_late_result_never_changes_what_staff_decided(
    services: Services, client: FlaskClient, check: str, connector_id: str
) -> None:
    with services.db.writing() as session:
        order = Check.find(session, check, lock=True)
        order.record_finding(session, services.secret_box, TASK, "clear", "", "sam", services.now())
    key = read_vendor_order(services, check).key
    assert call(services, client, connector_id, key, RESULT).status_code == 200
    assert task_state(services, check, TASK) == "done"
    assert count_records(services) == 0


def test_callback_after_the_end_changes_nothing(
    services: Services, client: FlaskClient, check: str, connector_id: str
) -> None:
    key = read_vendor_order(services, check).key
    with services.db.writing() as session:
        Check.find(session, check, lock=True).cancel(session, "sam", "", services.now())
    assert read_vendor_order(services, check).state == "withdrawn"
    assert call(services, client, connector_id, key, RESULT).status_code == 200
    with services.db.writing() as session:
        order = Check.find(session, check, lock=True)
        order.reopen(session, services.secret_box, "sam", "", services.now())
    assert call(services, client, connector_id, key, RESULT).status_code == 404
    assert count_records(services) == 0


@pytest.mark.parametrize("broken", ["signature", "time", "body", "old", "missing"])
def test_callback_without_right_signature_gets_401(
    services: Services,
    client: FlaskClient,
    clock: ManualClock,
    check: str,
    connector_id: str,
    broken: str,
) -> None:
    key = read_vendor_order(services, check).key
    body = json.dumps(RESULT).encode()
    headers = signed_headers(services, connector_id, body)
    if broken == "signature":
        headers["X-Provider-Signature"] = "0" * 64
    elif broken == "time":
        headers[TIMESTAMP_HEADER] = str(int(headers[TIMESTAMP_HEADER]) + 1)
    elif broken == "body":
        body += b" "
    elif broken == "old":
        clock.advance(timedelta(minutes=6))
    else:
        headers = {}
    response = client.post(f"/hooks/connectors/{connector_id}/{key}", data=body, headers=headers)
    assert response.status_code == 401
    assert read_vendor_order(services, check).state == "to send"


def test_callback_with_huge_body_gets_413(
    client: FlaskClient, check: str, connector_id: str
) -> None:
    body = b"x" * (MAX_BODY_BYTES + 1)
    response = client.post(f"/hooks/connectors/{connector_id}/x", data=body)
    assert response.status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b'{"state": "mystery"}', b"[" * 10_000])
def test_callback_that_cannot_be_read_gets_400(
    services: Services, client: FlaskClient, check: str, connector_id: str, body: bytes
) -> None:
    key = read_vendor_order(services, check).key
    response = client.post(
        f"/hooks/connectors/{connector_id}/{key}",
        data=body,
        headers=signed_headers(services, connector_id, body),
    )
    assert response.status_code == 400
    assert read_vendor_order(services, check).state == "to send"


@pytest.mark.parametrize("connector", ["nothing", "x" * 23, "%00"])
def test_callback_of_unknown_connector_gets_404(
    client: FlaskClient, check: str, connector: str
) -> None:
    assert client.post(f"/hooks/connectors/{connector}/x", data=b"{}").status_code == 404


def test_callback_of_another_accounts_connector_gets_404(
    services: Services, client: FlaskClient, check: str
) -> None:
    other, _ = factories.create_account(services, "Rival Corp")
    rival = check_outside_factories.create_connector(services, other)
    key = read_vendor_order(services, check).key
    assert call(services, client, rival, key, RESULT).status_code == 404
    assert read_vendor_order(services, check).state == "to send"


def test_callback_of_connector_that_is_off_gets_404(
    services: Services, client: FlaskClient, check: str, connector_id: str
) -> None:
    key = read_vendor_order(services, check).key
    with services.db.writing() as session:
        session.scalars(select(Connector)).one().disabled_at = services.now()
    assert call(services, client, connector_id, key, RESULT).status_code == 404
