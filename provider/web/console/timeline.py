"""An order's timeline: its events and its messages, sorted by time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from provider import outbox
from provider.core.orders import Order, OrderEvent
from provider.core.staff import Permission
from provider.outbox import EMAIL, PARKED, Attempt, Message
from provider.web.console.authentication import may
from provider.web.console.emails import EmailView, parse_email
from provider.web.console.message_list import channel_of


@dataclass(frozen=True)
class DeliveryView:
    """A message with its attempts and content; credentials are never part of the content."""

    message: Message
    attempts: tuple[Attempt, ...]
    email: EmailView | None = None
    body: str = ""
    url: str = ""
    is_body_hidden: bool = False

    @property
    def channel(self) -> str:
        return channel_of(self.message.queue)

    @property
    def is_parked(self) -> bool:
        return self.message.state == PARKED


@dataclass(frozen=True)
class TimelineEntry:
    """Either an event, or a message at the time of its creation."""

    occurred_at: datetime
    revision: int
    event: OrderEvent | None = None
    delivery: DeliveryView | None = None


def build_timeline(session: Session, order: Order) -> list[TimelineEntry]:
    """Return an order's events and messages, oldest first; an event precedes its messages."""
    events = [
        TimelineEntry(event.occurred_at, event.revision, event=event) for event in order.events
    ]
    deliveries = [
        TimelineEntry(
            message.created_at, message.sequence, delivery=build_delivery_view(message, order)
        )
        for message in outbox.history(session, order.public_id)
    ]
    return sorted(events + deliveries, key=lambda entry: (entry.occurred_at, entry.revision))


def build_delivery_view(message: Message, order: Order | None) -> DeliveryView:
    attempts = tuple(message.attempt_history)
    if not message.body:
        return DeliveryView(message, attempts)
    if not may(Permission.VIEW_MESSAGE_BODIES):
        return DeliveryView(message, attempts, is_body_hidden=True)
    if channel_of(message.queue) == EMAIL:
        return DeliveryView(message, attempts, email=parse_email(message.body))
    url = _find_url(order.reply_context) if order else ""
    return DeliveryView(message, attempts, body=format_body(message.body), url=url)


def _find_url(reply_context: Mapping[str, Any]) -> str:
    """Return the first URL of an adapter's reply context, whose keys only the adapter knows."""
    urls = (
        value for value in reply_context.values() if str(value).startswith(("https://", "http://"))
    )
    return str(next(urls, ""))


def format_body(body: bytes) -> str:
    """Return JSON indented, and any other body unchanged."""
    text = body.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
