"""Retention by screening: the candidate's data goes before the rest of the check.

The outcome stays. An account sets the time by type of screening, a package by screening, and the
shorter one counts. The time begins at the end of the check. A check on hold waits, and so does one
with an open dispute, an open adverse action or a correction that waits for a second person.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.orm import Session

from provider.core import audit
from provider.core.accounts import Account
from provider.core.accounts.screening_times import screening_times
from provider.core.audit import Action
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.tables.adverse_action import AdverseAction
from provider.core.kinds.check.tables.check_document import (
    DELETED,
    DISPUTE_SLOT,
    CheckDocument,
    list_documents,
)
from provider.core.kinds.check.tables.decision_proposal import DecisionProposal
from provider.core.kinds.check.tables.dispute import Dispute
from provider.core.kinds.check.tables.referee_request import list_requests
from provider.core.kinds.check.tables.screening_task import ScreeningTask
from provider.core.kinds.check.tables.vendor_order import list_vendor_orders
from provider.core.orders import FINAL_STATUSES
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.errors import Unavailable

MAX_CHECKS_PER_RUN = 200  # of each account and time

PartDeleter = Callable[[Session, Check, Collection[str]], int]


def list_expired(session: Session, now: datetime) -> dict[str, list[str]]:
    """Return the public ids of the checks of which the next run deletes data, by account name."""
    expired: dict[str, list[str]] = {}
    for condition in _due_conditions(session, now):
        query = (
            select(Account.name, Check.public_id)
            .join(Check, Check.account_id == Account.id)
            .join(ScreeningTask, ScreeningTask.order_id == Check.id)
            .where(condition, *_is_deletable())
            .order_by(Check.placed_at, Check.id)
            .limit(MAX_CHECKS_PER_RUN)
        )
        for account, public_id in session.execute(query):
            if public_id not in expired.setdefault(account, []):
                expired[account].append(public_id)
    return expired


def delete_expired(session: Session, check: Check, now: datetime) -> Sequence[str]:
    """Delete the data of the screenings whose time is over; return their keys.

    The caller has locked the check. A detail or a document goes when no other screening needs it.
    The caller deletes the media folders of `list_deleted_folders` after the commit.
    """
    if check.status not in FINAL_STATUSES or check.hold_reason is not None:
        return ()
    is_disputed = any(dispute.is_open for dispute in check.disputes)
    has_proposal = any(proposal.is_open for proposal in check.proposals)
    if check.open_action or is_disputed or has_proposal:
        return ()
    tasks = [task for task in check.tasks if _is_due(check, task, now)]
    if not tasks:
        return ()
    keys = [task.key for task in tasks]
    for task in tasks:
        task.details_deleted_at = now
    count = sum(delete(session, check, keys) for delete in PART_DELETERS)
    names = ", ".join(check.find_screening(key).name for key in keys)
    check.record_event(session, "details deleted", audit.SYSTEM, now, names)
    audit.record(
        session,
        audit.SYSTEM,
        Action.CHECK_DETAILS_DELETED,
        f"order:{check.public_id}",
        now=now,
        after={"screenings": keys, "values": count},
    )
    session.flush()
    return keys


def list_deleted_folders(session: Session, check: Check) -> Sequence[str]:
    """Return the media folders of the deleted documents; they may be deleted already."""
    documents = list_documents(session, check)
    return [document.folder for document in documents if document.state == DELETED]


def _delete_details(session: Session, check: Check, _keys: Collection[str]) -> int:
    stored = {task.key for task in check.tasks if task.details_deleted_at is None}
    needed = {name for entry in check.screenings if entry.key in stored for name in entry.asks}
    details = [row for row in check.candidate_details if row.name not in needed]
    for row in details:
        session.delete(row)
    session.flush()
    session.expire(check, ["candidate_details"])
    return len(details)


def _delete_notes(_session: Session, check: Check, keys: Collection[str]) -> int:
    count = 0
    for finding in check.findings:
        if finding.screening in keys and finding.note is not None:
            finding.note, count = None, count + 1
    for record in check.records:
        if record.screening in keys and record.private_note is not None:
            record.private_note, count = None, count + 1
    for revision in check.revisions:
        if revision.screening in keys and revision.note is not None:
            revision.note, count = None, count + 1
    return count


def _delete_proposed_revisions(_session: Session, check: Check, _keys: Collection[str]) -> int:
    """Delete the outcomes that were proposed: the private note is in one ciphertext with them."""
    proposals = [
        proposal
        for proposal in check.proposals
        if not proposal.is_open and proposal.content is not None
    ]
    for proposal in proposals:
        proposal.content = None
    return len(proposals)


def _delete_outside_answers(session: Session, check: Check, keys: Collection[str]) -> int:
    """Delete the referees with their answers, and the text in which a vendor has answered."""
    requests = [row for row in list_requests(session, check.id) if row.screening in keys]
    for request in requests:
        session.delete(request)
    vendor_orders = [
        row
        for row in list_vendor_orders(session, check.id)
        if row.screening in keys and row.answer_encrypted is not None
    ]
    for vendor_order in vendor_orders:
        vendor_order.answer_encrypted = None
    return len(requests) + len(vendor_orders)


def _delete_documents(session: Session, check: Check, _keys: Collection[str]) -> int:
    """Mark the documents as deleted; their files go after the commit.

    A document with a dispute goes with the disputed screening.
    """
    stored = {task.key for task in check.tasks if task.details_deleted_at is None}
    needed = {name for entry in check.screenings if entry.key in stored for name in entry.documents}
    for question in check.questions:
        if question.screening in stored:
            needed.update(question.documents)

    def is_needed(document: CheckDocument) -> bool:
        if document.slot == DISPUTE_SLOT:
            return document.screening in stored
        return document.slot in needed

    documents = [
        document
        for document in list_documents(session, check)
        if document.state != DELETED and not is_needed(document)
    ]
    for document in documents:
        document.state = DELETED
    return len(documents)


def _delete_questions(session: Session, check: Check, keys: Collection[str]) -> int:
    """Delete the questions to the candidate with the answers. Events say that they were asked."""
    questions = [question for question in check.questions if question.screening in keys]
    for question in questions:
        session.delete(question)
    session.flush()
    session.expire(check, ["questions"])
    return len(questions)


# Each deletes one sort of data of the screenings with `keys`, and returns the number of values.
PART_DELETERS: tuple[PartDeleter, ...] = (
    _delete_details,
    _delete_notes,
    _delete_proposed_revisions,
    _delete_outside_answers,
    _delete_questions,
    _delete_documents,
)


def _is_due(check: Check, task: ScreeningTask, now: datetime) -> bool:
    if task.details_deleted_at is not None or check.finished_at is None:
        return False
    seconds = screening_times(check.account.options).get(task.screening_type)
    times = [timedelta(seconds=seconds)] if seconds is not None else []
    if task.keep_days is not None:
        times.append(timedelta(days=task.keep_days))
    return bool(times) and check.finished_at + min(times) <= now


def _due_conditions(session: Session, now: datetime) -> list[ColumnElement[bool]]:
    """Return a condition for each time that an account or a package has set."""
    conditions = []
    stored_days = select(ScreeningTask.keep_days).distinct()
    stored_days = stored_days.where(
        ScreeningTask.keep_days.is_not(None), ScreeningTask.details_deleted_at.is_(None)
    )
    for days in session.scalars(stored_days):
        assert days is not None
        is_of_package = (ScreeningTask.keep_days == days, ScreeningTask.keep_days.is_not(None))
        conditions.append(and_(_ended_before(now - timedelta(days=days)), *is_of_package))
    for account in session.scalars(select(Account).order_by(Account.name)):
        for name, seconds in screening_times(account.options).items():
            is_of_type = (
                ScreeningTask.screening_type == name,
                Check.account_id == account.id,
            )
            conditions.append(and_(_ended_before(now - timedelta(seconds=seconds)), *is_of_type))
    return conditions


def _ended_before(moment: datetime) -> ColumnElement[bool]:
    # By the time of its placing, too, for the index: a check ends after it.
    return and_(Check.placed_at <= moment, Check.finished_at <= moment)


def _is_deletable() -> tuple[ColumnElement[bool], ...]:
    is_disputed = exists().where(Dispute.order_id == Check.id, Dispute.outcome == "")
    has_action = exists().where(
        AdverseAction.order_id == Check.id, AdverseAction.ended_at.is_(None)
    )
    has_proposal = exists().where(
        DecisionProposal.order_id == Check.id, DecisionProposal.answer == ""
    )
    return (
        ScreeningTask.details_deleted_at.is_(None),
        Check.status.in_(FINAL_STATUSES),
        Check.hold_reason.is_(None),
        ~is_disputed,
        ~has_action,
        ~has_proposal,
    )


def _run(context: WorkContext) -> None:
    now = context.now()
    with context.db.reading() as session:
        expired = list_expired(session, now)
    for public_ids in expired.values():
        for public_id in public_ids:
            folders: Sequence[str] = ()
            with context.db.writing() as session:
                query = select(Check).where(Check.public_id == public_id)
                check = session.scalars(query.with_for_update(of=Check)).first()
                if check:  # None: somebody has erased it meanwhile
                    delete_expired(session, check, now)
                    folders = list_deleted_folders(session, check)
            with suppress(Unavailable):  # DISCARD_LOST_DOCUMENTS deletes them later
                for folder in folders:
                    context.media.delete_folder(folder)
    if expired:
        context.db.truncate_wal()  # or the deleted data stays in the side file


def _has_work(session: Session, now: datetime) -> bool:
    return bool(list_expired(session, now))


SCREENING_RETENTION = ScheduledWork(
    "delete_data_of_screenings",
    every=timedelta(hours=1),
    run=_run,
    is_needed=_has_work,
    lease=timedelta(minutes=30),
)
