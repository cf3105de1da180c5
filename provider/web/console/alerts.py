"""The open delivery alerts: acknowledge one, or snooze it."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.alerts import (
    SNOOZES,
    Trouble,
    acknowledge_alert,
    find_troubles,
    list_ended_alerts,
    list_open_alerts,
    snooze_alert,
    title_of,
)
from provider.core.audit import Action
from provider.core.staff import Permission, Staff
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires

routes = Blueprint("alerts", __name__, url_prefix="/alerts")

MAX_ENDED_ALERTS = 20


@routes.get("/")
@requires(Permission.VIEW_DELIVERIES)
def listing() -> str:
    services = current_services()
    with services.db.reading() as session:
        troubles = find_troubles(session, services.now())
        return render_template(
            "console/alerts.html",
            alerts=[
                (
                    alert,
                    title_of(session, alert.cause),
                    troubles.get(alert.cause, Trouble(alert.cause)),
                )
                for alert in list_open_alerts(session)
            ],
            ended_alerts=[
                (alert, title_of(session, alert.cause))
                for alert in list_ended_alerts(session, MAX_ENDED_ALERTS)
            ],
            snoozes=[(value, label) for value, (label, _) in SNOOZES.items()],
        )


@routes.post("/<alert_id>/acknowledge")
@requires(Permission.MANAGE_DELIVERIES)
def acknowledge(alert_id: str) -> Response:
    services = current_services()
    with services.db.writing() as session:
        acknowledge_alert(session, alert_id, current_staff().email, services.now())
    flash(
        "The alert is acknowledged. An e-mail follows when the deliveries have recovered.",
        "success",
    )
    return redirect(url_for("console.alerts.listing"))


@routes.post("/<alert_id>/snooze")
@requires(Permission.MANAGE_DELIVERIES)
def snooze(alert_id: str) -> Response:
    services = current_services()
    choice, actor = request.form.get("until", ""), current_staff().email
    with services.db.writing() as session:
        snooze_alert(session, alert_id, choice, actor, services.now())
    flash("The alert is snoozed. An e-mail follows if the deliveries still fail then.", "success")
    return redirect(url_for("console.alerts.listing"))


def change_alerts(session: Session, staff: Staff) -> None:
    """Switch a person's e-mails about alerts as the form says."""
    before = staff.gets_alerts
    staff.delivery_alerts = "alerts" in request.form
    record_act(
        session,
        Action.STAFF_ALERTS_CHANGED,
        f"staff:{staff.email}",
        before={"delivery_alerts": before},
        after={"delivery_alerts": staff.delivery_alerts},
    )


def change_marking_emails(session: Session, staff: Staff) -> None:
    """Switch a person's e-mails about answers to mark as the form says."""
    before = staff.gets_marking_emails
    staff.marking_emails = "marking" in request.form
    record_act(
        session,
        Action.STAFF_MARKING_EMAILS_CHANGED,
        f"staff:{staff.email}",
        before={"marking_emails": before},
        after={"marking_emails": staff.marking_emails},
    )
