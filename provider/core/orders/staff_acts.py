"""Acts of the staff for the candidate of an open order, such as sending the invitation again.

Each act has a guard that raises Conflict, and writes an event. The guard alone serves a preview.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Self

from sqlalchemy.orm import Session

from provider import outbox
from provider.core.email_address import (
    MAX_ADDRESS_LENGTH,
    mask_address,
    mend_address,
    split_address,
)
from provider.core.formats import format_datetime, format_duration
from provider.core.orders.candidate import compute_email_digest
from provider.core.orders.order import Order
from provider.core.orders.order_messages import INVITATION
from provider.core.orders.states import FINAL_STATUSES, NOT_STARTED, STARTED
from provider.core.orders.timed_order import TimedOrder
from provider.core.text_cleaning import clean_line
from provider.errors import Conflict, Invalid
from provider.storage.secrets import SecretBox

RESEND_INTERVAL = timedelta(minutes=1)
EXTENSION = "extension"  # the topic of the e-mail about a later deadline
MAX_EXTENSION_DAYS = 365
EXTRA_TIME = "extra time"  # the event
EXTRA_TIME_PERCENTAGES = (25, 50, 100)
MAX_EXTRA_TIME_MINUTES = 1440
MAX_NAME_LENGTH = 200  # characters of a first or last name


@dataclass(frozen=True)
class Recipient:
    """The address and the name of a candidate, as staff enter them."""

    email: str
    first_name: str
    last_name: str

    @classmethod
    def parse(cls, email: str, first_name: str, last_name: str) -> Self:
        """Return the cleaned values. Raises Invalid."""
        email = mend_address(email)
        names = [clean_line(name).strip() for name in (first_name, last_name)]
        if len(email) > MAX_ADDRESS_LENGTH or split_address(email) is None:
            raise Invalid("This is not an e-mail address")
        if any(len(name) > MAX_NAME_LENGTH for name in names):
            raise Invalid("A name has at most %(maximum)d characters", maximum=MAX_NAME_LENGTH)
        return cls(email, *names)


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


def correct_candidate(
    session: Session,
    secret_box: SecretBox,
    order: Order,
    recipient: Recipient,
    actor: str,
    now: datetime,
) -> list[str]:
    """Correct the candidate's address and name, and invite by a new link.

    The old link and the candidate's sessions end. E-mails that were not sent to the old address
    never are. Returns the names of the changed fields. Raises Conflict when nothing changes.
    """
    require_not_started(order, now)
    candidate = order.candidate
    changed = [name for name, value in vars(recipient).items() if getattr(candidate, name) != value]
    if not changed:
        raise Conflict("Nothing was changed: to send the invitation again, use that action")
    withdraw_emails(session, order, now)
    if "email" in changed:
        candidate.timezone = None  # perhaps another person's, who had the wrong address
    candidate.email = recipient.email
    candidate.email_digest = compute_email_digest(secret_box, recipient.email)
    candidate.first_name, candidate.last_name = recipient.first_name, recipient.last_name
    order.end_invitations(session, now)
    # No note: neither the old nor the new address belongs into the timeline.
    order.record_event(session, "address corrected", actor, now)
    order.invite(session, secret_box, now)
    return changed


def withdraw_emails(session: Session, order: Order, now: datetime) -> None:
    """Stop the e-mails to the candidate's present address, and mask it where servers named it."""
    address = order.candidate.email
    pattern = re.compile(re.escape(address), re.IGNORECASE)
    for message in outbox.withdraw(session, order.queue_name(outbox.EMAIL), order.public_id, now):
        for attempt in message.attempt_history:
            attempt.error = pattern.sub(mask_address(address), attempt.error)
            attempt.response_excerpt = pattern.sub(mask_address(address), attempt.response_excerpt)


