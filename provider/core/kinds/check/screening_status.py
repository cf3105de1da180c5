"""The screenings of a check as the candidate sees them after the consent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.orm import object_session

from provider.core.kinds.check.disputes import (
    decrypt_answer,
    decrypt_reason,
    decrypt_text,
    find_open_dispute,
)
from provider.core.kinds.check.documents import open_slots
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.screening_types import CONNECTOR, REFEREE, STAFF
from provider.core.kinds.check.questions import open_questions
from provider.core.kinds.check.tables.check_document import CheckDocument, list_dispute_documents
from provider.core.kinds.check.tables.dispute import Dispute
from provider.core.kinds.check.tables.finding import Finding
from provider.core.kinds.check.tables.screening_task import (
    ASKED,
    DONE,
    ERROR,
    IN_PROGRESS,
    SUBMITTED_TASK,
    TO_DO,
    WITHDRAWN,
)
from provider.core.orders import COMPLETED
from provider.storage.secrets import SecretBox
from provider.texts import LazyText
from provider.texts import lazy_gettext as _

# An error of a vendor is for the staff to repair. The candidate can do nothing about it.
STATE_TEXTS: Mapping[str, LazyText] = {
    TO_DO: _("Not begun yet"),
    IN_PROGRESS: _("In progress"),
    ASKED: _("Waits for you"),
    SUBMITTED_TASK: _("Waits for an answer"),
    ERROR: _("In progress"),
    DONE: _("Completed"),
    WITHDRAWN: _("Not needed any more"),
}
STATE_TONES = {DONE: "good", ASKED: "warn", TO_DO: "wait", WITHDRAWN: "none"}
PERFORMER_TEXTS: Mapping[str, LazyText] = {
    STAFF: _("People who check what you have told us"),
    REFEREE: _("The people whom you have named"),
    CONNECTOR: _("A company that makes such checks"),
}
# The law of these countries gives the candidate a copy of the report: the FCRA and state laws in
# the United States, the UK GDPR in the United Kingdom. An account cannot withhold it there.
COUNTRIES_WITH_COPY = frozenset({"US", "GB"})


@dataclass(frozen=True)
class DisputeView:
    """A decrypted dispute with its stored documents. `reason` is of DISPUTE_REASONS."""

    public_id: str
    reason: str
    text: str
    opened_at: datetime
    answer: str
    outcome: str
    answered_at: datetime | None
    documents: Sequence[CheckDocument]

    @classmethod
    def of(cls, secret_box: SecretBox, check: Check, dispute: Dispute) -> "DisputeView":
        session = object_session(check)
        assert session is not None, "the check was read in a session"
        return cls(
            dispute.public_id,
            decrypt_reason(secret_box, check, dispute),
            decrypt_text(secret_box, check, dispute),
            dispute.opened_at,
            decrypt_answer(secret_box, check, dispute),
            dispute.outcome,
            dispute.answered_at,
            list_dispute_documents(session, check, dispute.screening, dispute.public_id),
        )


@dataclass(frozen=True)
class PublicRecord:
    """A record that a screening found, without the private note."""

    kind: str
    occurred_on: date | None
    text: str


@dataclass(frozen=True)
class ScreeningStatus:
    """One screening. `status` and `report_text` are empty where the candidate gets no copy."""

    key: str
    name: str
    state_text: LazyText
    tone: str
    is_asked: bool
    performer_text: LazyText
    due_on: date | None  # None once it is done
    is_late: bool
    done_at: datetime | None
    status: str = ""
    report_text: str = ""
    records: tuple[PublicRecord, ...] = ()
    disputes: tuple[DisputeView, ...] = ()
    can_dispute: bool = False
    has_open_question: bool = False
    asks_documents: bool = False


def may_read_report(check: Check) -> bool:
    """Whether the candidate gets a copy of the report: by law, by the account, or on request."""
    if check.status != COMPLETED or check.result is None:
        return False
    return bool(check.case and check.case.wants_copy) or offers_copy(check)


def offers_copy(check: Check) -> bool:
    """Whether the law or the account gives the candidate a copy of the report.

    A candidate whose country is not known gets it, since its law may give it. Who asks for it at
    the consent gets an e-mail when it is there.
    """
    may_withhold = bool(check.country) and check.country not in COUNTRIES_WITH_COPY
    return check.account.gives_check_copies or not may_withhold


def wants_messages(check: Check) -> bool:
    return bool(check.case and check.case.wants_messages)


def list_public_records(
    secret_box: SecretBox, check: Check, screening: str
) -> tuple[PublicRecord, ...]:
    """Return the records of a screening that stand in the report, the oldest first."""
    return tuple(
        PublicRecord(
            facts.kind,
            facts.occurred_on,
            record.decrypt_public_text(secret_box, check.public_id),
        )
        for record in check.records
        if record.screening == screening and record.removed_at is None
        for facts in [record.decrypt_facts(secret_box, check.public_id)]
    )


def list_statuses(check: Check, secret_box: SecretBox, now: datetime) -> list[ScreeningStatus]:
    """Return the screenings of a check, in the order of the package."""
    shows_outcomes, slots = may_read_report(check), open_slots(check)
    asked_keys = {question.screening for question in open_questions(check)}
    tasks = {task.key: task for task in check.tasks}
    statuses = []
    for screening in check.screenings:
        finding, task = check.find_finding(screening.key), tasks.get(screening.key)
        state = task.state if task else DONE if finding else TO_DO
        due_on = task.due_on if task and task.is_open and check.status != COMPLETED else None
        statuses.append(
            ScreeningStatus(
                screening.key,
                screening.name,
                STATE_TEXTS[state],
                STATE_TONES.get(state, "info"),
                is_asked=state == ASKED,
                performer_text=PERFORMER_TEXTS[task.performer if task else screening.performer],
                due_on=due_on,
                is_late=bool(due_on and due_on < now.date()),
                done_at=_done_at(finding, task.done_at if task else None),
                status=finding.status if finding and shows_outcomes else "",
                report_text=(
                    check.decrypt_report_text(secret_box, finding)
                    if finding and shows_outcomes
                    else ""
                ),
                records=(
                    list_public_records(secret_box, check, screening.key) if shows_outcomes else ()
                ),
                disputes=tuple(
                    DisputeView.of(secret_box, check, dispute)
                    for dispute in check.disputes
                    if dispute.screening == screening.key
                ),
                can_dispute=bool(
                    check.status == COMPLETED
                    and finding
                    and not find_open_dispute(check, screening.key)
                ),
                has_open_question=screening.key in asked_keys,
                asks_documents=state == ASKED and not slots.keys().isdisjoint(screening.documents),
            )
        )
    return statuses


def _done_at(finding: Finding | None, done_at: datetime | None) -> datetime | None:
    return done_at or (finding.found_at if finding else None)
