"""`provider order …`: list and show orders, and do to one what the console does."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from provider import outbox
from provider.cli import deliveries, erasure
from provider.cli.common import (
    format_cell,
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
from provider.core.labels import format_duration
from provider.core.orders import (
    INVITE,
    STATUSES,
    WAITING_FOR,
    Link,
    Order,
    is_order_of_person,
    staff_acts,
)
from provider.errors import Gone, Invalid

ACTOR = "command"  # the actor in an order's timeline


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


@order.command()
@click.argument("order_id", metavar="ID")
@click.option("--reason", required=True, help="The reason, for the order's timeline.")
def cancel(order_id: str, reason: str) -> None:
    """Cancel an order: the candidate can no longer act, and the ATS gets the status."""
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id)
        before = {"status": order.status}
        order.cancel(session, ACTOR, reason, services.now())
        record_command(
            session,
            services.now(),
            Action.ORDER_CANCELLED,
            f"order:{order_id}",
            before=before,
            after={"status": order.status},
        )
    click.echo("Cancelled; `provider order reopen` undoes it.")


@order.command()
@click.argument("order_id", metavar="ID")
@click.option("--reason", required=True, help="The reason, for the order's timeline.")
def reopen(order_id: str, reason: str) -> None:
    """Reopen an order: the candidate is invited again, and the ATS gets the status."""
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id)
        before = {"status": order.status}
        order.reopen(session, services.secret_box, ACTOR, reason, services.now())
        record_command(
            session,
            services.now(),
            Action.ORDER_REOPENED,
            f"order:{order_id}",
            before=before,
            after={"status": order.status},
        )
    click.echo("Reopened; the candidate is invited again.")


@order.command()
@click.argument("order_id", metavar="ID")
def resend(order_id: str) -> None:
    """Send the invitation again; the candidate must not have started."""
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        staff_acts.resend_invitation(session, services.secret_box, order, ACTOR, services.now())
        record_command(session, services.now(), Action.ORDER_INVITATION_RESENT, f"order:{order_id}")
    click.echo("The invitation is sent again.")


@order.command()
@click.argument("order_id", metavar="ID")
@click.option("--email", metavar="ADDRESS", help="The correct address.")
@click.option("--first-name", metavar="NAME")
@click.option("--last-name", metavar="NAME")
def correct(
    order_id: str, email: str | None, first_name: str | None, last_name: str | None
) -> None:
    """Correct the candidate's address or name, and invite by a new link."""
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        candidate = order.candidate
        recipient = staff_acts.Recipient.parse(
            candidate.email if email is None else email,
            candidate.first_name if first_name is None else first_name,
            candidate.last_name if last_name is None else last_name,
        )
        fields = staff_acts.correct_candidate(
            session, services.secret_box, order, recipient, ACTOR, services.now()
        )
        record_command(
            session,
            services.now(),
            Action.ORDER_CANDIDATE_CORRECTED,
            f"order:{order_id}",
            after={"fields": fields},
        )
    click.echo("Corrected; the candidate is invited by a new link.")


@order.command()
@click.argument("order_id", metavar="ID")
@click.option(
    "--days", required=True, type=click.IntRange(1, 365), help="The days to add to the deadline."
)
@click.option("--notify", is_flag=True, help="Tell the candidate the new deadline by e-mail.")
@json_option
def extend(order_id: str, days: int, notify: bool, as_json: bool) -> None:
    """Give the candidate more days to start; an order that has ended is reopened instead."""
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        before = {"expires_at": order.expires_at.isoformat()}
        staff_acts.extend(session, order, days, ACTOR, services.now(), notify=notify)
        record_command(
            session,
            services.now(),
            Action.ORDER_EXTENDED,
            f"order:{order_id}",
            before=before,
            after={"expires_at": order.expires_at.isoformat()},
        )
        expires_at = order.expires_at
    if as_json:
        print_json({"id": order_id, "expires_at": expires_at, "notified": notify})
        return
    click.echo(f"The candidate has until {format_cell(expires_at)} to start.")


