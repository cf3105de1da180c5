"""The description of the kind check."""

from pathlib import Path
from typing import Any

from provider.core.accounts import Account, screening_times
from provider.core.kinds.base import Kind, KindTexts, StaffTask
from provider.core.kinds.check import content
from provider.core.kinds.check.check_case import CheckCase
from provider.core.kinds.check.dispute import DISPUTE_REASONS, Dispute
from provider.core.kinds.check.disputes import (
    ANSWER_EMAIL,
    decrypt_answer,
    decrypt_text,
    list_waiting_disputes,
)
from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.found_record import RECORD_KINDS, SEVERITIES, FoundRecord
from provider.core.kinds.check.models import (
    CandidateDetail,
    Check,
    Consent,
    Finding,
)
from provider.core.kinds.check.package import Package
from provider.core.kinds.check.screening_retention import SCREENING_RETENTION, list_expired
from provider.core.kinds.check.screening_status import list_public_records
from provider.core.kinds.check.screening_task import TASK_LABELS, ScreeningTask
from provider.core.kinds.check.screening_types import SCREENING_TYPES
from provider.core.kinds.check.scripted import play_step
from provider.core.kinds.check.step_messages import STEP_EMAIL
from provider.core.staff.permissions import Permission
from provider.storage.secrets import SecretBox
from provider.texts import gettext_noop
from provider.texts import lazy_gettext as _


def read_encrypted(check: Check, secret_box: SecretBox) -> dict[str, Any]:
    """Return the details and names that the candidate gave, and the notes about the findings."""
    return {
        "details": check.decrypt_details(secret_box),
        "consent_names": [
            check.consent_view(secret_box, consent).name for consent in check.consents
        ],
        "finding_reasons": {
            finding.screening: check.decrypt_report_text(secret_box, finding)
            for finding in check.findings
        },
        "finding_notes": {
            finding.screening: check.decrypt_note(secret_box, finding) for finding in check.findings
        },
        "records": {
            screening.key: [
                {"kind": record.kind, "date": str(record.occurred_on or ""), "text": record.text}
                for record in list_public_records(secret_box, check, screening.key)
            ]
            for screening in check.screenings
        },
        "disputes": [
            {
                "screening": dispute.screening,
                "reason": dispute.reason,
                "text": decrypt_text(secret_box, check, dispute),
                "answer": decrypt_answer(secret_box, check, dispute),
                "outcome": dispute.outcome,
            }
            for dispute in check.disputes
        ],
    }


def check_screening_times(account: Account) -> None:
    """Raise Invalid for a time of storage of an unknown type of screening."""
    screening_times.require_known_types(account, SCREENING_TYPES)


KIND = Kind(
    name="check",
    product_class=Package,
    order_class=Check,
    schema=content.SCHEMA,
    texts=KindTexts(
        label=_("Background check"),
        product_label=_("Package"),
        noun=_("background check"),
        noun_with_article=_("a background check"),
        invited_to=_("agree to a background check"),
        request_phrase=_("asks for your consent to a background check"),
        button_label=_("See what is checked"),
        reassurance=_(
            "Nothing is checked before you have given your consent. Looking first is safe."
        ),
        receipt=_("Your background check is complete."),
    ),
    read_encrypted=read_encrypted,
    find_warnings=content.find_warnings,
    play_step=play_step,
    folder=Path(__file__).parent,
    labels={
        "finding": {CLEAR: _("Clear"), CONSIDER: _("To consider")},
        "event": {
            "consent": "Consent",
            "details shown": "Details shown",
            "details deleted": "Details deleted: the time of their storage is over",
            "dispute opened": "Dispute by the candidate",
            "dispute retracted": "Dispute retracted by the candidate",
            "dispute answered": "Dispute answered",
            STEP_EMAIL: "Message about a screening",
            ANSWER_EMAIL: "Answer to a dispute",
            "outcome entered": "Outcome entered",
        },
        "dispute reason": DISPUTE_REASONS,
        "dispute": {
            "": "Open",
            "upheld": "The outcome stays",
            "corrected": "The outcome is corrected",
            "retracted": "Retracted by the candidate",
        },
        "needs": {"check": "Staff: outcomes"},
        "screening type": {name: entry.label for name, entry in SCREENING_TYPES.items()},
        "screening task": TASK_LABELS,
        "severity": SEVERITIES,
        "found record": RECORD_KINDS,
    },
    tones={CLEAR: "good", CONSIDER: "warn"},
    email_subjects={
        "consent": gettext_noop("%(company)s: your copy of what you agreed to"),
        STEP_EMAIL: gettext_noop("%(company)s: news about your %(noun)s"),
        ANSWER_EMAIL: gettext_noop("%(company)s: the answer to what you disputed"),
    },
    scheduled_works=(SCREENING_RETENTION,),
    list_expired=list_expired,
    personal_columns=(
        CandidateDetail.value_encrypted,
        Consent.name,
        Consent.ip_address,
        Consent.user_agent,
        Finding.status,
        Finding.note,
        Finding.report_text,
        FoundRecord.public_text,
        FoundRecord.private_note,
        FoundRecord.kind,
        FoundRecord.severity,
        FoundRecord.occurred_on,
        Dispute.reason,
        Dispute.text,
        Dispute.answer,
        CheckCase.country,
        CheckCase.subdivision,
    ),
    other_columns=(
        CandidateDetail.name,
        Consent.disclosure_digest,
        Consent.disclosure_version,
        Finding.screening,
        Finding.actor,
        FoundRecord.public_id,
        FoundRecord.screening,
        FoundRecord.actor,
        Dispute.public_id,
        Dispute.screening,
        Dispute.outcome,
        Dispute.actor,
        CheckCase.wants_copy,
        CheckCase.wants_messages,
        ScreeningTask.public_id,
        ScreeningTask.key,
        ScreeningTask.screening_type,
        ScreeningTask.performer,
        ScreeningTask.state,
        ScreeningTask.assignee,
        ScreeningTask.due_on,
        ScreeningTask.definition,
        ScreeningTask.keep_days,
    ),
    work_permission=Permission.DECIDE_CHECKS,
    staff_tasks=(
        StaffTask(
            Permission.DECIDE_CHECKS,
            list_waiting_disputes,
            "Dispute about a background check",
            "Disputes about background checks",
            "disputes/",
        ),
    ),
    account_checks={screening_times.SETTING: check_screening_times},
)
