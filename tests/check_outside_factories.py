"""Checks whose screenings referees and vendors do, a connector, and signed callbacks."""

import json
from typing import Any

from sqlalchemy import select

from provider import outbox
from provider.core.kinds.check import Check
from provider.core.kinds.check.tables.connector import Connector, sign_callback
from provider.core.kinds.check.tables.referee_request import RefereeRequest, list_requests
from provider.core.kinds.check.tables.vendor_order import VendorOrder, list_vendor_orders
from provider.core.orders import Order
from provider.services import Services
from provider.web.check_hooks import SIGNATURE_HEADER, TIMESTAMP_HEADER
from tests import check_factories, factories

REFEREE_LINES = (
    "Rosa Vinter, manager, rosa.vinter@former.example\r\n"
    "Omar Quill, colleague, omar.quill@former.example"
)
REFEREE_SCREENING: dict[str, Any] = {
    "key": "references",
    "name": "References",
    "type": "references",
    "asks": ["full_name", "referees"],
}
VENDOR_SCREENING: dict[str, Any] = {
    "key": "record",
    "name": "Criminal record",
    "type": "criminal_record",
    "asks": ["full_name", "date_of_birth"],
    "performer": "connector",
    "connector": "acme",
}
TEMPLATE = json.dumps(
    {
        "name": "{{ candidate.full_name }}",
        "born": "{{candidate.date_of_birth}}",
        "order": "{{ order.id }}",
        "callback": "{{ order.callback_url }}",
        "what": "Check of {{ screening.name }}",
    }
)
PATHS = {
    "reference": "id",
    "status": "state",
    "text": "report.summary",
    "records": "report.records",
    "kind": "type",
    "severity": "level",
    "date": "on",
    "public_text": "label",
}
STATUSES = {"queued": "submitted", "running": "in progress", "hit": "consider", "broken": "error"}
CONNECTOR_FORM = {
    "key": "acme",
    "name": "Acme Checks",
    "url": "https://vendor.example/orders",
    "method": "POST",
    "request_template": TEMPLATE,
    "headers": "Authorization: Bearer s3cret-vendor-key",
    "statuses": "queued = submitted\nrunning = in progress\nhit = consider\nbroken = error",
    "path-reference": "id",
    "path-status": "state",
    "poll_url": "",
    "poll_minutes": "0",
}
HEADER_SECRET = "Bearer s3cret-vendor-key"
RESULT = {
    "id": "V-1",
    "state": "hit",
    "report": {
        "summary": "One entry of zimtstern",
        "records": [
            {"type": "Conviction", "level": "HIGH", "on": "2017-05-14", "label": "Theft of quassia"}
        ],
    },
}


def place_consented_check(
    services: Services,
    *screenings: dict[str, Any],
    account: dict[str, Any] | None = None,
    referees: str = REFEREE_LINES,
    **fields: Any,
) -> str:
    """Return the public id of a check that the candidate has just agreed to."""
    public_id = place_check(services, *screenings, account=account, **fields)
    check_factories.give_consent(services, public_id, referees=referees)
    return public_id


def place_check(
    services: Services,
    *screenings: dict[str, Any],
    account: dict[str, Any] | None = None,
    **fields: Any,
) -> str:
    account_id, _ = factories.create_account(
        services, timezone="Europe/Athens", **({"name": "Groove Tech"} | (account or {}))
    )
    is_sandbox = bool(account and account.get("sandbox"))
    if any(screening.get("connector") == "acme" for screening in screenings) and not is_sandbox:
        create_connector(services, account_id)
    product = check_factories.create_package(services, screenings=list(screenings))
    return factories.place_order(services, account_id, product, "check", **fields)


def create_connector(services: Services, account_id: int, **columns: Any) -> str:
    """Return the public id of a connector `acme`."""
    values: dict[str, Any] = {
        "key": "acme",
        "name": "Acme Checks",
        "url": "https://vendor.example/orders",
        "method": "POST",
        "request_template": TEMPLATE,
        "paths": PATHS,
        "statuses": STATUSES,
        "poll_url": "",
        "poll_minutes": 0,
    }
    with services.db.writing() as session:
        connector = Connector(
            public_id=f"con{account_id:019}",
            account_id=account_id,
            created_at=services.now(),
            **values | columns,
        )
        connector.set_headers(services.secret_box, {"Authorization": HEADER_SECRET})
        connector.replace_signing_key(services.secret_box)
        session.add(connector)
        session.flush()
        return connector.public_id


def signing_key(services: Services, connector_id: str) -> str:
    with services.db.reading() as session:
        connector = session.scalars(
            select(Connector).where(Connector.public_id == connector_id)
        ).one()
        path = f"connectors/{connector_id}/signing_key"
        return services.secret_box.decrypt(connector.signing_key_encrypted, path)


def signed_headers(services: Services, connector_id: str, body: bytes) -> dict[str, str]:
    timestamp = str(int(services.now().timestamp()))
    key = signing_key(services, connector_id)
    return {
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: sign_callback(key, body, timestamp),
        "Content-Type": "application/json",
    }


def task_state(services: Services, public_id: str, key: str) -> str:
    with services.db.reading() as session:
        return Check.find(session, public_id).find_task(key).state


def read_requests(services: Services, public_id: str) -> list[RefereeRequest]:
    with services.db.reading() as session:
        return list_requests(session, Order.find(session, public_id).id)


def read_vendor_order(services: Services, public_id: str) -> VendorOrder:
    with services.db.reading() as session:
        (vendor_order,) = list_vendor_orders(session, Order.find(session, public_id).id)
        assert vendor_order.connector is None or vendor_order.connector.key
        return vendor_order


def referee_token(services: Services, request: RefereeRequest) -> str:
    return request.get_token(services.secret_box)


def store_vendor_body(services: Services, body: bytes) -> str:
    """Store what an attempt sends to the vendor; return the public id of the message."""
    (queue,) = factories.queue_names(services, channel=outbox.CONNECTOR)
    with services.db.writing() as session:
        (claim,) = outbox.claim(session, queue, services.now(), 1)
        assert outbox.store_body(session, claim, body)
        return claim.public_id
