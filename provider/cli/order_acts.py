"""The commands of `provider order` that change an order, each recorded in the audit log."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click
from sqlalchemy.orm import Session

from provider.cli import erasure
from provider.cli.common import (
    format_cell,
    json_option,
    open_services,
    print_json,
    record_command,
)
from provider.core.audit import Action
from provider.core.labels import format_duration
from provider.core.orders import Order, staff_acts
from provider.services import Services

ACTOR = "command"  # the actor in an order's timeline

id_argument = click.argument("order_id", metavar="ID")
reason_option = click.option(
    "--reason", required=True, help="The reason, for the order's timeline."
)


@dataclass(frozen=True)
class Change:
    """An open transaction on one order. `details` go into the audit log beside the columns."""

    services: Services
    session: Session
    order: Order
    now: datetime
    details: dict[str, Any] = field(default_factory=dict)


@contextmanager
def changing(order_id: str, action: Action, *columns: str) -> Iterator[Change]:
    """Lock an order, and record the action with the values of `columns` before and after it."""
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        change = Change(services, session, order, services.now())
        before = _column_values(order, columns)
        yield change
        after = _column_values(order, columns) | change.details
        record_command(
            session,
            change.now,
            action,
            f"order:{order_id}",
            before=before or None,
            after=after or None,
        )


def _column_values(order: Order, columns: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(order, name) for name in columns}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }


@click.command()
@id_argument
@reason_option
def cancel(order_id: str, reason: str) -> None:
    """Cancel an order: the candidate can no longer act, and the ATS gets the status."""
    with changing(order_id, Action.ORDER_CANCELLED, "status") as change:
        change.order.cancel(change.session, ACTOR, reason, change.now)
    click.echo("Cancelled; `provider order reopen` undoes it.")


@click.command()
@id_argument
@reason_option
def reopen(order_id: str, reason: str) -> None:
    """Reopen an order: the candidate is invited again, and the ATS gets the status."""
    with changing(order_id, Action.ORDER_REOPENED, "status") as change:
        change.order.reopen(change.session, change.services.secret_box, ACTOR, reason, change.now)
    click.echo("Reopened; the candidate is invited again.")


@click.command()
@id_argument
def resend(order_id: str) -> None:
    """Send the invitation again; the candidate must not have started."""
    with changing(order_id, Action.ORDER_INVITATION_RESENT) as change:
        staff_acts.resend_invitation(
            change.session, change.services.secret_box, change.order, ACTOR, change.now
        )
    click.echo("The invitation is sent again.")


@click.command()
@id_argument
@click.option("--email", metavar="ADDRESS", help="The correct address.")
@click.option("--first-name", metavar="NAME")
@click.option("--last-name", metavar="NAME")
def correct(
    order_id: str, email: str | None, first_name: str | None, last_name: str | None
) -> None:
    """Correct the candidate's address or name, and invite by a new link."""
    with changing(order_id, Action.ORDER_CANDIDATE_CORRECTED) as change:
        candidate = change.order.candidate
        recipient = staff_acts.Recipient.parse(
            candidate.email if email is None else email,
            candidate.first_name if first_name is None else first_name,
            candidate.last_name if last_name is None else last_name,
        )
        change.details["fields"] = staff_acts.correct_candidate(
            change.session, change.services.secret_box, change.order, recipient, ACTOR, change.now
        )
    click.echo("Corrected; the candidate is invited by a new link.")


@click.command()
@id_argument
@click.option(
    "--days", required=True, type=click.IntRange(1, 365), help="The days to add to the deadline."
)
@click.option("--notify", is_flag=True, help="Tell the candidate the new deadline by e-mail.")
@json_option
def extend(order_id: str, days: int, notify: bool, as_json: bool) -> None:
    """Give the candidate more days to start; an order that has ended is reopened instead."""
    with changing(order_id, Action.ORDER_EXTENDED, "expires_at") as change:
        staff_acts.extend(change.session, change.order, days, ACTOR, change.now, notify=notify)
    expires_at = change.order.expires_at
    if as_json:
        print_json({"id": order_id, "expires_at": expires_at, "notified": notify})
        return
    click.echo(f"The candidate has until {format_cell(expires_at)} to start.")


@click.command("extra-time")
@id_argument
@click.option("--percent", type=click.IntRange(0, 100), help="Of the usual time; 0 takes it back.")
@click.option("--minutes", type=click.IntRange(1, staff_acts.MAX_EXTRA_TIME_MINUTES))
@json_option
def extra_time(order_id: str, percent: int | None, minutes: int | None, as_json: bool) -> None:
    """Set the candidate's extra time for a test or an interview, also while it runs."""
    if (percent is None) == (minutes is None):
        raise click.UsageError("Give --percent or --minutes")
    with changing(order_id, Action.ORDER_EXTRA_TIME_GIVEN, "extra_time_seconds") as change:
        order = staff_acts.require_extra_time_possible(change.order, change.now)
        seconds = minutes * 60 if minutes else staff_acts.percent_of_time(order, percent or 0)
        staff_acts.give_extra_time(change.session, order, seconds, ACTOR, change.now)
        total_seconds = order.duration_seconds
    if as_json:
        print_json({"id": order_id, "extra_time_seconds": seconds, "total_seconds": total_seconds})
        return
    click.echo(f"The candidate has {format_duration(total_seconds or 0)}.")


@click.command("end-attempt")
@id_argument
@reason_option
def end_attempt(order_id: str, reason: str) -> None:
    """End a started test or interview, with the answers so far.

    A test is scored and completed. The answers of an interview can then be rated.
    """
    with changing(order_id, Action.ORDER_ATTEMPT_ENDED, "status", "progress") as change:
        staff_acts.end_attempt(
            change.session, change.services.secret_box, change.order, ACTOR, reason, change.now
        )
    click.echo("The attempt is ended with the answers so far.")


@click.command()
@id_argument
@reason_option
def retake(order_id: str, reason: str) -> None:
    """Let a candidate take a completed test again, without answers; the first result is kept."""
    with changing(order_id, Action.ORDER_RETAKEN, "status") as change:
        change.order.retake(change.session, change.services.secret_box, ACTOR, reason, change.now)
    click.echo("The candidate is invited to take the test again.")


@click.command("revoke-links")
@id_argument
@reason_option
def revoke_links(order_id: str, reason: str) -> None:
    """Make every link of an order useless: invitation, report, PDF and shared links."""
    with changing(order_id, Action.ORDER_LINKS_REVOKED) as change:
        count = change.order.revoke_links(
            change.session, change.services.secret_box, ACTOR, reason, change.now
        )
        change.details["links"] = count
    click.echo(
        f"Revoked {count} links. `provider order link` shows the candidate's new one; the ATS gets "
        "the others when it asks."
    )


@click.command()
@id_argument
@reason_option
def hold(order_id: str, reason: str) -> None:
    """Put an order on hold: nobody and no schedule erases it, until it is released."""
    with changing(order_id, Action.ORDER_HELD) as change:
        change.order.hold(change.session, ACTOR, reason, change.now)
    click.echo("On hold; `provider order release` ends that.")


@click.command()
@id_argument
@reason_option
def release(order_id: str, reason: str) -> None:
    """Release an order from hold: it may be erased again."""
    with changing(order_id, Action.ORDER_RELEASED) as change:
        change.order.release(change.session, ACTOR, reason, change.now)
    click.echo("Released; the order may be erased.")


@click.command()
@id_argument
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


ACTS = (
    cancel,
    reopen,
    resend,
    correct,
    extend,
    extra_time,
    end_attempt,
    retake,
    revoke_links,
    hold,
    release,
    erase,
)
