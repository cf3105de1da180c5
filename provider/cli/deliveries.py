"""`provider delivery …`: list deliveries and pauses, and send failed deliveries again."""

from collections.abc import Sequence
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
    record_command,
)
from provider.core.accounts import Account
from provider.core.audit import Action
from provider.core.emails.sent_email import SentEmail
from provider.core.kinds import has_private_body
from provider.core.labels import CHANNEL_LABELS
from provider.core.orders import Order
from provider.core.pauses import PauseView, list_pauses
from provider.errors import NotFound
from provider.outbox import (
    DELIVERED,
    EMAIL,
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
    "Attempts": "attempts",
    "Due": "due_at",
    "Settled": "settled_at",
}
# State of a message → its name for people; JSON has the state itself.
STATE_LABELS = {
    WAITING: "Waiting",
    DELIVERED: "Delivered",
    PARKED: "Failed",
    SUPERSEDED: "No longer needed",
}
SUPERSEDED_EXPLANATION = "a later status has already been sent, and it replaces this one"
BATCH_SIZE = 100  # messages in one transaction: a longer one would block other writers

account_option = click.option("--account", metavar="NAME", help="Only this account's.")
channel_option = click.option(
    "--channel",
    metavar="NAME",
    help="Only this channel: callback, email (e-mails), media (video processing) or another.",
)


@click.group()
def delivery() -> None:
    """Deliveries: callbacks, e-mails and video processing."""


@delivery.command("list")
@click.option(
    "--state",
    type=click.Choice([WAITING, DELIVERED, PARKED, SUPERSEDED]),
    help="Only this state; a parked delivery has failed, and can be sent again.",
)
@account_option
@channel_option
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def list_(
    state: str | None, account: str | None, channel: str | None, limit: int, as_json: bool
) -> None:
    """List deliveries, the newest first; a note on stderr says if any are paused."""
    query = select(Message).order_by(Message.id.desc()).limit(limit)
    with open_services() as services, services.db.reading() as session:
        conditions = _filter_conditions(session, state, account, channel)
        records = [
            delivery_record(message) for message in session.scalars(query.where(*conditions))
        ]
        pause_count = len(list_pauses(session))
    print_deliveries(records, as_json=as_json)
    if pause_count:
        count = "1 pause is" if pause_count == 1 else f"{pause_count} pauses are"
        click.echo(f"{count} in force: see `provider delivery pauses`", err=True)


@delivery.command()
@click.argument("delivery_id", metavar="ID")
@json_option
def show(delivery_id: str, as_json: bool) -> None:
    """Show a delivery: its body, every attempt, and every response."""
    with open_services() as services, services.db.reading() as session:
        message = _find_delivery(session, delivery_id)
        record = delivery_record(message)
        attempts = [_attempt_record(attempt) for attempt in message.attempt_history]
        order = session.scalar(select(Order).where(Order.public_id == message.subject))
        is_private = has_private_body(message.topic)
        content = b"" if is_private else message.get_body(services.secret_box) or b""
        body = _body_text(record["channel"], content, order)
        body_digest = message.body_digest.hex() if message.body_digest else None
    if as_json:
        print_json(record | {"body": body, "body_sha256": body_digest, "attempt_history": attempts})
        return
    print_record(_with_state_label(record), as_json=False)
    columns = {
        "Attempt": "number",
        "Started": "started_at",
        "ms": "duration_ms",
        "Outcome": "outcome",
        "Status code": "status_code",
        "Error": "error",
        "Response": "response_excerpt",
    }
    click.echo()
    print_records(attempts, columns, as_json=False)
    if is_private:
        click.echo("\nThe body has the candidate’s details, so it is not shown.")
        return
    if body_digest and not body:
        click.echo(f"\nThe body was removed 30 days after the delivery; SHA-256: {body_digest}")
        return
    click.echo("\n" + "\n".join(printable_text(line) for line in body.splitlines()))


@delivery.command()
@json_option
def pauses(as_json: bool) -> None:
    """List the pauses: hosts that do not respond, tokens that are refused, rate limits."""
    with open_services() as services, services.db.reading() as session:
        pause_views = list_pauses(session)
    columns = {
        "Paused": "scope",
        "Host": "host",
        "Account": "account",
        "Channel": "channel",
        "Reason": "reason",
        "Since": "paused_at",
        "Next attempt": "retry_at",
    }
    print_records([_pause_record(pause) for pause in pause_views], columns, as_json=as_json)
    for pause in pause_views:
        if pause.fix_command and not as_json:
            click.echo(
                f"A new token ends the pause of {printable_text(pause.account_name)}: "
                f"{printable_text(pause.fix_command)}",
                err=True,
            )


