"""`provider delivery …`: what goes out, what waits and why, and sending again what is parked."""

from typing import Any

import click
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.cli.common import (
    json_option,
    open_services,
    print_json,
    print_record,
    print_records,
    printable_text,
)
from provider.core.accounts import Account
from provider.core.pauses import PauseView, list_pauses
from provider.errors import NotFound
from provider.outbox import (
    CALLBACK,
    DELIVERED,
    EMAIL,
    MEDIA,
    PARKED,
    SUPERSEDED,
    WAITING,
    Message,
    QueueName,
)
from provider.services import Services

COLUMNS = {
    "ID": "id",
    "Channel": "channel",
    "Order": "order",
    "Topic": "topic",
    "State": "state",
    "Tries": "attempts",
    "Due": "due_at",
    "Settled": "settled_at",
}
SUPERSEDED_EXPLANATION = "a later status has gone out, which says all that it said"
BATCH_SIZE = 100  # parked deliveries that are sent again at once: a writer is never held for long

account_option = click.option("--account", metavar="NAME", help="Of this account only.")
channel_option = click.option(
    "--channel",
    type=click.Choice([CALLBACK, EMAIL, MEDIA]),
    help="Callbacks to the ATS, letters, or recordings only.",
)


@click.group()
def delivery() -> None:
    """What goes out: callbacks and letters."""


@delivery.command("list")
@click.option("--state", type=click.Choice([WAITING, DELIVERED, PARKED, SUPERSEDED]))
@account_option
@channel_option
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def list_(
    state: str | None, account: str | None, channel: str | None, limit: int, as_json: bool
) -> None:
    """List deliveries, the newest first; says when something is held."""
    query = select(Message).order_by(Message.id.desc()).limit(limit)
    with open_services() as services, services.db.reading() as session:
        conditions = _filter_conditions(session, state, account, channel)
        records = [delivery_record(each) for each in session.scalars(query.where(*conditions))]
        held = len(list_pauses(session))
    print_records(records, COLUMNS, as_json=as_json)
    if held:
        many = "One hold keeps" if held == 1 else f"{held} holds keep"
        click.echo(f"{many} deliveries waiting: see `provider delivery holds`", err=True)


@delivery.command()
@click.argument("delivery_id", metavar="ID")
@json_option
def show(delivery_id: str, as_json: bool) -> None:
    """Show a delivery: what was sent, every try, and every answer."""
    with open_services() as services, services.db.reading() as session:
        found = _find_delivery(session, delivery_id)
        shown, tries = (
            delivery_record(found),
            [_attempt_record(each) for each in found.attempt_history],
        )
        body = (found.body or b"").decode("utf-8", "replace")
    if as_json:
        print_json(shown | {"body": body, "tries": tries})
        return
    print_record(shown, as_json=False)
    columns = {
        "Try": "number",
        "When": "started_at",
        "ms": "duration_ms",
        "Outcome": "outcome",
        "Code": "code",
        "Error": "error",
        "Answer": "answer",
    }
    click.echo()
    print_records(tries, columns, as_json=False)
    click.echo("\n" + "\n".join(printable_text(line) for line in body.splitlines()))


@delivery.command()
@json_option
def pauses(as_json: bool) -> None:
    """List what deliveries wait for: hosts that do not answer, tokens that are refused."""
    with open_services() as services, services.db.reading() as session:
        held = list_pauses(session)
    columns = {
        "Paused": "scope",
        "Host": "host",
        "Account": "account",
        "Channel": "channel",
        "Reason": "reason",
        "Since": "paused_at",
        "Next attempt": "retry_at",
    }
    print_records([_pause_record(each) for each in held], columns, as_json=as_json)
    for each in held:
        if each.fix_command and not as_json:
            click.echo(
                f"With a new token they go at once: {printable_text(each.fix_command)}", err=True
            )


@delivery.command()
@click.argument("delivery_id", metavar="[ID]", required=False)
@click.option(
    "--all", "retry_all", is_flag=True, help="Every parked delivery, or those of a filter."
)
@account_option
@channel_option
def retry(
    delivery_id: str | None, retry_all: bool, account: str | None, channel: str | None
) -> None:
    """Send a parked delivery again, or all; a running server takes them within seconds."""
    if retry_all == bool(delivery_id):
        raise click.UsageError("Give the ID of a delivery, or --all")
    if not retry_all and (account or channel):
        raise click.UsageError("--account and --channel go with --all")
    with open_services() as services:
        if delivery_id:
            with services.db.writing() as session:
                goes = outbox.requeue(session, _find_delivery(session, delivery_id), services.now())
            click.echo("It is due again." if goes else f"It is not sent: {SUPERSEDED_EXPLANATION}.")
            return
        count, late = _retry_all(services, account, channel)
    click.echo("1 delivery is due again." if count == 1 else f"{count} deliveries are due again.")
    if late:
        click.echo(f"Not sent: {late}, for {SUPERSEDED_EXPLANATION}.")


def _retry_all(services: Services, account: str | None, channel: str | None) -> tuple[int, int]:
    """Make parked messages due again, batch by batch, each once whatever becomes of it.

    Return how many are, and how many are not for a later status has made them untrue.
    """
    count = late = last = 0
    while True:
        with services.db.writing() as session:
            conditions = _filter_conditions(session, PARKED, account, channel)
            query = select(Message).where(*conditions, Message.id > last).order_by(Message.id)
            found = session.scalars(query.limit(BATCH_SIZE)).all()
            going = [outbox.requeue(session, each, services.now()) for each in found]
        count, late = count + going.count(True), late + going.count(False)
        if len(found) < BATCH_SIZE:
            return count, late
        last = found[-1].id


def _filter_conditions(
    session: Session, state: str | None, account: str | None, channel: str | None
) -> list[ColumnElement[bool]]:
    lane = Message.queue.concat("/")
    whose = f"{Account.get_by_name(session, account).id}/" if account else ""
    conditions = [lane.startswith(whose, autoescape=True)] if whose else []
    if channel == CALLBACK:
        conditions.append(lane.contains(f"/{CALLBACK}/"))
    elif channel:
        conditions += [lane.endswith(f"/{channel}/"), ~lane.contains(f"/{CALLBACK}/")]
    return [*conditions, outbox.is_in_state(state)] if state else conditions


def _pause_record(pause: PauseView) -> dict[str, Any]:
    return {
        "scope": pause.scope_type,
        "host": pause.host,
        "account": pause.account_name,
        "channel": pause.channel,
        "reason": pause.reason,
        "paused_at": pause.paused_at,
        "retry_at": pause.retry_at,
    }


def delivery_record(message: Message) -> dict[str, Any]:
    """Return what a listing says of a message."""
    return {
        "id": message.public_id,
        "channel": QueueName.parse(message.queue).channel,
        "order": message.ordering_key,
        "sequence": message.sequence,
        "topic": message.topic,
        "state": message.state,
        "attempts": message.attempts,
        "created_at": message.created_at,
        "due_at": message.due_at,
        "settled_at": message.settled_at,
    }


def _find_delivery(session: Session, public_id: str) -> Message:
    found = session.scalar(select(Message).where(Message.public_id == public_id))
    if found is None:
        raise NotFound("There is no such delivery: see `provider delivery list`")
    return found


def _attempt_record(attempt: Any) -> dict[str, Any]:
    names = (
        "number",
        "started_at",
        "duration_ms",
        "outcome",
        "status_code",
        "error",
        "response_excerpt",
    )
    return {name: getattr(attempt, name) for name in names}
