"""The acts of marking: open tasks, claim one, save a mark, and settle the task.

A task is settled when its marks agree. Two marks that differ by more than the product's tolerance
need a third one, which decides; otherwise their mean counts. A correction may make the marks of a
completed test differ: its result then stays until somebody decides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from provider.core.marking.marked_order import MarkedOrder, MarkingUnit
from provider.core.marking.task import (
    ANSWER,
    DISPUTED,
    MARKED,
    OPEN,
    RECONCILED,
    WITHDRAWN,
    Mark,
    MarkingTask,
)
from provider.core.orders import Order
from provider.core.orders.states import COMPLETED, PENDING
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.secrets import SecretBox

# How long nobody else gets a task that somebody is marking.
LEASE = timedelta(minutes=30)
MAX_DECIMALS = 2  # of the points in a mark
DECISION_REASON = "Somebody decided between two marks after a correction"


@dataclass(frozen=True)
class MarkForm:
    """What a marker enters: the points, or those of each row of the rubric, and a comment."""

    points: Decimal | None = None
    rubric_points: Mapping[str, Decimal] = field(default_factory=dict)
    comment: str = ""

    def total(self, unit: MarkingUnit) -> Decimal:
        """Return the points. Raises Invalid for points that are missing or out of range."""
        if not unit.rubric:
            return require_points(self.points, unit.max_points, "points")
        return sum(
            (
                require_points(self.rubric_points.get(row.key), row.points, f"“{row.text}”")
                for row in unit.rubric
            ),
            Decimal(0),
        )


def open_tasks(
    session: Session,
    order: Order,
    units: Iterable[tuple[str, Decimal]],
    now: datetime,
    *,
    purpose: str = ANSWER,
    markers: int = 1,
) -> None:
    """Open a task for each unit (key, maximum points) of an order that was submitted.

    Tasks from before a reopening are withdrawn; their marks are kept.
    """
    session.execute(
        update(MarkingTask).where(MarkingTask.order_id == order.id).values(state=WITHDRAWN)
    )
    session.add_all(
        MarkingTask(
            order_id=order.id,
            unit=key,
            purpose=purpose,
            markers=markers,
            max_points=str(max_points),
            created_at=now,
        )
        for key, max_points in units
    )


def list_open_tasks(session: Session, order: Order) -> Sequence[MarkingTask]:
    """Return the tasks of an order that are not settled, in the order of its questions."""
    query = select(MarkingTask).where(
        MarkingTask.order_id == order.id, MarkingTask.state.in_((OPEN, DISPUTED))
    )
    return session.scalars(query.order_by(MarkingTask.id)).all()


def find_task(session: Session, public_id: str, *, lock: bool = False) -> MarkingTask:
    """Return a task; `lock` locks its order until the end of the transaction. Raises NotFound."""
    task = None
    if len(public_id) <= 22 and "\x00" not in public_id:
        task = session.scalar(select(MarkingTask).where(MarkingTask.public_id == public_id))
    if task is None:
        raise NotFound("There is no such task")
    if lock:
        Order.find(session, task.order.public_id, lock=True)
        session.expire(task)  # it may have been settled before the lock
    return task


def claim(task: MarkingTask, marker: str, now: datetime) -> Mark:
    """Give a slot of the task to a marker, or make the marker's own lease longer.

    Raises Conflict when there is no slot for the marker. The caller has locked the task.
    """
    if task.purpose != ANSWER or task.state not in (OPEN, DISPUTED):
        raise Conflict("This answer is marked already")
    is_result_disputed = task.order.status == COMPLETED and task.is_correction_disputed
    if task.order.status != PENDING and not is_result_disputed:
        raise Conflict("This order has ended, so its answers need no marks")
    mark = task.claim_of(marker)
    has_marked = any(mark.marker == marker for mark in task.finished_marks)
    if mark is None and task.state == OPEN and has_marked:
        raise Conflict("You have marked this answer already: somebody else gives the other mark")
    if mark is None:
        mark = _take_slot(task, marker, now)
    mark.claimed_until = now + LEASE
    return mark


def release(session: Session, task: MarkingTask, marker: str) -> None:
    """Give a claimed slot back. Without a claim this changes nothing."""
    if mark := task.claim_of(marker):
        task.marks.remove(mark)
        session.delete(mark)


def save_mark(
    session: Session,
    secret_box: SecretBox,
    task: MarkingTask,
    form: MarkForm,
    marker: str,
    now: datetime,
) -> None:
    """Save a mark, and settle the task if its marks agree. The last one completes the order.

    A decision about a completed order gives it a corrected result.
    Raises Invalid for points out of range, and Conflict as `claim` does.
    """
    order = task.order
    assert isinstance(order, MarkedOrder)
    unit = order.marking_unit(task.unit)
    points = form.total(unit)
    mark = claim(task, marker, now)
    points_before = task.points
    mark.points = str(points)
    mark.rubric_points = {row.key: str(form.rubric_points[row.key]) for row in unit.rubric}
    mark.comment, mark.marked_at, mark.claimed_until = form.comment, now, None
    settle(task, order.marking.tolerance, now)
    apply_points(session, secret_box, task, points_before, marker, DECISION_REASON, now)


def apply_points(
    session: Session,
    secret_box: SecretBox,
    task: MarkingTask,
    points_before: str | None,
    actor: str,
    reason: str,
    now: datetime,
) -> None:
    """Complete the order if this was its last task; score a completed one again by new points."""
    order = task.order
    assert isinstance(order, MarkedOrder)
    session.flush()
    if order.status == COMPLETED:
        if Decimal(task.points or 0) != Decimal(points_before or 0):
            order.rescore(session, secret_box, actor, reason, now)
    elif task.settled_at and not list_open_tasks(session, order):
        order.finish_marking(session, secret_box, actor, now)


def _take_slot(task: MarkingTask, marker: str, now: datetime) -> Mark:
    marks = {mark.slot: mark for mark in task.marks}
    for slot in task.slots:
        mark = marks.get(slot)
        if mark is None:
            mark = Mark(slot=slot, marker=marker)
            task.marks.append(mark)
            return mark
        if not mark.marked_at and not mark.is_claimed(now):
            mark.marker = marker  # the lease of a colleague is over
            return mark
    raise Conflict("A colleague is marking this answer now: take the next one")


def settle(task: MarkingTask, tolerance: Decimal, now: datetime) -> None:
    """Settle the task if its marks agree, or if its decision is there."""
    marks = task.finished_marks
    if task.state == DISPUTED:
        task.state, task.points = RECONCILED, marks[-1].points
    elif len(marks) < task.markers:
        return
    else:
        numbers = [mark.number for mark in marks]
        if max(numbers) - min(numbers) > tolerance:
            task.state = DISPUTED
            return
        task.state, task.points = MARKED, str(sum(numbers, Decimal(0)) / len(numbers))
    task.settled_at = now


def require_points(number: Decimal | None, maximum: Decimal, name: str) -> Decimal:
    """Return points from 0 to `maximum`; raises Invalid for others. `name` is for its text."""
    if number is None:
        raise Invalid(f"Give points for {name}" if name != "points" else "Give points first")
    exponent = number.as_tuple().exponent
    has_too_many = isinstance(exponent, int) and exponent < -MAX_DECIMALS
    if not 0 <= number <= maximum or has_too_many:
        raise Invalid(f"Give 0 to {maximum:f} points, with at most two decimals, for {name}")
    return number
