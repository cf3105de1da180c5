"""The subscriber that tells the candidate of a status, and the orders without an invitation."""

from sqlalchemy import ColumnElement, and_
from sqlalchemy.orm import Session

from provider.core.accounts.email_policy import COMPLETION, DECLINE, EXPIRY
from provider.core.orders.order import Order
from provider.core.orders.states import COMPLETED, DECLINED, EXPIRED, INVITED, PENDING
from provider.core.orders.status_change import StatusChange

# The templates. No e-mail says that an order was cancelled: staff write that themselves.
TEMPLATES = {COMPLETED: COMPLETION, DECLINED: DECLINE, EXPIRED: EXPIRY}


def has_bounced_invitation() -> ColumnElement[bool]:
    """Return the condition that an open order waits for a candidate who got no invitation."""
    # The concatenation keeps the planner from the index on statuses: few orders have bounced, but
    # very many may be pending.
    is_pending = Order.status.concat("") == PENDING
    return and_(Order.bounced_at.is_not(None), is_pending, Order.progress == INVITED)


def enqueue_candidate_email(session: Session, change: StatusChange) -> None:
    """Append the e-mail to the candidate that the account's settings want.

    A corrected result changes no status, so that the candidate does not get the receipt again.
    """
    template = TEMPLATES.get(change.new_status) if change.is_new_status else None
    if template is None or (template == COMPLETION and change.order.is_receipt_sent_at_submission):
        return
    change.order.tell_candidate(session, template, change.changed_at)
