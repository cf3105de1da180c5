"""An order's timeline: its events and its messages, sorted by time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from provider import outbox
from provider.core.emails.sent_email import SentEmail
from provider.core.orders import Order, OrderEvent
from provider.core.staff import Permission
from provider.errors import Unavailable
from provider.outbox import EMAIL, PARKED, Attempt, Message
from provider.services import current_services
from provider.web.console.authentication import may
from provider.web.console.message_list import channel_of, read_payload

UNREADABLE_BODY = "The content cannot be decrypted: its key is missing, or its row was edited."


@dataclass(frozen=True)
class DeliveryView:
    """A message with its attempts and content; credentials are never part of the content.

    The content is left out for a role that may not see it, and when it is removed or unreadable.
    """

    message: Message
    attempts: tuple[Attempt, ...]
    payload: Mapping[str, Any]
    can_see_body: bool = False
    email: SentEmail | None = None
    body: str = ""
    url: str = ""

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
    secret_box = current_services().secret_box
    view = DeliveryView(
        message,
        tuple(message.attempt_history),
        read_payload(message.public_id, message.payload_encrypted),
        can_see_body=may(Permission.VIEW_MESSAGE_BODIES),
    )
    if not view.can_see_body:
        return view
    try:
        body = message.get_body(secret_box)
    except Unavailable:
        return replace(view, body=UNREADABLE_BODY)
    if not body:
        return view
    if channel_of(message.queue) == EMAIL:
        return replace(view, email=SentEmail.parse(body, order.candidate.email if order else None))
    url = _find_url(order.reply_context) if order else ""
    return replace(view, body=format_body(body), url=url)


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
