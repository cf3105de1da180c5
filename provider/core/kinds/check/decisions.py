"""Deciding a check: completion, and revision after it, by one person or by two.

Where the account asks for a second person, the first one proposes. The second one confirms or
sends back. The two are never the same person, and what was changed since must be proposed again.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.accounts.check_settings import ALWAYS, FOR_CONSIDER, second_person_rule
from provider.core.kinds.check.adverse.adverse_acts import withdraw_without_finding
from provider.core.kinds.check.evidence import CONSIDER, overall_status
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.tables.decision_proposal import (
    COMPLETION,
    CONFIRMED,
    REVISION,
    SENT_BACK,
    DecisionProposal,
)
from provider.core.kinds.check.tables.finding import Outcome, clean_outcome
from provider.core.kinds.check.tables.finding_revision import FindingRevision
from provider.core.orders.corrected_result import REVISED, publish_corrected_result
from provider.core.orders.states import COMPLETED
from provider.core.products.schema_fields import clean_text
from provider.errors import Conflict, Invalid
from provider.storage.secrets import SecretBox

MAX_REASON_LENGTH, MIN_REASON_LENGTH = 500, 3  # characters


@dataclass(frozen=True)
class RevisionForm:
    """The new outcome of a screening, and why it is corrected. The reason is for the staff."""

    screening: str
    status: str
    report_text: str
    note: str
    reason: str


def needs_second_person(account: Account, status: str) -> bool:
    """Return whether a second person must confirm a check with this overall status."""
    rule = second_person_rule(account)
    return rule == ALWAYS or (rule == FOR_CONSIDER and status == CONSIDER)


def outcomes_digest(check: Check) -> str:
    """Return a digest of the outcomes, which changes with each of them."""
    findings = sorted(
        (finding.screening, finding.status, finding.found_at.isoformat())
        for finding in check.findings
    )
    return sha256(repr((check.revision, findings)).encode()).hexdigest()


def find_open_proposal(check: Check) -> DecisionProposal | None:
    """Return the proposal that waits for a second person, if nothing was changed since."""
    proposal = next((row for row in check.proposals if row.is_open), None)
    if proposal is None or proposal.basis != outcomes_digest(check):
        return None
    return proposal


def complete(
    session: Session, secret_box: SecretBox, check: Check, staff: str, now: datetime
) -> bool:
    """Complete a check, or propose it to a second person; return whether it is completed.

    Raises Conflict as `Check.require_decided` does.
    """
    check.require_decided()
    if not needs_second_person(check.account, check.overall_status):
        check.conclude(session, secret_box, staff, now)
        return True
    _propose(session, check, COMPLETION, staff, now)
    return False


def revise(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    form: RevisionForm,
    staff: str,
    now: datetime,
) -> bool:
    """Correct the outcome of a completed check, or propose that; return whether it is done.

    A correction makes a new revision of the result, which the ATS gets. Raises Invalid, and
    Conflict for a check that is not completed.
    """
    form = _clean_revision(secret_box, check, form)
    statuses = [
        form.status if finding.screening == form.screening else finding.status
        for finding in check.findings
    ]
    present = [finding.status for finding in check.findings]
    is_guarded = any(
        needs_second_person(check.account, overall_status(found)) for found in (statuses, present)
    )
    if not is_guarded:
        _apply_revision(session, secret_box, check, form, staff, now)
        return True
    proposal = _propose(session, check, REVISION, staff, now)
    text = json.dumps(asdict(form), ensure_ascii=False)
    proposal.content = secret_box.encrypt(text, _proposal_path(check, proposal, "content"))
    return False


def read_revision(
    secret_box: SecretBox, check: Check, proposal: DecisionProposal
) -> RevisionForm | None:
    """Return the revision that a proposal is about; None for a completion."""
    if proposal.content is None:
        return None
    text = secret_box.decrypt(proposal.content, _proposal_path(check, proposal, "content"))
    return RevisionForm(**json.loads(text))


def confirm(
    session: Session, secret_box: SecretBox, check: Check, staff: str, now: datetime
) -> DecisionProposal:
    """Do what the first person has proposed, and return the proposal.

    Raises Conflict for the same person, and for outcomes that were changed since.
    """
    proposal = _require_answerable(check, staff)
    form = read_revision(secret_box, check, proposal)
    proposal.close(CONFIRMED, staff, now)
    if form is None:
        check.conclude(session, secret_box, staff, now)
    else:
        form = _clean_revision(secret_box, check, form)
        _apply_revision(session, secret_box, check, form, proposal.proposed_by, now)
    check.record_event(session, "decision confirmed", staff, now)
    return proposal


def send_back(
    session: Session, secret_box: SecretBox, check: Check, staff: str, reason: str, now: datetime
) -> DecisionProposal:
    """Refuse what the first person has proposed, and return the proposal. Raises as `confirm`."""
    reason = clean_reason(reason)
    proposal = _require_answerable(check, staff)
    proposal.close(SENT_BACK, staff, now)
    proposal.reason = secret_box.encrypt(reason, _proposal_path(check, proposal, "reason"))
    check.record_event(session, "decision sent back", staff, now)
    return proposal


def read_reason(secret_box: SecretBox, check: Check, proposal: DecisionProposal) -> str:
    """Return why a proposal was sent back; empty for another one."""
    if proposal.reason is None:
        return ""
    return secret_box.decrypt(proposal.reason, _proposal_path(check, proposal, "reason"))


def clean_reason(text: str) -> str:
    """Return a reason as it is stored. Raises Invalid for one that is too short or too long."""
    reason = clean_text(text).replace("\r\n", "\n").strip()
    if not MIN_REASON_LENGTH <= len(reason) <= MAX_REASON_LENGTH:
        raise Invalid(
            "Give a reason of %(minimum)d to %(maximum)d characters",
            minimum=MIN_REASON_LENGTH,
            maximum=MAX_REASON_LENGTH,
        )
    return reason


def describe_revision(
    secret_box: SecretBox, check: Check, revision: FindingRevision
) -> tuple[str, str, str]:
    """Return the text in the report, the private note and the reason of a revision."""
    return (
        _decrypt(secret_box, revision.report_text, _revision_path(check, revision, "report")),
        _decrypt(secret_box, revision.note, _revision_path(check, revision, "note")),
        _decrypt(secret_box, revision.reason, _revision_path(check, revision, "reason")),
    )


def _propose(
    session: Session, check: Check, purpose: str, staff: str, now: datetime
) -> DecisionProposal:
    if find_open_proposal(check):
        raise Conflict("A second person has not answered the earlier proposal yet")
    check.withdraw_proposals(staff, now)  # what an open one was about has changed
    session.flush()  # the index allows one open proposal of a check
    proposal = DecisionProposal(
        purpose=purpose, basis=outcomes_digest(check), proposed_by=staff, proposed_at=now
    )
    check.proposals.append(proposal)
    session.flush()
    check.record_event(session, "decision proposed", staff, now)
    return proposal


def _require_answerable(check: Check, staff: str) -> DecisionProposal:
    proposal = find_open_proposal(check)
    if proposal is None:
        raise Conflict("Nothing waits for a second person, or the outcomes have changed since")
    if proposal.proposed_by == staff:
        raise Conflict("A second person must answer what you have proposed")
    return proposal


def _clean_revision(secret_box: SecretBox, check: Check, form: RevisionForm) -> RevisionForm:
    if check.status != COMPLETED:
        raise Conflict("Only a completed check can be corrected")
    screening = check.find_screening(form.screening)
    finding = check.find_finding(form.screening)
    if finding is None:
        raise Conflict("This screening has no outcome that could be corrected")
    outcome = clean_outcome(form.status, form.report_text, form.note)
    if outcome.status == CONSIDER and not outcome.report_text.strip():
        raise Invalid("There is no text in the report yet for: %(names)s", names=screening.name)
    if outcome == check.decrypt_finding(secret_box, finding):
        raise Invalid("Nothing is changed: this is the present outcome")
    return RevisionForm(form.screening, *outcome, clean_reason(form.reason))


def _apply_revision(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    form: RevisionForm,
    staff: str,
    now: datetime,
) -> None:
    finding = check.find_finding(form.screening)
    assert finding
    check.withdraw_proposals(staff, now)
    earlier = check.decrypt_finding(secret_box, finding)
    revision = FindingRevision(
        screening=form.screening,
        result_revision=check.revision + 1,
        status=earlier.status,
        entered_by=finding.actor,
        entered_at=finding.found_at,
        revised_by=staff,
        revised_at=now,
        reason=b"",
    )
    check.revisions.append(revision)
    session.flush()  # the public id is part of the path
    texts = {"report": earlier.report_text, "note": earlier.note, "reason": form.reason}
    for name, text in texts.items():
        encrypted = secret_box.encrypt(text, _revision_path(check, revision, name))
        setattr(revision, "report_text" if name == "report" else name, encrypted)
    outcome = Outcome(form.status, form.report_text, form.note)
    check.write_finding(secret_box, finding, outcome, staff, now)
    name = check.find_screening(form.screening).name
    # The name alone: staff who may not see results read it in the timeline.
    publish_corrected_result(session, check, check.build_result(), staff, name, now, REVISED)
    withdraw_without_finding(session, secret_box, check, staff, now)


def _decrypt(secret_box: SecretBox, encrypted: bytes | None, path: str) -> str:
    return secret_box.decrypt(encrypted, path) if encrypted else ""


def _proposal_path(check: Check, proposal: DecisionProposal, field: str) -> str:
    return check.row_path(f"proposals/{proposal.public_id}/{field}")


def _revision_path(check: Check, revision: FindingRevision, field: str) -> str:
    return check.row_path(f"revisions/{revision.public_id}/{field}")
