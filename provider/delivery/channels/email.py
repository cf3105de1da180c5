"""E-mails: each is rendered once and sent until the mail server accepts it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core import emails
from provider.core.orders import INVITE, Link, Order
from provider.delivery import smtp
from provider.delivery.channels.base import Channel, prepare_or_error
from provider.outbox import EMAIL, Claim, Outcome
from provider.services import Services


@dataclass(frozen=True)
class EmailDelivery:
    """A rendered e-mail."""

    services: Services
    public_id: str
    body: bytes

    def send(self) -> Outcome:
        settings = self.services.settings
        decision, code, text = smtp.send_email(
            self.body, url=settings.mail_url, folder=settings.instance / "mail", name=self.public_id
        )
        if decision == "delivered":
            return Outcome(decision, status_code=code, response_excerpt=text)
        return Outcome(decision, status_code=code, error=text)


class EmailChannel(Channel):
    """Renders e-mails to candidates and sends them to the mail server."""

    name = EMAIL
    max_concurrent_sends = 8  # mail servers limit the connections of a client
    has_private_responses = True

    def prepare(self, session: Session, claims: Sequence[Claim]) -> list[EmailDelivery | Exception]:
        return [prepare_or_error(self._prepare, session, claim) for claim in claims]

    def _prepare(self, session: Session, claim: Claim) -> EmailDelivery:
        stored_body = claim.get_body(self.services.secret_box)
        if stored_body is not None:
            return EmailDelivery(self.services, claim.public_id, stored_body)
        order = session.scalars(select(Order).where(Order.public_id == claim.subject)).one()
        link = Link.find_permanent(session, order, INVITE)
        assert link is not None
        body = emails.render_email(
            claim.topic,
            order,
            url=self.services.urls.invitation(link.get_token(self.services.secret_box)),
            sender=self.services.settings.mail_from,
            message_id=claim.public_id,
            now=self.services.now(),
            kind_context=order.kind_context(self.services.secret_box),
        )
        return EmailDelivery(self.services, claim.public_id, body)
