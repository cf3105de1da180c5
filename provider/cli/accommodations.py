"""`provider order accommodation`: show what a candidate asks for, or decide about it."""

from dataclasses import asdict
from typing import Any

import click
from sqlalchemy.orm import Session

from provider.cli.common import json_option, open_services, print_json, print_record
from provider.cli.order_acts import acting, id_argument
from provider.core.orders import Accommodation, Order, staff_acts
from provider.core.orders.accommodation import MAX_PAUSE_MINUTES, Terms, find_earlier_grant
from provider.core.orders.actions import ORDER_ACTIONS
from provider.core.orders.order_action import perform_unseen
from provider.errors import Invalid
from provider.services import Services


@click.command()
@id_argument
@click.option("--grant/--refuse", "is_granted", default=None, help="Decide; without it, show.")
@click.option(
    "--percent",
    type=click.Choice([str(percent) for percent in staff_acts.EXTRA_TIME_PERCENTAGES]),
    help="Extra time, of the usual time.",
)
@click.option(
    "--minutes",
    type=click.IntRange(1, staff_acts.MAX_EXTRA_TIME_MINUTES),
    help="Extra time in minutes.",
)
@click.option("--pause", type=click.IntRange(1, MAX_PAUSE_MINUTES), help="Minutes for pauses.")
@click.option("--way", metavar="KEY", help="Another way for an interview, such as telephone.")
@click.option("--note", help="A note that the candidate reads; a refusal needs one.")
@json_option
def accommodation(
    order_id: str,
    is_granted: bool | None,
    percent: str | None,
    minutes: int | None,
    pause: int | None,
    way: str | None,
    note: str | None,
    as_json: bool,
) -> None:
    """Show a candidate's request for an accommodation, or decide about one before the start.

    The candidate gets the decision by e-mail. Another decision replaces an earlier one.
    """
    if percent and minutes:
        raise click.UsageError("Give --percent or --minutes, not both")
    has_time = bool(percent or minutes or pause)
    if is_granted is None:
        if has_time or way or note:
            raise click.UsageError("Give --grant or --refuse")
        with open_services() as services, services.db.reading() as session:
            order = Order.find(session, order_id)
            record = _record(services, session, order, as_json=as_json)
        print_record(record, as_json=as_json)
        return
    if not is_granted and (has_time or way or not note):
        raise click.UsageError("--refuse goes with --note alone: write why the request is refused")
    form = {
        "decision": "grant" if is_granted else "refuse",
        "time": "minutes" if minutes else percent or "0",
        "minutes": str(minutes or ""),
        "pause": str(pause or ""),
        "way": way or "",
        "text": note or "",
    }
    action = ORDER_ACTIONS["accommodation"]
    values = action.read_form(form)
    with acting(order_id) as act:
        _require_offered(act.order, way, has_time=has_time)
        perform_unseen(act, action, values)
        seconds = act.order.extra_time_seconds
    if as_json:
        print_json({"id": order_id, "granted": is_granted, "extra_time_seconds": seconds})
        return
    click.echo(f"{'Granted' if is_granted else 'Refused'}; the candidate gets an e-mail.")


def _require_offered(order: Order, way: str | None, *, has_time: bool) -> None:
    """Raise Invalid for what the order does not offer: it would be left out without a word."""
    if has_time and not order.usual_seconds:
        raise Invalid("This order has no time limit: give neither extra time nor pauses")
    if way and not order.other_ways:
        raise Invalid("This kind of order has no other way: leave out --way")
    if way and way not in order.other_ways:
        raise Invalid(f"There is no way {way!r}: choose one of {', '.join(order.other_ways)}")


def _record(services: Services, session: Session, order: Order, *, as_json: bool) -> dict[str, Any]:
    """Return the request, the decision, and what the same person was granted for another order."""
    secret_box = services.secret_box
    stored = Accommodation.of(session, order)
    earlier = find_earlier_grant(session, secret_box, order)
    asked = stored.asked(secret_box) if stored else None
    decided = stored.decided(secret_box) if stored else None
    granted = earlier.decided(secret_box) if earlier else None

    def describe(terms: Terms | None) -> Any:
        if terms is None or as_json:
            return terms and asdict(terms)
        return [*terms.lines(order), *filter(None, [terms.text])]

    return {
        "id": order.public_id,
        "state": stored.state if stored else None,
        "asked_at": stored.asked_at if stored else None,
        "asked": describe(asked),
        "decided_at": stored.decided_at if stored else None,
        "decided_by": stored.decided_by if stored else None,
        "decided": describe(decided),
        "granted_for_another_order": describe(granted),
        "extra_time_seconds": order.extra_time_seconds,
    }
