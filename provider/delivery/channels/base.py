"""What a sink makes of a claimed message, and what is asked of sinks."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy.exc import DatabaseError, InternalError, OperationalError
from sqlalchemy.orm import Session

from provider.outbox import Claim, Outcome

P = TypeVar("P")

# What is no message's fault: the disk fails, the connection breaks. It is no reason to park one,
# and the transaction is over: all of it is tried again.
DATABASE_ERRORS = (DatabaseError, InternalError, OperationalError)


class PreparedDelivery(Protocol):
    """A rendered message, ready to go out."""

    @property
    def body(self) -> bytes | None:
        """The bytes that every try sends; None where they cannot be written yet."""

    def send(self) -> Outcome:
        """Try once; never raises for what the network or the receiver does."""


class Channel(Protocol):
    """Where the messages of a lane end up."""

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> Sequence[PreparedDelivery | Exception]:
        """Render claimed messages, or take the bytes that they have, and address them.

        What goes wrong with one is returned in its place: it must not keep the others.
        """

    def close(self) -> None:
        """Let go of what is kept open."""
        return


def prepare_or_error(
    prepare: Callable[[Session, Claim], P], session: Session, claim: Claim
) -> P | Exception:
    """Prepare one message, or return what went wrong with it; a database that fails raises."""
    try:
        return prepare(session, claim)
    except Exception as error:
        if type(error) in DATABASE_ERRORS:
            raise
        return error
