"""The labels and tones of stored values on pages."""

from collections.abc import Mapping
from typing import Any

from provider.texts import Text
from provider.texts import lazy_gettext as _

STATUS_LABELS: dict[str, Text] = {
    "pending": _("Waiting"),
    "consented": _("Consent given"),
    "completed": _("Completed"),
    "declined": _("Declined"),
    "expired": _("Expired"),
    "cancelled": _("Cancelled"),
}
PROGRESS_LABELS = {
    "invited": "Invited",
    "opened": "Opened",
    "started": "Started",
    "marking": "Waits for marks",
    "submitted": "Submitted",
    "asked": "More is asked",
    "outside": "With others",
}
WAITING_FOR_LABELS = {
    "candidate": "Candidate",
    "staff": "Staff",
    "vendor": "Vendor",
    "clock": "A deadline",
    "nobody": "Nobody",
}
# The next step of the candidate, by progress. The kinds add those of the staff, by kind.
NEEDS_LABELS = {
    "invited": "Candidate: start",
    "opened": "Candidate: start",
    "started": "Candidate: finish",
    "asked": "Candidate: answer",
    "accommodation": "Staff: accommodation",
}
GRADE_LABELS: dict[str, Text] = {
    "failed": _("Did not pass"),
    "passed": _("Passed"),
    "excelled": _("Excelled"),
}
VERSION_LABELS = {"draft": "Draft", "published": "Published", "archived": "Archived"}
DELIVERY_LABELS = {
    "waiting": "Waiting",
    "delivered": "Delivered",
    "parked": "Failed",
    "superseded": "No longer needed",
}
OUTCOME_LABELS = {
    "delivered": "Delivered",
    "retry": "Try again later",
    "rejected": "Rejected",
    "not_needed": "No longer needed",
    "bounced": "Came back",
}
EVENT_LABELS: dict[str, Text] = STATUS_LABELS | {
    "pending": "Waiting for the candidate",
    "placed": "Order placed",
    "invited": "Invitation sent",
    "opened": "Invitation opened",
    "started": "Started by the candidate",
    "submitted": "Submitted",
    "consented": "Consent given",
    "completed": "Result ready",
    "declined": "Declined by the candidate",
    "reopened": "Reopened",
    "ats error": "Error reported by the ATS",
    "scored": "Scored",
    "rescored": "Scored again, with corrected scoring",
    "second look asked": "Second look asked for",
    "second look answered": "Second look answered",
    "shared": "Shared link created",
    "viewed": "Report opened",
    "link shown": "Candidate’s link shown",
    "links revoked": "All links revoked",
    "held": "Put on hold: not erased",
    "released": "Released from hold",
    "address corrected": "Candidate’s details corrected",
    "invitation resent": "Invitation sent again",
    "accommodation asked": "Accommodation asked for",
    "accommodation granted": "Accommodation granted",
    "accommodation refused": "Accommodation refused",
    "accommodation": "Answer about an accommodation",
    "name corrected": "Name corrected by the candidate",
    "paused": "Time paused",
    "went on": "Time goes on after a pause",
    "new attempt": "New attempt without answers",
    "ended by staff": "Attempt ended",
    "extra time": "Extra time set",
    "time given back": "Time given back after an outage",
    "extended": "Deadline extended",
    "extension undone": "Extension undone",
    "retried": "Sent again by staff",
    "invitation": "Invitation",
    "reminder": "Reminder",
    "completion": "Receipt",
    "decline": "Confirmation of the refusal",
    "expiry": "Time is over",
    "invitation bounced": "Invitation bounced",
    "email bounced": "E-mail bounced",
    "staff invitation": "Invitation of a colleague",
    "staff reset": "New password for staff",
    "alert began": "Alert: deliveries fail",
    "alert continues": "Alert: deliveries still fail",
    "alert ended": "Alert: deliveries have recovered",
    "tasks to mark": "Answers to mark",
    "sample": "Sample for staff",
    "extension": "New deadline",
    "status": "Status update",
}
# Actions and fields of the audit log. Most get their label from their name.
ACTION_LABELS = {
    "interview.noted": "Notes at a time of a recording changed",
    "interview.recording_watched": "Recording watched",
    "interview.scorecard_submitted": "Scorecard submitted",
    "interview.scorecard_taken_back": "Scorecard opened again",
    "interview.scorecards_shown": "Scorecards seen without rating",
    "interview.reviewer_assigned": "Reviewer asked for a scorecard",
    "interview.reviewer_withdrawn": "Reviewer not asked any more",
    "interview.captions_saved": "Captions saved",
    "interview.captions_deleted": "Captions deleted",
    "interview.captions_requested": "Captions requested",
    "order.retaken": "Test opened for a new attempt",
    "order.rescored": "Scored again, with corrected scoring",
    "check.screening_claimed": "Screening claimed",
    "check.screening_handed_over": "Screening handed over",
    "check.screening_given_back": "Screening given back",
    "check.screening_added": "Screening added to a running check",
    "check.candidate_asked": "Candidate asked for more",
    "check.question_withdrawn": "Question to the candidate withdrawn",
    "check.record_added": "Record of a screening added",
    "check.record_corrected": "Record of a screening corrected",
    "check.record_removed": "Record of a screening removed",
    "check.decision_proposed": "Decision proposed to a second person",
    "check.decision_confirmed": "Decision of a colleague confirmed",
    "check.decision_sent_back": "Decision of a colleague sent back",
    "check.revised": "Outcome of a completed check corrected",
    "adjudication.saved": "Draft of the adjudication rules saved",
    "adjudication.activated": "Adjudication rules switched on",
    "adjudication.retired": "Adjudication rules switched off",
    "adverse.begun": "Notice before a decision sent",
    "adverse.suspended": "Clock of a notice stopped",
    "adverse.resumed": "Clock of a notice goes on",
    "adverse.final": "Final notice sent",
    "adverse.withdrawn": "Adverse action withdrawn",
    "notice.handed_over": "Notice handed over in another way",
    "notice.text_saved": "Text of a notice saved",
    "notice.text_ended": "Use of a notice’s text ended",
    "renewal.closed": "Renewal of a check taken care of",
    "marking.claimed": "Answer taken for marking",
    "marking.released": "Answer given back without a mark",
    "marking.marked": "Answer marked",
    "marking.corrected": "Own mark corrected",
    "marking.reconciled": "Decided between two marks",
    "marking.second_look_answered": "Request for a second look answered",
    "product.rescored": "Earlier attempts scored again",
    "order.retake_allowed": "Retake allowed in spite of the rule",
    "order.link_shown": "Candidate’s link shown",
    "order.candidate_corrected": "Candidate’s details corrected",
    "order.invitation_resent": "Invitation sent again",
    "account.sample_sent": "Sample of an e-mail sent",
    "pause.probed": "Paused delivery tried now",
    "alert.acknowledged": "Delivery alert acknowledged",
    "alert.snoozed": "Delivery alert snoozed",
    "staff.alerts_changed": "E-mails about alerts changed",
    "staff.marking_emails_changed": "E-mails about answers to mark changed",
    "staff.reset_sent": "Link for a new password sent",
    "staff.sign_in_failed": "Sign-in failed",
    "staff.sign_in_throttled": "Sign-in refused after too many attempts",
    "staff.signed_in": "Signed in",
    "staff.signed_out": "Signed out",
    "orders.changed": "Several orders changed",
    "orders.change_stopped": "Change of several orders stopped",
    "orders.change_undone": "Change of several orders undone",
    "orders.exported": "List of orders exported",
    "saved_view.shared": "Saved view shared",
    "saved_view.changed": "Shared view changed",
    "saved_view.deleted": "Shared view deleted",
}
FIELD_LABELS = {
    "ats": "ATS",
    "bulk": "Part of the change of several orders",
    "from": "Placed from",
    "to": "Placed until",
    "is_shared": "Shared",
    "scores": "With scores",
    "search": "With a search",
    "expire_after_seconds": "Time to start",
    "expires_at": "Start by",
    "extra_time_seconds": "Extra time in seconds",
    "ip_address": "IP address",
    "newest": "Newest version",
    "timezone": "Time zone",
    "shared_ttl": "Lifetime of shared links",
    "shared_ttl_units": "Unit of that lifetime",
}
# A channel without a label here is shown by its name.
CHANNEL_LABELS = {
    "callback": "Status updates to the ATS",
    "email": "E-mails",
    "media": "Video processing",
    "missing-media": "Recordings of candidates",
    "speech": "Captions",
    "connector": "Screenings at vendors",
}
# The destination of a channel without hosts.
DESTINATION_LABELS = {"email": "The mail server", "media": "Video processing", "speech": "Captions"}
# Family → value → label. The kinds add theirs by `add_labels`.
LABELS: dict[str, dict[str, Any]] = {
    "status": STATUS_LABELS,
    "progress": PROGRESS_LABELS,
    "waiting_for": WAITING_FOR_LABELS,
    "needs": NEEDS_LABELS,
    "grade": GRADE_LABELS,
    "version": VERSION_LABELS,
    "delivery": DELIVERY_LABELS,
    "outcome": OUTCOME_LABELS,
    "event": EVENT_LABELS,
    "action": ACTION_LABELS,
    "field": FIELD_LABELS,
    "channel": CHANNEL_LABELS,
    "destination": DESTINATION_LABELS,
}