@delivery.command()
@click.argument("delivery_id", metavar="[ID]", required=False)
@click.option(
    "--all", "retry_all", is_flag=True, help="Every failed delivery that the other options select."
)
@account_option
@channel_option
def retry(
    delivery_id: str | None, retry_all: bool, account: str | None, channel: str | None
) -> None:
    """Send a failed delivery again, or all of them; a running server does so in seconds."""
    if retry_all == bool(delivery_id):
        raise click.UsageError("Give the ID of a delivery, or --all")
    if not retry_all and (account or channel):
        raise click.UsageError("--account and --channel go with --all")
    with open_services() as services:
        if delivery_id:
            with services.db.writing() as session:
                message = _find_delivery(session, delivery_id)
                is_requeued = _requeue(session, services, message)
            click.echo(
                "The delivery is due again."
                if is_requeued
                else f"The delivery is not sent: {SUPERSEDED_EXPLANATION}."
            )
            return
        requeued, superseded = _retry_all(services, account, channel)
    click.echo(
        "1 delivery is due again." if requeued == 1 else f"{requeued} deliveries are due again."
    )
    if superseded:
        click.echo(f"Not sent: {superseded}, because {SUPERSEDED_EXPLANATION}.")


def _retry_all(services: Services, account: str | None, channel: str | None) -> tuple[int, int]:
    """Requeue failed messages in batches; return how many, and how many were superseded instead.

    The loop pages by id: a message that fails again at once is not requeued a second time.
    """
    requeued = superseded = last_id = 0
    while True:
        with services.db.writing() as session:
            conditions = _filter_conditions(session, PARKED, account, channel)
            query = select(Message).where(*conditions, Message.id > last_id).order_by(Message.id)
            batch = session.scalars(query.limit(BATCH_SIZE)).all()
            results = [_requeue(session, services, message) for message in batch]
        requeued += results.count(True)
        superseded += results.count(False)
        if len(batch) < BATCH_SIZE:
            return requeued, superseded
        last_id = batch[-1].id


def _requeue(session: Session, services: Services, message: Message) -> bool:
    """Requeue a failed message; return False if a later status has superseded it."""
    is_requeued = outbox.requeue(session, message, services.now())
    record_command(
        session,
        services.now(),
        Action.DELIVERY_SENT_AGAIN,
        f"delivery:{message.public_id}",
        before={"state": PARKED},
        after={"state": WAITING if is_requeued else SUPERSEDED},
    )
    return is_requeued


def _filter_conditions(
    session: Session, state: str | None, account: str | None, channel: str | None
) -> list[ColumnElement[bool]]:
    prefix = f"{Account.get_by_name(session, account).id}/" if account else ""
    conditions = [Message.queue.startswith(prefix, autoescape=True)] if prefix else []
    if channel:
        _require_channel(session, channel)
        conditions.append(outbox.is_in_channel(channel))
    return [*conditions, outbox.is_in_state(state)] if state else conditions


def _require_channel(session: Session, channel: str) -> None:
    known = dict.fromkeys([*CHANNEL_LABELS, *outbox.list_channels(session)])
    if channel not in known:
        raise NotFound(f"There is no channel {channel!r}: choose one of {', '.join(known)}")


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


def _body_text(channel: str, body: bytes, order: Order | None) -> str:
    """Return a body as text; of an e-mail, what the console shows: no token of a link."""
    if channel != EMAIL or not body:
        return body.decode("utf-8", "replace")
    email = SentEmail.parse(body, order.candidate.email if order else None)
    return f"To: {email.to}\nFrom: {email.sender}\nSubject: {email.subject}\n\n{email.text}"


def print_deliveries(records: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print the records of messages: JSON, or a table with the states' names for people."""
    rows = records if as_json else [_with_state_label(record) for record in records]
    print_records(rows, COLUMNS, as_json=as_json)


def _with_state_label(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"state": STATE_LABELS[record["state"]]}


def delivery_record(message: Message) -> dict[str, Any]:
    """Return the fields of a message that a list shows."""
    return {
        "id": message.public_id,
        "channel": QueueName.parse(message.queue).channel,
        "order": message.subject,
        "sequence": message.sequence,
        "topic": message.topic,
        "state": message.state,
        "attempts": message.attempts,
        "created_at": message.created_at,
        "due_at": message.due_at,
        "settled_at": message.settled_at,
    }


def _find_delivery(session: Session, public_id: str) -> Message:
    message = session.scalar(select(Message).where(Message.public_id == public_id))
    if message is None:
        raise NotFound("There is no such delivery: see `provider delivery list`")
    return message


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
