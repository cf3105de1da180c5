"""The change of an order's status, and the subscribers that are called with it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from provider.core.orders.history import Result

if TYPE_CHECKING:
    from provider.core.orders.order import Order


@dataclass(frozen=True)
class StatusChange:
    """A change of an order's status. `result` is the new result of a completed order.

    A corrected result is a change from completed to completed.
    """

    order: "Order"
    old_status: str
    new_status: str
    revision: int
    result: Result | None
    changed_at: datetime
    reason: str

    @property
    def is_new_status(self) -> bool:
        return self.new_status != self.old_status


# A subscriber appends the messages that a change makes necessary, in the open transaction. Its
# error rolls the change back.
StatusSubscriber = Callable[[Session, StatusChange], None]
SUBSCRIBERS_KEY = "status_subscribers"  # of `Session.info`; `Services.build` sets it


def notify_subscribers(session: Session, change: StatusChange) -> None:
    """Call the subscribers of the session; RuntimeError for a session without any."""
    subscribers: tuple[StatusSubscriber, ...] | None = session.info.get(SUBSCRIBERS_KEY)
    if subscribers is None:  # without subscribers the ATS would never learn the status
        raise RuntimeError("A status changes only in a session of `Services.db.writing`")
    for subscriber in subscribers:
        subscriber(session, change)
