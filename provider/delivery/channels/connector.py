"""Connectors: an order of a screening is sent to a vendor over HTTP, and its answer is recorded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.ats.base import is_rejection, parse_retry_after
from provider.core.kinds.check import Check
from provider.core.kinds.check.tables.connector import Connector
from provider.core.kinds.check.tables.vendor_order import TO_SEND, VendorOrder
from provider.core.kinds.check.vendors.request_template import fill_template, parse_template
from provider.core.kinds.check.vendors.trial_request import TEST_TOPIC, sample_values
from provider.core.kinds.check.vendors.vendor_acts import (
    VENDOR_ORDER_TOPIC,
    record_failure,
    record_sent,
    record_unreadable,
    request_values,
)
from provider.core.kinds.check.vendors.vendor_answer import VendorAnswer, parse_body, read_answer
from provider.core.orders import CONSENTED
from provider.delivery.channels.base import Channel, lock_orders, prepare_or_error
from provider.delivery.http.client import HttpClient, RequestFailed
from provider.delivery.http.curl_handle import HttpResponse
from provider.delivery.http.excerpt import create_excerpt
from provider.delivery.user_agent import USER_AGENT
from provider.errors import Invalid
from provider.outbox import (
    CONNECTOR,
    MAX_RESPONSE_EXCERPT_LENGTH,
    AttemptResult,
    Claim,
    Outcome,
)
from provider.services import Services

MAX_RESPONSE_BYTES = 1_000_000
NOT_NEEDED = "The screening is no longer waiting to be sent"


@dataclass(frozen=True)
class Target:
    """Where and how a connector sends."""

    method: str
    url: str
    headers: dict[str, str]  # with secrets
    paths: dict[str, str]
    statuses: dict[str, str]

    @classmethod
    def of(cls, connector: Connector, services: Services) -> "Target":
        return cls(
            connector.method,
            connector.url,
            connector.get_headers(services.secret_box),
            dict(connector.paths),
            dict(connector.statuses),
        )

    def send(self, http_client: HttpClient, body: bytes, idempotency_key: str) -> HttpResponse:
        """Send once; raises RequestFailed."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            **self.headers,
            "User-Agent": USER_AGENT,
            "Idempotency-Key": idempotency_key,
        }
        return http_client.send(
            self.method, self.url, headers, body, max_response_bytes=MAX_RESPONSE_BYTES
        )


@dataclass(frozen=True)
class VendorDelivery:
    """A rendered order for a vendor."""

    channel: "ConnectorChannel"
    order_id: str
    vendor_order_id: int
    key: str
    target: Target
    body: bytes

    def send(self) -> Outcome:
        """Make one attempt, and record what the vendor answers.

        When the process dies after the vendor's answer, the same bytes are sent again with the same
        key, and the vendor answers again.
        """
        try:
            response = self.target.send(self.channel.http_client, self.body, self.key)
        except RequestFailed as error:
            return Outcome("retry", error=str(error), failure_scope="destination")
        if 200 <= response.status_code < 300:
            return self._record(response)
        return _refusal(response, self.channel.services.now())

    def _record(self, response: HttpResponse) -> Outcome:
        services = self.channel.services
        answer, problem = _read_response(response, self.target)
        with services.db.writing() as session:
            check = Check.find(session, self.order_id, lock=True)
            vendor_order = session.get(VendorOrder, self.vendor_order_id)
            if vendor_order and vendor_order.key == self.key:
                record_sent(
                    session, services.secret_box, check, vendor_order, answer, services.now()
                )
                if problem and not vendor_order.last_error:
                    record_unreadable(services.secret_box, vendor_order, problem)
        # No excerpt: the answer may name the candidate.
        return Outcome("delivered", status_code=response.status_code)


@dataclass(frozen=True)
class TestDelivery:
    """A test with invented values. It changes no order, so its answer can be shown."""

    channel: "ConnectorChannel"
    key: str
    target: Target
    body: bytes

    def send(self) -> Outcome:
        try:
            response = self.target.send(self.channel.http_client, self.body, self.key)
        except RequestFailed as error:
            return Outcome("rejected", error=str(error))
        secrets = tuple(self.target.headers.values())
        excerpt = create_excerpt(
            response.body, self.target.headers, MAX_RESPONSE_EXCERPT_LENGTH, secrets
        )
        answer, problem = _read_response(response, self.target)
        code = response.status_code
        if not 200 <= code < 300 or problem:
            reason = str(problem or "") or f"The vendor refuses with {code}"
            return Outcome("rejected", status_code=code, response_excerpt=excerpt, error=reason)
        status, reference = answer.meaning or "none", answer.reference or "none"
        text = f"Status: {status}. Reference: {reference}.\n{excerpt}"
        return Outcome("delivered", status_code=code, response_excerpt=text)


