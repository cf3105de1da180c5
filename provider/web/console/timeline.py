"""An order's timeline: its events, its messages, and who of the staff saw it, sorted by time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.audit import Action, AuditEntry
from provider.core.emails.sent_email import SentEmail
from provider.core.formats import load_time_zone
from provider.core.kinds import has_private_body, result_events
from provider.core.orders import Order, OrderEvent, OrderVisit
from provider.core.staff import Permission
from provider.errors import Unavailable
from provider.outbox import DELIVERED, EMAIL, PARKED, Attempt, Message
from provider.services import current_services
from provider.web.console.authentication import candidate_names, may
from provider.web.console.message_list import channel_of, read_payload

# The acts on an order that only the audit log has. Most others are events of the order, too;
# who read the findings of a check is among the visits.
ACTIONS_WITHOUT_EVENT = (
    Action.INTERVIEW_RATED,
    Action.SCORECARD_SUBMITTED,
    Action.SCORECARD_TAKEN_BACK,
    Action.SCORECARDS_SHOWN,
    Action.REVIEWER_ASSIGNED,
    Action.REVIEWER_WITHDRAWN,
    Action.RECORDING_WATCHED,
    Action.CAPTIONS_SAVED,
    Action.CAPTIONS_DELETED,
    Action.CAPTIONS_REQUESTED,
    Action.ORDER_MEDIA_DELETED,
)
UNREADABLE_BODY = "The content cannot be decrypted: its key is missing, or its row was edited."


@dataclass(frozen=True)
class DeliveryView:
    """A message with its attempts and content; credentials are never part of the content.

    The content is left out for a role that may not see it, and when it is removed or unreadable.
    Content with the candidate's details is left out for everybody: the order's page reveals them.
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
    def is_private(self) -> bool:
        """Whether the content has the candidate's details."""
        return has_private_body(self.message.topic)

    @property
    def is_accepted_email(self) -> bool:
        """Whether a mail server took the e-mail. It may still come back later."""
        return self.channel == EMAIL and self.message.state == DELIVERED

    @property
    def is_parked(self) -> bool:
        return self.message.state == PARKED


@dataclass(frozen=True)
class TimelineEntry:
    """An event, a message at the time of its creation, a visit, or an act that has no event.

    `last_visit` is the time of day of the last look, if it was not the first.
    """

    occurred_at: datetime
    revision: int = 0
    event: OrderEvent | None = None
    delivery: DeliveryView | None = None
    visit: OrderVisit | None = None
    last_visit: str = ""
    act: AuditEntry | None = None


def build_timeline(session: Session, order: Order) -> list[TimelineEntry]:
    """Return an order's entries, oldest first; an event precedes its messages.

    Events that tell of a result are left out for staff who may not see results.
    """
    hidden = frozenset() if may(Permission.VIEW_RESULTS) else result_events()
    entries = [
        TimelineEntry(event.occurred_at, event.revision, event=event)
        for event in order.events
        if event.type not in hidden
    ]
    views = [build_delivery_view(row, order) for row in outbox.history(session, order.public_id)]
    if candidate_names().is_hidden(order):  # a mail server's answer has the address
        views = [replace(view, attempts=()) for view in views]
    entries += [
        TimelineEntry(view.message.created_at, view.message.sequence, delivery=view)
        for view in views
    ]
    entries += [_visit_entry(visit, order) for visit in OrderVisit.list_all(session, order)]
    entries += [TimelineEntry(act.at, act=act) for act in _acts_without_event(session, order)]
    return sorted(entries, key=lambda entry: (entry.occurred_at, entry.revision))


def _visit_entry(visit: OrderVisit, order: Order) -> TimelineEntry:
    first, last = visit.first_seen_at, visit.last_seen_at
    local = last.astimezone(load_time_zone(order.account.timezone))
    last_visit = f"{local:%H:%M}" if last - first >= timedelta(minutes=1) else ""
    return TimelineEntry(first, visit=visit, last_visit=last_visit)


def _acts_without_event(session: Session, order: Order) -> Sequence[AuditEntry]:
    query = select(AuditEntry).where(
        AuditEntry.subject == f"order:{order.public_id}",
        AuditEntry.action.in_(ACTIONS_WITHOUT_EVENT),
    )
    return session.scalars(query.order_by(AuditEntry.id)).all()


def build_delivery_view(message: Message, order: Order | None) -> DeliveryView:
    secret_box = current_services().secret_box
    view = DeliveryView(
        message,
        tuple(message.attempt_history),
        read_payload(message.public_id, message.payload_encrypted),
        can_see_body=may(Permission.VIEW_MESSAGE_BODIES),
    )
    if view.is_private or not view.can_see_body:
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
