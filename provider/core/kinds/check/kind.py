"""The description of the kind check."""

from pathlib import Path
from typing import Any

from sqlalchemy.orm import object_session

from provider.core.kinds.base import Kind, KindTexts
from provider.core.kinds.check import content
from provider.core.kinds.check.check_case import CheckCase
from provider.core.kinds.check.connector import Connector
from provider.core.kinds.check.dispute import Dispute
from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.found_record import RECORD_KINDS, SEVERITIES, FoundRecord
from provider.core.kinds.check.models import (
    CandidateDetail,
    Check,
    Consent,
    Finding,
)
from provider.core.kinds.check.outside import follow_status
from provider.core.kinds.check.package import Package
from provider.core.kinds.check.referee_acts import REMIND_REFEREES
from provider.core.kinds.check.referee_email import EMAILS_TO_REFEREES
from provider.core.kinds.check.referee_request import (
    REQUEST_LABELS,
    RefereeRequest,
    list_requests,
)
from provider.core.kinds.check.screening_task import TASK_LABELS, ScreeningTask
from provider.core.kinds.check.screening_types import SCREENING_TYPES
from provider.core.kinds.check.scripted import play_step
from provider.core.kinds.check.vendor_order import (
    VENDOR_ORDER_LABELS,
    VendorOrder,
    list_vendor_orders,
)
from provider.core.kinds.check.vendor_simulator import PLAY_VENDORS
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
        **_read_outside_work(check, secret_box),
    }


def _read_outside_work(check: Check, secret_box: SecretBox) -> dict[str, Any]:
    """Return what referees and vendors have answered."""
    session = object_session(check)
    assert session
    proposals = {
        vendor_order.screening: vendor_order.get_proposal(secret_box)
        for vendor_order in list_vendor_orders(session, check.id)
    }
    return {
        "referees": [
            {
                "screening": request.screening,
                "referee": vars(request.get_referee(secret_box)),
                "answers": [vars(answer) for answer in request.get_answers(secret_box)],
            }
            for request in list_requests(session, check.id)
        ],
        "vendor_answers": {key: vars(value) for key, value in proposals.items() if value},
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
    follow_status=follow_status,
    emails_to_others=EMAILS_TO_REFEREES,
    scheduled_works=(REMIND_REFEREES, PLAY_VENDORS),
    folder=Path(__file__).parent,
    labels={
        "finding": {CLEAR: _("Clear"), CONSIDER: _("To consider")},
        "event": {
            "consent": "Consent",
            "details shown": "Details shown",
            "outcome entered": "Outcome entered",
            "referee asked": "Referee asked",
            "referee answered": "Referee answered",
            "referee declined": "Referee declined",
            "referee bounced": "E-mail to a referee came back",
            "referee expired": "Referee did not answer in time",
            "referee revoked": "Request to a referee withdrawn",
            "vendor asked": "Sent to the vendor",
            "vendor answered": "Vendor answered",
            "vendor failed": "Failed at the vendor",
            "vendor changed answer": "Vendor sent another answer later",
            "screening done by hand": "Screening taken over by staff",
        },
        "needs": {"check": "Staff: outcomes"},
        "screening type": {name: entry.label for name, entry in SCREENING_TYPES.items()},
        "screening task": TASK_LABELS,
        "referee request": REQUEST_LABELS,
        "vendor order": VENDOR_ORDER_LABELS,
        "severity": SEVERITIES,
        "found record": RECORD_KINDS,
    },
    tones={CLEAR: "good", CONSIDER: "warn"},
    email_subjects={
        "consent": gettext_noop("%(company)s: your copy of what you agreed to"),
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
        RefereeRequest.referee_encrypted,
        RefereeRequest.answers_encrypted,
        VendorOrder.answer_encrypted,
        VendorOrder.answer_digest,
        VendorOrder.last_error,
    ),
    other_columns=(
        RefereeRequest.public_id,
        RefereeRequest.screening,
        RefereeRequest.state,
        RefereeRequest.token_hash,
        RefereeRequest.token_encrypted,
        RefereeRequest.actor,
        VendorOrder.public_id,
        VendorOrder.screening,
        VendorOrder.state,
        VendorOrder.attempt,
        VendorOrder.reference,
        VendorOrder.polls,
        Connector.public_id,
        Connector.key,
        Connector.name,
        Connector.url,
        Connector.method,
        Connector.request_template,
        Connector.headers_encrypted,
        Connector.signing_key_encrypted,
        Connector.paths,
        Connector.statuses,
        Connector.poll_url,
        Connector.poll_minutes,
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
    ),
    work_permission=Permission.DECIDE_CHECKS,
)
