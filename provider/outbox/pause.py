"""Pauses of deliveries: an unreachable host, a rejected token, a receiver that asks for a wait."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Insert, ScalarResult, String, Text, Update, delete, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.outbox.response_text import to_storable_text
from provider.storage.compiled import CompiledQuery
from provider.storage.database import Base, acquire_advisory_lock


class Pause(Base):
    """A scope that nothing is sent to until `retry_at`; then one message may probe it.

    `QueueName.pause_scopes` lists the scopes of a queue.
    """

    __tablename__ = "delivery_pauses"

    scope: Mapped[str] = mapped_column(String(330), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    paused_at: Mapped[datetime]
    retry_at: Mapped[datetime]
    failed_probes: Mapped[int] = mapped_column(default=0)  # in a row


def pause(session: Session, scope: str, reason: str, retry_at: datetime, now: datetime) -> Pause:
    """Pause a scope or prolong its pause; a prolonged pause keeps its `paused_at`."""
    reason = to_storable_text(reason)
    extended = _extend(session, scope, reason, retry_at)
    if extended is None:
        # Without the lock two dispatchers could both insert the scope's first pause.
        acquire_advisory_lock(session, f"pause {scope}")
        extended = _extend(session, scope, reason, retry_at)
    first = insert(Pause).values(scope=scope, reason=reason, paused_at=now, retry_at=retry_at)
    return extended or _write_returning(session, first).one()


def active_pauses(session: Session, scopes: Iterable[str]) -> dict[str, Pause]:
    """Return the pauses of these scopes, by scope."""
    # There is usually no pause at all, and then this query is the only cost.
    if not _ANY_PAUSE_QUERY.fetch_one(session, {}):
        return {}
    pauses = session.scalars(select(Pause).where(Pause.scope.in_(list(scopes))))
    return {current_pause.scope: current_pause for current_pause in pauses}


def probe(session: Session, current_pause: Pause, *, retry_at: datetime, now: datetime) -> bool:
    """Reserve the one probe of an expired pause; of several callers one gets True."""
    expired = select(Pause.scope).where(Pause.scope == current_pause.scope, Pause.retry_at <= now)
    # A locked row is being reserved. Without SKIP LOCKED two dispatchers that reserve
    # several pauses could deadlock.
    unlocked = expired.with_for_update(skip_locked=True).scalar_subquery()
    reserve = update(Pause).where(Pause.scope == unlocked).values(retry_at=retry_at)
    return session.scalar(reserve.returning(Pause.scope)) is not None


def resume(session: Session, scope: str) -> None:
    session.execute(delete(Pause).where(Pause.scope == scope))


def _extend(session: Session, scope: str, reason: str, retry_at: datetime) -> Pause | None:
    matching = update(Pause).where(Pause.scope == scope)
    values = {"reason": reason, "retry_at": retry_at, "failed_probes": Pause.failed_probes + 1}
    return _write_returning(session, matching.values(values)).one_or_none()


def _write_returning(session: Session, statement: Insert | Update) -> ScalarResult[Pause]:
    # Overwrite the session's copy: another dispatcher may have ended the pause since it was read.
    fresh = {"populate_existing": True}
    return session.scalars(statement.returning(Pause), execution_options=fresh)


_ANY_PAUSE_QUERY = CompiledQuery(select(Pause.scope).limit(1))