def extend(
    session: Session, order: Order, days: int, actor: str, now: datetime, *, notify: bool
) -> None:
    """Give the candidate some days more to start, counted from the present deadline.

    With `notify` the candidate gets an e-mail with the new deadline.
    """
    if not 1 <= days <= MAX_EXTENSION_DAYS:
        raise Invalid("An extension has 1 to %(maximum)d days", maximum=MAX_EXTENSION_DAYS)
    deadline = order.expires_at + timedelta(days=days)
    _move_deadline(session, order, deadline, "extended", actor, now, notify=notify)


def withdraw_extension(
    session: Session, order: Order, deadline: datetime, actor: str, now: datetime, *, notify: bool
) -> None:
    """Set the deadline from before an extension. With `notify` the candidate gets an e-mail."""
    if deadline <= now:
        raise Conflict("The deadline from before is over, so the extension stays")
    _move_deadline(session, order, deadline, "extension undone", actor, now, notify=notify)


def _move_deadline(
    session: Session,
    order: Order,
    deadline: datetime,
    event: str,
    actor: str,
    now: datetime,
    *,
    notify: bool,
) -> None:
    require_not_started(order, now)
    order.write_state(session, order.status, order.progress, expires_at=deadline)
    order.schedule_reminder(now)
    text = format_datetime(deadline, order.account.timezone)
    notice = "notified by e-mail" if notify else "not notified by e-mail"
    order.record_event(session, event, actor, now, f"Until {text}; the candidate was {notice}")
    if notify:
        order.enqueue_email(session, EXTENSION, now)


def require_extra_time_possible(order: Order, now: datetime) -> TimedOrder:
    """Return the order. Raises Conflict for one without a time limit, or whose time is over."""
    if not isinstance(order, TimedOrder) or not order.usual_seconds:
        raise Conflict("This order has no time limit, so extra time is not needed")
    if order.status in FINAL_STATUSES or order.progress not in (*NOT_STARTED, STARTED):
        raise Conflict("The candidate has finished: reopen the order first")
    if order.progress == STARTED:
        order.require_running(now)
    return order


def percent_of_time(order: TimedOrder, percent: int) -> int:
    """Return a percentage of the usual time of an order, in seconds."""
    return ceil((order.usual_seconds or 0) * percent / 100)


def give_extra_time(
    session: Session, order: Order, seconds: int, actor: str, now: datetime
) -> None:
    """Set the extra time of a candidate. An attempt that runs ends later by what is added.

    The times to think and to answer in an interview become longer in proportion. Raises Conflict
    where a running attempt would end earlier.
    """
    order = require_extra_time_possible(order, now)
    if not 0 <= seconds <= MAX_EXTRA_TIME_MINUTES * 60:
        raise Invalid("Extra time has at most %(maximum)d minutes", maximum=MAX_EXTRA_TIME_MINUTES)
    added = timedelta(seconds=seconds - order.extra_time_seconds)
    if order.attempt_ends_at and added < timedelta(0):
        raise Conflict("The time of an attempt that runs cannot become shorter")
    order.write_state(
        session,
        order.status,
        order.progress,
        extra_time_seconds=seconds,
        attempt_ends_at=order.attempt_ends_at and order.attempt_ends_at + added,
    )
    order.record_event(
        session, EXTRA_TIME, actor, now, format_duration(seconds) if seconds else "None"
    )


def require_attempt(order: Order) -> TimedOrder:
    """Return the order. Raises Conflict unless staff can end the candidate's attempt."""
    if not isinstance(order, TimedOrder):
        raise Conflict("This kind of order has no attempt: it is completed on a page of its own")
    order.require_attempt()
    return order


def end_attempt(
    session: Session, secret_box: SecretBox, order: Order, actor: str, reason: str, now: datetime
) -> None:
    """End the attempt of a candidate who cannot finish, with the answers so far."""
    order = require_attempt(order)
    order.record_event(session, "ended by staff", actor, now, reason)
    order.end_attempt(session, secret_box, actor, now)
