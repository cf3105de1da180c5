"""`provider order …`: follow, link, cancel and reopen orders."""

from collections.abc import Sequence
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from provider import outbox
from provider.cli import deliveries
from provider.cli.common import json_option, open_services, print_json, print_record, print_records
from provider.core.accounts import Account
from provider.core.kinds import KINDS
from provider.core.orders import INVITE, STATUSES, Link, Order
from provider.errors import Gone

ACTOR = "command"  # who did it, in the order's story


@click.group()
def order() -> None:
    """What was ordered."""


@order.command("list")
@click.option("--account", "account_name", metavar="NAME", help="Of this account only.")
@click.option("--kind", type=click.Choice(list(KINDS)))
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--before", metavar="ID", help="Go on after this order of the last listing.")
@json_option
def list_(
    account_name: str | None,
    kind: str | None,
    status: str | None,
    limit: int,
    before: str | None,
    as_json: bool,
) -> None:
    """List orders, the newest first."""
    with open_services() as services, services.db.reading() as session:
        conditions: list[Any] = []
        if account_name:
            conditions.append(Order.account_id == Account.get_by_name(session, account_name).id)
        if kind:
            conditions.append(Order.kind == kind)
        if status:
            conditions.append(Order.status == status)
        if before:
            conditions.append(Order.id < Order.find(session, before).id)
        query = select(Order).where(*conditions).order_by(Order.id.desc()).limit(limit)
        around = (joinedload(Order.account), joinedload(Order.product), joinedload(Order.candidate))
        records = [_order_record(each) for each in session.scalars(query.options(*around))]
    columns = {
        "ID": "id",
        "Kind": "kind",
        "Product": "product",
        "Candidate": "candidate",
        "Account": "account",
        "Status": "status",
        "Progress": "progress",
        "Placed": "placed_at",
    }
    print_records(records, columns, as_json=as_json)


@order.command()
@click.argument("order_id", metavar="ID")
@json_option
def show(order_id: str, as_json: bool) -> None:
    """Show an order with its story and its deliveries."""
    with open_services() as services, services.db.reading() as session:
        found = Order.find(session, order_id)
        record = _order_record(found) | _result_record(found)
        events = [_event_record(each) for each in found.events]
        sent = [
            deliveries.delivery_record(each) for each in outbox.history(session, found.public_id)
        ]
    if as_json:
        print_json(record | {"events": events, "deliveries": sent})
        return
    print_record(record, as_json=False)
    _print_table(events, {"When": "at", "What": "type", "Who": "actor", "Note": "note"})
    _print_table(sent, deliveries.COLUMNS)


@order.command()
@click.argument("order_id", metavar="ID")
def link(order_id: str) -> None:
    """Print the address by which the candidate comes in."""
    with open_services() as services, services.db.reading() as session:
        found = Link.find_permanent(session, Order.find(session, order_id), INVITE)
        if found is None:
            raise Gone("The order's invitation was revoked: reopen the order for a new one")
        url = services.urls.invitation(found.get_token(services.secret_box))
    click.echo(url)


@order.command()
@click.argument("order_id", metavar="ID")
@click.option("--reason", required=True, help="Why; kept in the order's story.")
def cancel(order_id: str, reason: str) -> None:
    """Take an order back: the candidate can no longer act, and the ATS is told."""
    with open_services() as services, services.db.writing() as session:
        Order.find(session, order_id).cancel(session, ACTOR, reason, services.now())
    click.echo("Cancelled; `provider order reopen` undoes it.")


@order.command()
@click.argument("order_id", metavar="ID")
@click.option("--reason", required=True, help="Why; kept in the order's story.")
def reopen(order_id: str, reason: str) -> None:
    """Give the candidate another go: invites again and tells the ATS."""
    with open_services() as services, services.db.writing() as session:
        found = Order.find(session, order_id)
        found.reopen(session, services.secret_box, ACTOR, reason, services.now())
    click.echo("Reopened; the candidate is invited again.")


def _order_record(order: Order) -> dict[str, Any]:
    return {
        "id": order.public_id,
        "kind": order.kind,
        "product": order.product.name,
        "account": order.account.name,
        "candidate": order.candidate.name,
        "email": order.candidate.email,
        "job_title": order.job_title,
        "status": order.status,
        "progress": order.progress,
        "revision": order.revision,
        "placed_at": order.placed_at,
        "expires_at": order.expires_at,
        "started_at": order.started_at,
        "finished_at": order.finished_at,
    }


def _result_record(order: Order) -> dict[str, Any]:
    result = order.result
    names = ("score", "grade", "summary", "duration")
    return {name: getattr(result, name) for name in names} if result else {}


def _event_record(event: Any) -> dict[str, Any]:
    return {
        "at": event.occurred_at,
        "type": event.type,
        "actor": event.actor,
        "note": event.note,
        "revision": event.revision,
    }


def _print_table(records: Sequence[dict[str, Any]], columns: dict[str, str]) -> None:
    click.echo()
    print_records(records, columns, as_json=False)
