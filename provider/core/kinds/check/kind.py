"""The description of the kind check."""

from pathlib import Path
from typing import Any

from provider.core.kinds.base import AlertCause, Kind, KindTexts
from provider.core.kinds.check import content
from provider.core.kinds.check.adjudication_rules import DISPOSITIONS, ESCALATE
from provider.core.kinds.check.adverse_action import (
    ACTION_LABELS,
    ADVERSE_WITHDRAWN,
    FINAL_ADVERSE,
    PRE_ADVERSE,
    READY,
    STOPPED,
    AdverseAction,
    AdverseNotice,
)
from provider.core.kinds.check.adverse_work import (
    END_NOTICE_CLOCKS,
    RENEWAL,
    UNDELIVERABLE_NOTICE,
    find_undeliverable_notices,
)
from provider.core.kinds.check.check_case import CheckCase
from provider.core.kinds.check.decision_proposal import DecisionProposal
from provider.core.kinds.check.dispute import Dispute
from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.finding_revision import FindingRevision
from provider.core.kinds.check.found_record import RECORD_KINDS, SEVERITIES, FoundRecord
from provider.core.kinds.check.models import (
    CandidateDetail,
    Check,
    Consent,
    Finding,
)
from provider.core.kinds.check.notice_email import email_parts
from provider.core.kinds.check.notice_text import NOTICE_LABELS
from provider.core.kinds.check.package import Package
from provider.core.kinds.check.renewal import Renewal, find_renewals_to_report
from provider.core.kinds.check.screening_task import TASK_LABELS, ScreeningTask
from provider.core.kinds.check.screening_types import SCREENING_TYPES
from provider.core.kinds.check.scripted import play_step
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
        "notices": [
            {"purpose": notice.purpose, **check.decrypt_notice(secret_box, notice)}
            for action in check.adverse_actions
            for notice in action.notices
        ],
        "finding_notes": {
            finding.screening: check.decrypt_note(secret_box, finding) for finding in check.findings
        },
    }


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
            "outcome entered": "Outcome entered",
            "decision proposed": "Proposed to a second person",
            "decision confirmed": "Confirmed by a second person",
            "decision sent back": "Sent back by a second person",
            "revised": "Outcome corrected",
            "notice pre_adverse": "Notice before a decision sent",
            "notice final_adverse": "Final notice sent",
            "notice adverse_withdrawn": "Adverse action withdrawn",
            "notice clock stopped": "Clock of the notice stopped",
            "notice clock went on": "Clock of the notice goes on",
            "notice time over": "The candidate’s time after the notice is over",
            "notice sent again": "Notice sent again",
            "notice handed over": "Notice handed over in another way",
            **NOTICE_LABELS,
        },
        "needs": {"check": "Staff: outcomes"},
        "screening type": {name: entry.label for name, entry in SCREENING_TYPES.items()},
        "screening task": TASK_LABELS,
        "severity": SEVERITIES,
        "disposition": DISPOSITIONS,
        "adverse action": ACTION_LABELS,
        "found record": RECORD_KINDS,
    },
    tones={CLEAR: "good", CONSIDER: "warn", ESCALATE: "info", READY: "info", STOPPED: "wait"},
    email_subjects={
        "consent": gettext_noop("%(company)s: your copy of what you agreed to"),
        PRE_ADVERSE: gettext_noop("%(company)s: about your background check"),
        FINAL_ADVERSE: gettext_noop("%(company)s: a decision about your background check"),
        ADVERSE_WITHDRAWN: gettext_noop("%(company)s: a letter to you no longer counts"),
    },
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
        Dispute.text,
        Dispute.answer,
        CheckCase.country,
        CheckCase.subdivision,
        DecisionProposal.content,
        DecisionProposal.reason,
        FindingRevision.status,
        FindingRevision.report_text,
        FindingRevision.note,
        FindingRevision.reason,
        AdverseAction.state,
        AdverseAction.jurisdiction,
        AdverseAction.timezone,
        AdverseAction.reason,
        AdverseAction.end_reason,
        AdverseNotice.content,
        AdverseNotice.other_way,
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
        DecisionProposal.public_id,
        DecisionProposal.purpose,
        DecisionProposal.basis,
        DecisionProposal.proposed_by,
        DecisionProposal.answer,
        DecisionProposal.answered_by,
        FindingRevision.public_id,
        FindingRevision.screening,
        FindingRevision.result_revision,
        FindingRevision.entered_by,
        FindingRevision.revised_by,
        AdverseAction.public_id,
        AdverseAction.waiting_days,
        AdverseAction.days_after_dispute,
        AdverseAction.suspensions,
        AdverseAction.begun_by,
        AdverseAction.ended_by,
        AdverseNotice.public_id,
        AdverseNotice.purpose,
        AdverseNotice.text_version,
        AdverseNotice.sent_by,
        Renewal.renew_on,
        Renewal.closed_by,
    ),
    scheduled_works=(END_NOTICE_CLOCKS,),
    alert_causes={
        UNDELIVERABLE_NOTICE: AlertCause(
            _("Notices to candidates came back"),
            _("Correct the address and send the notice again, or hand it over in another way."),
            lambda session, _now: find_undeliverable_notices(session),
        ),
        RENEWAL: AlertCause(
            _("Checks to renew"),
            _("Order the checks again in the ATS, or mark them as taken care of."),
            find_renewals_to_report,
        ),
    },
    email_parts=email_parts,
    work_permission=Permission.DECIDE_CHECKS,
)
