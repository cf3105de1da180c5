"""Why lanes wait: a host that does not answer, a token that is refused, a wish to be left alone."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Insert, ScalarResult, String, Text, Update, delete, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.storage.compiled import CompiledQuery
from provider.storage.database import Base, acquire_advisory_lock


class Pause(Base):
    """Until when nothing goes to a subject (see `Lane.subjects`); then one message may try."""

    __tablename__ = "delivery_pauses"

    scope: Mapped[str] = mapped_column(String(330), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    paused_at: Mapped[datetime]
    retry_at: Mapped[datetime]
    failed_probes: Mapped[int] = mapped_column(default=0)  # that failed, one after the other


def pause(session: Session, scope: str, reason: str, retry_at: datetime, now: datetime) -> Pause:
    """Let the lanes of a subject wait, or wait on: a hold that stands keeps its beginning."""
    standing = _extend(session, scope, reason, retry_at)
    if standing is None:
        acquire_advisory_lock(
            session, f"hold {scope}"
        )  # or two couriers would both write the first
        standing = _extend(session, scope, reason, retry_at)
    first = insert(Pause).values(scope=scope, reason=reason, paused_at=now, retry_at=retry_at)
    return standing or _write_returning(session, first).one()


def active_pauses(session: Session, scopes: Iterable[str]) -> dict[str, Pause]:
    """Return the holds on any of these subjects."""
    if not _ANY_PAUSE_QUERY.fetch_one(session, {}):  # as a rule, and then this is all that it costs
        return {}
    found = session.scalars(select(Pause).where(Pause.scope.in_(list(scopes))))
    return {hold.scope: hold for hold in found}


def probe(session: Session, current_pause: Pause, *, retry_at: datetime, now: datetime) -> bool:
    """Take the one try that a hold allows when its time is over; of many who ask one gets it."""
    over = select(Pause.scope).where(Pause.scope == current_pause.scope, Pause.retry_at <= now)
    # Who is at it has it: a courier that tries several must not wait for one that does too.
    free = over.with_for_update(skip_locked=True).scalar_subquery()
    taken = update(Pause).where(Pause.scope == free).values(retry_at=retry_at)
    return session.scalar(taken.returning(Pause.scope)) is not None


def resume(session: Session, scope: str) -> None:
    """End the hold on a subject, if there is one."""
    session.execute(delete(Pause).where(Pause.scope == scope))


def _extend(session: Session, scope: str, reason: str, retry_at: datetime) -> Pause | None:
    standing = update(Pause).where(Pause.scope == scope)
    values = {"reason": reason, "retry_at": retry_at, "failed_probes": Pause.failed_probes + 1}
    return _write_returning(session, standing.values(values)).one_or_none()


def _write_returning(session: Session, statement: Insert | Update) -> ScalarResult[Pause]:
    """Write a row as it is now, not as it was read: another courier may have ended the hold."""
    fresh = {"populate_existing": True}
    return session.scalars(statement.returning(Pause), execution_options=fresh)


_ANY_PAUSE_QUERY = CompiledQuery(select(Pause.scope).limit(1))
