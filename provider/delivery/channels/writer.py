"""Writers: what an adapter writes through its ATS's API, such as a tag or a note."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.api import (
    AtsApi,
    Connection,
    OrderSummary,
    UnreadableAnswer,
    Writer,
    WriteRejected,
    WriteTask,
)
from provider.core.accounts import Account
from provider.core.connections import secrets_revision
from provider.core.orders import PDF, REPORT, Order
from provider.core.orders.queries import get_result
from provider.core.report import build_report
from provider.delivery.api_client import ApiClient
from provider.delivery.api_errors import (
    TOO_MANY_REQUESTS,
    CallDelayed,
    CallFailed,
    CredentialsRefused,
)
from provider.delivery.channels.base import Channel, prepare_or_error
from provider.delivery.http.client import HttpClient
from provider.errors import Conflict, Invalid, Unavailable
from provider.outbox import WRITER, Claim, Outcome
from provider.services import Services

# Longer than a message's requests may take together: at most five of 20 seconds.
LEASE = timedelta(minutes=3)
MAX_CONCURRENT_SENDS = 4  # a vendor's budget allows few requests a second


@dataclass(frozen=True)
class WriterDelivery:
    """One writer's message, rendered once."""

    channel: "WriterChannel"
    claim: Claim
    api: AtsApi
    writer: Writer
    connection: Connection
    document: dict[str, Any]
    target: dict[str, Any]
    email: str
    credentials_revision: bytes
    is_wanted: bool  # False if a switch was turned off after the message was appended
    account_error: str  # why the account cannot write at present; empty if it can

    @property
    def body(self) -> bytes:
        return json.dumps(self.document, ensure_ascii=False, sort_keys=True).encode()

    def send(self) -> Outcome:
        """Send the writer's requests; an attempt that broke off is looked for before a repeat."""
        return replace(self._send(), credentials_revision=self.credentials_revision)

    def _send(self) -> Outcome:
        if not self.is_wanted:
            text = "Nothing was written: the account's settings no longer ask for it"
            return Outcome("not_needed", response_excerpt=text, is_sent=False)
        if self.account_error:
            return Outcome(
                "retry",
                timedelta(0),
                error=self.account_error,
                failure_scope="account",
                is_sent=False,
            )
        # An attempt that was answered with 429, or not made for the budget, has written nothing.
        codes = [attempt.status_code for attempt in self.claim.past_attempts]
        is_repeated = self.claim.unsettled_claims > 1 or any(
            code != TOO_MANY_REQUESTS for code in codes
        )
        task = WriteTask(self.document, self.target, self.email, is_repeated, self._render_pdf)
        client = self.channel.client
        try:
            text = client.run(
                self.api,
                self.connection,
                self.writer.steps(task, self.connection),
                request_count=self.writer.request_count,
            )
        except WriteRejected as error:
            return Outcome("rejected", error=str(error))
        except CallDelayed as error:
            return Outcome(
                "retry",
                error.wait,
                status_code=error.status_code,
                error=str(error),
                pause_duration=error.wait,
                is_sent=error.is_answer,
            )
        except CredentialsRefused as error:
            return Outcome(
                "retry",
                timedelta(0),
                status_code=error.status_code,
                error=str(error),
                failure_scope="account",
            )
        except CallFailed as error:
            return Outcome(
                "retry",
                status_code=error.status_code,
                error=str(error),
                failure_scope="destination",
            )
        except UnreadableAnswer as error:
            return Outcome("retry", error=str(error))
        return Outcome("delivered", response_excerpt=text)

    def _render_pdf(self) -> bytes | None:
        from provider.core.report_pdf import render_pdf  # late: Typst is slow to import

        services = self.channel.services
        with services.db.reading() as session:
            try:
                order = Order.find(session, self.claim.subject)
                report = build_report(order, services.secret_box, {PDF})
            except Conflict:  # reopened since
                return None
        return render_pdf(report)


class WriterChannel(Channel):
    """Writes through the API of an account's ATS."""

    name = WRITER
    lease = LEASE
    max_concurrent_sends = MAX_CONCURRENT_SENDS
    is_per_host = True
    has_private_responses = True

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._http_client = HttpClient(allow_private=services.settings.private_callbacks)
        self.client = ApiClient(services, self._http_client)

    def close(self) -> None:
        """Close idle connections."""
        self._http_client.close()

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[WriterDelivery | Exception]:
        """Render each message by its writer."""
        return [prepare_or_error(self._prepare, session, claim) for claim in claims]

    def _prepare(self, session: Session, claim: Claim) -> WriterDelivery:
        order = Order.find(session, claim.subject)
        account = order.account
        adapter = ADAPTERS[account.ats]
        writer = adapter.api.find_writer(claim.topic) if adapter.api else None
        if adapter.api is None or writer is None:
            raise Invalid(f"This version has no writer {claim.topic}")
        # Read before the secrets: one that is replaced in between is then not held against them.
        revision = secrets_revision(session, account.id)
        connection, account_error = self._connect(session, account, adapter.api)
        payload = claim.get_payload(self.services.secret_box)
        body = claim.get_body(self.services.secret_box)
        if body is None:
            summary = self._summarise(session, order, payload)
            document = writer.render(summary, connection.settings)
        else:
            document = json.loads(body)
        return WriterDelivery(
            self,
            claim,
            adapter.api,
            writer,
            connection,
            document,
            dict(order.reply_context),
            order.candidate.email,
            revision,
            writer.writes(payload["status"], connection.settings),
            account_error,
        )

    def _connect(self, session: Session, account: Account, api: AtsApi) -> tuple[Connection, str]:
        try:
            connection = self.client.connection(session, account)
        except Unavailable as error:
            settings = ADAPTERS[account.ats].setting_values(account.options)
            text = f"The account's secrets cannot be decrypted: {error}"
            return Connection(account.id, settings), text
        missing = api.missing(connection)
        return connection, f"Not set yet: {', '.join(missing)}" if missing else ""

    def _summarise(
        self, session: Session, order: Order, payload: Mapping[str, Any]
    ) -> OrderSummary:
        result, report_url = None, ""
        if payload["result"]:
            result, tokens = get_result(
                session, self.services.secret_box, order.public_id, payload["result"]
            )
            report_url = self.services.urls.report(tokens[REPORT]) if REPORT in tokens else ""
        return OrderSummary(
            public_id=order.public_id,
            revision=payload["revision"],
            kind=order.kind,
            product=str(order.version.content.get("name") or order.product.name),
            status=payload["status"],
            score=result.score if result else None,
            grade=result.grade if result else None,
            outcome=str(result.figures.get("overall_status") or "") if result else "",
            report_url=report_url,
            has_pdf=result is not None,
            is_correction=payload["is_correction"],
        )
