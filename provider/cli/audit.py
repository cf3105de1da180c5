"""`provider audit`: who did what, and when."""

from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import select

from provider.cli.common import format_cell, json_option, open_services, print_records
from provider.config import parse_duration
from provider.core.audit import Action, AuditEntry, list_changes
from provider.errors import Invalid


@click.command()
@click.option(
    "--since",
    metavar="TIME",
    help="Only entries from this time on, in UTC: 2026-11-28, 2026-11-28T09:30, or 7d for the "
    "last seven days.",
)
@click.option("--actor", help="Only this actor: an e-mail address, command:USER or system.")
@click.option("--subject", help="Only this subject, such as order:ID.")
@click.option("--action", type=click.Choice([str(action) for action in Action]), metavar="ACTION")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def audit(
    since: str | None,
    actor: str | None,
    subject: str | None,
    action: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show what staff and commands have done, the newest last."""
    with open_services() as services, services.db.reading() as session:
        conditions = [
            column == value
            for column, value in (
                (AuditEntry.actor, actor),
                (AuditEntry.subject, subject),
                (AuditEntry.action, action),
            )
            if value
        ]
        if since:
            conditions.append(AuditEntry.at >= _parse_since(since, services.now()))
        query = select(AuditEntry).where(*conditions).order_by(AuditEntry.id.desc()).limit(limit)
        entries = list(session.scalars(query))[::-1]
    records = [_entry_record(entry) for entry in entries]
    if not as_json:
        records = [record | {"change": _change_text(record)} for record in records]
    columns = {
        "Time": "at",
        "Actor": "actor",
        "Action": "action",
        "Subject": "subject",
        "Change": "change",
    }
    print_records(records, columns, as_json=as_json)


def _parse_since(text: str, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now - parse_duration(text)
        except Invalid:
            raise Invalid(
                f"--since “{text}” is no time: write 2026-11-28, 2026-11-28T09:30 or 7d"
            ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _entry_record(entry: AuditEntry) -> dict[str, Any]:
    names = ("at", "actor", "action", "subject", "before", "after")
    return {name: getattr(entry, name) for name in names}


def _change_text(record: dict[str, Any]) -> str:
    """Return the changes in one line: `status: pending → cancelled; …`."""
    return "; ".join(
        f"{name}: {format_cell(new)}"
        if name not in (record["before"] or {})
        else f"{name}: {format_cell(old)} → {format_cell(new)}"
        for name, old, new in list_changes(record["before"], record["after"])
    )
