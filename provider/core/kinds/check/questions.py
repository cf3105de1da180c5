"""Asking the candidate for more: the question, the answer, and the reminder.

The clock of the due date stands while the candidate is asked.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.accounts.email_policy import EmailPolicy, quiet_hours_end
from provider.core.kinds.check.candidate_wait import end_wait
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.screening_work import begin, require_workable
from provider.core.kinds.check.tables.information_request import (
    InformationRequest,
    withdraw_questions,
)
from provider.core.kinds.check.tables.screening_task import ASKED, ERROR, IN_PROGRESS, TO_DO
from provider.core.products.schema_fields import clean_text
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.errors import Conflict, Invalid, NotFound
from provider.storage import secrets
from provider.storage.secrets import SecretBox

QUESTION_EMAIL = "question"  # the template
MAX_QUESTION_LENGTH, MAX_ANSWER_LENGTH = 2000, 5000  # characters
REMINDER_AFTER = timedelta(days=3)
BATCH_SIZE = 100  # questions that are reminded of in one transaction


def ask(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    key: str,
    text: str,
    documents: Iterable[str],
    staff: str,
    now: datetime,
) -> InformationRequest:
    """Ask the candidate about a screening. The candidate gets an e-mail without the question."""
    task = check.find_task(key)
    require_workable(check, task)
    if task.state not in (TO_DO, IN_PROGRESS, ERROR):
        raise Conflict("This screening waits already: withdraw the open question first")
    question = _read_text(text, MAX_QUESTION_LENGTH)
    names = [name for name in DOCUMENT_SLOTS if name in set(documents)]
    request = InformationRequest(
        public_id=secrets.generate_public_id(),
        screening=key,
        documents=names,
        asked_by=staff,
        asked_at=now,
        remind_at=_reminder_time(check, now),
    )
    path = request.row_path(check.public_id, "question")
    request.question = secret_box.encrypt(question, path)
    check.questions.append(request)
    begin(check, session, task, now)
    task.state = ASKED
    task.stop_clock(now)
    check.update_progress(session)
    _record(session, check, key, "question asked", staff, now)
    check.enqueue_email(session, QUESTION_EMAIL, now)
    return request


def answer(
    session: Session, secret_box: SecretBox, check: Check, request_id: str, text: str, now: datetime
) -> None:
    """Store the candidate's answer, and let the staff go on. Conflict without an open question."""
    request = find_question(check, request_id)
    if not request.is_open:
        raise Conflict("This question is answered already, or nobody needs the answer any more")
    check.require_consented()
    path = request.row_path(check.public_id, "answer")
    request.answer = secret_box.encrypt(_read_text(text, MAX_ANSWER_LENGTH), path)
    request.answered_at, request.remind_at = now, None
    end_wait(session, check, [check.find_task(request.screening)], now)
    _record(session, check, request.screening, "question answered", "candidate", now)


def withdraw(session: Session, check: Check, request_id: str, staff: str, now: datetime) -> None:
    """Withdraw a question that was not answered. Conflict for one that was."""
    request = find_question(check, request_id)
    if not request.is_open:
        raise Conflict("This question is answered already, or nobody needs the answer any more")
    withdraw_questions(check.questions, staff, now, request.screening)
    end_wait(session, check, [check.find_task(request.screening)], now)
    _record(session, check, request.screening, "question withdrawn", staff, now)


def find_question(check: Check, request_id: str) -> InformationRequest:
    """Return a question of a check by its public id. Raises NotFound."""
    for request in check.questions:
        if request.public_id == request_id:
            return request
    raise NotFound("There is no such question")


def open_questions(check: Check) -> list[InformationRequest]:
    return [request for request in check.questions if request.is_open]


def _read_text(text: str, max_length: int) -> str:
    text = clean_text(text).replace("\r\n", "\n")
    if not text:
        raise Invalid("Write a text first")
    if len(text) > max_length:
        raise Invalid("This text has at most %(maximum)d characters", maximum=max_length)
    return text


def _record(
    session: Session, check: Check, key: str, event: str, actor: str, now: datetime
) -> None:
    check.record_event(session, event, actor, now, check.find_screening(key).name)


def _reminder_time(check: Check, now: datetime) -> datetime | None:
    """Return when to remind; None for an account that sends no reminders."""
    wants_reminders = EmailPolicy.from_options(check.account.options).reminder_leads
    return now + REMINDER_AFTER if wants_reminders else None


def send_question_reminders(session: Session, now: datetime) -> int:
    """Send the e-mail again for questions whose time has come. Returns the number handled."""
    query = select(InformationRequest).where(InformationRequest.remind_at <= now)
    requests = session.scalars(query.order_by(InformationRequest.remind_at).limit(BATCH_SIZE)).all()
    for order_id in sorted({request.order_id for request in requests}):
        check = session.scalars(select(Check).where(Check.id == order_id).with_for_update()).one()
        session.refresh(check, ["questions"])
        due = [
            request for request in check.questions if request.remind_at and request.remind_at <= now
        ]
        quiet_until = quiet_hours_end(now, check.timezone)
        for request in due:
            request.remind_at = quiet_until if request.is_open else None
        if due and not quiet_until and open_questions(check):
            check.enqueue_email(session, QUESTION_EMAIL, now)
    return len(requests)


def _has_due_reminders(session: Session, now: datetime) -> bool:
    query = select(InformationRequest.id).where(InformationRequest.remind_at <= now)
    return session.scalar(query.limit(1)) is not None


def _run(context: WorkContext) -> None:
    now = context.now()
    while True:
        with context.db.writing() as session:
            if send_question_reminders(session, now) < BATCH_SIZE:
                return


REMIND_OF_QUESTIONS = ScheduledWork(
    "remind_of_questions", every=timedelta(minutes=10), run=_run, is_needed=_has_due_reminders
)
