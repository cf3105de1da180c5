"""The statuses that the ATS must learn, read from the database when no process uses it any more."""

from sqlalchemy import func, select

from provider.core.orders import Order, OrderEvent
from provider.outbox import DELIVERED, Message
from provider.services import Services
from tests.endurance.verdict import ExpectedStatus

# The type of an order's event to the status that Workable must learn.
WIRE_STATUSES = {
    "reopened": "pending",
    "declined": "rejected",
    "cancelled": "expired",
    "expired": "expired",
    "completed": "completed",
    "consented": "consented",
}


def load_expected_statuses(services: Services) -> list[ExpectedStatus]:
    """Return every status in the orders' events."""
    query = (
        select(Order.external_key, OrderEvent.revision, OrderEvent.type)
        .join(OrderEvent.order)
        .where(OrderEvent.type.in_(WIRE_STATUSES))
    )
    with services.db.reading() as session:
        rows = session.execute(query).all()
    return [
        ExpectedStatus(url_path(external_key), revision, WIRE_STATUSES[event_type])
        for external_key, revision, event_type in rows
    ]


def count_undelivered(services: Services) -> int:
    """Count the status messages that are not delivered."""
    query = (
        select(func.count())
        .select_from(Message)
        .where(Message.topic == "status", Message.state != DELIVERED)
    )
    with services.db.reading() as session:
        return session.scalar(query) or 0


def undelivered_messages(services: Services) -> set[tuple[str, str]]:
    """Return the callback path and the sequence of every status message not delivered."""
    query = (
        select(Order.external_key, Message.sequence)
        .join(Order, Order.public_id == Message.ordering_key)
        .where(Message.topic == "status", Message.state != DELIVERED)
    )
    with services.db.reading() as session:
        rows = session.execute(query).all()
    return {(url_path(external_key), str(sequence)) for external_key, sequence in rows}


def url_path(url: str) -> str:
    """Return the path of a callback URL; the receiver identifies an order by this path."""
    return "/" + url.split("/", 3)[3]