@order.command("extra-time")
@click.argument("order_id", metavar="ID")
@click.option("--percent", type=click.IntRange(0, 100), help="Of the usual time; 0 takes it back.")
@click.option("--minutes", type=click.IntRange(1, staff_acts.MAX_EXTRA_TIME_MINUTES))
@json_option
def extra_time(order_id: str, percent: int | None, minutes: int | None, as_json: bool) -> None:
    """Set the candidate's extra time for a test or an interview, also while it runs."""
    if (percent is None) == (minutes is None):
        raise click.UsageError("Give --percent or --minutes")
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        timed_order = staff_acts.require_extra_time_possible(order, services.now())
        seconds = minutes * 60 if minutes else staff_acts.percent_of_time(timed_order, percent or 0)
        before = {"extra_time_seconds": order.extra_time_seconds}
        staff_acts.give_extra_time(session, order, seconds, ACTOR, services.now())
        record_command(
            session,
            services.now(),
            Action.ORDER_EXTRA_TIME_GIVEN,
            f"order:{order_id}",
            before=before,
            after={"extra_time_seconds": seconds},
        )
        total_seconds = timed_order.duration_seconds
    if as_json:
        print_json({"id": order_id, "extra_time_seconds": seconds, "total_seconds": total_seconds})
        return
    click.echo(f"The candidate has {format_duration(total_seconds or 0)}.")


@order.command("end-attempt")
@click.argument("order_id", metavar="ID")
@click.option("--reason", required=True, help="The reason, for the order's timeline.")
def end_attempt(order_id: str, reason: str) -> None:
    """End a started test or interview, with the answers so far.

    A test is scored and completed. The answers of an interview can then be rated.
    """
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        before = {"status": order.status, "progress": order.progress}
        staff_acts.end_attempt(session, services.secret_box, order, ACTOR, reason, services.now())
        record_command(
            session,
            services.now(),
            Action.ORDER_ATTEMPT_ENDED,
            f"order:{order_id}",
            before=before,
            after={"status": order.status, "progress": order.progress},
        )
    click.echo("The attempt is ended with the answers so far.")


@order.command()
@click.argument("order_id", metavar="ID")
@click.option("--reason", required=True, help="The reason, for the order's timeline.")
def retake(order_id: str, reason: str) -> None:
    """Let a candidate take a completed test again, without answers; the first result is kept."""
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        before = {"status": order.status}
        order.retake(session, services.secret_box, ACTOR, reason, services.now())
        record_command(
            session,
            services.now(),
            Action.ORDER_RETAKEN,
            f"order:{order_id}",
            before=before,
            after={"status": order.status},
        )
    click.echo("The candidate is invited to take the test again.")


@order.command("revoke-links")
@click.argument("order_id", metavar="ID")
@click.option("--reason", required=True, help="The reason, for the order's timeline.")
def revoke_links(order_id: str, reason: str) -> None:
    """Make every link of an order useless: invitation, report, PDF and shared links."""
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        count = order.revoke_links(session, services.secret_box, ACTOR, reason, services.now())
        record_command(
            session,
            services.now(),
            Action.ORDER_LINKS_REVOKED,
            f"order:{order_id}",
            after={"links": count},
        )
    click.echo(
        f"Revoked {count} links. `provider order link` shows the candidate's new one; the ATS gets "
        "the others when it asks."
    )


@order.command()
@click.argument("order_id", metavar="ID")
@click.option("--reason", required=True, help="The reason, for the order's timeline.")
def hold(order_id: str, reason: str) -> None:
    """Put an order on hold: nobody and no schedule erases it, until it is released."""
    _change_hold(order_id, reason, Order.hold, Action.ORDER_HELD)
    click.echo("On hold; `provider order release` ends that.")


@order.command()
@click.argument("order_id", metavar="ID")
@click.option("--reason", required=True, help="The reason, for the order's timeline.")
def release(order_id: str, reason: str) -> None:
    """Release an order from hold: it may be erased again."""
    _change_hold(order_id, reason, Order.release, Action.ORDER_RELEASED)
    click.echo("Released; the order may be erased.")


@order.command()
@click.argument("order_id", metavar="ID")
@erasure.give_up_option
@erasure.yes_option
@json_option
def erase(order_id: str, give_up_deliveries: bool, is_confirmed: bool, as_json: bool) -> None:
    """Delete an order with everything about its candidate; only figures stay.

    Nothing brings the data back but a backup from before. `provider person erase` erases all orders
    of a candidate.
    """
    with open_services() as services:
        erasure.erase_orders(
            services,
            [order_id],
            give_up_deliveries=give_up_deliveries,
            is_confirmed=is_confirmed,
            as_json=as_json,
        )


def _change_hold(
    order_id: str,
    reason: str,
    change: Callable[[Order, Session, str, str, datetime], None],
    action: Action,
) -> None:
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        change(order, session, ACTOR, reason, services.now())
        record_command(session, services.now(), action, f"order:{order_id}")


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
