"""The scheduled work that tells markers of new tasks: one e-mail for each person and hour at most.

An e-mail tells of the tasks that came after those of the person's e-mail before. It is rendered
when it is sent, and left out if colleagues have marked everything meanwhile.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.marking.queue import QUEUED, is_free
from provider.core.marking.task import MarkingTask
from provider.core.orders import Order
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.core.staff import STAFF_QUEUE, Staff
from provider.outbox import Message, OrderingKey

TASKS_TO_MARK = "tasks to mark"  # the topic of the messages
SUBJECT = "marking"  # of their ordering keys; the writer is the id of the person
MIN_INTERVAL = timedelta(hours=1)  # between two e-mails to a person


def count_free_tasks(session: Session, staff: Staff, now: datetime) -> Sequence[tuple[str, int]]:
    """Return (account, tasks that the person may take) of each account that has some, by name."""
    query = (
        select(Account.name, func.count())
        .select_from(MarkingTask)
        .join(Order, Order.id == MarkingTask.order_id)
        .join(Account, Account.id == Order.account_id)
        .where(*_free_conditions(staff, now))
        .group_by(Account.id, Account.name)
        .order_by(Account.name)
    )
    return [(name, count) for name, count in session.execute(query)]


def tell_markers(session: Session, now: datetime) -> int:
    """Append the e-mails that are due; return their number."""
    return sum(_tell(session, staff, now) for staff in _list_due(session, now))


def _tell(session: Session, staff: Staff, now: datetime) -> bool:
    newest_id = session.scalar(
        _new_task_ids(staff, now).with_only_columns(func.max(MarkingTask.id))
    )
    if newest_id is None:
        return False
    key = str(OrderingKey(SUBJECT, str(staff.id)))
    last_sequence = session.scalar(
        select(func.max(Message.sequence)).where(Message.ordering_key == key)
    )
    outbox.append(
        session,
        queue=STAFF_QUEUE,
        ordering_key=key,
        sequence=0 if last_sequence is None else last_sequence + 1,
        topic=TASKS_TO_MARK,
        payload={},
        now=now,
    )
    staff.marking_told_at, staff.marking_told_task_id = now, newest_id
    return True


def _list_due(session: Session, now: datetime) -> list[Staff]:
    """Return the people who get these e-mails and were told nothing in the last hour."""
    staff = session.scalars(select(Staff).order_by(Staff.id))
    return [
        person
        for person in staff
        if person.gets_marking_emails
        and (person.marking_told_at is None or person.marking_told_at <= now - MIN_INTERVAL)
    ]


def _new_task_ids(staff: Staff, now: datetime) -> Select[Any]:
    return (
        select(MarkingTask.id)
        .join(Order, Order.id == MarkingTask.order_id)
        .join(Account, Account.id == Order.account_id)
        .where(MarkingTask.id > staff.marking_told_task_id, *_free_conditions(staff, now))
    )


def _free_conditions(staff: Staff, now: datetime) -> list[ColumnElement[bool]]:
    """The tasks that a person may take. Those of a sandbox are for trials, and call nobody."""
    conditions = [QUEUED, is_free(staff.email, now), ~Account.sandbox]
    if staff.account_ids is not None:
        conditions.append(Account.id.in_(staff.account_ids))
    return conditions


def _has_new_tasks(session: Session, now: datetime) -> bool:
    return any(
        session.scalar(_new_task_ids(staff, now).limit(1)) is not None
        for staff in _list_due(session, now)
    )


def _run(context: WorkContext) -> None:
    with context.db.writing() as session:
        tell_markers(session, context.now())


TELL_MARKERS = ScheduledWork(
    "tell_markers", every=timedelta(minutes=5), run=_run, is_needed=_has_new_tasks
)
