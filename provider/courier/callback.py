"""Callbacks: a status rendered once, addressed to whom the account still trusts, and sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from sqlalchemy import Row, bindparam, select
from sqlalchemy.orm import Session

from provider.accounts import Account
from provider.ats import DIALECTS, Dialect, News, Request
from provider.courier import addresses
from provider.courier.exchange import Exchange, Unreached
from provider.courier.parcel import attempted
from provider.hosts import allowed
from provider.house import House
from provider.orders import Order
from provider.orders.glance import result_kept
from provider.outbox import Claim, Outcome

AGENT = f"provider/{version('provider')}"


@dataclass(frozen=True)
class Callback:
    """A status for an ATS: the bytes to send, where to, and who judges the answer."""

    sink: "CallbackSink"
    claim: Claim
    rendered: bytes
    request: Request
    dialect: Dialect
    refused: str = ""  # why it may not go there any more

    def send(self) -> Outcome:
        """Send once, within the deadline; whatever the receiver does is an outcome."""
        if self.refused:
            return Outcome("never", error=self.refused)
        try:
            answer = self.sink.exchange.send(self.request, self.rendered, self._headers())
        except Unreached as error:
            return Outcome("again", error=str(error), blame="route")
        return self.dialect.judge(answer, self.claim.attempts, self.sink.house.now())

    def _headers(self) -> dict[str, str]:
        return {
            "User-Agent": AGENT,
            "Idempotency-Key": self.claim.public_id,
            "X-Provider-Sequence": str(self.claim.sequence),
        }


class CallbackSink:
    """Renders news once through the account's dialect and sends the same bytes at every try."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.exchange = Exchange(private=house.settings.private_callbacks)

    def close(self) -> None:
        """Hang up what is kept open."""
        self.exchange.close()

    def prepare(self, session: Session, claims: Sequence[Claim]) -> list[Callback | Exception]:
        """Render each status as it stood at its message's revision, and address it."""
        orders = _orders(session, [claim.key for claim in claims])
        tokens = {
            account.id: account.open_callback_token(self.house.vault)
            for account in {row.Account for row in orders.values()}
        }

        def one(session: Session, claim: Claim) -> Callback:
            order, account = orders[claim.key], orders[claim.key].Account
            dialect = DIALECTS[account.ats]
            rendered = claim.rendered or dialect.render(self._news(session, claim, order))
            request = dialect.address(order.reply, tokens[account.id])
            refused = self._refusal(request.url, account.callback_hosts)
            return Callback(self, claim, rendered, request, dialect, refused)

        return [attempted(one, session, claim) for claim in claims]

    def _news(self, session: Session, claim: Claim, order: Row[Any]) -> News:
        kept = claim.payload["result"]
        news = News(order.kind, claim.payload["status"], order.reply, order.Account.switches)
        if not kept:
            return news
        found = result_kept(session, self.house.vault, claim.key, kept)
        return news.completed(*found, self.house.links)

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


def _orders(session: Session, public_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Return what addressing and rendering need of orders, with their accounts, in one look."""
    found = session.execute(_ORDERS, {"public_ids": public_ids})
    return {row.public_id: row for row in found}


_ORDERS = (
    select(Order.id, Order.public_id, Order.kind, Order.reply, Account)
    .join(Order.account)
    .where(Order.public_id.in_(bindparam("public_ids", expanding=True)))
)
