"""Letters as messages of the outbox: written once, sent until the mail server takes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core import emails
from provider.core.orders import INVITE, Link, Order
from provider.delivery import smtp
from provider.delivery.channels.base import Channel, prepare_or_error
from provider.outbox import Claim, Outcome
from provider.services import Services


@dataclass(frozen=True)
class EmailDelivery:
    """A written letter on its way to the mail server."""

    services: Services
    public_id: str
    body: bytes

    def send(self) -> Outcome:
        """Hand the letter over; the mail server's word decides whether to try again."""
        settings = self.services.settings
        word, code, said = smtp.send_email(
            self.body, url=settings.mail_url, folder=settings.instance / "mail", name=self.public_id
        )
        return Outcome(
            word,
            status_code=code,
            response_excerpt=said if word == "delivered" else "",
            error="" if word == "delivered" else said,
        )


class EmailChannel(Channel):
    """Writes letters to candidates and hands them to the mail server."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def prepare(self, session: Session, claims: Sequence[Claim]) -> list[EmailDelivery | Exception]:
        """Write letters for orders, or take those that were written."""
        return [prepare_or_error(self._prepare, session, claim) for claim in claims]

    def _prepare(self, session: Session, claim: Claim) -> EmailDelivery:
        if claim.body is not None:
            return EmailDelivery(self.services, claim.public_id, claim.body)
        order = session.scalars(select(Order).where(Order.public_id == claim.ordering_key)).one()
        link = Link.find_permanent(session, order, INVITE)
        assert link is not None
        rendered = emails.render_email(
            claim.topic,
            order,
            url=self.services.urls.invitation(link.get_token(self.services.secret_box)),
            sender=self.services.settings.mail_from,
            message_id=claim.public_id,
            now=self.services.now(),
            kind_context=order.kind_context(self.services.secret_box),
        )
        return EmailDelivery(self.services, claim.public_id, rendered)
