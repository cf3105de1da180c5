"""Why lanes wait: a host that does not answer, a token that is refused, a wish to be left alone."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Insert, ScalarResult, String, Text, Update, delete, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.db import Base, in_turn
from provider.statements import Ready


class Hold(Base):
    """Until when nothing goes to a subject (see `Lane.subjects`); then one message may try."""

    __tablename__ = "holds"

    subject: Mapped[str] = mapped_column(String(330), primary_key=True)
    why: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime]
    until: Mapped[datetime]
    probes: Mapped[int] = mapped_column(default=0)  # that failed, one after the other


def hold(session: Session, subject: str, why: str, until: datetime, at: datetime) -> Hold:
    """Let the lanes of a subject wait, or wait on: a hold that stands keeps its beginning."""
    standing = _prolong(session, subject, why, until)
    if standing is None:
        in_turn(session, f"hold {subject}")  # or two couriers would both write the first
        standing = _prolong(session, subject, why, until)
    first = insert(Hold).values(subject=subject, why=why, since=at, until=until)
    return standing or _write(session, first).one()


def holding(session: Session, subjects: Iterable[str]) -> dict[str, Hold]:
    """Return the holds on any of these subjects."""
    if not _ANY.row(session, {}):  # as a rule, and then this is all that it costs
        return {}
    found = session.scalars(select(Hold).where(Hold.subject.in_(list(subjects))))
    return {hold.subject: hold for hold in found}


def probe(session: Session, standing: Hold, *, until: datetime, at: datetime) -> bool:
    """Take the one try that a hold allows when its time is over; of many who ask one gets it."""
    over = select(Hold.subject).where(Hold.subject == standing.subject, Hold.until <= at)
    # Who is at it has it: a courier that tries several must not wait for one that does too.
    free = over.with_for_update(skip_locked=True).scalar_subquery()
    taken = update(Hold).where(Hold.subject == free).values(until=until)
    return session.scalar(taken.returning(Hold.subject)) is not None


def lift(session: Session, subject: str) -> None:
    """End the hold on a subject, if there is one."""
    session.execute(delete(Hold).where(Hold.subject == subject))


def _prolong(session: Session, subject: str, why: str, until: datetime) -> Hold | None:
    standing = update(Hold).where(Hold.subject == subject)
    values = {"why": why, "until": until, "probes": Hold.probes + 1}
    return _write(session, standing.values(values)).one_or_none()


def _write(session: Session, statement: Insert | Update) -> ScalarResult[Hold]:
    """Write a row as it is now, not as it was read: another courier may have ended the hold."""
    fresh = {"populate_existing": True}
    return session.scalars(statement.returning(Hold), execution_options=fresh)


_ANY = Ready(select(Hold.subject).limit(1))
