"""E-mails to the staff about deliveries that fail, still fail, or have recovered."""

from datetime import datetime

from sqlalchemy.orm import Session

from provider.core import formats
from provider.core.alerts import (
    ALERT_BEGAN,
    ALERT_CONTINUES,
    ALERT_ENDED,
    DeliveryAlert,
    Trouble,
    find_troubles,
    is_about_missing_media,
    kind_cause_of,
    title_of,
)
from provider.core.emails.staff_email import TIMEZONE, compose_staff_email
from provider.texts import DEFAULT_LANGUAGE, gettext, gettext_noop, use_language

SUBJECTS = {
    ALERT_BEGAN: gettext_noop("Deliveries fail: %(title)s"),
    ALERT_CONTINUES: gettext_noop("Deliveries still fail: %(title)s"),
    ALERT_ENDED: gettext_noop("Deliveries have recovered: %(title)s"),
}
MISSING_SUBJECT = gettext_noop("Recordings are missing: %(title)s")


def render_alert_email(
    session: Session,
    alert: DeliveryAlert,
    topic: str,
    *,
    to: str,
    url: str,
    sender: str,
    message_id: str,
    now: datetime,
) -> bytes:
    """Render an e-mail about an alert, as RFC 5322 bytes; `url` is the console's page of alerts."""
    with use_language(DEFAULT_LANGUAGE):
        title = title_of(session, alert.cause)
        trouble = find_troubles(session, now).get(alert.cause, Trouble(alert.cause))
        is_missing_media = is_about_missing_media(alert.cause)
        kind_cause = kind_cause_of(alert.cause)
        subject = MISSING_SUBJECT if is_missing_media else SUBJECTS[topic]
        context = {
            "is_over": topic == ALERT_ENDED,
            "title": title,
            "failed_count": trouble.failed_count,
            "reason": trouble.reason,
            "is_missing_media": is_missing_media,
            "missing_count": trouble.missing_count,
            "missing": ", ".join(trouble.missing),
            "advice": str(kind_cause.advice) if kind_cause else "",
            "order_count": trouble.order_count,
            "orders": ", ".join(trouble.orders),
            "opened_at_text": formats.format_datetime(alert.opened_at, TIMEZONE),
            "ended_at_text": formats.format_datetime(alert.ended_at or now, TIMEZONE),
            "url": url,
        }
        return compose_staff_email(
            "staff_alert",
            title if kind_cause else gettext(subject, title=title),
            context,
            to=to,
            sender=sender,
            message_id=message_id,
            now=now,
        )
