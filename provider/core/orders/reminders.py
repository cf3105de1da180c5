"""Scheduled work: reminders to candidates who have not started, before the deadline."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, CursorResult, select, update
from sqlalchemy.orm import Session

from provider.core.accounts.email_policy import EmailPolicy, Reminder, quiet_hours_end
from provider.core.orders.batch import change_batch, run_in_batches
from provider.core.orders.order import Order
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.storage.secrets import SecretBox

REMINDER = "reminder"  # the template
BATCH_SIZE = 100  # orders that are reminded in one transaction


def has_due_reminders(session: Session, now: datetime) -> bool:
    return session.scalar(select(Order.id).where(_is_due(now)).limit(1)) is not None


def send_due_reminders(
    session: Session, now: datetime, failed_order_ids: set[int] | None = None
) -> int:
    """Handle one batch of due reminders. Returns their number.

    `failed_order_ids` are left out, and get the ids of orders whose reminder fails.
    """
    query = select(Order).where(_is_due(now)).order_by(Order.reminder_at)
    failed_order_ids = set() if failed_order_ids is None else failed_order_ids
    return change_batch(
        session,
        query.limit(BATCH_SIZE),
        lambda order: remind(session, order, now),
        failed_order_ids,
    )


def remind(session: Session, order: Order, now: datetime) -> bool:
    """Enqueue the reminder that is due, and set the next one; return whether one was enqueued.

    Quiet hours move a reminder to their end. A reminder is dropped if the account's policy no
    longer has it, the deadline was moved or has passed, the candidate has started, or the
    invitation bounced.
    """
    policy = EmailPolicy.from_options(order.account.options)
    lead = order.reminder_lead_seconds or 0
    can_start = (
        order.is_waiting_for_candidate
        and now < order.expires_at
        and not order.is_invitation_bounced
    )
    is_due = (
        can_start
        and lead in policy.reminder_leads
        and order.expires_at - timedelta(seconds=lead) <= now
    )
    next_reminder = policy.next_reminder(order.expires_at, now) if can_start else None
    quiet_until = quiet_hours_end(now, order.timezone)
    if is_due and quiet_until:
        is_due = False
        if quiet_until < order.expires_at:
            next_reminder = Reminder(quiet_until, lead)
    if not _replace_reminder(session, order, next_reminder) or not is_due:
        return False
    order.enqueue_email(session, REMINDER, now)
    return True


def unwanted_reason(order: Order, secret_box: SecretBox, now: datetime) -> str:
    """Return why a reminder that waits must no longer be sent; empty for one to be sent."""
    if not order.is_waiting_for_candidate:
        return "Nothing was sent: the candidate has started, or the order has ended"
    if order.is_past_expiry(now):
        return "Nothing was sent: the deadline has passed"
    if order.find_start_refusal(secret_box, now):
        return "Nothing was sent: a rule of the product does not let the candidate start"
    return ""


def _replace_reminder(session: Session, order: Order, reminder: Reminder | None) -> bool:
    """Write the next reminder by one UPDATE; return False if another process was quicker.

    The UPDATE checks the present one, or two processes could both send it.
    """
    due_at, lead_seconds = reminder or (None, None)
    changed = session.execute(
        update(Order)
        .where(
            Order.id == order.id,
            Order.reminder_at == order.reminder_at,
            Order.revision == order.revision,
            Order.progress == order.progress,
        )
        .values(reminder_at=due_at, reminder_lead_seconds=lead_seconds)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(changed, CursorResult)
    session.expire(order, ["reminder_at", "reminder_lead_seconds"])
    return changed.rowcount == 1


def _is_due(now: datetime) -> ColumnElement[bool]:
    # Without the status: SQLite would read all pending orders by the index of statuses. A change of
    # the status clears `reminder_at`.
    return Order.reminder_at <= now


def _run(context: WorkContext) -> None:
    run_in_batches(context, send_due_reminders)


SEND_REMINDERS = ScheduledWork(
    "send_reminders", every=timedelta(minutes=1), run=_run, is_needed=has_due_reminders
)
