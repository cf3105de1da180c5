"""Callbacks: a status rendered once, addressed to whom the account still trusts, and sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.ats import DIALECTS, Dialect, News, Request
from provider.courier import addresses
from provider.courier.exchange import Exchange, Unreached
from provider.courier.parcel import attempted
from provider.hosts import allowed
from provider.house import House
from provider.orders import Order, Result
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
        return [attempted(self._prepare, session, claim) for claim in claims]

    def _prepare(self, session: Session, claim: Claim) -> Callback:
        order = session.scalars(select(Order).where(Order.public_id == claim.key)).one()
        dialect = DIALECTS[order.account.ats]
        rendered = claim.rendered
        if rendered is None:
            kept = claim.payload["result"]
            result = session.get(Result, kept) if kept else None
            rendered = dialect.render(
                News.of(
                    session,
                    self.house.vault,
                    self.house.links,
                    order,
                    claim.payload["status"],
                    result,
                )
            )
        token = order.account.open_callback_token(self.house.vault)
        request = dialect.address(order.reply, token)
        refused = self._refusal(request.url, order.account.callback_hosts)
        return Callback(self, claim, rendered, request, dialect, refused)

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
