"""`provider delivery …`: what goes out, what is parked, and sending it again."""

from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.cli.shell import clean, details, json_option, listing, opened, put_json
from provider.errors import NotFound
from provider.outbox import DELIVERED, PARKED, SUPERSEDED, WAITING, Lane, Message

COLUMNS = {
    "ID": "id", "To": "sink", "Order": "order", "Topic": "topic", "State": "state",
    "Tries": "attempts", "Due": "due_at", "Settled": "settled_at",
}  # fmt: skip


@click.group()
def delivery() -> None:
    """What goes out: callbacks and letters."""


@delivery.command("list")
@click.option("--state", type=click.Choice([WAITING, DELIVERED, PARKED, SUPERSEDED]))
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def list_(state: str | None, limit: int, as_json: bool) -> None:
    """List deliveries, the newest first."""
    query = select(Message).order_by(Message.id.desc()).limit(limit)
    with opened() as house, house.db.reading() as session:
        found = session.scalars(query.where(Message.state == state) if state else query)
        records = [record(each) for each in found]
    listing(records, COLUMNS, as_json=as_json)


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
@click.argument("delivery_id", metavar="ID")
def retry(delivery_id: str) -> None:
    """Send a parked delivery again; a running server takes it within seconds."""
    with opened() as house, house.db.writing() as session:
        outbox.send_again(session, _find(session, delivery_id), house.now())
    click.echo("It is due again.")


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
