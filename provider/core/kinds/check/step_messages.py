"""E-mails that a candidate of a check has asked for: about each step, and about the report."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from provider.core.kinds.check.tables.check_case import CheckCase
from provider.core.kinds.check.tables.screening_task import ScreeningTask
from provider.core.orders import Order

STEP_EMAIL, COPY_EMAIL = "screening_done", "report_copy"  # the templates
MIN_EMAIL_GAP = timedelta(minutes=1)


def choose_messages(session: Session, order: Order, is_wanted: bool) -> None:
    """Store whether the candidate wants the e-mails. The caller has locked the order."""
    case = session.get(CheckCase, order.id)
    if case is None:
        case = CheckCase(order_id=order.id)
        session.add(case)
    case.wants_messages = is_wanted


def tell_step(
    session: Session,
    order: Order,
    case: CheckCase | None,
    tasks: Collection[ScreeningTask],
    now: datetime,
) -> None:
    """Enqueue the e-mail about a screening that was done now, if the candidate wants it.

    There is none for the last screening, because the e-mail about the complete check follows. Staff
    often save several outcomes at once: there is one e-mail for those of one minute.
    """
    done_times = sorted(task.done_at for task in tasks if not task.is_open and task.done_at)
    is_last = not any(task.is_open for task in tasks)
    is_told = len(done_times) > 1 and now - done_times[-2] < MIN_EMAIL_GAP
    if case and case.wants_messages and not is_last and not is_told:
        order.enqueue_email(session, STEP_EMAIL, now)


def tell_copy(session: Session, order: Order, case: CheckCase | None, now: datetime) -> None:
    """Enqueue the e-mail with the way to the report, if the candidate has asked for a copy."""
    if case and case.wants_copy:
        order.enqueue_email(session, COPY_EMAIL, now)
