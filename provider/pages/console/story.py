"""An order's story: what happened, what was written, and what was sent, in one line of time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from provider import outbox
from provider.orders import Event, Order
from provider.outbox import MAIL, PARKED, Attempt, Message
from provider.pages.console.letters import Letter, read
from provider.pages.console.mailbag import sink_of


@dataclass(frozen=True)
class Sending:
    """A message with its tries, and what it says to whom; credentials are kept nowhere."""

    message: Message
    tries: tuple[Attempt, ...]
    letter: Letter | None = None
    body: str = ""
    address: str = ""

    @property
    def sink(self) -> str:
        """Where it goes: callback, mail …"""
        return sink_of(self.message.lane)

    @property
    def parked(self) -> bool:
        """Whether it waits for staff."""
        return self.message.state == PARKED


@dataclass(frozen=True)
class Entry:
    """One moment of the story: an event, or a message that was written then."""

    at: datetime
    revision: int
    event: Event | None = None
    sending: Sending | None = None


def story_of(session: Session, order: Order) -> list[Entry]:
    """Return an order's story, oldest first; of one moment, the cause before its news."""
    events = [Entry(event.at, event.revision, event=event) for event in order.events]
    sent = [
        Entry(message.created_at, message.sequence, sending=sending_of(message, order))
        for message in outbox.story(session, order.public_id)
    ]
    return sorted(events + sent, key=lambda entry: (entry.at, entry.revision))


def sending_of(message: Message, order: Order | None) -> Sending:
    """Return a message as a page shows it."""
    tries = tuple(message.tries)
    if not message.rendered:
        return Sending(message, tries)
    if sink_of(message.lane) == MAIL:
        return Sending(message, tries, letter=read(message.rendered))
    address = _address(order.reply) if order else ""
    return Sending(message, tries, body=pretty(message.rendered), address=address)


def _address(reply: Mapping[str, Any]) -> str:
    """Return the address in what a dialect keeps to reply: what else is in there is its own."""
    found = (value for value in reply.values() if str(value).startswith(("https://", "http://")))
    return str(next(found, ""))


def pretty(body: bytes) -> str:
    """Return a body indented where it is JSON, as it is where not."""
    text = body.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
