"""Callbacks: a status rendered once, addressed to whom the account still trusts, and sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.ats import (
    ADAPTERS,
    TOKEN_REJECTED_STATUS_CODES,
    AtsAdapter,
    CallbackRequest,
    StatusUpdate,
)
from provider.core.accounts import Account
from provider.core.host_patterns import is_allowed_host
from provider.core.orders import Order
from provider.core.orders.queries import get_result
from provider.delivery.channels.base import Channel, prepare_or_error
from provider.delivery.http import addresses
from provider.delivery.http.client import Exchange, Unreached
from provider.errors import Unavailable
from provider.outbox import Claim, Outcome
from provider.services import Services
from provider.storage.compiled import CompiledInQuery, CompiledQuery

USER_AGENT = f"provider/{version('provider')}"


@dataclass(frozen=True)
class CallbackDelivery:
    """A status for an ATS: the bytes to send, where to, and who judges the answer."""

    channel: "CallbackChannel"
    claim: Claim
    body: bytes
    request: CallbackRequest
    credentials: "AccountCredentials"
    past_status_codes: tuple[int | None, ...]  # codes of its earlier tries, the latest first
    rejection_reason: str  # why it may not go there any more

    def send(self) -> Outcome:
        """Send once, within the deadline; whatever the receiver does is an outcome."""
        if self.rejection_reason:
            return Outcome("rejected", error=self.rejection_reason, is_sent=False)
        try:
            answer = self.channel.http_client.send(self.request, self.body, self._headers())
        except Unreached as error:
            return Outcome("retry", error=str(error), failure_scope="destination")
        now = self.channel.services.now()
        outcome = self.credentials.adapter.classify_response(answer, self.past_status_codes, now)
        return replace(outcome, token_encrypted=self.credentials.token_encrypted)

    def _headers(self) -> dict[str, str]:
        return {
            "User-Agent": USER_AGENT,
            "Idempotency-Key": self.claim.public_id,
            "X-Provider-Sequence": str(self.claim.sequence),
        }


@dataclass(frozen=True)
class BlockedDelivery:
    """A status whose account's token cannot be opened: it stays as it is, and its account waits."""

    body: bytes | None
    credentials: "AccountCredentials"

    def send(self) -> Outcome:
        """Send nothing."""
        return Outcome(
            "retry",
            retry_after=timedelta(0),
            error=self.credentials.token_error,
            failure_scope="account",
            is_sent=False,
            token_encrypted=self.credentials.token_encrypted,
        )


class CallbackChannel(Channel):
    """Renders news once through the account's dialect and sends the same bytes at every try."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.http_client = Exchange(private=services.settings.private_callbacks)

    def close(self) -> None:
        """Hang up what is kept open."""
        self.http_client.close()

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[CallbackDelivery | BlockedDelivery | Exception]:
        """Render each status as it stood at its message's revision, and address it."""
        found = _ORDERS_QUERY.fetch_all(session, [claim.ordering_key for claim in claims])
        orders = {public_id: CallbackTarget(*rest) for public_id, *rest in found}
        senders = {
            number: self._credentials(session, number)
            for number in {order.account_id for order in orders.values()}
        }

        def one(session: Session, claim: Claim) -> CallbackDelivery | BlockedDelivery:
            order = orders[claim.ordering_key]
            sender = senders[order.account_id]
            if sender.token_error:
                return BlockedDelivery(claim.body, sender)
            rendered = claim.body or self._render(session, claim, order, sender)
            request = sender.adapter.build_request(order.reply_context, sender.token)
            refused = self._rejection_reason(request.url, sender.callback_hosts)
            past = _attributable_status_codes(session, claim)
            return CallbackDelivery(self, claim, rendered, request, sender, past, refused)

        return [prepare_or_error(one, session, claim) for claim in claims]

    def _credentials(self, session: Session, account_id: int) -> "AccountCredentials":
        row = _ACCOUNT_QUERY.fetch_one(session, {"account_id": account_id})
        assert row is not None
        public_id, ats, sealed, switches, hosts = row
        token, broken = None, ""
        try:
            token = Account.decrypt_callback_token(self.services.secret_box, sealed, public_id)
        except Unavailable as error:  # one account's, so it must not keep the others
            broken = f"The account's callback token cannot be opened: {error}"
        return AccountCredentials(ats, token, sealed or b"", switches, tuple(hosts), broken)

    def _render(
        self,
        session: Session,
        claim: Claim,
        target: "CallbackTarget",
        credentials: "AccountCredentials",
    ) -> bytes:
        news = StatusUpdate(
            target.kind, claim.payload["status"], target.reply_context, credentials.options
        )
        kept = claim.payload["result"]
        if kept:
            found = get_result(session, self.services.secret_box, claim.ordering_key, kept)
            news = news.with_result(*found, self.services.urls)
        return credentials.adapter.render(news)

    def _rejection_reason(self, url: str, allowed_hosts: Sequence[str]) -> str:
        """Say why a callback may not go where it could when its order came; empty when it may."""
        try:
            place, _ = addresses.parse_endpoint(url)
        except addresses.AddressNotAllowed as error:
            return str(error)
        if not (self.services.settings.private_callbacks or place.is_standard_https):
            return "The callback's address is not https on port 443"
        if not is_allowed_host(place.host, allowed_hosts):
            return "The callback's host is not on the account's list any more"
        return ""


def _attributable_status_codes(session: Session, claim: Claim) -> tuple[int | None, ...]:
    """Return the codes of its past that are no other's matter.

    A token that is refused stops all of its account. But where something else went through since,
    it is this message that is refused.
    """
    past = claim.past_attempts
    if past and past[0].status_code in TOKEN_REJECTED_STATUS_CODES:
        past = past if outbox.has_delivered_since(session, claim.queue, past[0].started_at) else ()
    return tuple(tried.status_code for tried in past)


@dataclass(frozen=True)
class CallbackTarget:
    """What a callback says and needs of its order."""

    kind: str
    reply_context: dict[str, Any]
    account_id: int


@dataclass(frozen=True)
class AccountCredentials:
    """What the callbacks of one account have in common."""

    ats: str
    token: str | None
    token_encrypted: bytes
    options: Mapping[str, Any]
    callback_hosts: tuple[str, ...]
    token_error: str  # why nothing can be sent with this token

    @property
    def adapter(self) -> AtsAdapter:
        """How its ATS speaks; KeyError for one that this version does not know."""
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
