"""The commands of `provider order` that change an order, as the table of actions says."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from provider.cli import erasure
from provider.cli.common import (
    command_actor,
    format_cell,
    json_option,
    open_services,
    print_json,
)
from provider.core.formats import format_duration
from provider.core.orders import Order, staff_acts
from provider.core.orders.actions import ORDER_ACTIONS
from provider.core.orders.order_action import Act, perform_unseen

ACTOR = "command"  # the actor in an order's timeline

id_argument = click.argument("order_id", metavar="ID")
reason_option = click.option(
    "--reason", required=True, help="The reason, for the order's timeline."
)


@contextmanager
def acting(order_id: str) -> Iterator[Act]:
    """Lock an order for an act of this command, and commit at the end."""
    with open_services() as services, services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        now = services.now()
        yield Act(session, services.secret_box, order, ACTOR, now, audit_actor=command_actor())


def perform(order_id: str, name: str, **values: Any) -> None:
    """Perform an action of the table on an order."""
    with acting(order_id) as act:
        perform_unseen(act, ORDER_ACTIONS[name], values)


@click.command()
@id_argument
@reason_option
def cancel(order_id: str, reason: str) -> None:
    """Cancel an order: the candidate can no longer act, and the ATS gets the status."""
    perform(order_id, "cancel", reason=reason)
    click.echo("Cancelled; `provider order reopen` undoes it.")


@click.command()
@id_argument
@reason_option
def reopen(order_id: str, reason: str) -> None:
    """Reopen an order: the candidate is invited again, and the ATS gets the status."""
    perform(order_id, "reopen", reason=reason)
    click.echo("Reopened; the candidate is invited again.")


@click.command()
@id_argument
def resend(order_id: str) -> None:
    """Send the invitation again; the candidate must not have started."""
    perform(order_id, "resend")
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
    with acting(order_id) as act:
        candidate = act.order.candidate
        recipient = staff_acts.Recipient.parse(
            candidate.email if email is None else email,
            candidate.first_name if first_name is None else first_name,
            candidate.last_name if last_name is None else last_name,
        )
        perform_unseen(act, ORDER_ACTIONS["correct"], {"recipient": recipient})
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
    with acting(order_id) as act:
        perform_unseen(act, ORDER_ACTIONS["extend"], {"days": days, "notify": notify})
        expires_at = act.order.expires_at
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
    values = {"minutes": minutes} if minutes else {"percent": percent}
    with acting(order_id) as act:
        perform_unseen(act, ORDER_ACTIONS["extra-time"], values)
        seconds, total_seconds = act.order.extra_time_seconds, act.order.duration_seconds
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
    perform(order_id, "end-attempt", reason=reason)
    click.echo("The attempt is ended with the answers so far.")


@click.command()
@id_argument
@reason_option
def retake(order_id: str, reason: str) -> None:
    """Let a candidate take a completed test again, without answers; the first result is kept."""
    perform(order_id, "retake", reason=reason)
    click.echo("The candidate is invited to take the test again.")


@click.command("allow-retake")
@id_argument
@reason_option
def allow_retake(order_id: str, reason: str) -> None:
    """Let a candidate start a test that its rule on retakes does not let her start."""
    perform(order_id, "allow-retake", reason=reason)
    click.echo("The candidate may take the test now, and is invited again.")


@click.command("revoke-links")
@id_argument
@reason_option
def revoke_links(order_id: str, reason: str) -> None:
    """Make every link of an order useless: invitation, report, PDF and shared links."""
    with acting(order_id) as act:
        _, after = perform_unseen(act, ORDER_ACTIONS["revoke-links"], {"reason": reason})
    click.echo(
        f"Revoked {after['links']} links. `provider order link` shows the candidate's new one; the "
        "ATS gets the others when it asks."
    )


@click.command()
@id_argument
@reason_option
def hold(order_id: str, reason: str) -> None:
    """Put an order on hold: nobody and no schedule erases it, until it is released."""
    perform(order_id, "hold", reason=reason)
    click.echo("On hold; `provider order release` ends that.")


@click.command()
@id_argument
@reason_option
def release(order_id: str, reason: str) -> None:
    """Release an order from hold: it may be erased again."""
    perform(order_id, "release", reason=reason)
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
    allow_retake,
    revoke_links,
    hold,
    release,
    erase,
)
