"""The acts of a person on an alert, in the console or by a command, with their audit entries."""

from datetime import datetime

from sqlalchemy.orm import Session

from provider.core import audit
from provider.core.alerts.alert import DeliveryAlert, snooze_end
from provider.core.alerts.causes import title_of
from provider.core.audit import Action


def acknowledge_alert(session: Session, public_id: str, actor: str, now: datetime) -> None:
    """Record that the actor takes care of an alert. Raises NotFound and Conflict."""
    alert = DeliveryAlert.find(session, public_id)
    alert.acknowledge(actor, now)
    audit.record(
        session,
        actor,
        Action.ALERT_ACKNOWLEDGED,
        f"alert:{public_id}",
        now=now,
        after={"cause": title_of(session, alert.cause)},
    )


def snooze_alert(
    session: Session, public_id: str, choice: str, actor: str, now: datetime
) -> datetime:
    """Hide an alert, and return until when. Raises NotFound, Conflict, and Invalid."""
    alert = DeliveryAlert.find(session, public_id)
    until = snooze_end(choice, now)
    alert.snooze(until)
    audit.record(
        session,
        actor,
        Action.ALERT_SNOOZED,
        f"alert:{public_id}",
        now=now,
        after={"cause": title_of(session, alert.cause), "snoozed_until": until.isoformat()},
    )
    return until
