"""The base class of channels, and the protocol of the deliveries that channels prepare."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Protocol, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import DatabaseError, InternalError, OperationalError
from sqlalchemy.orm import Session

from provider.core.orders import Order
from provider.outbox import DEFAULT_LEASE, AttemptResult, Claim, Outcome
from provider.services import Services

P = TypeVar("P")

# Failures of the disk or of the database's connection. They are no reason to park a message: the
# transaction is lost, and the next cycle repeats it.
DATABASE_ERRORS = (DatabaseError, InternalError, OperationalError)


class PreparedDelivery(Protocol):
    """A rendered and addressed message."""

    @property
    def body(self) -> bytes | None:
        """The bytes that every attempt sends; None where there are none, or none to store yet."""

    def send(self) -> Outcome:
        """Make one attempt; never raises for errors of the network or the receiver."""


class Channel(ABC):
    """A way to deliver messages, such as callbacks or e-mails.

    Its traits are class attributes. `name` is the second part of its queues' names. `lease` is
    longer than one send may take. `max_concurrent_sends` limits the sends to one destination of
    the channel; with None the policy decides by how quickly the destination answers. `max_claims`
    limits the messages that one cycle claims from a queue: their rendering holds the write lock of
    SQLite. With `is_per_host` a message's queue names the destination's host; otherwise the channel
    is one destination. Responses are logged unless `has_private_responses`: they may name a
    candidate.
    """

    name: ClassVar[str]
    lease: ClassVar[timedelta] = DEFAULT_LEASE
    max_concurrent_sends: ClassVar[int | None] = None
    max_claims: ClassVar[int | None] = None
    is_per_host: ClassVar[bool] = False
    has_private_responses: ClassVar[bool] = False

    def __init__(self, services: Services) -> None:
        self.services = services

    @abstractmethod
    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> Sequence[PreparedDelivery | Exception]:
        """Render claimed messages, or reuse their stored bodies, and address them.

        The result has an entry per claim. The exception of a message that fails is its entry: it
        must not block the others. An exception that is raised leaves all these messages waiting.
        """

    def lock_subjects(self, session: Session, results: Sequence[AttemptResult]) -> None:
        """Lock the rows that `record_outcomes` changes, before the messages are locked."""
        return

    def record_outcomes(
        self, session: Session, results: Sequence[AttemptResult], now: datetime
    ) -> None:
        """Record what settled attempts say about their subjects, in the transaction of settling."""
        return

    def close(self) -> None:
        """Close open connections."""
        return


def lock_orders(session: Session, public_ids: Collection[str]) -> None:
    """Lock orders in the sequence of their ids, or two dispatchers deadlock."""
    if public_ids:
        query = select(Order.id).where(Order.public_id.in_(public_ids)).order_by(Order.id)
        session.execute(query.with_for_update()).all()


def prepare_or_error(
    prepare: Callable[[Session, Claim], P], session: Session, claim: Claim
) -> P | Exception:
    """Return a prepared message, or its exception; only errors of the database are raised."""
    try:
        return prepare(session, claim)
    except Exception as error:
        if type(error) in DATABASE_ERRORS:
            raise
        return error
