"""Callbacks: a status update is rendered once and sent to a host that the account allows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.ats import (
    ADAPTERS,
    TOKEN_REJECTED_STATUS_CODES,
    AtsAdapter,
    CallbackRequest,
    CallbackResponse,
    StatusUpdate,
)
from provider.core.accounts import Account
from provider.core.host_patterns import is_allowed_host
from provider.core.orders import Order
from provider.core.orders.queries import get_result
from provider.delivery.channels.base import Channel, prepare_or_error
from provider.delivery.http import addresses
from provider.delivery.http.client import HttpClient, RequestFailed
from provider.delivery.http.excerpt import create_excerpt
from provider.delivery.user_agent import USER_AGENT
from provider.errors import Unavailable
from provider.outbox import CALLBACK, MAX_RESPONSE_EXCERPT_LENGTH, Claim, Outcome
from provider.services import Services
from provider.storage.compiled import CompiledInQuery, CompiledQuery


def send_callback(
    http_client: HttpClient,
    request: CallbackRequest,
    body: bytes,
    headers: dict[str, str],
    other_secrets: Iterable[str] = (),
) -> CallbackResponse:
    """Send a callback once; raises RequestFailed.

    The response's body is an excerpt without `other_secrets` and the credentials in the request.
    """
    response = http_client.send(request.method, request.url, request.headers | headers, body)
    excerpt = create_excerpt(
        response.body, request.headers, MAX_RESPONSE_EXCERPT_LENGTH, other_secrets
    )
    return CallbackResponse(response.status_code, response.headers, excerpt)


@dataclass(frozen=True)
class CallbackDelivery:
    """A status update for an ATS."""

    channel: "CallbackChannel"
    claim: Claim
    body: bytes
    request: CallbackRequest
    credentials: "AccountCredentials"
    past_status_codes: tuple[int | None, ...]  # of earlier attempts, the latest first
    rejection_reason: str  # why the URL is not allowed; empty for an allowed URL

    def send(self) -> Outcome:
        """Make one attempt within the HTTP client's deadline."""
        if self.rejection_reason:
            return Outcome("rejected", error=self.rejection_reason, is_sent=False)
        try:
            # The token may be a key that only signs, so that no header has it.
            response = send_callback(
                self.channel.http_client,
                self.request,
                self.body,
                self._headers(),
                other_secrets=(self.credentials.token or "",),
            )
        except RequestFailed as error:
            return Outcome("retry", error=str(error), failure_scope="destination")
        now = self.channel.services.now()
        outcome = self.credentials.adapter.classify_response(response, self.past_status_codes, now)
        return replace(outcome, credentials_revision=self.credentials.token_encrypted)

    def _headers(self) -> dict[str, str]:
        return {
            "User-Agent": USER_AGENT,
            "Idempotency-Key": self.claim.public_id,
            "X-Provider-Sequence": str(self.claim.sequence),
        }


@dataclass(frozen=True)
class BlockedDelivery:
    """A status update whose account's token cannot be decrypted: its account is paused."""

    credentials: "AccountCredentials"
    body: bytes | None = None

    def send(self) -> Outcome:
        """Send nothing and report the account's failure."""
        return Outcome(
            "retry",
            retry_after=timedelta(0),
            error=self.credentials.token_error,
            failure_scope="account",
            is_sent=False,
            credentials_revision=self.credentials.token_encrypted,
        )


