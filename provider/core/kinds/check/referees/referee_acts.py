"""What staff and referees do with requests, and what the scheduled work does when time passes."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.content import Screening
from provider.core.kinds.check.packages.referee import (
    MAX_REFEREES,
    Referee,
    list_referees,
    read_referees,
)
from provider.core.kinds.check.packages.referee_questions import (
    CHOICE,
    YES_NO,
    RefereeQuestion,
)
from provider.core.kinds.check.packages.screening_types import REFEREE, SCREENING_TYPES
from provider.core.kinds.check.tables.referee_request import (
    ANSWERED,
    BOUNCED,
    DECLINED,
    EXPIRED,
    REVOKED,
    SENT,
    RefereeRequest,
    list_requests,
)
from provider.core.kinds.check.tables.screening_task import (
    ASKED,
    ERROR,
    IN_PROGRESS,
    SUBMITTED_TASK,
    ScreeningTask,
)
from provider.core.orders import CONSENTED
from provider.core.products.schema_fields import clean_text
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.core.text_cleaning import clean_line
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.secrets import SecretBox
from provider.texts import LazyText
from provider.texts import lazy_gettext as _

# The topics of the e-mails to referees.
REFEREE_REQUEST, REFEREE_REMINDER = "referee request", "referee reminder"
REFEREE_TOPICS = frozenset({REFEREE_REQUEST, REFEREE_REMINDER})
MAX_ANSWER_LENGTH = 4000  # characters
MAX_DUE_PER_RUN = 200
YES, NO = "yes", "no"
YES_NO_LABELS = {YES: _("Yes"), NO: _("No")}


class IncompleteAnswers(Invalid):
    """A referee's form with errors. `fields` has one message per question."""

    def __init__(self, fields: Mapping[str, LazyText]) -> None:
        super().__init__("Some answers are missing")
        self.fields = fields


def questions_of(screening: Screening) -> tuple[RefereeQuestion, ...]:
    """Return the author's questions, or the usual ones of the screening's type."""
    return screening.questions or SCREENING_TYPES[screening.type].referee_questions


def named_referees(check: Check, secret_box: SecretBox, screening: Screening) -> list[Referee]:
    """Return the referees whom the candidate has named for a screening."""
    if "referees" not in screening.asks:
        return []
    detail = check.detail_values(secret_box).get("referees")
    if detail is None:
        return []
    return list(read_referees(detail.text)) or list_referees(detail.rows)


def shown_name(check: Check, secret_box: SecretBox) -> str:
    """Return the candidate's name, the only thing of her that a referee sees."""
    name = clean_line(f"{check.candidate.first_name} {check.candidate.last_name}").strip()
    consent = check.latest_consent_view(secret_box)
    return name or (consent.name if consent else "")


def ask_named_referees(
    session: Session, secret_box: SecretBox, check: Check, task: ScreeningTask, now: datetime
) -> bool:
    """Write to the referees of a new task if each has an address; return whether it was done.

    Otherwise the task waits for staff, who know whom to ask.
    """
    referees = named_referees(check, secret_box, check.find_screening(task.key))
    if not referees or not all(referee.can_be_written_to for referee in referees):
        return False
    for referee in referees:
        ask_referee(session, secret_box, check, task, referee, "system", now)
    return True


def ask_referee(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    task: ScreeningTask,
    referee: Referee,
    actor: str,
    now: datetime,
) -> RefereeRequest:
    """Send a referee the link to the questions. An earlier link of the same address ends.

    Raises Conflict for a screening that is done, and for too many referees.
    """
    _require_open(check, task)
    requests = list_requests(session, check.id, task.key)
    for request in requests:
        is_same = request.get_referee(secret_box).email.casefold() == referee.email.casefold()
        if is_same and request.state == ANSWERED:
            raise Conflict("This referee has answered already")
        if is_same and request.state in (SENT, BOUNCED, EXPIRED):
            request.settle(REVOKED, now)
    if sum(request.state != REVOKED for request in requests) >= MAX_REFEREES:
        raise Conflict(
            "A screening has at most %(maximum)d referees: withdraw one first",
            maximum=MAX_REFEREES,
        )
    request = RefereeRequest.create(secret_box, check.id, task.key, referee, actor, now)
    session.add(request)
    session.flush()
    _enqueue(session, check, request, REFEREE_REQUEST, now)
    screening = check.find_screening(task.key)
    check.record_event(session, "referee asked", actor, now, screening.name)
    if task.state != ASKED:
        task.state = SUBMITTED_TASK
    task.started_at = task.started_at or now
    _follow_requests(session, check, task)
    return request


def revoke_request(
    session: Session, check: Check, public_id: str, actor: str, now: datetime
) -> RefereeRequest:
    """End the link of a request; its answers stay."""
    for request in list_requests(session, check.id):
        if request.public_id == public_id:
            break
    else:
        raise NotFound("There is no such request in this check")
    if request.state not in (SENT, BOUNCED, EXPIRED):
        raise Conflict("The referee has answered or declined already, or the link has ended")
    _settle(session, check, request, REVOKED, actor, now)
    return request


def answer_request(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    request: RefereeRequest,
    values: Mapping[str, str],
    now: datetime,
) -> None:
    """Store the answers of a referee. Raises IncompleteAnswers, or Conflict for an ended link."""
    _require_answerable(check, request, now)
    questions = questions_of(check.find_screening(request.screening))
    request.set_answers(secret_box, _parse_answers(questions, values))
    _settle(session, check, request, ANSWERED, REFEREE, now)


