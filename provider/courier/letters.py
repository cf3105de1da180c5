"""Letters as messages of the outbox: written once, sent until the mail server takes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import mail
from provider.courier.parcel import Sink, attempted
from provider.house import House
from provider.orders import INVITE, Link, Order
from provider.outbox import Claim, Outcome


@dataclass(frozen=True)
class Letter:
    """A written letter on its way to the mail server."""

    house: House
    name: str
    rendered: bytes

    def send(self) -> Outcome:
        """Hand the letter over; the mail server's word decides whether to try again."""
        settings = self.house.settings
        word, code, said = mail.send(
            self.rendered, url=settings.mail_url, folder=settings.instance / "mail", name=self.name
        )
        return Outcome(
            word,
            code=code,
            answer=said if word == "done" else "",
            error="" if word == "done" else said,
        )


class MailSink(Sink):
    """Writes letters to candidates and hands them to the mail server."""

    def __init__(self, house: House) -> None:
        self.house = house

    def prepare(self, session: Session, claims: Sequence[Claim]) -> list[Letter | Exception]:
        """Write letters for orders, or take those that were written."""
        return [attempted(self._prepare, session, claim) for claim in claims]

    def _prepare(self, session: Session, claim: Claim) -> Letter:
        if claim.rendered is not None:
            return Letter(self.house, claim.public_id, claim.rendered)
        order = session.scalars(select(Order).where(Order.public_id == claim.key)).one()
        link = Link.of(session, order, INVITE)
        assert link is not None
        rendered = mail.write(
            claim.topic,
            order,
            url=self.house.links.invitation(link.token(self.house.vault)),
            sender=self.house.settings.mail_from,
            message_id=claim.public_id,
            at=self.house.now(),
            aside=order.aside(self.house.vault),
        )
        return Letter(self.house, claim.public_id, rendered)
