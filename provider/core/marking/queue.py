"""The queue of tasks: what waits for staff, and what one member of staff may take."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from provider.core.marking.acts import claim, find_task
from provider.core.marking.task import (
    ANSWER,
    DISPUTED,
    OPEN,
    RECONCILIATION_SLOT,
    SECOND_LOOK,
    Mark,
    MarkingTask,
)
from provider.core.orders import Order
from provider.core.orders.states import COMPLETED, MARKING, PENDING, SUBMITTED
from provider.errors import Conflict

MAX_TRIED_TASKS = 20  # of which colleagues may take some at the same moment

# A task of an order that was cancelled or reopened waits for nobody. Of a completed order, requests
# for a second look wait, and corrections that need a decision.
QUEUED: ColumnElement[bool] = and_(
    MarkingTask.state.in_((OPEN, DISPUTED)),
    or_(
        and_(Order.status == PENDING, Order.progress.in_((SUBMITTED, MARKING))),
        and_(
            Order.status == COMPLETED,
            or_(MarkingTask.purpose == SECOND_LOOK, MarkingTask.state == DISPUTED),
        ),
    ),
)


def list_queued() -> Select[Any]:
    """Return the query for the ids of all tasks in the queue."""
    return select(MarkingTask.id).join(Order, Order.id == MarkingTask.order_id).where(QUEUED)


def is_claimed_by(marker: str, now: datetime) -> ColumnElement[bool]:
    """Return the condition that a member of staff has claimed a task."""
    return exists().where(_is_claim(now), Mark.marker == marker)


def is_marked_by(marker: str) -> ColumnElement[bool]:
    """Return the condition that a member of staff has given a mark of a task."""
    marks = select(Mark.task_id).where(Mark.marker == marker, Mark.marked_at.is_not(None))
    return and_(MarkingTask.purpose == ANSWER, MarkingTask.id.in_(marks))


def is_free(marker: str, now: datetime) -> ColumnElement[bool]:
    """Return the condition that a task has a slot for a member of staff."""
    is_taken_by_another = and_(
        Mark.marker != marker, or_(Mark.marked_at.is_not(None), _is_live(now))
    )
    taken_count = (
        select(func.count())
        .select_from(Mark)
        .where(Mark.task_id == MarkingTask.id, is_taken_by_another)
        .correlate(MarkingTask)
        .scalar_subquery()
    )
    marked_before = exists().where(
        Mark.task_id == MarkingTask.id, Mark.marker == marker, Mark.marked_at.is_not(None)
    )
    decision_is_taken = exists().where(
        Mark.task_id == MarkingTask.id, Mark.slot == RECONCILIATION_SLOT, is_taken_by_another
    )
    return or_(
        and_(MarkingTask.state == OPEN, ~marked_before, taken_count < MarkingTask.markers),
        and_(MarkingTask.state == DISPUTED, ~decision_is_taken),
    )


def claim_next(
    session: Session, marker: str, now: datetime, *conditions: ColumnElement[bool]
) -> MarkingTask | None:
    """Claim the oldest answer of the queue that is free for a marker; None without one.

    The marker's own claim comes first.
    """
    query = (
        select(MarkingTask.public_id)
        .join(Order, Order.id == MarkingTask.order_id)
        .where(QUEUED, MarkingTask.purpose == ANSWER, is_free(marker, now), *conditions)
        .order_by(MarkingTask.id)
    )
    own = session.scalars(query.where(is_claimed_by(marker, now)).limit(1)).all()
    others = session.scalars(query.limit(MAX_TRIED_TASKS)).all()
    for public_id in (*own, *others):
        task = find_task(session, public_id, lock=True)
        try:
            claim(task, marker, now)
        except Conflict:
            continue
        return task
    return None


def _is_claim(now: datetime) -> ColumnElement[bool]:
    return and_(Mark.task_id == MarkingTask.id, Mark.marked_at.is_(None), _is_live(now))


def _is_live(now: datetime) -> ColumnElement[bool]:
    return func.coalesce(Mark.claimed_until, now) > now
