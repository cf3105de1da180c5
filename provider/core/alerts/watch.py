"""The scheduled works that open, end and delete alerts, and append the e-mails about them.

The e-mails of an alert to one person have one ordering key, so they arrive in their order. Each is
appended in the transaction of its change, and so once.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.alerts.alert import DeliveryAlert, list_open_alerts
from provider.core.alerts.causes import (
    MAIL_SERVER,
    account_of,
    find_kind_causes,
    find_missing_media,
    find_troubles,
    has_recovered,
    is_about_missing_media,
    kind_cause_of,
)
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.core.staff import STAFF_QUEUE, list_alert_recipients
from provider.outbox import DELIVERED, Claim, Message, OrderingKey, Pause

ALERT_BEGAN, ALERT_CONTINUES, ALERT_ENDED = "alert began", "alert continues", "alert ended"
ENDED_ALERTS_KEPT_FOR = timedelta(days=90)
ALERT_TOPICS = (ALERT_BEGAN, ALERT_CONTINUES, ALERT_ENDED)


def update_alerts(session: Session, now: datetime) -> None:
    """End the alerts that have recovered, open new ones, and end snoozes that are over."""
    open_causes = set()
    for alert in list_open_alerts(session):
        if has_recovered(session, alert.cause, now):
            alert.ended_at = now
            session.flush()  # the index allows one open alert of a cause
            _notify(session, alert, ALERT_ENDED, now)
            continue
        open_causes.add(alert.cause)
        if alert.snoozed_until and alert.snoozed_until <= now:
            alert.snoozed_until = None
            _notify(session, alert, ALERT_CONTINUES, now)
    for cause in find_troubles(session, now):
        if cause not in open_causes:
            alert = DeliveryAlert(cause=cause, opened_at=now)
            session.add(alert)
            session.flush()
            _notify(session, alert, ALERT_BEGAN, now)


def unwanted_reason(session: Session, alert: DeliveryAlert, claim: Claim) -> str:
    """Return why an e-mail about an alert must not be sent any more; empty if it must.

    E-mails may wait for hours. A person who never got the first one needs no last one.
    """
    if claim.topic != ALERT_ENDED:
        return "The cause has ended meanwhile" if alert.ended_at else ""
    if alert.cause == MAIL_SERVER:
        return ""
    earlier = select(Message.id).where(
        Message.queue == claim.queue,
        Message.ordering_key == claim.ordering_key,
        Message.state == DELIVERED,
    )
    if session.scalar(earlier.limit(1)) is None:
        return "The e-mail about the beginning was not sent"
    return ""


def _notify(session: Session, alert: DeliveryAlert, topic: str, now: datetime) -> None:
    """Append an e-mail to each chosen member of the staff."""
    if alert.cause == MAIL_SERVER and topic != ALERT_ENDED:
        return  # the e-mail could not leave; the console shows the alert
    is_about_orders = is_about_missing_media(alert.cause) or kind_cause_of(alert.cause)
    if is_about_orders and topic == ALERT_ENDED:
        return  # the staff have acted, or it is too late
    for staff in list_alert_recipients(session, account_of(alert.cause)):
        key = str(OrderingKey(alert.public_id, str(staff.id)))
        last_sequence = session.scalar(
            select(Message.sequence)
            .where(Message.ordering_key == key)
            .order_by(Message.sequence.desc())
            .limit(1)
        )
        is_first = last_sequence is None
        if is_first and topic == ALERT_ENDED and alert.cause != MAIL_SERVER:
            continue  # a person who was chosen since
        outbox.append(
            session,
            queue=STAFF_QUEUE,
            ordering_key=key,
            sequence=0 if last_sequence is None else last_sequence + 1,
            topic=topic,
            payload={},
            now=now,
        )


def _run(context: WorkContext) -> None:
    with context.db.writing() as session:
        update_alerts(session, context.now())


def _is_needed(session: Session, now: datetime) -> bool:
    if list_open_alerts(session) or find_missing_media(session, now):
        return True
    if find_kind_causes(session, now):
        return True
    has_pause = session.scalar(select(Pause.scope).limit(1)) is not None
    failed = select(Message.id).where(outbox.is_in_state(outbox.PARKED)).limit(1)
    return has_pause or session.scalar(failed) is not None


def _is_old(now: datetime) -> ColumnElement[bool]:
    """Return the condition of alerts that ended long ago; an open one has no end."""
    return DeliveryAlert.ended_at < now - ENDED_ALERTS_KEPT_FOR


def _has_old_alerts(session: Session, now: datetime) -> bool:
    return session.scalar(select(DeliveryAlert.id).where(_is_old(now)).limit(1)) is not None


def _drop_old_alerts(context: WorkContext) -> None:
    with context.db.writing() as session:
        session.execute(delete(DeliveryAlert).where(_is_old(context.now())))


WATCH_DELIVERIES = ScheduledWork(
    "watch_deliveries", every=timedelta(minutes=1), run=_run, is_needed=_is_needed
)
DROP_OLD_ALERTS = ScheduledWork(
    "drop_old_alerts", every=timedelta(hours=1), run=_drop_old_alerts, is_needed=_has_old_alerts
)
