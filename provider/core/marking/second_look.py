"""A candidate's request for a second look at the marks, and its answer.

A candidate can ask once about a result. Staff keep the marks or change them; changed marks give the
order a corrected result.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.marking.acts import require_points
from provider.core.marking.marked_order import MarkedOrder
from provider.core.marking.task import (
    ANSWER,
    CHANGED,
    KEPT,
    MARKED,
    OPEN,
    RECONCILED,
    SECOND_LOOK,
    WITHDRAWN,
    Mark,
    MarkingTask,
)
from provider.core.orders import COMPLETED, Order
from provider.errors import Conflict, Invalid
from provider.storage.secrets import SecretBox

REASON_LENGTHS = range(3, 2001)  # characters, of the candidate's reason and of the reply


def find_second_look(session: Session, order: Order) -> MarkingTask | None:
    """Return the candidate's request about the present result; None without one."""
    query = select(MarkingTask).where(
        MarkingTask.order_id == order.id,
        MarkingTask.purpose == SECOND_LOOK,
        MarkingTask.state != WITHDRAWN,
    )
    return session.scalars(query.limit(1)).first()


def ask(session: Session, order: Order, reason: str, now: datetime) -> None:
    """Store the candidate's request. The caller has locked the order and checked the request."""
    session.add(
        MarkingTask(order_id=order.id, unit="", purpose=SECOND_LOOK, request=reason, created_at=now)
    )
    order.record_event(session, "second look asked", "candidate", now)


def list_settled_tasks(session: Session, order: Order) -> Sequence[MarkingTask]:
    """Return the tasks of the marked answers, in the order of the questions."""
    query = select(MarkingTask).where(
        MarkingTask.order_id == order.id,
        MarkingTask.purpose == ANSWER,
        MarkingTask.state.in_((MARKED, RECONCILED)),
    )
    return session.scalars(query.order_by(MarkingTask.id)).all()


def answer(
    session: Session,
    secret_box: SecretBox,
    task: MarkingTask,
    points: Mapping[str, Decimal],
    reply: str,
    actor: str,
    now: datetime,
) -> None:
    """Answer a request: with other `points` by unit, or with none, which keeps the marks.

    The caller has locked the order. Raises Conflict for a request that is answered already, Invalid
    for points out of range and for a reply that is too short or too long.
    """
    order = task.order
    assert isinstance(order, MarkedOrder)
    if task.purpose != SECOND_LOOK or task.state != OPEN or order.status != COMPLETED:
        raise Conflict("This request is answered already")
    if len(reply) not in REASON_LENGTHS:
        raise Invalid("Write a reply to the candidate, in 3 to 2000 characters")
    changed = [
        marked
        for marked in list_settled_tasks(session, order)
        if marked.unit in points and points[marked.unit] != Decimal(marked.points or 0)
    ]
    for marked in changed:
        maximum = Decimal(marked.max_points)
        number = require_points(points[marked.unit], maximum, "each answer")
        slot = max(mark.slot for mark in marked.marks) + 1
        marked.marks.append(
            Mark(slot=slot, marker=actor, points=str(number), comment=reply, marked_at=now)
        )
        marked.points = str(number)
    task.state, task.reply, task.settled_at = CHANGED if changed else KEPT, reply, now
    order.record_event(session, "second look answered", actor, now)
    session.flush()
    order.tell_second_look(session, now)
    if changed:
        order.rescore(session, secret_box, actor, "A second look changed the marks", now)
