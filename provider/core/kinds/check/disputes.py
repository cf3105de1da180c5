"""What the candidate and the staff do with a dispute about the outcome of a screening."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, select
from sqlalchemy.orm import Session, joinedload

from provider.core.kinds.check.adverse.adverse_acts import update_clock
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.content import Screening
from provider.core.kinds.check.tables.check_document import list_dispute_documents
from provider.core.kinds.check.tables.dispute import (
    CORRECTED,
    DISPUTE_REASONS,
    REASON_LENGTH,
    RETRACTED,
    UPHELD,
    Dispute,
)
from provider.core.orders import COMPLETED
from provider.core.products.schema_fields import clean_text
from provider.errors import Conflict, Invalid, NotFound
from provider.storage import secrets
from provider.storage.secrets import SecretBox

TEXT_LENGTHS = range(3, 4001)  # characters, of the candidate's text and of the answer
ID_COLUMNS: tuple[Any, ...] = (Dispute.id,)
ANSWER_EMAIL = "dispute_answer"  # the template


def find_disputable(check: Check, screening: str) -> Screening:
    """Return a screening of which the candidate can dispute the outcome. NotFound, Conflict."""
    entry = check.find_screening(screening)
    if check.status != COMPLETED or not check.find_finding(screening):
        raise Conflict("You can dispute an outcome once the check is complete")
    return entry


def find_open_dispute(check: Check, screening: str) -> Dispute | None:
    """Return the open dispute of a screening; there is at most one."""
    open_disputes = (
        dispute for dispute in check.disputes if dispute.is_open and dispute.screening == screening
    )
    return next(open_disputes, None)


def open_dispute(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    screening: str,
    reason: str,
    text: str,
    now: datetime,
) -> Dispute:
    """Dispute the outcome of a screening for the candidate. The caller has locked the check.

    The documents that the candidate has added before are sent with it.
    The same text again changes nothing: a form may be sent twice. Raises Conflict while another
    dispute of the screening is open, and Invalid for the reason or the text.
    """
    entry = find_disputable(check, screening)
    text = clean_text(text).replace("\r\n", "\n").strip()
    if present := find_open_dispute(check, screening):
        if decrypt_text(secret_box, check, present) == text:
            return present
        raise Conflict("You have disputed this outcome already, and nobody has answered yet")
    if reason not in DISPUTE_REASONS:
        raise Invalid("Please choose a reason")
    if len(text) not in TEXT_LENGTHS:
        raise Invalid("Please write what is wrong, in 3 to 4000 characters")
    dispute = Dispute(
        public_id=secrets.generate_public_id(), screening=screening, outcome="", opened_at=now
    )
    check.disputes.append(dispute)
    padded_reason = reason.ljust(REASON_LENGTH)
    dispute.reason_encrypted = secret_box.encrypt(padded_reason, _path(check, dispute, "reason"))
    dispute.text = secret_box.encrypt(text, _path(check, dispute, "text"))
    for document in list_dispute_documents(session, check, screening):
        document.dispute = dispute.public_id
    check.record_event(session, "dispute opened", "candidate", now, entry.name)
    _update_notice_clock(session, check, now)
    return dispute


def retract_dispute(session: Session, check: Check, dispute: Dispute, now: datetime) -> None:
    """End an open dispute for the candidate. One that has ended stays as it is."""
    if dispute.is_open:
        dispute.outcome, dispute.actor, dispute.answered_at = RETRACTED, "candidate", now
        name = check.find_screening(dispute.screening).name
        check.record_event(session, "dispute retracted", "candidate", now, name)
        _update_notice_clock(session, check, now)


def answer_dispute(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    dispute: Dispute,
    outcome: str,
    text: str,
    actor: str,
    now: datetime,
) -> None:
    """Answer a dispute as UPHELD or CORRECTED, and tell the candidate that there is an answer.

    UPHELD means that the outcome of the screening stays. CORRECTED does not change the outcome.
    The caller has locked the check. Raises Conflict if the dispute has ended, Invalid for the text.
    """
    if not dispute.is_open:
        raise Conflict("This dispute has ended already")
    if outcome not in (UPHELD, CORRECTED):
        raise Invalid("Choose what becomes of the outcome")
    text = clean_text(text).replace("\r\n", "\n").strip()
    if len(text) not in TEXT_LENGTHS:
        raise Invalid("Write an answer to the candidate, in 3 to 4000 characters")
    dispute.answer = secret_box.encrypt(text, _path(check, dispute, "answer"))
    dispute.outcome, dispute.actor, dispute.answered_at = outcome, actor, now
    name = check.find_screening(dispute.screening).name
    check.record_event(session, "dispute answered", actor, now, name)
    check.enqueue_email(session, ANSWER_EMAIL, now)
    _update_notice_clock(session, check, now)


def decrypt_reason(secret_box: SecretBox, check: Check, dispute: Dispute) -> str:
    """Return why the candidate disputes the outcome: one of DISPUTE_REASONS."""
    return secret_box.decrypt(dispute.reason_encrypted, _path(check, dispute, "reason")).rstrip()


def decrypt_text(secret_box: SecretBox, check: Check, dispute: Dispute) -> str:
    """Return what the candidate wrote."""
    return secret_box.decrypt(dispute.text, _path(check, dispute, "text"))


def decrypt_answer(secret_box: SecretBox, check: Check, dispute: Dispute) -> str:
    """Return the answer of the staff; empty for a dispute without one."""
    if dispute.answer is None:
        return ""
    return secret_box.decrypt(dispute.answer, _path(check, dispute, "answer"))


def is_waiting_dispute() -> ColumnElement[bool]:
    """Return the condition that a dispute, joined with its check, waits for the staff."""
    return and_(Dispute.outcome == "", Check.status == COMPLETED)


def list_waiting_disputes() -> Select[Any]:
    """Return the query for the ids of the disputes that wait for the staff."""
    query: Select[Any] = select(*ID_COLUMNS).join(Check, Check.id == Dispute.order_id)
    return query.where(is_waiting_dispute())


def find_dispute(session: Session, public_id: str, *, lock: bool = False) -> tuple[Check, Dispute]:
    """Return a dispute and its check, which `lock` locks. Raises NotFound."""
    dispute = None
    if len(public_id) <= 22 and "\x00" not in public_id:  # PostgreSQL refuses NUL in a parameter
        dispute = session.scalar(select(Dispute).where(Dispute.public_id == public_id))
    if dispute is None:
        raise NotFound("There is no such dispute")
    query_check = select(Check).where(Check.id == dispute.order_id)
    if lock:
        query_check = query_check.with_for_update(of=Check)
    check = session.scalars(query_check.options(joinedload(Check.account))).one()
    if lock:
        session.refresh(dispute)
    return check, dispute


def _update_notice_clock(session: Session, check: Check, now: datetime) -> None:
    """Stop the clock of an open adverse action, or let it run again."""
    if check.open_action:
        update_clock(session, check, check.open_action, now)


def _path(check: Check, dispute: Dispute, field: str) -> str:
    return check.row_path(f"disputes/{dispute.public_id}/{field}")