@dataclass(frozen=True)
class NotSent:
    """A message whose outcome was decided before."""

    outcome: Outcome
    body: None = None

    def send(self) -> Outcome:
        return self.outcome


class ConnectorChannel(Channel):
    """Sends orders of screenings to vendors."""

    name = CONNECTOR
    is_per_host = True
    has_private_responses = True

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.http_client = HttpClient(allow_private=services.settings.private_callbacks)

    def close(self) -> None:
        self.http_client.close()

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[VendorDelivery | TestDelivery | NotSent | Exception]:
        return [prepare_or_error(self._prepare, session, claim) for claim in claims]

    def lock_subjects(self, session: Session, results: Sequence[AttemptResult]) -> None:
        order_ids = {result.claim.subject for result in results if _is_failed(result)}
        lock_orders(session, order_ids)

    def record_outcomes(
        self, session: Session, results: Sequence[AttemptResult], now: datetime
    ) -> None:
        """Give the tasks whose orders the vendor refuses to the staff."""
        for result in filter(_is_failed, results):
            vendor_order = self._find(session, result.claim)
            if vendor_order is not None:
                check = Check.find(session, result.claim.subject)
                record_failure(session, check, vendor_order, result.outcome.error, now)

    def _prepare(self, session: Session, claim: Claim) -> VendorDelivery | TestDelivery | NotSent:
        if claim.topic == TEST_TOPIC:
            return self._prepare_test(session, claim)
        vendor_order = self._find(session, claim)
        check = Check.find(session, claim.subject)
        connector = vendor_order.connector if vendor_order else None
        is_wanted = vendor_order and vendor_order.state == TO_SEND and check.status == CONSENTED
        if not is_wanted or vendor_order is None or connector is None:
            return NotSent(Outcome("not_needed", response_excerpt=NOT_NEEDED, is_sent=False))
        if connector.disabled_at:
            return _reject("The connector is switched off")
        secret_box = self.services.secret_box
        body = claim.get_body(secret_box)
        if body is None:
            url = callback_url(self.services, connector, vendor_order)
            try:
                values = request_values(check, secret_box, vendor_order, url)
                body = _render(connector.request_template, values)
            except Invalid as error:
                return _reject(str(error))
        return VendorDelivery(
            self,
            check.public_id,
            vendor_order.id,
            vendor_order.key,
            Target.of(connector, self.services),
            body,
        )

    def _prepare_test(self, session: Session, claim: Claim) -> TestDelivery | NotSent:
        query = select(Connector).where(Connector.public_id == claim.subject)
        connector = session.scalars(query).one()
        body = _render(connector.request_template, sample_values())
        target = Target.of(connector, self.services)
        return TestDelivery(self, claim.public_id, target, body)

    def _find(self, session: Session, claim: Claim) -> VendorOrder | None:
        """Return the order of a message; None if staff have begun a newer attempt."""
        payload = claim.get_payload(self.services.secret_box)
        return session.scalar(
            select(VendorOrder).where(
                VendorOrder.public_id == payload["vendor_order"],
                VendorOrder.attempt == payload["attempt"],
            )
        )


def callback_url(services: Services, connector: Connector, vendor_order: VendorOrder) -> str:
    """Return the address at which a vendor tells us of changes of one order."""
    return services.urls.connector_hook(connector.public_id, vendor_order.key)


def _render(template: str, values: dict[str, Any]) -> bytes:
    filled = fill_template(parse_template(template), values)
    return json.dumps(filled, ensure_ascii=False).encode()


def _read_response(response: HttpResponse, target: Target) -> tuple[VendorAnswer, Invalid | None]:
    """Return the answer, and why it cannot be read. The order counts as submitted then."""
    if not response.body.strip():
        return VendorAnswer(), None
    try:
        return read_answer(parse_body(response.body), target.paths, target.statuses), None
    except Invalid as problem:
        return VendorAnswer(), problem


def _refusal(response: HttpResponse, now: datetime) -> Outcome:
    code = response.status_code
    if is_rejection(code):
        return Outcome("rejected", status_code=code, error=f"The vendor refuses with {code}")
    wait = parse_retry_after(response.headers, now)
    error = f"The vendor answers with {code}"
    return Outcome("retry", wait, status_code=code, error=error, failure_scope="destination")


def _reject(error: str) -> NotSent:
    return NotSent(Outcome("rejected", error=error, is_sent=False))


def _is_failed(result: AttemptResult) -> bool:
    is_order = result.claim.topic == VENDOR_ORDER_TOPIC
    return is_order and result.outcome.decision == "rejected"
