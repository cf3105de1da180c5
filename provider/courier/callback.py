"""Callbacks: a status rendered once, addressed to whom the account still trusts, and sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.accounts import Account
from provider.ats import DIALECTS, TOKEN_REFUSED, Dialect, News, Request
from provider.courier import addresses
from provider.courier.exchange import Exchange, Unreached
from provider.courier.parcel import Sink, attempted
from provider.errors import Unready
from provider.hosts import allowed
from provider.house import House
from provider.orders import Order
from provider.orders.glance import result_kept
from provider.outbox import Claim, Outcome
from provider.statements import Ready, Several

AGENT = f"provider/{version('provider')}"


@dataclass(frozen=True)
class Callback:
    """A status for an ATS: the bytes to send, where to, and who judges the answer."""

    sink: "CallbackSink"
    claim: Claim
    rendered: bytes
    request: Request
    sender: "Sender"
    past: tuple[int | None, ...]  # codes of its earlier tries, the latest first
    refused: str  # why it may not go there any more

    def send(self) -> Outcome:
        """Send once, within the deadline; whatever the receiver does is an outcome."""
        if self.refused:
            return Outcome("never", error=self.refused, tried=False)
        try:
            answer = self.sink.exchange.send(self.request, self.rendered, self._headers())
        except Unreached as error:
            return Outcome("again", error=str(error), blame="route")
        now = self.sink.house.now()
        outcome = self.sender.dialect.judge(answer, self.past, now)
        return replace(outcome, using=self.sender.sealed)

    def _headers(self) -> dict[str, str]:
        return {
            "User-Agent": AGENT,
            "Idempotency-Key": self.claim.public_id,
            "X-Provider-Sequence": str(self.claim.sequence),
        }


@dataclass(frozen=True)
class Withheld:
    """A status whose account's token cannot be opened: it stays as it is, and its account waits."""

    rendered: bytes | None
    sender: "Sender"

    def send(self) -> Outcome:
        """Send nothing."""
        return Outcome(
            "again", after=timedelta(0), error=self.sender.broken, blame="account",
            tried=False, using=self.sender.sealed,
        )  # fmt: skip


class CallbackSink(Sink):
    """Renders news once through the account's dialect and sends the same bytes at every try."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.exchange = Exchange(private=house.settings.private_callbacks)

    def close(self) -> None:
        """Hang up what is kept open."""
        self.exchange.close()

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[Callback | Withheld | Exception]:
        """Render each status as it stood at its message's revision, and address it."""
        found = _ORDERED.rows(session, [claim.key for claim in claims])
        orders = {public_id: Ordered(*rest) for public_id, *rest in found}
        senders = {
            number: self._sender(session, number)
            for number in {order.account_id for order in orders.values()}
        }

        def one(session: Session, claim: Claim) -> Callback | Withheld:
            order = orders[claim.key]
            sender = senders[order.account_id]
            if sender.broken:
                return Withheld(claim.rendered, sender)
            rendered = claim.rendered or self._render(session, claim, order, sender)
            request = sender.dialect.address(order.reply, sender.token)
            refused = self._refusal(request.url, sender.hosts)
            past = _its_own(session, claim)
            return Callback(self, claim, rendered, request, sender, past, refused)

        return [attempted(one, session, claim) for claim in claims]

    def _sender(self, session: Session, account_id: int) -> "Sender":
        row = _ACCOUNT.row(session, {"account_id": account_id})
        assert row is not None
        public_id, ats, sealed, switches, hosts = row
        token, broken = None, ""
        try:
            token = Account.reveal_callback_token(self.house.vault, sealed, public_id)
        except Unready as error:  # one account's, so it must not keep the others
            broken = f"The account's callback token cannot be opened: {error}"
        return Sender(ats, token, sealed or b"", switches, tuple(hosts), broken)

    def _render(self, session: Session, claim: Claim, order: "Ordered", sender: "Sender") -> bytes:
        news = News(order.kind, claim.payload["status"], order.reply, sender.switches)
        kept = claim.payload["result"]
        if kept:
            found = result_kept(session, self.house.vault, claim.key, kept)
            news = news.completed(*found, self.house.links)
        return sender.dialect.render(news)

    def _refusal(self, url: str, hosts: Sequence[str]) -> str:
        """Say why a callback may not go where it could when its order came; empty when it may."""
        try:
            place, _ = addresses.read(url)
        except addresses.Refused as error:
            return str(error)
        if not (self.house.settings.private_callbacks or place.public):
            return "The callback's address is not https on port 443"
        if not allowed(place.host, hosts):
            return "The callback's host is not on the account's list any more"
        return ""


def _its_own(session: Session, claim: Claim) -> tuple[int | None, ...]:
    """Return the codes of its past that are no other's matter.

    A token that is refused stops all of its account. But where something else went through since,
    it is this message that is refused.
    """
    past = claim.past
    if past and past[0].code in TOKEN_REFUSED:
        past = past if outbox.delivered_since(session, claim.lane, past[0].at) else ()
    return tuple(tried.code for tried in past)


@dataclass(frozen=True)
class Ordered:
    """What a callback says and needs of its order."""

    kind: str
    reply: dict[str, Any]
    account_id: int


@dataclass(frozen=True)
class Sender:
    """What the callbacks of one account have in common."""

    ats: str
    token: str | None
    sealed: bytes
    switches: Mapping[str, Any]
    hosts: tuple[str, ...]
    broken: str  # why nothing can be sent with this token

    @property
    def dialect(self) -> Dialect:
        """How its ATS speaks; KeyError for one that this version does not know."""
        return DIALECTS[self.ats]


_ACCOUNTS = Account.__table__.c
_ACCOUNT = Ready(
    select(
        _ACCOUNTS.public_id, _ACCOUNTS.ats, _ACCOUNTS.callback_token, _ACCOUNTS.switches,
        _ACCOUNTS.callback_hosts,
    ).where(_ACCOUNTS.id == bindparam("account_id"))
)  # fmt: skip
_ORDERS = Order.__table__.c
_ORDERED = Several(
    lambda keys: select(_ORDERS.public_id, _ORDERS.kind, _ORDERS.reply, _ORDERS.account_id).where(
        _ORDERS.public_id.in_(keys)
    )
)