def decline_request(session: Session, check: Check, request: RefereeRequest, now: datetime) -> None:
    """Record that a referee does not want to answer."""
    _require_answerable(check, request, now)
    _settle(session, check, request, DECLINED, REFEREE, now)


def record_referee_bounce(session: Session, check: Check, message_id: str, now: datetime) -> None:
    """Record that an e-mail to a referee came back, by the public id of its message."""
    query = select(outbox.Message.ordering_key).where(outbox.Message.public_id == message_id)
    key = session.scalar(query) or ""
    public_id = outbox.OrderingKey.parse(key).writer
    for request in list_requests(session, check.id):
        if request.public_id == public_id and request.state == SENT:
            _settle(session, check, request, BOUNCED, "system", now)


def end_requests(session: Session, check: Check, now: datetime, screening: str = "") -> None:
    """Revoke the open links of a check, or of one screening, which others do from now on."""
    for request in list_requests(session, check.id, screening):
        if request.state in (SENT, BOUNCED):
            request.settle(REVOKED, now)


def _require_open(check: Check, task: ScreeningTask) -> None:
    if check.status != CONSENTED or not task.is_open or task.performer != REFEREE:
        raise Conflict("This screening is not being worked on by referees")


def _require_answerable(check: Check, request: RefereeRequest, now: datetime) -> None:
    if not is_awaited(check, request) or not request.is_open(now):
        raise Conflict("This link has ended")


def is_awaited(check: Check, request: RefereeRequest) -> bool:
    """Return whether the screening of a request is still worked on."""
    return check.status == CONSENTED and check.find_task(request.screening).is_open


def _parse_answers(
    questions: Sequence[RefereeQuestion], values: Mapping[str, str]
) -> list[dict[str, Any]]:
    problems: dict[str, LazyText] = {}
    entries = []
    for question in questions:
        answer = clean_text(values.get(question.key, "")).replace("\r\n", "\n").strip()
        choices = {YES_NO: tuple(YES_NO_LABELS), CHOICE: question.options}.get(question.kind)
        if choices is not None and answer not in choices:
            answer = ""
        if not answer and question.required:
            problems[question.key] = _("Please answer this question")
        elif len(answer) > MAX_ANSWER_LENGTH:
            problems[question.key] = _(
                "Please use at most %(maximum)d characters", maximum=MAX_ANSWER_LENGTH
            )
        text = question.text
        shown = text.to_json() if isinstance(text, LazyText) else text
        entries.append({"question": shown, "answer": answer})
    if problems:
        raise IncompleteAnswers(problems)
    return entries


def _settle(
    session: Session,
    check: Check,
    request: RefereeRequest,
    state: str,
    actor: str,
    now: datetime,
) -> None:
    request.settle(state, now)
    screening = check.find_screening(request.screening)
    check.record_event(session, f"referee {state}", actor, now, screening.name)
    _follow_requests(session, check, check.find_task(request.screening))


def _follow_requests(session: Session, check: Check, task: ScreeningTask) -> None:
    """Let the state of a task follow its requests, unless staff or the candidate have the task."""
    if task.state in (SUBMITTED_TASK, ERROR):
        session.flush()
        states = {request.state for request in list_requests(session, check.id, task.key)}
        if BOUNCED in states:
            task.state = ERROR
        else:
            task.state = SUBMITTED_TASK if SENT in states else IN_PROGRESS
    check.update_progress(session)


def _enqueue(
    session: Session, check: Check, request: RefereeRequest, topic: str, now: datetime
) -> None:
    check.append_message(
        session,
        outbox.EMAIL,
        topic=topic,
        payload={"request": request.public_id},
        writer=request.public_id,
        now=now,
    )


def handle_due_requests(context: WorkContext) -> None:
    """Remind referees once, and close the requests whose time is over."""
    with context.db.reading() as session:
        query = select(RefereeRequest.order_id).where(*_due_conditions(context.now())).distinct()
        order_ids = session.scalars(query.limit(MAX_DUE_PER_RUN)).all()
    for order_id in order_ids:
        with context.db.writing() as session:
            named = select(Check).where(Check.id == order_id).with_for_update()
            check = session.scalar(named)
            if check:
                _handle_due(session, check, context.now())


def has_due_requests(session: Session, now: datetime) -> bool:
    query = select(RefereeRequest.id).where(*_due_conditions(now))
    return session.scalar(query.limit(1)) is not None


def _handle_due(session: Session, check: Check, now: datetime) -> None:
    for request in list_requests(session, check.id):
        if request.state != SENT or request.due_at is None or request.due_at > now:
            continue
        if not is_awaited(check, request):  # the link has ended with the screening
            request.settle(REVOKED, now)
        elif now >= request.expires_at:
            _settle(session, check, request, EXPIRED, "system", now)
        else:
            request.reminded_at, request.due_at = now, request.expires_at
            _enqueue(session, check, request, REFEREE_REMINDER, now)


def _due_conditions(now: datetime) -> tuple[Any, ...]:
    return RefereeRequest.state == SENT, RefereeRequest.due_at <= now


REMIND_REFEREES = ScheduledWork(
    "remind_referees",
    every=timedelta(minutes=10),
    run=handle_due_requests,
    is_needed=has_due_requests,
    lease=timedelta(minutes=5),
)
