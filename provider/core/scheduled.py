"""Scheduled work: functions that run at an interval, in one process at a time.

Each module declares its own works, and `delivery/scheduled_works.py` lists them all. Both runners
call `run_if_due` on a timer. A row of the table `scheduled_work` is the lease of a work, so that
one of several processes runs it, and keeps its last run and its last error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import String, Text, case, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.errors import ProviderError
from provider.storage.database import Base, Database, acquire_advisory_lock
from provider.storage.media import MediaStore
from provider.storage.secrets import SecretBox

DEFAULT_LEASE = timedelta(minutes=1)
# A timer may fire early. Without a tolerance every second run would be left out.
MAX_TIMER_TOLERANCE = timedelta(seconds=1)
# A run without need is recorded only this often: a write every few seconds would wear the disk.
IDLE_RUN_INTERVAL = timedelta(minutes=10)


class WorkContext(Protocol):
    """The services that a work may use. The core cannot import `Services`, which has them all."""

    @property
    def db(self) -> Database: ...
    @property
    def secret_box(self) -> SecretBox: ...
    @property
    def media(self) -> MediaStore: ...
    def now(self) -> datetime: ...


@dataclass(frozen=True)
class ScheduledWork:
    """A function that runs once per `every`, and opens its own transactions.

    `is_needed` is a read that costs little; when it returns False there is neither a run nor a
    write. When a process dies during a run, the work runs again after `lease`. A run that takes
    longer than its lease may run twice at the same time.
    """

    name: str  # snake_case
    every: timedelta
    run: Callable[[WorkContext], None]
    is_needed: Callable[[Session, datetime], bool] | None = None
    lease: timedelta = DEFAULT_LEASE

    @property
    def minimum_wait(self) -> timedelta:
        """The shortest time from the start of a run to the start of the next."""
        return self.every - min(self.every / 2, MAX_TIMER_TOLERANCE)


class ScheduledWorkState(Base):
    """The lease of a work, its last run, and its last error (empty after a run without one)."""

    __tablename__ = "scheduled_work"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    leased_until: Mapped[datetime | None]
    last_started_at: Mapped[datetime | None]
    last_finished_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(Text, default="")

    @property
    def label(self) -> str:
        """The name as people read it."""
        return self.name.replace("_", " ").capitalize()


def run_if_due(context: WorkContext, work: ScheduledWork) -> bool:
    """Run a work unless it is too early, not needed, or leased; return whether it succeeded.

    An error is logged and recorded, and never raised: the next interval tries again.
    """
    now = context.now()
    try:
        if not _is_due(context, work, now) or not _acquire_lease(context, work, now):
            return False
        work.run(context)
        _record_end(context, work, now, error="")
    except Exception as error:
        _log_exception("scheduled_work_failed", work)
        _try_to_record_error(context, work, now, error)
        return False
    return True


def prolong_lease(context: WorkContext, work: ScheduledWork) -> None:
    """Keep the lease of a work that runs longer than its lease, from within the run."""
    with context.db.writing() as session:
        session.execute(
            update(ScheduledWorkState)
            .where(ScheduledWorkState.name == work.name)
            .values(leased_until=context.now() + work.lease)
        )


def list_states(session: Session) -> Sequence[ScheduledWorkState]:
    """Return the state of every work that ever ran, by name."""
    return session.scalars(select(ScheduledWorkState).order_by(ScheduledWorkState.name)).all()


def _is_due(context: WorkContext, work: ScheduledWork, now: datetime) -> bool:
    with context.db.reading() as session:
        state = session.get(ScheduledWorkState, work.name)
        if state is None or state.last_started_at is None:
            return True
        if state.leased_until is not None and state.leased_until > now:
            return False
        idle_time = now - state.last_started_at
        if idle_time < work.minimum_wait:
            return False
        return (
            work.is_needed is None or idle_time >= IDLE_RUN_INTERVAL or work.is_needed(session, now)
        )


def _acquire_lease(context: WorkContext, work: ScheduledWork, now: datetime) -> bool:
    """Take the lease by a conditional UPDATE: of several processes one gets True."""
    state = ScheduledWorkState
    with context.db.writing() as session:
        _ensure_row(session, work)
        taken = session.scalar(
            update(state)
            .where(
                state.name == work.name,
                or_(state.leased_until.is_(None), state.leased_until <= now),
                or_(
                    state.last_started_at.is_(None),
                    state.last_started_at <= now - work.minimum_wait,
                ),
            )
            .values(leased_until=now + work.lease, last_started_at=now)
            .returning(state.name)
            .execution_options(synchronize_session=False)
        )
    return taken is not None


def _record_end(
    context: WorkContext, work: ScheduledWork, started_at: datetime, error: str
) -> None:
    """Store the error, and the end of the run unless another process has taken the lease since."""
    state = ScheduledWorkState
    is_own_run = state.last_started_at == started_at
    with context.db.writing() as session:
        _ensure_row(session, work)  # `is_needed` may fail before the first lease
        session.execute(
            update(state)
            .where(state.name == work.name)
            .values(
                leased_until=case((is_own_run, None), else_=state.leased_until),
                last_finished_at=case((is_own_run, context.now()), else_=state.last_finished_at),
                last_error=error,
            )
            .execution_options(synchronize_session=False)
        )


def _try_to_record_error(
    context: WorkContext, work: ScheduledWork, started_at: datetime, error: Exception
) -> None:
    # Staff read this text. Another library's error may contain a candidate's data.
    text = f"Unexpected error ({type(error).__name__}); the server's log has the details"
    if isinstance(error, ProviderError):
        text = str(error)
    try:
        _record_end(context, work, started_at, text)
    except Exception:
        _log_exception("scheduled_work_not_recorded", work)


def _ensure_row(session: Session, work: ScheduledWork) -> None:
    if session.get(ScheduledWorkState, work.name) is None:
        # Without the lock two processes could both insert the first row.
        acquire_advisory_lock(session, f"scheduled work {work.name}")
        if session.get(ScheduledWorkState, work.name) is None:
            session.add(ScheduledWorkState(name=work.name))
            session.flush()


def _log_exception(event: str, work: ScheduledWork) -> None:
    import structlog  # late: slow to import, and every command imports this module

    structlog.get_logger().exception(event, work=work.name)