class CallbackChannel(Channel):
    """Renders status updates through the account's adapter; every attempt sends the same bytes."""

    name = CALLBACK
    is_per_host = True

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.http_client = HttpClient(allow_private=services.settings.private_callbacks)

    def close(self) -> None:
        """Close idle connections."""
        self.http_client.close()

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[CallbackDelivery | BlockedDelivery | Exception]:
        """Render each status as of its message's revision, and address it."""
        rows = _ORDERS_QUERY.fetch_all(session, [claim.subject for claim in claims])
        targets = {public_id: CallbackTarget(*columns) for public_id, *columns in rows}
        credentials_by_account = {
            account_id: self._credentials(session, account_id)
            for account_id in {target.account_id for target in targets.values()}
        }

        def prepare_claim(session: Session, claim: Claim) -> CallbackDelivery | BlockedDelivery:
            target = targets[claim.subject]
            credentials = credentials_by_account[target.account_id]
            if credentials.token_error:
                return BlockedDelivery(credentials)
            stored_body = claim.get_body(self.services.secret_box)
            body = stored_body or self._render(session, claim, target, credentials)
            request = credentials.adapter.build_request(target.reply_context, credentials.token)
            rejection = self._rejection_reason(request.url, credentials.callback_hosts)
            past_codes = _attributable_status_codes(session, claim)
            return CallbackDelivery(self, claim, body, request, credentials, past_codes, rejection)

        return [prepare_or_error(prepare_claim, session, claim) for claim in claims]

    def _credentials(self, session: Session, account_id: int) -> "AccountCredentials":
        row = _ACCOUNT_QUERY.fetch_one(session, {"account_id": account_id})
        assert row is not None
        public_id, ats, encrypted, options, hosts = row
        token, token_error = None, ""
        try:
            token = Account.decrypt_callback_token(self.services.secret_box, encrypted, public_id)
        except Unavailable as error:  # not raised: it must not block other accounts
            token_error = f"The account's callback token cannot be decrypted: {error}"
        return AccountCredentials(ats, token, encrypted or b"", options, tuple(hosts), token_error)

    def _render(
        self,
        session: Session,
        claim: Claim,
        target: "CallbackTarget",
        credentials: "AccountCredentials",
    ) -> bytes:
        payload = claim.get_payload(self.services.secret_box)
        update = StatusUpdate(
            target.kind, payload["status"], target.reply_context, credentials.options
        )
        revision = payload["result"]
        if revision:
            result = get_result(session, self.services.secret_box, claim.subject, revision)
            update = update.with_result(*result, self.services.urls)
        return credentials.adapter.render(update)

    def _rejection_reason(self, url: str, allowed_hosts: Sequence[str]) -> str:
        """Return why a callback's URL is not allowed, or an empty string.

        The URL was allowed when the order was placed; the account's hosts may have changed.
        """
        try:
            endpoint, _ = addresses.parse_endpoint(url)
        except addresses.AddressNotAllowed as error:
            return str(error)
        if not (self.services.settings.private_callbacks or endpoint.is_standard_https):
            return "The callback's address is not https on port 443"
        if not is_allowed_host(endpoint.host, allowed_hosts):
            return "The callback's host is no longer one of the account's callback hosts"
        return ""


def _attributable_status_codes(session: Session, claim: Claim) -> tuple[int | None, ...]:
    """Return the status codes of earlier attempts that say something about this message.

    A 401/403 counts against the account's token, unless another callback of the account has been
    delivered since.
    """
    past = claim.past_attempts
    if past and past[0].status_code in TOKEN_REJECTED_STATUS_CODES:
        past = past if outbox.has_delivered_since(session, claim.queue, past[0].started_at) else ()
    return tuple(attempt.status_code for attempt in past)


@dataclass(frozen=True)
class CallbackTarget:
    """The columns of an order that its callbacks need."""

    kind: str
    reply_context: dict[str, Any]
    account_id: int


@dataclass(frozen=True)
class AccountCredentials:
    """The columns of an account that its callbacks need."""

    ats: str
    token: str | None
    token_encrypted: bytes
    options: Mapping[str, Any]
    callback_hosts: tuple[str, ...]
    token_error: str  # why the token cannot be decrypted; empty for a readable token

    @property
    def adapter(self) -> AtsAdapter:
        """The adapter of the account's ATS; KeyError for an ATS that this version does not know."""
        return ADAPTERS[self.ats]


_ACCOUNT_COLUMNS = Account.__table__.c
_ACCOUNT_QUERY = CompiledQuery(
    select(
        _ACCOUNT_COLUMNS.public_id,
        _ACCOUNT_COLUMNS.ats,
        _ACCOUNT_COLUMNS.callback_token,
        _ACCOUNT_COLUMNS.options,
        _ACCOUNT_COLUMNS.callback_hosts,
    ).where(_ACCOUNT_COLUMNS.id == bindparam("account_id"))
)
_ORDER_COLUMNS = Order.__table__.c
_ORDERS_QUERY = CompiledInQuery(
    lambda keys: select(
        _ORDER_COLUMNS.public_id,
        _ORDER_COLUMNS.kind,
        _ORDER_COLUMNS.reply_context,
        _ORDER_COLUMNS.account_id,
    ).where(_ORDER_COLUMNS.public_id.in_(keys))
)
