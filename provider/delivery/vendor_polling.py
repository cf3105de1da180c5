"""Polling: vendors that call nobody back are asked for the state of each order."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from provider.core.kinds.check import Check
from provider.core.kinds.check.tables.connector import Connector
from provider.core.kinds.check.tables.vendor_order import MAX_ERROR_LENGTH, VendorOrder
from provider.core.kinds.check.vendors.request_template import fill_url
from provider.core.kinds.check.vendors.vendor_acts import apply_answer, record_unreadable
from provider.core.kinds.check.vendors.vendor_answer import parse_body, read_answer
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.delivery.http.client import HttpClient, RequestFailed
from provider.delivery.user_agent import USER_AGENT
from provider.errors import Invalid, Unavailable
from provider.services import Services

MAX_POLLS_PER_RUN = 50
MAX_RESPONSE_BYTES = 1_000_000

log = structlog.get_logger()


@dataclass(frozen=True)
class Poll:
    """One question to a vendor."""

    vendor_order_id: int
    order_id: int
    key: str
    url: str
    headers: dict[str, str]
    paths: dict[str, str]
    statuses: dict[str, str]


def poll_vendors(services: Services, http_client: HttpClient) -> None:
    """Ask for the orders that are due, one after the other."""
    with services.db.reading() as session:
        query = select(VendorOrder.id).where(*_due_conditions(services.now()))
        ids = session.scalars(
            query.order_by(VendorOrder.next_poll_at).limit(MAX_POLLS_PER_RUN)
        ).all()
    for vendor_order_id in ids:
        poll = _begin(services, vendor_order_id)
        if poll:
            _record(services, poll, *_ask(http_client, poll))


def _begin(services: Services, vendor_order_id: int) -> Poll | None:
    """Move the next poll, and return this one; None if another process was first.

    The next poll is set before the question: a process that dies costs one interval.
    """
    with services.db.writing() as session:
        now = services.now()
        vendor_order = session.get(VendorOrder, vendor_order_id)
        connector = vendor_order.connector if vendor_order else None
        if vendor_order is None or connector is None:
            return None
        is_off = connector.disabled_at or not connector.poll_minutes or not vendor_order.is_open
        following = None if is_off else now + timedelta(minutes=connector.poll_minutes)
        taken = session.scalar(
            update(VendorOrder)
            .where(VendorOrder.id == vendor_order_id, *_due_conditions(now))
            .values(next_poll_at=following, polls=VendorOrder.polls + 1)
            .returning(VendorOrder.id)
            .execution_options(synchronize_session=False)
        )
        if taken is None or is_off:
            return None
        return _poll_of(services, vendor_order, connector)


def _poll_of(services: Services, vendor_order: VendorOrder, connector: Connector) -> Poll:
    return Poll(
        vendor_order.id,
        vendor_order.order_id,
        vendor_order.key,
        fill_url(connector.poll_url, vendor_order.reference, vendor_order.key),
        connector.get_headers(services.secret_box),
        dict(connector.paths),
        dict(connector.statuses),
    )


def _ask(http_client: HttpClient, poll: Poll) -> tuple[bytes | None, str]:
    """Return the body of the answer, or None and why there is none."""
    headers = {"Accept": "application/json", **poll.headers, "User-Agent": USER_AGENT}
    try:
        response = http_client.send("GET", poll.url, headers, max_response_bytes=MAX_RESPONSE_BYTES)
    except RequestFailed as error:
        return None, str(error)
    if not 200 <= response.status_code < 300:
        return None, f"The vendor answers a poll with {response.status_code}"
    return response.body, ""


def _record(services: Services, poll: Poll, body: bytes | None, error: str) -> None:
    answer, problem = None, None
    if body is not None:
        try:
            answer = read_answer(parse_body(body), poll.paths, poll.statuses)
        except Invalid as refusal:
            problem = refusal
    with services.db.writing() as session:
        query = select(Check).where(Check.id == poll.order_id).with_for_update()
        check = session.scalar(query)
        vendor_order = session.get(VendorOrder, poll.vendor_order_id)
        if check is None or vendor_order is None or vendor_order.key != poll.key:
            return
        if vendor_order.is_open:
            vendor_order.last_error = error[:MAX_ERROR_LENGTH]
            if problem:
                record_unreadable(services.secret_box, vendor_order, problem)
        if answer is not None:
            apply_answer(session, services.secret_box, check, vendor_order, answer, services.now())


def _due_conditions(now: datetime) -> tuple[Any, ...]:
    return (
        VendorOrder.connector_id.is_not(None),
        VendorOrder.next_poll_at.is_not(None),
        VendorOrder.next_poll_at <= now,
    )


def _is_needed(session: Session, now: datetime) -> bool:
    query = select(VendorOrder.id).where(*_due_conditions(now))
    return session.scalar(query.limit(1)) is not None


def _run(context: WorkContext) -> None:
    services = cast(Services, context)  # both runners give their services
    http_client = HttpClient(allow_private=services.settings.private_callbacks)
    try:
        poll_vendors(services, http_client)
    except Unavailable as error:
        log.warning("vendors_not_polled", error=str(error))
    finally:
        http_client.close()


POLL_VENDORS = ScheduledWork(
    "poll_vendors",
    every=timedelta(seconds=30),
    run=_run,
    is_needed=_is_needed,
    lease=timedelta(minutes=15),  # longer than all polls of a run may take
)
