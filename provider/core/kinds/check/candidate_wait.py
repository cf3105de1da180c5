"""The wait of a screening for the candidate: it ends when nothing more is asked of her."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from provider.core.kinds.check.models import Check
from provider.core.kinds.check.needed_documents import find_missing
from provider.core.kinds.check.tables.check_document import UNREADABLE, list_documents
from provider.core.kinds.check.tables.referee_request import BOUNCED, SENT, list_requests
from provider.core.kinds.check.tables.screening_task import (
    ASKED,
    ERROR,
    IN_PROGRESS,
    SUBMITTED_TASK,
    TO_DO,
    ScreeningTask,
)
from provider.core.kinds.check.tables.vendor_order import FAILED, find_vendor_order


def end_wait(session: Session, check: Check, tasks: Iterable[ScreeningTask], now: datetime) -> None:
    """Let the work on these screenings go on, unless an answer or a document is still missing."""
    for task in tasks:
        if task.state == ASKED and not _is_awaited(session, check, task):
            task.start_clock(check.account.working_days, now)
            task.state = _state_after_wait(session, check, task)
    check.update_progress(session)


def _is_awaited(session: Session, check: Check, task: ScreeningTask) -> bool:
    """Return whether a question of a screening is open, or its document was refused."""
    if any(question.is_open and question.screening == task.key for question in check.questions):
        return True
    documents = list_documents(session, check)
    refused = {document.slot for document in documents if document.state == UNREADABLE}
    needed = refused.intersection(check.find_screening(task.key).documents)
    return bool(find_missing(needed, documents))


def _state_after_wait(session: Session, check: Check, task: ScreeningTask) -> str:
    """Return the state: referees and vendors have gone on meanwhile, or have failed."""
    session.flush()
    vendor_order = find_vendor_order(session, check.id, task.key)
    requests = {request.state for request in list_requests(session, check.id, task.key)}
    if BOUNCED in requests or (vendor_order and vendor_order.state == FAILED):
        return ERROR
    if SENT in requests or (vendor_order and vendor_order.is_open):
        return SUBMITTED_TASK
    return IN_PROGRESS if task.started_at else TO_DO
