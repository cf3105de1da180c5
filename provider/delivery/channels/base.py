"""The protocols of channels and of the deliveries that channels prepare."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy.exc import DatabaseError, InternalError, OperationalError
from sqlalchemy.orm import Session

from provider.outbox import Claim, Outcome

P = TypeVar("P")

# Failures of the disk or of the database's connection. They are no reason to park a message: the
# transaction is lost, and the next cycle repeats it.
DATABASE_ERRORS = (DatabaseError, InternalError, OperationalError)


class PreparedDelivery(Protocol):
    """A rendered and addressed message."""

    @property
    def body(self) -> bytes | None:
        """The bytes that every attempt sends; None while they cannot be rendered."""

    def send(self) -> Outcome:
        """Make one attempt; never raises for errors of the network or the receiver."""


class Channel(Protocol):
    """A way to deliver messages, such as callbacks or e-mails."""

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> Sequence[PreparedDelivery | Exception]:
        """Render claimed messages, or reuse their stored bodies, and address them.

        The result has an entry per claim. The exception of a message that fails is its entry: it
        must not block the others.
        """

    def close(self) -> None:
        """Close open connections."""
        return


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
