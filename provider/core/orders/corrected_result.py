"""A result that replaces another one: the scoring, or a finding, was corrected."""

from datetime import datetime

from sqlalchemy.orm import Session

from provider.core.orders.history import Result
from provider.core.orders.order import Order
from provider.core.orders.states import COMPLETED
from provider.core.orders.status_change import StatusChange, notify_subscribers
from provider.errors import Conflict

RESCORED, REVISED = "rescored", "revised"  # the events


def publish_corrected_result(
    session: Session,
    order: Order,
    result: Result,
    actor: str,
    reason: str,
    now: datetime,
    event: str = RESCORED,
) -> None:
    """Store a result of a completed order as its next revision, and tell the ATS.

    The status, the links and the time of the end stay. The subscribers get a change from completed
    to completed. Raises Conflict for another order.
    """
    if order.result is None:
        raise Conflict("Only an order with a result can be corrected")
    result.revision, result.created_at = order.revision + 1, now
    order.results.append(result)
    order.write_state(session, COMPLETED, order.progress, revision=result.revision)
    order.record_event(session, event, actor, now, reason)
    change = StatusChange(order, COMPLETED, COMPLETED, order.revision, result, now, reason)
    notify_subscribers(session, change)
