"""What staff do for the candidate of an open order, such as sending the invitation again.

Each act has a guard that raises Conflict, and writes an event. The guard alone serves a preview.
"""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from provider import outbox
from provider.core.orders.order import Order
from provider.core.orders.states import FINAL_STATUSES
from provider.errors import Conflict
from provider.storage.secrets import SecretBox

RESEND_INTERVAL = timedelta(minutes=1)
INVITATION = "invitation"  # the topic of the message


def require_not_started(order: Order, now: datetime) -> None:
    """Raise Conflict unless the candidate of the order can still start it."""
    if order.status in FINAL_STATUSES:
        raise Conflict("This order has ended: reopen it instead")
    if not order.is_waiting_for_candidate:
        raise Conflict("The candidate has started already")
    if order.is_past_expiry(now):
        raise Conflict("The time to start is over: the order expires, then you can reopen it")


def require_resendable(session: Session, order: Order, now: datetime) -> None:
    """Raise Conflict for a started order, and while an invitation is on its way or just sent."""
    require_not_started(order, now)
    messages = outbox.history(session, order.public_id)
    invitations = [message for message in messages if message.topic == INVITATION]
    if any(message.state == outbox.WAITING for message in invitations):
        raise Conflict("The last invitation has not been sent yet: it is sent as soon as possible")
    if any(message.created_at > now - RESEND_INTERVAL for message in invitations):
        raise Conflict("An invitation was sent less than a minute ago: wait a minute")


def resend_invitation(
    session: Session, secret_box: SecretBox, order: Order, actor: str, now: datetime
) -> None:
    """Send the invitation again, with the same link."""
    require_resendable(session, order, now)
    order.record_event(session, "invitation resent", actor, now)
    order.invite(session, secret_box, now)
