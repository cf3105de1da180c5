"""The work of the people who decide checks, which the console's overview counts."""

from datetime import date

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute

from provider.core.kinds.base import StaffWork
from provider.core.kinds.check.disputes import list_waiting_disputes
from provider.core.kinds.check.screening_work import IS_OPEN_TASK, OVERDUE
from provider.core.kinds.check.tables.adverse_action import READY, AdverseAction, AdverseNotice
from provider.core.kinds.check.tables.decision_proposal import DecisionProposal
from provider.core.kinds.check.tables.renewal import select_due_renewals
from provider.core.kinds.check.tables.screening_task import (
    ERROR,
    IN_PROGRESS,
    TO_DO,
    ScreeningTask,
)

ADVERSE_PAGE, CHECK_PAGE = "checks/{order}/adverse/", "checks/{order}/"


def list_staff_work(today: date) -> tuple[StaffWork, ...]:
    """Return the open screenings, disputes, adverse actions, decisions and renewals."""
    waiting = select(ScreeningTask.id).where(
        IS_OPEN_TASK, ScreeningTask.state.in_((TO_DO, IN_PROGRESS, ERROR))
    )
    return (
        StaffWork(
            "Screening that waits for the staff", "Screenings that wait for the staff", waiting
        ),
        StaffWork(
            "Screening that is overdue",
            "Screenings that are overdue",
            waiting.where(ScreeningTask.due_on < today),
            {"due": OVERDUE},
        ),
        StaffWork(
            "Dispute about a background check",
            "Disputes about background checks",
            list_waiting_disputes(),
            path="disputes/",
        ),
        _order_work(
            "Candidate’s time after a notice that is over",
            "Candidates’ times after a notice that are over",
            AdverseAction.order_id,
            AdverseAction.state == READY,
            ADVERSE_PAGE,
        ),
        _order_work(
            "Notice to a candidate that came back",
            "Notices to candidates that came back",
            AdverseNotice.order_id,
            AdverseNotice.undeliverable_at.is_not(None),
            ADVERSE_PAGE,
        ),
        _order_work(
            "Decision that waits for a second person",
            "Decisions that wait for a second person",
            DecisionProposal.order_id,
            DecisionProposal.answer == "",
            CHECK_PAGE,
        ),
        StaffWork(
            "Check to renew",
            "Checks to renew",
            select_due_renewals(today),
            path="renewals/",
        ),
    )


def _order_work(
    singular: str,
    plural: str,
    order_id: InstrumentedAttribute[int],
    condition: ColumnElement[bool],
    path: str,
) -> StaffWork:
    ids = select(order_id).where(condition).order_by(order_id)
    return StaffWork(singular, plural, ids, path=path)
