"""What the database says was promised, read when nobody works on it any more."""

from sqlalchemy import func, select

from provider.core.orders import Order
from provider.core.orders.order import OrderEvent
from provider.outbox import DELIVERED, Message
from provider.services import Services
from tests.endurance.verdict import ExpectedStatus

# Our word in an order's story to the word that Workable must learn.
WIRE_STATUSES = {
    "reopened": "pending",
    "declined": "rejected",
    "cancelled": "expired",
    "expired": "expired",
    "completed": "completed",
    "consented": "consented",
}


def load_expected_statuses(services: Services) -> list[ExpectedStatus]:
    """Return every status that stands in the orders' stories."""
    query = (
        select(Order.external_key, OrderEvent.revision, OrderEvent.type)
        .join(OrderEvent.order)
        .where(OrderEvent.type.in_(WIRE_STATUSES))
    )
    with services.db.reading() as session:
        rows = session.execute(query).all()
    return [
        ExpectedStatus(url_path(origin), revision, WIRE_STATUSES[word])
        for origin, revision, word in rows
    ]


def count_undelivered(services: Services) -> int:
    """Return how many of the messages to ATSs are anything but delivered."""
    query = (
        select(func.count())
        .select_from(Message)
        .where(Message.topic == "status", Message.state != DELIVERED)
    )
    with services.db.reading() as session:
        return session.scalar(query) or 0


def undelivered_messages(services: Services) -> set[tuple[str, str]]:
    """Return the messages to ATSs that are not settled: callback's path and sequence."""
    query = (
        select(Order.external_key, Message.sequence)
        .join(Order, Order.public_id == Message.ordering_key)
        .where(Message.topic == "status", Message.state != DELIVERED)
    )
    with services.db.reading() as session:
        rows = session.execute(query).all()
    return {(url_path(origin), str(sequence)) for origin, sequence in rows}


def url_path(url: str) -> str:
    """Return the path of a callback's address, by which the receiver knows the order."""
    return "/" + url.split("/", 3)[3]
