"""Bulk runs: one action on several orders, stored with a row for each order.

A scheduled work performs the rows one by one (`bulk_runner.py`), so that no request waits for a
thousand orders, and a restart loses none.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self

from sqlalchemy import (
    JSON,
    ForeignKey,
    Index,
    Select,
    String,
    Text,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core import audit
from provider.core.audit import Action
from provider.core.orders.actions import ORDER_ACTIONS
from provider.errors import Conflict, NotFound
from provider.storage import secrets
from provider.storage.database import Base

MAX_BULK_ORDERS = 1000  # that one run may change
WAITING, DONE, REFUSED = "waiting", "done", "refused"  # the states of a row


class BulkRun(Base):
    """One action on several orders. `arguments` are those of the action, read from its form.

    A run with `undo_of` undoes rows of that run. Several runs may undo one: a person who is limited
    to some accounts undoes the rows of these only, and somebody else the others.
    """

    __tablename__ = "bulk_runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    action: Mapped[str] = mapped_column(String(20))  # a key of BULK_ACTIONS, or RESCORE
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    actor: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)
    undo_of_id: Mapped[int | None] = mapped_column(ForeignKey("bulk_runs.id"), index=True)

    undo_of: Mapped["BulkRun | None"] = relationship(remote_side=[id])

    @classmethod
    def create(
        cls,
        session: Session,
        action: str,
        arguments: Mapping[str, Any],
        orders: Iterable[tuple[str, str]],
        actor: str,
        now: datetime,
    ) -> Self:
        """Store a run for orders, each with its digest as the preview showed it."""
        run = cls(action=action, arguments=dict(arguments), actor=actor, created_at=now)
        rows = [
            BulkRow(run=run, order_public_id=order_id[:22], seen=seen[:40])
            for order_id, seen in orders
        ]
        session.add_all([run, *rows])
        session.flush()
        run._record(session, Action.ORDERS_CHANGED, len(rows), now)
        return run

    @classmethod
    def create_for_query(
        cls,
        session: Session,
        action: str,
        arguments: Mapping[str, Any],
        order_ids: Select[Any],
        actor: str,
        now: datetime,
    ) -> Self:
        """Store a run for the orders whose public ids a query yields, in one statement.

        The action must be one that compares no digests. The caller writes the audit log.
        """
        run = cls(action=action, arguments=dict(arguments), actor=actor, created_at=now)
        session.add(run)
        session.flush()
        orders = order_ids.subquery()
        rows = select(literal(run.id), orders.c[0], literal(""))
        session.execute(insert(BulkRow).from_select(["run_id", "order_public_id", "seen"], rows))
        return run

    @classmethod
    def find(cls, session: Session, public_id: str, *, lock: bool = False) -> Self:
        """Return a run, on request locked. Raises NotFound."""
        query = select(cls).where(cls.public_id == public_id.replace("\x00", ""))
        run = session.scalar(query.with_for_update() if lock else query)
        if run is None:
            raise NotFound("There is no such change of several orders: it may be too old")
        return run

    def create_undo(self, session: Session, actor: str, now: datetime) -> "BulkRun":
        """Store a run that undoes the rows that were done and not undone yet. Raises Conflict.

        The caller has locked this run, or two people could undo a row at once.
        """
        if self.action not in ORDER_ACTIONS or not ORDER_ACTIONS[self.action].can_undo:
            raise Conflict("This cannot be undone")
        if self.undo_of_id is not None or self.finished_at is None:
            raise Conflict("Only a finished change can be undone, and an undoing cannot be")
        run = BulkRun(
            action=self.action, arguments=self.arguments, actor=actor, created_at=now, undo_of=self
        )
        rows = [
            BulkRow(
                run=run,
                order_public_id=row.order_public_id,
                seen=row.seen_after,
                before=row.before,
            )
            for row in self.list_undoable(session)
        ]
        if not rows and (undos := self.list_undos(session)):
            actors = sorted({undo.actor for undo in undos})
            raise Conflict("%(actor)s has undone this already", actor=", ".join(actors))
        if not rows:
            raise Conflict("This changed no order, so there is nothing to undo")
        session.add_all([run, *rows])
        session.flush()
        run._record(session, Action.ORDERS_CHANGE_UNDONE, len(rows), now)
        return run

    def list_undos(self, session: Session) -> "Sequence[BulkRun]":
        """Return the runs that undo this one or a part of it, oldest first."""
        query = select(BulkRun).where(BulkRun.undo_of_id == self.id)
        return session.scalars(query.order_by(BulkRun.id)).all()

    def list_undoable(self, session: Session) -> "Sequence[BulkRow]":
        """Return the rows that were done and are in no undoing, as far as the session sees them.

        A row that an undoing has refused is not undone again.
        """
        undos = select(BulkRun.id).where(BulkRun.undo_of_id == self.id)
        tried = select(BulkRow.order_public_id).where(BulkRow.run_id.in_(undos))
        query = select(BulkRow).where(
            BulkRow.run_id == self.id,
            BulkRow.state == DONE,
            BulkRow.order_public_id.not_in(tried),
        )
        return session.scalars(query.order_by(BulkRow.id)).all()

    def progress(self, session: Session) -> "Progress":
        query = select(BulkRow.state, func.count()).where(BulkRow.run_id == self.id)
        counts = dict(session.execute(query.group_by(BulkRow.state)).all())
        return Progress(*(counts.get(state, 0) for state in (WAITING, DONE, REFUSED)))

    def stop(self, session: Session, actor: str) -> int:
        """Leave the orders that wait as they are. Returns their number."""
        waiting = select(BulkRow).where(BulkRow.run_id == self.id, BulkRow.state == WAITING)
        rows = session.scalars(waiting.order_by(BulkRow.id).with_for_update()).all()
        for row in rows:
            row.state, row.problem = REFUSED, f"{actor} stopped this before it was done"
        return len(rows)

    def finish(self, now: datetime) -> None:
        """Record the end, and forget the reason: the timeline of each order has it."""
        self.finished_at = now
        self.arguments = {name: value for name, value in self.arguments.items() if name != "reason"}

    def _record(self, session: Session, action: Action, order_count: int, now: datetime) -> None:
        subject, after = f"bulk:{self.public_id}", {"action": self.action, "orders": order_count}
        audit.record(session, self.actor, action, subject, now=now, after=after)


class BulkRow(Base):
    """One order of a run: what became of it, and what an undo needs.

    The order has no foreign key: its outcome stays after it is erased.
    """

    __tablename__ = "bulk_run_orders"
    __table_args__ = (
        Index("ix_bulk_run_orders_run", "run_id", "state", "id"),
        Index(
            "ix_bulk_run_orders_waiting",
            "id",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("bulk_runs.id"))
    order_public_id: Mapped[str] = mapped_column(String(22))
    seen: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(10), default=WAITING)
    # Why the order was left as it was; empty for one that is done.
    problem: Mapped[str] = mapped_column(Text, default="")
    # The fields that changed, as they were before; None until the row is done.
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # The order's digest after the change: an undo is refused when it has another one.
    seen_after: Mapped[str] = mapped_column(String(40), default="")

    run: Mapped[BulkRun] = relationship()


class Progress(NamedTuple):
    """The number of a run's orders that wait, that are done, and that are left as they were."""

    waiting: int
    done: int
    refused: int

    @property
    def total(self) -> int:
        return sum(self)

    @property
    def settled(self) -> int:
        return self.done + self.refused


def list_runs(
    session: Session, actions: Iterable[str], limit: int
) -> list[tuple[BulkRun, Progress]]:
    """Return the newest runs of some actions with their progress, newest first."""
    query = select(BulkRun).where(BulkRun.action.in_(actions))
    runs = session.scalars(query.order_by(BulkRun.id.desc()).limit(limit))
    return [(run, run.progress(session)) for run in runs]