# Pages show a tone by a shape and a colour, because some people cannot tell colours apart.
_GOOD = {"completed", "passed", "sent", "delivered", "published"}
_BEST = {"excelled"}
_BAD = {"failed", "parked", "rejected", "bounced"}
_WARN: set[str] = set()
_INFO = {"consented", "started", "submitted", "opened", "reopened"}
_WAIT = {"pending", "waiting", "invited", "draft", "placed", "retry"}
TONES = {"good": _GOOD, "best": _BEST, "bad": _BAD, "warn": _WARN, "info": _INFO, "wait": _WAIT}

MAX_DETAIL_LABEL_LENGTH = 80  # characters of a label in the details that an ATS gets


def add_labels(family: str, labels: Mapping[str, Text]) -> None:
    """Add labels to a family, which may be new."""
    LABELS.setdefault(family, {}).update(labels)


def add_tones(tones: Mapping[str, str]) -> None:
    """Add the tones of values: value → a key of TONES."""
    for value, name in tones.items():
        TONES[name].add(value)


def label_for(family: str, value: str | None) -> str:
    """Return the label of a value. `family` is a key of LABELS.

    A value without a label becomes readable text: `identity_checked` is "Identity checked".
    """
    if not value:
        return ""
    fallback = value.replace("_", " ").replace("-", " ").replace(".", " ").strip()
    return str(LABELS.get(family, {}).get(value) or "") or fallback[:1].upper() + fallback[1:]


def needs_label(kind: str, waiting_for: str, progress: str) -> str:
    """Return whom an order waits for, and for what: `Staff: rating`; empty for nobody."""
    if waiting_for == "nobody":
        return ""
    # Before the start, the staff have nothing to do but to decide about a request.
    staff_task = "accommodation" if progress in ("invited", "opened") else kind
    task = {"candidate": progress, "staff": staff_task}.get(waiting_for, "")
    return str(NEEDS_LABELS.get(task) or label_for("waiting_for", waiting_for))


def tone(value: str | None) -> str:
    """Return the tone of a value: a key of TONES, or `quiet`."""
    return next((name for name, values in TONES.items() if value in values), "quiet")


TEMPLATE_GLOBALS: dict[str, Any] = {"word": label_for, "tone": tone}
