"""An order's story: what happened, what was written, and what was sent, in one line of time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from provider import outbox
from provider.core.orders import Order, OrderEvent
from provider.outbox import EMAIL, PARKED, Attempt, Message
from provider.web.console.emails import EmailView, parse_email
from provider.web.console.message_list import channel_of


@dataclass(frozen=True)
class DeliveryView:
    """A message with its tries, and what it says to whom; credentials are kept nowhere."""

    message: Message
    attempts: tuple[Attempt, ...]
    email: EmailView | None = None
    body: str = ""
    url: str = ""

    @property
    def channel(self) -> str:
        """Where it goes: callback, mail …"""
        return channel_of(self.message.queue)

    @property
    def is_parked(self) -> bool:
        """Whether it waits for staff."""
        return self.message.state == PARKED


@dataclass(frozen=True)
class TimelineEntry:
    """One moment of the story: an event, or a message that was written then."""

    occurred_at: datetime
    revision: int
    event: OrderEvent | None = None
    delivery: DeliveryView | None = None


def build_timeline(session: Session, order: Order) -> list[TimelineEntry]:
    """Return an order's story, oldest first; of one moment, the cause before its news."""
    events = [
        TimelineEntry(event.occurred_at, event.revision, event=event) for event in order.events
    ]
    sent = [
        TimelineEntry(
            message.created_at, message.sequence, delivery=build_delivery_view(message, order)
        )
        for message in outbox.history(session, order.public_id)
    ]
    return sorted(events + sent, key=lambda entry: (entry.occurred_at, entry.revision))


def build_delivery_view(message: Message, order: Order | None) -> DeliveryView:
    """Return a message as a page shows it."""
    tries = tuple(message.attempt_history)
    if not message.body:
        return DeliveryView(message, tries)
    if channel_of(message.queue) == EMAIL:
        return DeliveryView(message, tries, email=parse_email(message.body))
    address = _find_url(order.reply_context) if order else ""
    return DeliveryView(message, tries, body=format_body(message.body), url=address)


def _find_url(reply_context: Mapping[str, Any]) -> str:
    """Return the address in what a dialect keeps to reply: what else is in there is its own."""
    found = (
        value for value in reply_context.values() if str(value).startswith(("https://", "http://"))
    )
    return str(next(found, ""))


def format_body(body: bytes) -> str:
    """Return a body indented where it is JSON, as it is where not."""
    text = body.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
