"""Scheduled works: the rows of bulk runs are performed one by one, and old runs are deleted."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, exists, func, or_, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from provider.core.orders.actions import RUN_ACTIONS
from provider.core.orders.bulk_run import DONE, REFUSED, WAITING, BulkRow, BulkRun
from provider.core.orders.edit_conflict import OrderChanged, seen_digest
from provider.core.orders.order import Order
from provider.core.orders.order_action import Act, perform_action, undo_action
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.core.staff import Permission, Staff
from provider.errors import Conflict, NotFound, ProviderError, Unavailable

KEPT_FOR = timedelta(days=30)
# Short: after a crash the run goes on so much later. Two processes that run at once lock different
# rows, so an early end of the lease does no harm.
LEASE = timedelta(seconds=20)
MAX_RUN_TIME = timedelta(seconds=8)  # or the server could not stop while a run goes on
UNEXPECTED_PROBLEM = "Unexpected error: the server's log has the details"


def perform_next(context: WorkContext) -> bool:
    """Perform one row in a transaction of its own. Returns whether there was one.

    The order's change and the row's outcome are committed together, or an interrupted run could
    change an order twice.
    """
    with context.db.writing() as session:
        row = session.scalar(
            waiting_rows(RUN_ACTIONS).with_for_update(of=BulkRow, skip_locked=True)
        )
        if row is None:
            return False
        problem = _try_row(session, context, row)
        row.state, row.problem = REFUSED if problem else DONE, problem
    return True


def waiting_rows(actions: Iterable[str]) -> Select[BulkRow]:
    """Return the query of the first row that waits, of a run of one of some actions."""
    runs = select(BulkRun.id).where(BulkRun.finished_at.is_(None), BulkRun.action.in_(actions))
    return (
        select(BulkRow)
        # A literal: with a parameter the planner could not use the partial index.
        .where(BulkRow.state == text(f"'{WAITING}'"), BulkRow.run_id.in_(runs))
        .order_by(BulkRow.id)
        .limit(1)
    )


def _try_row(session: Session, context: WorkContext, row: BulkRow) -> str:
    """Perform a row in a savepoint; return why the order is left as it was, or an empty text."""
    log_lines = session.info.setdefault("after_commit", [])
    line_count, order_id = len(log_lines), row.order_public_id
    try:
        with session.begin_nested():
            _perform_row(session, context, row)
    except (OperationalError, Unavailable):
        raise  # the other rows would fail too: the next run tries again
    except OrderChanged as error:
        problem = error.summary
    except ProviderError as error:
        problem = str(error)
    except Exception:
        from structlog import get_logger  # late: see `logging_config`

        get_logger().exception("order_change_failed", order=order_id)
        problem = UNEXPECTED_PROBLEM
    else:
        return ""
    del log_lines[line_count:]  # these tell of changes that were rolled back
    return problem


def _perform_row(session: Session, context: WorkContext, row: BulkRow) -> None:
    run = row.run
    action = RUN_ACTIONS[run.action]
    order = find_order(session, row, action.permission, lock=True)
    act = Act(session, context.secret_box, order, run.actor, context.now(), bulk_run=run.public_id)
    if run.undo_of_id is not None:
        undo_action(act, action, run.arguments, row.before or {}, seen=row.seen)
        return
    before, _ = perform_action(act, action, run.arguments, seen=row.seen)
    row.before = dict(before)
    session.flush()
    row.seen_after = seen_digest(session, order)


def find_order(
    session: Session, row: BulkRow, permission: Permission, *, lock: bool = False
) -> Order:
    """Return the order of a row, on request locked.

    Raises Conflict once the person who began the run may not do so any more, and NotFound for an
    order that the person does not see.
    """
    email = row.run.actor
    staff = session.scalar(select(Staff).where(Staff.email == email))
    if staff is None or staff.disabled_at or permission not in staff.permissions:
        raise Conflict("%(actor)s may not do this any more", actor=email)
    order = Order.find(session, row.order_public_id, lock=lock)
    if not staff.sees_account(order.account_id):
        raise NotFound("There is no such order")
    return order


def _finish_runs(context: WorkContext) -> None:
    has_waiting = exists().where(BulkRow.run_id == BulkRun.id, BulkRow.state == WAITING)
    with context.db.writing() as session:
        query = select(BulkRun).where(BulkRun.finished_at.is_(None), ~has_waiting)
        for run in session.scalars(query.with_for_update(of=BulkRun, skip_locked=True)):
            run.finish(context.now())


def _perform_rows(context: WorkContext) -> None:
    end = context.now() + MAX_RUN_TIME
    while context.now() < end and perform_next(context):
        pass
    _finish_runs(context)


def _has_unfinished_runs(session: Session, _now: datetime) -> bool:
    query = select(BulkRun.id).where(BulkRun.finished_at.is_(None)).limit(1)
    return session.scalar(query) is not None


def _old_runs(now: datetime) -> Select[int]:
    """Return the query of the runs that ended long ago.

    A run and its undoings are deleted together, or an undone row would seem to be none.
    """
    is_recent = or_(BulkRun.finished_at.is_(None), BulkRun.finished_at >= now - KEPT_FOR)
    undone_run = func.coalesce(BulkRun.undo_of_id, BulkRun.id)
    return select(BulkRun.id).where(
        ~is_recent, undone_run.not_in(select(undone_run).where(is_recent))
    )


def _has_old_runs(session: Session, now: datetime) -> bool:
    return session.scalar(_old_runs(now).limit(1)) is not None


def _drop_old_runs(context: WorkContext) -> None:
    with context.db.writing() as session:
        ids = session.scalars(_old_runs(context.now())).all()
        session.execute(delete(BulkRow).where(BulkRow.run_id.in_(ids)))
        session.execute(delete(BulkRun).where(BulkRun.id.in_(ids)))


PERFORM_BULK_RUNS = ScheduledWork(
    "perform_bulk_runs",
    every=timedelta(seconds=2),
    run=_perform_rows,
    is_needed=_has_unfinished_runs,
    lease=LEASE,
)
DROP_OLD_BULK_RUNS = ScheduledWork(
    "drop_old_bulk_runs", every=timedelta(hours=1), run=_drop_old_runs, is_needed=_has_old_runs
)
