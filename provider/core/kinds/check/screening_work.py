"""The acts of staff on a screening: claim it, hand it over, and give it back.

The caller has locked the check: of two people who claim at once, the second one gets an error.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from provider.core.formats import format_date
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.tables.finding import Finding
from provider.core.kinds.check.tables.screening_task import (
    IN_PROGRESS,
    TASK_LABELS,
    TO_DO,
    WITHDRAWN,
    ScreeningTask,
)
from provider.core.labels import label_for
from provider.core.staff import ROLE_PERMISSIONS, Permission, Staff
from provider.errors import Conflict, Invalid

# Without a parameter, so that the planners use the partial indexes.
IS_OPEN_TASK: ColumnElement[bool] = ScreeningTask.done_at.is_(None)
IS_ENDED_TASK: ColumnElement[bool] = ScreeningTask.done_at.is_not(None)
OVERDUE = "overdue"  # the value of the queue's filter by due date


def require_workable(check: Check, task: ScreeningTask) -> None:
    """Raise Conflict for a screening that nobody works on any more, or not yet."""
    check.require_consented()
    if not task.is_open:
        raise Conflict("Nobody works on this screening any more: look at it again")


def begin(check: Check, session: Session, task: ScreeningTask, now: datetime) -> None:
    """Record that the work on a screening has begun."""
    task.started_at = task.started_at or now
    if task.state == TO_DO:
        task.state = IN_PROGRESS
        check.update_progress(session)


def claim(session: Session, check: Check, key: str, staff: str, now: datetime) -> bool:
    """Make a member of staff the assignee; return False if that is so already.

    Raises Conflict when a colleague is the assignee.
    """
    task = check.find_task(key)
    require_workable(check, task)
    if task.assignee == staff:
        return False
    if task.assignee:
        raise Conflict(
            "%(colleague)s works on this screening: ask for it, or take it over",
            colleague=task.assignee,
        )
    task.assignee = staff
    begin(check, session, task, now)
    _record(session, check, key, "screening claimed", staff, now)
    return True


def hand_over(
    session: Session, check: Check, key: str, to: str, seen: str, staff: str, now: datetime
) -> None:
    """Make a colleague the assignee. `seen` is the assignee whom the page showed.

    Raises Conflict when the assignee has changed since, and Invalid for somebody who may not
    decide checks of the account.
    """
    task = check.find_task(key)
    require_workable(check, task)
    if (task.assignee or "") != seen:
        raise Conflict("The assignee has changed meanwhile: look at this screening again")
    if to not in list_colleagues(session, check):
        raise Invalid("%(person)s may not decide this check: choose somebody else", person=to)
    if to == seen:
        return
    task.assignee = to
    begin(check, session, task, now)
    _record(session, check, key, "screening handed over", staff, now, f" → {to}")


def give_back(session: Session, check: Check, key: str, staff: str, now: datetime) -> bool:
    """Leave a screening to whoever claims it next; False and no change for that of a colleague."""
    task = check.find_task(key)
    if task.assignee != staff or not task.is_open:
        return False
    task.assignee = None
    if task.state == IN_PROGRESS:
        task.state = TO_DO
        check.update_progress(session)
    _record(session, check, key, "screening given back", staff, now)
    return True


def list_colleagues(session: Session, check: Check) -> Sequence[str]:
    """Return the e-mails of those who may decide checks of the account."""
    roles = [
        role
        for role, permissions in ROLE_PERMISSIONS.items()
        if Permission.DECIDE_CHECKS in permissions
    ]
    query = select(Staff).where(Staff.role.in_(roles), Staff.disabled_at.is_(None))
    staff = session.scalars(query.order_by(Staff.email))
    return [member.email for member in staff if member.sees_account(check.account_id)]


def name_screening(task: ScreeningTask) -> str:
    """Return the name of a task's screening, without loading the other tasks of its check."""
    if task.definition is not None:
        return str(task.definition["name"])
    check = task.order
    assert isinstance(check, Check)
    names = {screening.key: screening.name for screening in check.content.screenings}
    return names.get(task.key, task.key)


def describe_task(task: ScreeningTask, finding: Finding | None = None) -> str:
    """Return the state of a screening in words; of an ended one, when and how it ended."""
    label = TASK_LABELS[task.state]
    if task.done_at is None:
        return f"{label}, clock stopped" if task.clock_stopped_at else label
    ending = f"{label} on {format_date(task.done_at, task.order.account.timezone)}"
    if task.state == WITHDRAWN:
        return f"{ending}, without an outcome"
    if finding is None:
        return ending
    return f"{ending}: {label_for('finding', finding.status)}, by {finding.actor}"


def _record(
    session: Session,
    check: Check,
    key: str,
    event: str,
    staff: str,
    now: datetime,
    addition: str = "",
) -> None:
    note = check.find_screening(key).name + addition
    check.record_event(session, event, staff, now, note)
