"""`provider delivery …`: what goes out, what waits and why, and sending again what is parked."""

from typing import Any

import click
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.accounts import Account
from provider.cli.shell import clean, details, json_option, listing, opened, put_json
from provider.errors import NotFound
from provider.house import House
from provider.outbox import (
    CALLBACK,
    DELIVERED,
    MAIL,
    MEDIA,
    PARKED,
    SUPERSEDED,
    WAITING,
    Lane,
    Message,
)
from provider.outbox.held import Held, all_held

COLUMNS = {
    "ID": "id", "To": "sink", "Order": "order", "Topic": "topic", "State": "state",
    "Tries": "attempts", "Due": "due_at", "Settled": "settled_at",
}  # fmt: skip
TOO_LATE = "a later status has gone out, which says all that it said"
BATCH = 100  # parked deliveries that are sent again at once: a writer is never held for long

of_account = click.option("--account", metavar="NAME", help="Of this account only.")
to_sink = click.option(
    "--to", "sink", type=click.Choice([CALLBACK, MAIL, MEDIA]),
    help="Callbacks to the ATS, letters, or recordings only.",
)  # fmt: skip


@click.group()
def delivery() -> None:
    """What goes out: callbacks and letters."""


@delivery.command("list")
@click.option("--state", type=click.Choice([WAITING, DELIVERED, PARKED, SUPERSEDED]))
@of_account
@to_sink
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def list_(
    state: str | None, account: str | None, sink: str | None, limit: int, as_json: bool
) -> None:
    """List deliveries, the newest first; says when something is held."""
    query = select(Message).order_by(Message.id.desc()).limit(limit)
    with opened() as house, house.db.reading() as session:
        conditions = _narrowed(session, state, account, sink)
        records = [record(each) for each in session.scalars(query.where(*conditions))]
        held = len(all_held(session))
    listing(records, COLUMNS, as_json=as_json)
    if held:
        many = "One hold keeps" if held == 1 else f"{held} holds keep"
        click.echo(f"{many} deliveries waiting: see `provider delivery holds`", err=True)


@delivery.command()
@click.argument("delivery_id", metavar="ID")
@json_option
def show(delivery_id: str, as_json: bool) -> None:
    """Show a delivery: what was sent, every try, and every answer."""
    with opened() as house, house.db.reading() as session:
        found = _find(session, delivery_id)
        shown, tries = record(found), [_try(each) for each in found.tries]
        body = (found.rendered or b"").decode("utf-8", "replace")
    if as_json:
        put_json(shown | {"body": body, "tries": tries})
        return
    details(shown, as_json=False)
    columns = {"Try": "number", "When": "at", "ms": "milliseconds", "Outcome": "outcome",
               "Code": "code", "Error": "error", "Answer": "answer"}  # fmt: skip
    click.echo()
    listing(tries, columns, as_json=False)
    click.echo("\n" + "\n".join(clean(line) for line in body.splitlines()))


@delivery.command()
@json_option
def holds(as_json: bool) -> None:
    """List what deliveries wait for: hosts that do not answer, tokens that are refused."""
    with opened() as house, house.db.reading() as session:
        held = all_held(session)
    columns = {"On": "on", "Host": "host", "Account": "account", "To": "to", "Why": "why",
               "Since": "since", "Next try": "next_try"}  # fmt: skip
    listing([_hold(each) for each in held], columns, as_json=as_json)
    for each in held:
        if each.remedy and not as_json:
            click.echo(f"With a new token they go at once: {clean(each.remedy)}", err=True)


@delivery.command()
@click.argument("delivery_id", metavar="[ID]", required=False)
@click.option("--all", "every", is_flag=True, help="Every parked delivery, or those of a filter.")
@of_account
@to_sink
def retry(delivery_id: str | None, every: bool, account: str | None, sink: str | None) -> None:
    """Send a parked delivery again, or all; a running server takes them within seconds."""
    if every == bool(delivery_id):
        raise click.UsageError("Give the ID of a delivery, or --all")
    if not every and (account or sink):
        raise click.UsageError("--account and --to go with --all")
    with opened() as house:
        if delivery_id:
            with house.db.writing() as session:
                goes = outbox.send_again(session, _find(session, delivery_id), house.now())
            click.echo("It is due again." if goes else f"It is not sent: {TOO_LATE}.")
            return
        count, late = _retry_all(house, account, sink)
    click.echo("1 delivery is due again." if count == 1 else f"{count} deliveries are due again.")
    if late:
        click.echo(f"Not sent: {late}, for {TOO_LATE}.")


def _retry_all(house: House, account: str | None, sink: str | None) -> tuple[int, int]:
    """Make parked messages due again, batch by batch, each once whatever becomes of it.

    Return how many are, and how many are not for a later status has made them untrue.
    """
    count = late = last = 0
    while True:
        with house.db.writing() as session:
            conditions = _narrowed(session, PARKED, account, sink)
            query = select(Message).where(*conditions, Message.id > last).order_by(Message.id)
            found = session.scalars(query.limit(BATCH)).all()
            going = [outbox.send_again(session, each, house.now()) for each in found]
        count, late = count + going.count(True), late + going.count(False)
        if len(found) < BATCH:
            return count, late
        last = found[-1].id


def _narrowed(
    session: Session, state: str | None, account: str | None, sink: str | None
) -> list[ColumnElement[bool]]:
    lane = Message.lane.concat("/")
    whose = f"{Account.named(session, account).id}/" if account else ""
    conditions = [lane.startswith(whose, autoescape=True)] if whose else []
    if sink == CALLBACK:
        conditions.append(lane.contains(f"/{CALLBACK}/"))
    elif sink:
        conditions += [lane.endswith(f"/{sink}/"), ~lane.contains(f"/{CALLBACK}/")]
    return [*conditions, outbox.in_state(state)] if state else conditions


def _hold(held: Held) -> dict[str, Any]:
    names = ("on", "host", "account", "why", "since")
    return {name: getattr(held, name) for name in names} | {
        "to": held.sink,
        "next_try": held.until,
    }


def record(message: Message) -> dict[str, Any]:
    """Return what a listing says of a message."""
    return {
        "id": message.public_id,
        "sink": Lane.read(message.lane).sink,
        "order": message.key,
        "sequence": message.sequence,
        "topic": message.topic,
        "state": message.state,
        "attempts": message.attempts,
        "created_at": message.created_at,
        "due_at": message.due_at,
        "settled_at": message.settled_at,
    }


def _find(session: Session, public_id: str) -> Message:
    found = session.scalar(select(Message).where(Message.public_id == public_id))
    if found is None:
        raise NotFound("There is no such delivery: see `provider delivery list`")
    return found


def _try(attempt: Any) -> dict[str, Any]:
    names = ("number", "at", "milliseconds", "outcome", "code", "error", "answer")
    return {name: getattr(attempt, name) for name in names}
