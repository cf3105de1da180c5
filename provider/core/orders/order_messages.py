"""The messages of an order: the e-mails to the candidate, and what is sent to the ATS."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.accounts.email_policy import EmailPolicy
from provider.core.orders.states import INVITED

INVITATION = "invitation"  # the template


class OrderMessages:
    """Appends an order's messages to the outbox; schedules reminders, and records bounces."""

    if TYPE_CHECKING:  # the order declares these
        public_id: Mapped[str]
        account_id: Mapped[int]
        account: Mapped[Account]
        progress: Mapped[str]
        revision: Mapped[int]
        expires_at: Mapped[datetime]

        def record_event(
            self, session: Session, event_type: str, actor: str, now: datetime, note: str = ""
        ) -> None: ...

    # The next reminder: when it is due, and which one of the account's policy it is.
    reminder_at: Mapped[datetime | None]
    reminder_lead_seconds: Mapped[int | None]
    # When the newest invitation bounced; None once another was sent, or it was delivered after all.
    bounced_at: Mapped[datetime | None]

    def schedule_reminder(self, now: datetime) -> None:
        """Set the next reminder before the deadline. Whoever changes the deadline calls this."""
        policy = EmailPolicy.from_options(self.account.options)
        reminder = policy.next_reminder(self.expires_at, now)
        self.reminder_at, self.reminder_lead_seconds = reminder or (None, None)

    @property
    def is_invitation_bounced(self) -> bool:
        """Whether the newest invitation bounced, and the candidate has not come another way."""
        return self.bounced_at is not None and self.progress == INVITED

    def record_bounce(
        self, session: Session, message: str, template: str, reason: str, now: datetime
    ) -> None:
        """Record that an e-mail came back; `message` is its public id in the outbox."""
        is_invitation = template == INVITATION
        event = "invitation bounced" if is_invitation else "email bounced"
        self.record_event(session, event, "system", now, reason)
        if is_invitation and message == self._newest_invitation(session):
            self.bounced_at = now

    def _newest_invitation(self, session: Session) -> str | None:
        query = select(outbox.Message.public_id).where(
            outbox.Message.queue == self.queue_name(outbox.EMAIL),
            outbox.Message.ordering_key == self.public_id,
            outbox.Message.topic == INVITATION,
        )
        return session.scalar(query.order_by(outbox.Message.id.desc()).limit(1))

    def enqueue_email(
        self,
        session: Session,
        template: str,
        now: datetime,
        details: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Append an e-mail to the candidate. The kind's `email_parts` reads the `details`."""
        if template == INVITATION:
            self.bounced_at = None
        payload = {"order": self.public_id, **details}
        self.append_message(session, outbox.EMAIL, topic=template, payload=payload, now=now)

    def tell_candidate(self, session: Session, template: str, now: datetime) -> None:
        """Enqueue one of CANDIDATE_EMAILS if the account's settings want it.

        Nothing more is sent to an address from which the invitation bounced.
        """
        if (
            not self.is_invitation_bounced
            and template in EmailPolicy.from_options(self.account.options).candidate_emails
        ):
            self.enqueue_email(session, template, now)

    def append_message(
        self,
        session: Session,
        channel: str,
        *,
        topic: str,
        payload: dict[str, Any],
        now: datetime,
        host: str = "",
        writer: str = "",
        supersedes_earlier: bool = False,
    ) -> None:
        """Append a message about this order, after the earlier ones of its channel and writer.

        A second writer on the same channel and host needs a name, or its messages would share one
        order with the first writer's.
        """
        outbox.append(
            session,
            queue=self.queue_name(channel, host),
            ordering_key=str(outbox.OrderingKey(self.public_id, writer)),
            sequence=self.revision,
            topic=topic,
            payload=payload,
            supersedes_earlier=supersedes_earlier,
            now=now,
        )

    def queue_name(self, channel: str, host: str = "") -> str:
        """Return the name of the queue for this order's messages of a channel."""
        return str(outbox.QueueName(self.account_id, channel, host))
