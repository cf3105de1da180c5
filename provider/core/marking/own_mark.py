"""The correction of a mark by the person who gave it.

Until the task is settled the new mark just replaces the old one. Afterwards it needs a reason. If
the order is completed, it is scored again, and the ATS gets the corrected result. Where the two
marks of a completed order then differ by more than the tolerance, its result stays until somebody
decides between them, or the other marker corrects a mark, too.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from provider.core.marking.acts import MarkForm, apply_points, settle
from provider.core.marking.marked_order import MarkedOrder
from provider.core.marking.task import (
    ANSWER,
    DISPUTED,
    OPEN,
    RECONCILED,
    WITHDRAWN,
    Mark,
    MarkingTask,
)
from provider.core.orders import COMPLETED
from provider.core.orders.states import MARKING, PENDING
from provider.errors import Conflict, Invalid
from provider.storage.secrets import SecretBox

CORRECTION_REASON_LENGTHS = range(3, 501)  # characters
DISPUTED_CORRECTION = "marks differ"  # the event


def find_own_mark(task: MarkingTask, marker: str) -> Mark | None:
    """Return the mark that a member of staff may correct: one that counts, or waits for another.

    None for a mark that a decision or a second look has replaced, and for a test that was reopened.
    """
    order = task.order
    is_marked_now = order.status == PENDING and order.progress == MARKING
    if task.purpose != ANSWER or task.state == WITHDRAWN:
        return None
    if not is_marked_now and order.status != COMPLETED:
        return None
    return next((mark for mark in _counting_marks(task) if mark.marker == marker), None)


def correct_mark(
    session: Session,
    secret_box: SecretBox,
    task: MarkingTask,
    form: MarkForm,
    marker: str,
    reason: str,
    now: datetime,
) -> None:
    """Replace the marker's own mark. The caller has locked the task.

    Raises Conflict without such a mark; Invalid for points out of range, and for a missing reason.
    """
    order = task.order
    assert isinstance(order, MarkedOrder)
    mark = find_own_mark(task, marker)
    if mark is None:
        raise Conflict("You have no mark that counts for this answer")
    unit = order.marking_unit(task.unit)
    points = form.total(unit)
    points_before = task.points
    if needs_reason(task) and len(reason) not in CORRECTION_REASON_LENGTHS:
        raise Invalid("Write why you correct the mark, in 3 to 500 characters")
    mark.points = str(points)
    mark.rubric_points = {row.key: str(form.rubric_points[row.key]) for row in unit.rubric}
    mark.comment, mark.marked_at = form.comment, now
    if _is_replacement(task):
        task.points = mark.points
    else:
        task.state, task.points, task.settled_at = OPEN, None, None
        settle(task, order.marking.tolerance, now)
    if task.state == DISPUTED and order.status == COMPLETED:
        task.points = points_before
        order.record_event(session, DISPUTED_CORRECTION, marker, now, reason)
    if task.settled_at:
        _drop_claims(session, task)
    apply_points(session, secret_box, task, points_before, marker, reason, now)


def needs_reason(task: MarkingTask) -> bool:
    """Whether a correction changes more than an unfinished task."""
    return task.settled_at is not None or task.order.status == COMPLETED


def _is_replacement(task: MarkingTask) -> bool:
    """Whether the last mark replaces the others: a decision, or the answer to a second look."""
    return task.state == RECONCILED or len(task.finished_marks) > task.markers


def _counting_marks(task: MarkingTask) -> Sequence[Mark]:
    marks = task.finished_marks
    return marks[-1:] if _is_replacement(task) else marks


def _drop_claims(session: Session, task: MarkingTask) -> None:
    """Delete the claims of a task that waits for no mark any more."""
    for mark in [mark for mark in task.marks if not mark.marked_at]:
        task.marks.remove(mark)
        session.delete(mark)
