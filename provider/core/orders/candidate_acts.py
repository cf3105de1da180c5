"""Changes that a candidate makes before the start."""

from datetime import datetime

from sqlalchemy.orm import Session

from provider.core.orders.order import Order
from provider.core.orders.staff_acts import MAX_NAME_LENGTH
from provider.core.text_cleaning import clean_line
from provider.errors import Conflict, Invalid


def require_not_started(order: Order, now: datetime) -> None:
    """Raise Conflict unless the candidate can still start the order."""
    order.require_open(now)
    if not order.is_waiting_for_candidate:
        raise Conflict("You have started already")


def correct_own_name(
    session: Session, order: Order, first_name: str, last_name: str, now: datetime
) -> None:
    """Correct the candidate's name, with an event; the same name again changes nothing.

    The ATS keeps its own name, because no message to it has one.
    """
    require_not_started(order, now)
    first_name, last_name = (clean_line(name).strip() for name in (first_name, last_name))
    if not first_name and not last_name:
        raise Invalid("Please write your name")
    if max(len(first_name), len(last_name)) > MAX_NAME_LENGTH:
        raise Invalid("A name has at most %(maximum)d characters", maximum=MAX_NAME_LENGTH)
    candidate = order.candidate
    if (first_name, last_name) == (candidate.first_name, candidate.last_name):
        return
    old_name = f"{candidate.first_name} {candidate.last_name}".strip() or "No name"
    candidate.first_name, candidate.last_name = first_name, last_name
    order.record_event(
        session, "name corrected", "candidate", now, f"{old_name} → {candidate.name}"
    )
