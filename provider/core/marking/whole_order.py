"""The task of a whole order, which several members of staff may rate on pages of its own.

A mark of such a task has no points. It says who is asked to rate, and later who has rated, so that
the queue shows each person what is theirs.
"""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.marking.task import MARKED, OPEN, WHOLE_ORDER, Mark, MarkingTask
from provider.core.orders import Order

# An assignment has no end of its own: it is withdrawn, or the rating comes.
ASSIGNMENT = timedelta(days=3650)


def assign_whole_order(session: Session, order: Order, marker: str, now: datetime) -> None:
    """Show the task to a marker as one of the marker's own."""
    if task := _find_open(session, order):
        _mark_of(task, marker).claimed_until = now + ASSIGNMENT
        _wait_for_all(task)


def unassign_whole_order(session: Session, order: Order, marker: str) -> None:
    """Take the task from a marker who has not rated yet."""
    task = _find_open(session, order)
    mark = task and next((row for row in task.marks if row.marker == marker), None)
    if task and mark and not mark.marked_at:
        task.marks.remove(mark)
        session.delete(mark)
        _wait_for_all(task)


def finish_whole_order(session: Session, order: Order, marker: str, now: datetime) -> None:
    """Note that a marker has rated; the task stays open for the others."""
    if task := _find_open(session, order):
        mark = _mark_of(task, marker)
        mark.marked_at, mark.claimed_until = now, None
        _wait_for_all(task)


def reopen_whole_order(session: Session, order: Order, marker: str) -> None:
    """Note that a marker rates again."""
    if task := _find_open(session, order):
        for mark in [row for row in task.marks if row.marker == marker]:
            task.marks.remove(mark)
            session.delete(mark)
        _wait_for_all(task)


def settle_whole_order(session: Session, order: Order, now: datetime) -> None:
    """Settle the task of an order that is rated on pages of its own."""
    if task := _find_open(session, order):
        task.state, task.settled_at = MARKED, now


def _find_open(session: Session, order: Order) -> MarkingTask | None:
    query = select(MarkingTask).where(
        MarkingTask.order_id == order.id,
        MarkingTask.purpose == WHOLE_ORDER,
        MarkingTask.state == OPEN,
    )
    return session.scalars(query).first()


def _mark_of(task: MarkingTask, marker: str) -> Mark:
    mark = next((row for row in task.marks if row.marker == marker), None)
    if mark is None:
        slots = {row.slot for row in task.marks}
        free_slot = next(slot for slot in range(1, len(slots) + 2) if slot not in slots)
        mark = Mark(slot=free_slot, marker=marker)
        task.marks.append(mark)
    return mark


def _wait_for_all(task: MarkingTask) -> None:
    # One further slot, so that the queue offers the interview to others until it is completed.
    task.markers = len(task.marks) + 1
