"""`provider order …`: list and show orders, and change one as the console does."""

from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from provider import outbox
from provider.cli import accommodations, deliveries, order_acts
from provider.cli.common import (
    json_option,
    open_services,
    print_json,
    print_record,
    print_records,
    record_command,
)
from provider.core.accounts import Account
from provider.core.audit import Action
from provider.core.kinds import KINDS
from provider.core.orders import (
    INVITE,
    STATUSES,
    WAITING_FOR,
    Link,
    Order,
    is_order_of_person,
)
from provider.errors import Gone, Invalid


@click.group()
def order() -> None:
    """Orders of the ATS."""


@order.command("list")
@click.option("--account", "account_name", metavar="NAME", help="Only this account's.")
@click.option("--kind", type=click.Choice(list(KINDS)))
@click.option("--status", type=click.Choice(STATUSES))
@click.option(
    "--waiting-for", type=click.Choice(WAITING_FOR), help="Only orders that wait for this one."
)
@click.option("--email", metavar="ADDRESS", help="Only the orders of this person; needs --account.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option(
    "--before",
    metavar="ID",
    help="Only orders older than this one: the last ID of the previous page.",
)
@json_option
def list_(
    account_name: str | None,
    kind: str | None,
    status: str | None,
    waiting_for: str | None,
    email: str | None,
    limit: int,
    before: str | None,
    as_json: bool,
) -> None:
    """List orders, the newest first."""
    if email and not account_name:
        raise Invalid("--email needs --account: a person is known within one account")
    with open_services() as services, services.db.reading() as session:
        conditions: list[Any] = []
        if account_name:
            account_id = Account.get_by_name(session, account_name).id
            conditions.append(
                is_order_of_person(services.secret_box, account_id, email)
                if email
                else Order.account_id == account_id
            )
        if kind:
            conditions.append(Order.kind == kind)
        if status:
            conditions.append(Order.status == status)
        if waiting_for:
            conditions.append(Order.waiting_for == waiting_for)
        if before:
            conditions.append(Order.id < Order.find(session, before).id)
        query = select(Order).where(*conditions).order_by(Order.id.desc()).limit(limit)
        related = (
            joinedload(Order.account),
            joinedload(Order.product),
            joinedload(Order.candidate),
        )
        records = [_order_record(order) for order in session.scalars(query.options(*related))]
    columns = {
        "ID": "id",
        "Kind": "kind",
        "Product": "product",
        "Candidate": "candidate",
        "Account": "account",
        "Status": "status",
        "Progress": "progress",
        "Waiting for": "waiting_for",
        "Placed": "placed_at",
    }
    print_records(records, columns, as_json=as_json)


@order.command()
@click.argument("order_id", metavar="ID")
@json_option
def show(order_id: str, as_json: bool) -> None:
    """Show an order with its timeline and its deliveries."""
    with open_services() as services, services.db.reading() as session:
        order = Order.find(session, order_id)
        record = _order_record(order) | _result_record(order)
        events = [_event_record(event) for event in order.events]
        messages = [
            deliveries.delivery_record(message)
            for message in outbox.history(session, order.public_id)
        ]
    if as_json:
        print_json(record | {"events": events, "deliveries": messages})
        return
    print_record(record, as_json=False)
    click.echo()
    columns = {"When": "at", "Event": "type", "Actor": "actor", "Note": "note"}
    print_records(events, columns, as_json=False)
    click.echo()
    deliveries.print_deliveries(messages, as_json=False)


@order.command()
@click.argument("order_id", metavar="ID")
def link(order_id: str) -> None:
    """Print the link of the candidate's invitation."""
    with open_services() as services, services.db.writing() as session:
        invitation = Link.find_permanent(session, Order.find(session, order_id), INVITE)
        if invitation is None:
            raise Gone("The order's invitation was revoked: reopen the order for a new one")
        url = services.urls.invitation(invitation.get_token(services.secret_box))
        # The link signs the candidate in, so reading it is an act.
        record_command(session, services.now(), Action.ORDER_LINK_SHOWN, f"order:{order_id}")
    click.echo(url)


for act in (*order_acts.ACTS, accommodations.accommodation):
    order.add_command(act)


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
        "waiting_for": order.waiting_for,
        "revision": order.revision,
        "placed_at": order.placed_at,
        "expires_at": order.expires_at,
        "started_at": order.started_at,
        "finished_at": order.finished_at,
        "hold_reason": order.hold_reason,
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
