"""The addresses at which vendors tell us of orders: `/hooks/connectors/CONNECTOR/…`.

A callback is signed by HMAC-SHA256 in hex over `TIMESTAMP.BODY`. The address of one order names its
key. The address `events` is for vendors with one address for all: the body has the reference.
"""

import structlog
from flask import Blueprint, Response, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.ats.http_api import abort_with_message
from provider.core.accounts import Account
from provider.core.kinds.check import Check
from provider.core.kinds.check.tables.connector import Connector
from provider.core.kinds.check.tables.vendor_order import (
    VendorOrder,
    find_by_key,
    find_by_reference,
)
from provider.core.kinds.check.vendors.vendor_acts import apply_answer
from provider.core.kinds.check.vendors.vendor_answer import VendorAnswer, parse_body, read_answer
from provider.errors import Invalid
from provider.services import Services, current_services

MAX_BODY_BYTES = 1_000_000
EVENTS = "events"
TIMESTAMP_HEADER, SIGNATURE_HEADER = "X-Provider-Timestamp", "X-Provider-Signature"

routes = Blueprint("check_hooks", __name__)
log = structlog.get_logger()


@routes.post("/hooks/connectors/<connector_id>/<key>")
def receive(connector_id: str, key: str) -> Response:
    """Take a signed callback into account, in one transaction, and answer 200.

    A repeated or late callback gets 200 too: the vendor need not send it again.
    """
    services = current_services()
    request.max_content_length = MAX_BODY_BYTES
    body = request.get_data()
    with services.db.reading() as session:
        connector = _find_connector(session, connector_id)
        if not _is_signed(services, connector, body):
            abort_with_message(401, "The signature or its time is missing or wrong")
        try:
            answer = read_answer(parse_body(body), connector.paths, connector.statuses)
        except Invalid as error:
            abort_with_message(400, str(error))
        order_id, internal_id = _find_order(session, connector.id, key, answer)
    with services.db.writing() as session:
        _apply(services, session, internal_id, order_id, key, answer)
    log.info("connector_callback_received", connector=connector_id)
    return Response(status=200)


def _find_connector(session: Session, connector_id: str) -> Connector:
    is_plausible = len(connector_id) <= 22 and "\x00" not in connector_id
    query = (
        select(Connector)
        .join(Account, Account.id == Connector.account_id)
        .where(
            Connector.public_id == connector_id,
            Connector.disabled_at.is_(None),
            Account.disabled_at.is_(None),
        )
    )
    connector = session.scalar(query) if is_plausible else None
    if connector is None:
        abort_with_message(404, "There is no such address")
    return connector


def _is_signed(services: Services, connector: Connector, body: bytes) -> bool:
    return connector.is_signed(
        services.secret_box,
        body,
        request.headers.get(TIMESTAMP_HEADER, ""),
        request.headers.get(SIGNATURE_HEADER, "").removeprefix("sha256="),
        services.now(),
    )


def _find_order(
    session: Session, connector_id: int, key: str, answer: VendorAnswer
) -> tuple[int, int]:
    """Return the internal ids of the check and of the vendor's order."""
    vendor_order: VendorOrder | None
    if key == EVENTS:
        vendor_order = find_by_reference(session, connector_id, answer.reference)
    else:
        named = None if "\x00" in key else find_by_key(session, connector_id, key)
        vendor_order = named[0] if named else None
    if vendor_order is None:
        abort_with_message(404, "There is no such order")
    return vendor_order.order_id, vendor_order.id


def _apply(
    services: Services,
    session: Session,
    internal_id: int,
    order_id: int,
    key: str,
    answer: VendorAnswer,
) -> None:
    check = session.scalar(select(Check).where(Check.id == order_id).with_for_update())
    vendor_order = session.get(VendorOrder, internal_id)
    if check is None or vendor_order is None:
        return  # reopened or erased meanwhile
    apply_answer(
        session,
        services.secret_box,
        check,
        vendor_order,
        answer,
        services.now(),
        is_present_attempt=key in (EVENTS, vendor_order.key),
    )
