"""What the database says was promised, read when nobody works on it any more."""

from sqlalchemy import func, select

from provider.house import House
from provider.orders import Order
from provider.orders.order import Event
from provider.outbox import DELIVERED, Message
from tests.soak.history import Promise

# Our word in an order's story to the word that Workable must learn.
WIRE = {
    "reopened": "pending", "declined": "rejected", "cancelled": "expired", "expired": "expired",
    "completed": "completed", "consented": "consented",
}  # fmt: skip


def written(house: House) -> list[Promise]:
    """Return every status that stands in the orders' stories."""
    query = (
        select(Order.origin, Event.revision, Event.word)
        .join(Event.order)
        .where(Event.word.in_(WIRE))
    )
    with house.db.reading() as session:
        rows = session.execute(query).all()
    return [Promise(path_of(origin), revision, WIRE[word]) for origin, revision, word in rows]


def unsettled(house: House) -> int:
    """Return how many of the messages to ATSs are anything but delivered."""
    query = (
        select(func.count())
        .select_from(Message)
        .where(Message.topic == "status", Message.state != DELIVERED)
    )
    with house.db.reading() as session:
        return session.scalar(query) or 0


def waiting(house: House) -> set[tuple[str, str]]:
    """Return the messages to ATSs that are not settled: callback's path and sequence."""
    query = (
        select(Order.origin, Message.sequence)
        .join(Order, Order.public_id == Message.key)
        .where(Message.topic == "status", Message.state != DELIVERED)
    )
    with house.db.reading() as session:
        rows = session.execute(query).all()
    return {(path_of(origin), str(sequence)) for origin, sequence in rows}


def path_of(url: str) -> str:
    """Return the path of a callback's address, by which the receiver knows the order."""
    return "/" + url.split("/", 3)[3]
