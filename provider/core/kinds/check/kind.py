"""The description of the kind check."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session, object_session

from provider.core.accounts import Account, screening_times
from provider.core.kinds.base import AlertCause, EmailParts, Kind, KindTexts, RecordedText
from provider.core.kinds.check.added_email import ADDED_EMAIL, added_email_parts, is_email_needed
from provider.core.kinds.check.adjudication import matrix  # noqa: F401 - its table
from provider.core.kinds.check.adjudication.rules import DISPOSITIONS, ESCALATE
from provider.core.kinds.check.adverse.adverse_work import (
    END_NOTICE_CLOCKS,
    RENEWAL,
    UNDELIVERABLE_NOTICE,
    find_undeliverable_notices,
)
from provider.core.kinds.check.adverse.notice_email import email_parts
from provider.core.kinds.check.adverse.notice_samples import NOTICE_LABELS
from provider.core.kinds.check.adverse.notice_text import find_recorded_texts
from provider.core.kinds.check.columns import OTHER_COLUMNS, PERSONAL_COLUMNS
from provider.core.kinds.check.disputes import (
    ANSWER_EMAIL,
    decrypt_answer,
    decrypt_reason,
    decrypt_text,
)
from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.external_work import follow_status
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages import content
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.packages.legal_text_record import find_texts
from provider.core.kinds.check.packages.legal_text_slots import (
    AUTHORIZATION,
    DISCLOSURE,
    PRIVACY,
    RIGHTS,
)
from provider.core.kinds.check.packages.package import Package
from provider.core.kinds.check.packages.package_warnings import find_warnings
from provider.core.kinds.check.packages.screening_options import SCREENING_OPTIONS
from provider.core.kinds.check.packages.screening_types import (
    CONNECTOR,
    REFEREE,
    SCREENING_TYPES,
    STAFF,
)
from provider.core.kinds.check.questions import QUESTION_EMAIL, REMIND_OF_QUESTIONS
from provider.core.kinds.check.referees.referee_acts import REMIND_REFEREES
from provider.core.kinds.check.referees.referee_email import EMAILS_TO_REFEREES
from provider.core.kinds.check.screening_retention import SCREENING_RETENTION, list_expired
from provider.core.kinds.check.scripted import play_step
from provider.core.kinds.check.staff_work import list_staff_work
from provider.core.kinds.check.step_messages import COPY_EMAIL, STEP_EMAIL
from provider.core.kinds.check.tables.adverse_action import (
    ACTION_LABELS,
    ADVERSE_WITHDRAWN,
    FINAL_ADVERSE,
    NOTICES,
    PRE_ADVERSE,
    READY,
    STOPPED,
)
from provider.core.kinds.check.tables.check_document import (
    DISCARD_LOST_DOCUMENTS,
    DOCUMENT_STATES,
    MEDIA,
)
from provider.core.kinds.check.tables.dispute import DISPUTE_REASONS
from provider.core.kinds.check.tables.found_record import RECORD_KINDS, SEVERITIES, FoundRecord
from provider.core.kinds.check.tables.referee_request import (
    REQUEST_LABELS,
    list_requests,
)
from provider.core.kinds.check.tables.renewal import find_renewals_to_report
from provider.core.kinds.check.tables.screening_task import TASK_LABELS
from provider.core.kinds.check.tables.vendor_order import (
    VENDOR_ORDER_LABELS,
    list_vendor_orders,
)
from provider.core.kinds.check.vendors.vendor_acts import VENDOR_ORDER_TOPIC
from provider.core.kinds.check.vendors.vendor_simulator import PLAY_VENDORS
from provider.core.staff.permissions import Permission
from provider.storage.secrets import SecretBox
from provider.texts import gettext_noop
from provider.texts import lazy_gettext as _

RESULT_EVENTS = frozenset(
    {
        *("record added", "record corrected", "record removed"),
        *("dispute opened", "dispute retracted", "dispute answered", ANSWER_EMAIL),
        *("decision proposed", "decision confirmed", "decision sent back"),
        *NOTICES,
        *(f"notice {purpose}" for purpose in NOTICES),
        *("notice clock stopped", "notice clock went on", "notice time over"),
        *("notice sent again", "notice handed over"),
    }
)


def read_encrypted(check: Check, secret_box: SecretBox) -> dict[str, Any]:
    """Return what the tables of a check have encrypted: details, names, texts, notes, answers."""
    return {
        "details": check.decrypt_details(secret_box),
        "consent_names": [
            check.consent_view(secret_box, consent).name for consent in check.consents
        ],
        "finding_report_texts": {
            finding.screening: check.decrypt_report_text(secret_box, finding)
            for finding in check.findings
        },
        "notices": [
            {
                "purpose": notice.purpose,
                "other_way": check.decrypt_other_way(secret_box, notice),
                **check.decrypt_notice(secret_box, notice),
            }
            for action in check.adverse_actions
            for notice in action.notices
        ],
        "finding_notes": {
            finding.screening: check.decrypt_note(secret_box, finding) for finding in check.findings
        },
        "records": [_read_record(check, secret_box, record) for record in check.records],
        "questions": [
            {
                "screening": question.screening,
                "question": question.decrypt_question(secret_box, check.public_id),
                "answer": question.decrypt_answer(secret_box, check.public_id),
            }
            for question in check.questions
        ],
        "disputes": [
            {
                "screening": dispute.screening,
                "reason": decrypt_reason(secret_box, check, dispute),
                "text": decrypt_text(secret_box, check, dispute),
                "answer": decrypt_answer(secret_box, check, dispute),
                "outcome": dispute.outcome,
            }
            for dispute in check.disputes
        ],
        **_read_outside_work(check, secret_box),
    }


def _find_texts(session: Session, digest: str) -> Sequence[RecordedText]:
    """Return the texts of packages and of notices with a digest."""
    texts = [*find_texts(session, digest), *find_recorded_texts(session, digest)]
    return sorted(texts, key=attrgetter("created_at"))


def _email_parts(
    check: Check, template: str, secret_box: SecretBox, payload: Mapping[str, Any]
) -> EmailParts:
    if template == ADDED_EMAIL:
        return added_email_parts(check, payload)
    return email_parts(check, template, secret_box, payload)


def _read_outside_work(check: Check, secret_box: SecretBox) -> dict[str, Any]:
    """Return what referees and vendors have answered."""
    session = object_session(check)
    assert session
    results = {
        vendor_order.screening: vendor_order.get_result(secret_box)
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
        "vendor_answers": {key: vars(value) for key, value in results.items() if value},
    }


def _read_record(check: Check, secret_box: SecretBox, record: FoundRecord) -> dict[str, Any]:
    return {
        "screening": record.screening,
        **asdict(record.decrypt_facts(secret_box, check.public_id)),
        "public_text": record.decrypt_public_text(secret_box, check.public_id),
        "private_note": record.decrypt_private_note(secret_box, check.public_id),
        "removal_reason": record.decrypt_removal_reason(secret_box, check.public_id),
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
    find_warnings=find_warnings,
    find_texts=_find_texts,
    play_step=play_step,
    follow_status=follow_status,
    emails_to_others=EMAILS_TO_REFEREES,
    result_events=RESULT_EVENTS,
    private_topics=frozenset({VENDOR_ORDER_TOPIC}),
    folder=Path(__file__).parent,
    labels={
        "finding": {CLEAR: _("Clear"), CONSIDER: _("To consider")},
        "event": {
            "consent": "Consent",
            "details changed": "Details changed by the candidate",
            "details shown": "Details shown",
            "details deleted": "Details deleted: the time of their storage is over",
            "declined data deleted": "Details and documents deleted after the refusal",
            "dispute opened": "Dispute by the candidate",
            "dispute retracted": "Dispute retracted by the candidate",
            "dispute answered": "Dispute answered",
            STEP_EMAIL: "Message about a screening",
            ADDED_EMAIL: "E-mail about an added screening",
            COPY_EMAIL: "Copy of the report",
            ANSWER_EMAIL: "Answer to a dispute",
            "outcome entered": "Outcome entered",
            "screening claimed": "Screening claimed",
            "screening handed over": "Screening handed over",
            "screening given back": "Screening given back",
            "screening added": "Screening added",
            "question": "Question to the candidate",
            "question asked": "Candidate asked for more",
            "question answered": "Question answered",
            "question withdrawn": "Question withdrawn",
            "record added": "Record added",
            "record corrected": "Record corrected",
            "record removed": "Record removed",
            "document sent": "Document sent",
            "document removed": "Document removed",
            "document opened": "Document opened",
            "document refused": "Document not readable",
            "documents complete": "Documents complete",
            "document": "New document asked for",
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
            **NOTICE_LABELS,
        },
        "document slot": {name: slot.label for name, slot in DOCUMENT_SLOTS.items()},
        "document": DOCUMENT_STATES,
        "dispute reason": DISPUTE_REASONS,
        "dispute": {
            "": "Open",
            "upheld": "The outcome stays",
            "corrected": "The outcome is corrected",
            "retracted": "Retracted by the candidate",
        },
        "needs": {"check": "Staff: outcomes"},
        "screening type": {name: entry.label for name, entry in SCREENING_TYPES.items()},
        "screening detail": {name: field.label for name, field in DETAIL_FIELDS.items()},
        "screening document": {name: slot.label for name, slot in DOCUMENT_SLOTS.items()},
        "screening performer": {
            STAFF: "Staff",
            REFEREE: "A referee, by a form of their own",
            CONNECTOR: "A connector",
        },
        "workforce": SCREENING_OPTIONS["workforce"].choices,
        "barred lists": SCREENING_OPTIONS["barred_lists"].choices,
        "legal text purpose": {
            DISCLOSURE: "Disclosure, on a page of its own",
            RIGHTS: "Summary of rights",
            PRIVACY: "Privacy policy",
            AUTHORIZATION: "Authorization, beside the signature",
            **NOTICE_LABELS,
        },
        "screening task": TASK_LABELS,
        "referee request": REQUEST_LABELS,
        "vendor order": VENDOR_ORDER_LABELS,
        "severity": SEVERITIES,
        "disposition": DISPOSITIONS,
        "adverse action": ACTION_LABELS,
        "found record": RECORD_KINDS,
    },
    tones={CLEAR: "good", CONSIDER: "warn", ESCALATE: "info", READY: "info", STOPPED: "wait"},
    email_subjects={
        "consent": gettext_noop("%(company)s: your copy of what you agreed to"),
        QUESTION_EMAIL: gettext_noop("%(company)s: a question about your background check"),
        "document": gettext_noop("%(company)s: please send a document again"),
        STEP_EMAIL: gettext_noop("%(company)s: news about your %(noun)s"),
        ADDED_EMAIL: gettext_noop("%(company)s: an addition to your background check"),
        COPY_EMAIL: gettext_noop("%(company)s: your copy of the report"),
        ANSWER_EMAIL: gettext_noop("%(company)s: the answer to what you disputed"),
        PRE_ADVERSE: gettext_noop("%(company)s: about your background check"),
        FINAL_ADVERSE: gettext_noop("%(company)s: a decision about your background check"),
        ADVERSE_WITHDRAWN: gettext_noop("%(company)s: a letter to you no longer counts"),
    },
    list_expired=list_expired,
    personal_columns=PERSONAL_COLUMNS,
    other_columns=OTHER_COLUMNS,
    scheduled_works=(
        DISCARD_LOST_DOCUMENTS,
        END_NOTICE_CLOCKS,
        PLAY_VENDORS,
        REMIND_REFEREES,
        REMIND_OF_QUESTIONS,
        SCREENING_RETENTION,
    ),
    media=MEDIA,
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
    email_parts=_email_parts,
    is_email_needed=is_email_needed,
    work_permission=Permission.DECIDE_CHECKS,
    queue="screenings",
    list_staff_work=list_staff_work,
    account_checks={screening_times.SETTING: check_screening_times},
)
