"""Recording that an e-mail came back after the mail server had accepted it."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.emails.delivery_report import DeliveryReport
from provider.core.emails.email_to_other import find_emails_to_others
from provider.core.emails.staff_email import TOPICS_TO_STAFF
from provider.core.orders import Order
from provider.errors import NotFound
from provider.outbox import EMAIL, Attempt, Message, QueueName

BOUNCED = "bounced"  # the outcome of an attempt


def record_returned_email(
    session: Session, report: DeliveryReport, now: datetime
) -> tuple[Order, bool]:
    """Record a permanent failure; return the order, and False for one that is recorded already.

    Raises NotFound for an e-mail that is unknown, or that was not sent to a candidate.
    """
    message = session.scalar(select(Message).where(Message.public_id == report.message_id))
    is_email = message is not None and QueueName.parse(message.queue).channel == EMAIL
    if message is None or not is_email or message.topic in TOPICS_TO_STAFF:
        raise NotFound("This delivery report is not about an e-mail to a candidate")
    # The order first, as every other act locks them.
    order = Order.find(session, message.subject, lock=True)
    session.refresh(message, with_for_update=True)
    if message.attempt_history and message.attempt_history[-1].outcome == BOUNCED:
        return order, False
    message.attempts += 1
    message.attempt_history.append(
        Attempt(
            number=message.attempts,
            started_at=now,
            duration_ms=0,
            outcome=BOUNCED,
            error=report.reason,
        )
    )
    if emails := find_emails_to_others(order, message.topic):
        emails.record_bounce(session, order, message.public_id, now)
    else:
        order.record_bounce(session, message.public_id, message.topic, report.reason, now)
    return order, True
