"""`provider alert …`: list the alerts about failed deliveries, acknowledge one, or snooze it."""

from typing import Any

import click

from provider.cli.common import (
    command_actor,
    format_cell,
    json_option,
    open_services,
    print_records,
)
from provider.core.alerts import (
    SNOOZES,
    DeliveryAlert,
    Trouble,
    acknowledge_alert,
    find_troubles,
    list_open_alerts,
    snooze_alert,
    title_of,
)

COLUMNS = {
    "ID": "id",
    "Deliveries": "deliveries",
    "State": "state",
    "Failed": "failed",
    "Reason": "reason",
    "Since": "opened_at",
    "Acknowledged by": "acknowledged_by",
    "Snoozed until": "snoozed_until",
}
id_argument = click.argument("alert_id", metavar="ID")


@click.group()
def alert() -> None:
    """Alerts: accounts and destinations whose deliveries fail."""


@alert.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the open alerts, the oldest first."""
    with open_services() as services, services.db.reading() as session:
        troubles = find_troubles(session, services.now())
        records = [
            _alert_record(
                alert, title_of(session, alert.cause), troubles.get(alert.cause, Trouble(""))
            )
            for alert in list_open_alerts(session)
        ]
    print_records(records, COLUMNS, as_json=as_json)


@alert.command()
@id_argument
def acknowledge(alert_id: str) -> None:
    """Record that you take care of an alert; an e-mail follows when it is over."""
    with open_services() as services, services.db.writing() as session:
        acknowledge_alert(session, alert_id, command_actor(), services.now())
    click.echo("Acknowledged; an e-mail follows when the deliveries have recovered.")


@alert.command()
@id_argument
@click.argument("time", type=click.Choice(list(SNOOZES)))
def snooze(alert_id: str, time: str) -> None:
    """Hide an alert for one hour, eight hours, or until Monday, 07:00 UTC."""
    with open_services() as services, services.db.writing() as session:
        until = snooze_alert(session, alert_id, time, command_actor(), services.now())
    click.echo(f"Snoozed until {format_cell(until)}; an e-mail follows if deliveries fail then.")


def _alert_record(alert: DeliveryAlert, title: str, trouble: Trouble) -> dict[str, Any]:
    return {
        "id": alert.public_id,
        "deliveries": title,
        "state": _state(alert, trouble),
        "failed": trouble.failed_count,
        "reason": trouble.reason,
        "missing": list(trouble.missing),
        "opened_at": alert.opened_at,
        "acknowledged_by": alert.acknowledged_by,
        "snoozed_until": alert.snoozed_until,
    }


def _state(alert: DeliveryAlert, trouble: Trouble) -> str:
    """Return the state as the console's page names it."""
    if alert.acknowledged_at:
        return "acknowledged"
    if alert.snoozed_until:
        return "snoozed"
    return "open" if trouble.is_present else "being sent again"
