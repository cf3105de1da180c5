"""The audit log: which member of staff or which command changed what, and when.

An entry is written in the transaction of its act, so neither exists without the other. Entries have
ids and states, but no secret, no result and no candidate's name: erasing a candidate changes none.
Triggers refuse to update or delete an entry.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.storage import secrets
from provider.storage.database import Base

SYSTEM = "system"  # the actor where nobody is known, such as of a failed sign-in

Fields = Mapping[str, Any]


class Action(StrEnum):
    """The acts of the audit log. The names are stored, so they never change."""

    ORDER_CANCELLED = "order.cancelled"
    ORDER_REOPENED = "order.reopened"
    ORDER_LINKS_REVOKED = "order.links_revoked"
    ORDER_CANDIDATE_CORRECTED = "order.candidate_corrected"
    ORDER_EXTENDED = "order.extended"
    ORDER_EXTRA_TIME_GIVEN = "order.extra_time_given"
    ORDER_ACCOMMODATION_DECIDED = "order.accommodation_decided"
    ORDER_ATTEMPT_ENDED = "order.attempt_ended"
    ORDER_RETAKEN = "order.retaken"
    ORDER_RESCORED = "order.rescored"
    ORDER_RETAKE_ALLOWED = "order.retake_allowed"
    ORDER_INVITATION_RESENT = "order.invitation_resent"
    ORDER_LINK_SHOWN = "order.link_shown"
    PERSON_EXPORTED = "person.exported"
    ORDER_HELD = "order.held"
    ORDER_RELEASED = "order.released"
    ORDER_MEDIA_DELETED = "order.media_deleted"
    ORDER_ERASED = "order.erased"
    ORDERS_CHANGED = "orders.changed"
    ORDERS_CHANGE_STOPPED = "orders.change_stopped"
    ORDERS_CHANGE_UNDONE = "orders.change_undone"
    ORDERS_EXPORTED = "orders.exported"
    SAVED_VIEW_SHARED = "saved_view.shared"
    SAVED_VIEW_CHANGED = "saved_view.changed"
    SAVED_VIEW_DELETED = "saved_view.deleted"
    INTERVIEW_RATED = "interview.rated"
    INTERVIEW_COMPLETED = "interview.completed"
    INTERVIEW_NOTED = "interview.noted"
    RECORDING_WATCHED = "interview.recording_watched"
    SCORECARD_SUBMITTED = "interview.scorecard_submitted"
    SCORECARD_TAKEN_BACK = "interview.scorecard_taken_back"
    SCORECARDS_SHOWN = "interview.scorecards_shown"
    REVIEWER_ASSIGNED = "interview.reviewer_assigned"
    REVIEWER_WITHDRAWN = "interview.reviewer_withdrawn"
    CAPTIONS_SAVED = "interview.captions_saved"
    CAPTIONS_DELETED = "interview.captions_deleted"
    CAPTIONS_REQUESTED = "interview.captions_requested"
    MARKING_CLAIMED = "marking.claimed"
    MARKING_RELEASED = "marking.released"
    ANSWER_MARKED = "marking.marked"
    MARK_CORRECTED = "marking.corrected"
    MARKS_RECONCILED = "marking.reconciled"
    SECOND_LOOK_ANSWERED = "marking.second_look_answered"
    CHECK_DETAILS_SHOWN = "check.details_shown"
    CHECK_FINDINGS_SHOWN = "check.findings_shown"
    CHECK_DOCUMENT_OPENED = "check.document_opened"
    CHECK_DOCUMENT_REFUSED = "check.document_refused"
    CHECK_DETAILS_DELETED = "check.details_deleted"
    CHECK_DISPUTE_ANSWERED = "check.dispute_answered"
    CHECK_OUTCOMES_SAVED = "check.outcomes_saved"
    CHECK_EVIDENCE_DOWNLOADED = "check.evidence_downloaded"
    CHECK_COMPLETED = "check.completed"
    SCREENING_CLAIMED = "check.screening_claimed"
    SCREENING_HANDED_OVER = "check.screening_handed_over"
    SCREENING_GIVEN_BACK = "check.screening_given_back"
    SCREENING_ADDED = "check.screening_added"
    CANDIDATE_ASKED = "check.candidate_asked"
    QUESTION_WITHDRAWN = "check.question_withdrawn"
    RECORD_ADDED = "check.record_added"
    RECORD_CORRECTED = "check.record_corrected"
    RECORD_REMOVED = "check.record_removed"
    CHECK_DECISION_PROPOSED = "check.decision_proposed"
    CHECK_DECISION_CONFIRMED = "check.decision_confirmed"
    CHECK_DECISION_SENT_BACK = "check.decision_sent_back"
    CHECK_REVISED = "check.revised"
    ADJUDICATION_SAVED = "adjudication.saved"
    ADJUDICATION_ACTIVATED = "adjudication.activated"
    ADJUDICATION_RETIRED = "adjudication.retired"
    ADVERSE_BEGUN = "adverse.begun"
    ADVERSE_SUSPENDED = "adverse.suspended"
    ADVERSE_RESUMED = "adverse.resumed"
    ADVERSE_FINAL = "adverse.final"
    ADVERSE_WITHDRAWN = "adverse.withdrawn"
    NOTICE_SENT_AGAIN = "notice.sent_again"
    NOTICE_HANDED_OVER = "notice.handed_over"
    NOTICE_TEXT_SAVED = "notice.text_saved"
    NOTICE_TEXT_ENDED = "notice.text_ended"
    RENEWAL_CLOSED = "renewal.closed"
    REFEREE_ASKED = "check.referee_asked"
    REFEREE_REQUEST_REVOKED = "check.referee_request_revoked"
    VENDOR_ORDER_SENT_AGAIN = "check.vendor_order_sent_again"
    SCREENING_TAKEN_OVER = "check.screening_taken_over"
    DELIVERY_SENT_AGAIN = "delivery.sent_again"
    ALERT_ACKNOWLEDGED = "alert.acknowledged"
    ALERT_SNOOZED = "alert.snoozed"
    PAUSE_PROBED = "pause.probed"
    PRODUCT_CREATED = "product.created"
    PRODUCT_EDITED = "product.edited"
    PRODUCT_DRAFT_DISCARDED = "product.draft_discarded"
    PRODUCT_IMPORTED = "product.imported"
    PRODUCT_PUBLISHED = "product.published"
    PRODUCT_ARCHIVED = "product.archived"
    PRODUCT_RESCORED = "product.rescored"
    PRODUCT_TIME_EXTENDED = "product.time_extended"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_CALLBACK_TOKEN_CHANGED = "account.callback_token_changed"  # noqa: S105
    ACCOUNT_TOKEN_CREATED = "account.token_created"  # noqa: S105
    ACCOUNT_TOKEN_REVOKED = "account.token_revoked"  # noqa: S105
    ACCOUNT_SECRET_CHANGED = "account.secret_changed"  # noqa: S105
    ACCOUNT_CHECKED = "account.checked"
    ACCOUNT_SAMPLE_SENT = "account.sample_sent"
    ACCOUNT_CONSENT_ASKED = "account.consent_asked"
    ACCOUNT_CONNECTED = "account.connected"
    ACCOUNT_DISCONNECTED = "account.disconnected"
    ACCOUNT_DISABLED = "account.disabled"
    ACCOUNT_ENABLED = "account.enabled"
    ACCOUNT_EXPORT_REQUESTED = "account.export_requested"
    ACCOUNT_EXPORTED = "account.exported"
    ACCOUNT_EXPORT_DOWNLOADED = "account.export_downloaded"
    ACCOUNT_ERASURE_REQUESTED = "account.erasure_requested"
    ACCOUNT_ERASED = "account.erased"
    CONNECTOR_CREATED = "connector.created"
    CONNECTOR_CHANGED = "connector.changed"
    CONNECTOR_KEY_REPLACED = "connector.key_replaced"
    CONNECTOR_TESTED = "connector.tested"
    CONNECTOR_DISABLED = "connector.disabled"
    CONNECTOR_ENABLED = "connector.enabled"
    RULE_ADDED = "rule.added"
    RULE_REMOVED = "rule.removed"
    RULES_RESUMED = "rule.resumed"
    STAFF_CREATED = "staff.created"
    STAFF_DISABLED = "staff.disabled"
    STAFF_ENABLED = "staff.enabled"
    STAFF_PASSWORD_CHANGED = "staff.password_changed"  # noqa: S105
    STAFF_ROLE_CHANGED = "staff.role_changed"
    STAFF_ACCOUNTS_CHANGED = "staff.accounts_changed"
    STAFF_ALERTS_CHANGED = "staff.alerts_changed"
    STAFF_MARKING_EMAILS_CHANGED = "staff.marking_emails_changed"
    STAFF_INVITED = "staff.invited"
    STAFF_INVITATION_WITHDRAWN = "staff.invitation_withdrawn"
    STAFF_RESET_SENT = "staff.reset_sent"
    STAFF_SECOND_STEP_ADDED = "staff.second_step_added"
    STAFF_SECOND_STEP_REMOVED = "staff.second_step_removed"
    STAFF_RECOVERY_CODES_RENEWED = "staff.recovery_codes_renewed"
    STAFF_PASSKEY_ADDED = "staff.passkey_added"
    STAFF_PASSKEY_REMOVED = "staff.passkey_removed"
    STAFF_SESSION_ENDED = "staff.session_ended"
    STAFF_SIGNED_IN = "staff.signed_in"
    STAFF_SIGN_IN_FAILED = "staff.sign_in_failed"
    STAFF_SIGN_IN_THROTTLED = "staff.sign_in_throttled"
    STAFF_SIGNED_OUT = "staff.signed_out"
    INSTANCE_BACKED_UP = "instance.backed_up"
    INSTANCE_RESTORED = "instance.restored"
    INSTANCE_COPIED = "instance.copied"
    INSTANCE_REENCRYPTED = "instance.reencrypted"
    MEDIA_PRUNED = "media.pruned"


class AuditEntry(Base):
    """One act. `actor` is an e-mail of staff, `command:USER` or `system`; `subject` is `type:id`.

    `before` and `after` have the fields that changed.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_actor", "actor", "id"),
        Index("ix_audit_log_action", "action", "id"),
        Index("ix_audit_log_subject", "subject", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(300))
    action: Mapped[str] = mapped_column(String(50))
    subject: Mapped[str] = mapped_column(String(400))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


def record(
    session: Session,
    actor: str,
    action: Action,
    subject: str,
    *,
    now: datetime,
    before: Fields | None = None,
    after: Fields | None = None,
) -> None:
    """Add an entry to the caller's transaction.

    Fields that are equal in `before` and `after` are left out. If all are equal, the act changed
    nothing and no entry is written.
    """
    changed_before = _changed_fields(before or {}, after or {})
    changed_after = _changed_fields(after or {}, before or {})
    if (before or after) and not (changed_before or changed_after):
        return
    session.add(
        AuditEntry(
            at=now,
            actor=actor,
            action=action,
            subject=subject,
            before=changed_before or None,
            after=changed_after or None,
        )
    )


def list_changes(before: Fields | None, after: Fields | None) -> list[tuple[str, Any, Any]]:
    """Return (field, old value, new value) of an entry; None where a side lacks the field."""
    before, after = before or {}, after or {}
    return [(name, before.get(name), after.get(name)) for name in {**before, **after}]


def _changed_fields(fields: Fields, other: Fields) -> dict[str, Any]:
    return {
        name: value for name, value in fields.items() if name not in other or other[name] != value
    }
