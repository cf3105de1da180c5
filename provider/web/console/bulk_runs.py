"""Changes of several orders: their progress, the outcome of each order, stopping and undoing."""

from collections.abc import Sequence
from typing import NamedTuple

from flask import Blueprint, flash, make_response, redirect, render_template, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.orders import Order
from provider.core.orders.bulk_run import DONE, REFUSED, BulkRow, BulkRun, list_runs
from provider.core.orders.edit_conflict import is_same_state, seen_digests
from provider.core.staff import Permission
from provider.errors import Conflict, NotFound
from provider.maintenance.bulk_erasure import BULK_ACTIONS
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.authentication import requires
from provider.web.console.orders import BULK_CHOICES, load_orders

routes = Blueprint("bulk_runs", __name__, url_prefix="/orders/bulk/runs")

TITLES = dict(BULK_CHOICES)
MAX_LISTED_RUNS = 50
STATES_IN_ORDER = (REFUSED, DONE)  # what was not done is shown first


class Outcome(NamedTuple):
    """The outcome for one order; `order` is None after it was erased."""

    row: BulkRow
    order: Order | None


class UndoRow(NamedTuple):
    """An order that a run changed, and whether nothing has happened to it since."""

    order: Order
    is_unchanged: bool


@routes.get("/")
@requires(Permission.MANAGE_ORDERS)
def listing() -> str:
    with current_services().db.reading() as session:
        runs = list_runs(session, TITLES, MAX_LISTED_RUNS)
        return render_template("console/bulk_runs.html", runs=runs, titles=TITLES)


@routes.get("/<run_id>")
@requires(Permission.MANAGE_ORDERS)
def detail(run_id: str) -> str:
    """Show the progress of a run, and at its end the outcome of each order."""
    return _render_run("console/bulk_run.html", run_id)


@routes.get("/<run_id>/progress")
@requires(Permission.MANAGE_ORDERS)
def progress(run_id: str) -> str:
    """Return the part of the run's page that changes, for a page that refreshes itself."""
    return _render_run("console/_bulk_progress.html", run_id)


@routes.post("/<run_id>/stop")
@requires(Permission.MANAGE_ORDERS)
def stop(run_id: str) -> Response:
    """Leave the orders of a run that are not done yet as they are."""
    with current_services().db.writing() as session:
        run, actor = _find_run(session, run_id), authentication.current_staff().email
        if count := run.stop(session, actor):
            after = {"action": run.action, "orders": count}
            subject = f"bulk:{run_id}"
            authentication.record_act(session, Action.ORDERS_CHANGE_STOPPED, subject, after=after)
    message = f"Stopped: {count:,} {'order is' if count == 1 else 'orders are'} left as before."
    flash(message if count else "Every order was done already.", "info")
    return redirect(url_for(".detail", run_id=run_id))


@routes.get("/<run_id>/undo")
@requires(Permission.MANAGE_ORDERS)
def confirm_undo(run_id: str) -> Response:
    """Show which orders of a run can be undone."""
    return _render_undo(run_id)


@routes.post("/<run_id>/undo")
@requires(Permission.MANAGE_ORDERS)
def undo(run_id: str) -> Response:
    services, actor = current_services(), authentication.current_staff().email
    try:
        with services.db.writing() as session:
            run = _find_run(session, run_id, lock=True)
            undo_id = run.create_undo(session, actor, services.now()).public_id
    except Conflict as error:
        return _render_undo(run_id, str(error), 409)
    return redirect(url_for(".detail", run_id=undo_id))


def _render_run(template: str, run_id: str) -> str:
    with current_services().db.reading() as session:
        run = _find_run(session, run_id)
        states = STATES_IN_ORDER if run.finished_at else (REFUSED,)
        return render_template(
            template,
            run=run,
            title=TITLES[run.action],
            progress=run.progress(session),
            outcomes=[
                outcome
                for state in states
                for outcome in _outcomes(session, _rows(session, run, state))
            ],
            undos=[(undo, undo.progress(session)) for undo in run.list_undos(session)],
            can_undo=_can_undo(run) and bool(run.list_undoable(session)),
        )


def _find_run(session: Session, run_id: str, *, lock: bool = False) -> BulkRun:
    """Return a run that began in the list of orders; others have pages of their own."""
    run = BulkRun.find(session, run_id, lock=lock)
    if run.action not in TITLES:
        raise NotFound("This change did not begin in the list of orders")
    return run


def _can_undo(run: BulkRun) -> bool:
    return BULK_ACTIONS[run.action].can_undo and run.undo_of_id is None


def _render_undo(run_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        run = _find_run(session, run_id)
        if not BULK_ACTIONS[run.action].can_undo:
            problem = "This cannot be undone"
        undoable = run.list_undoable(session)
        outcomes = [outcome for outcome in _outcomes(session, undoable) if outcome.order]
        digests = seen_digests(session, [outcome.order for outcome in outcomes if outcome.order])
        rows = [
            UndoRow(order, is_same_state(digests[order.id], row.seen_after))
            for row, order in outcomes
            if order
        ]
        page = render_template(
            "console/bulk_undo.html",
            run=run,
            title=TITLES[run.action],
            allowed=[row.order for row in rows if row.is_unchanged],
            refused=[row.order for row in rows if not row.is_unchanged],
            problem=problem,
        )
    return make_response(page, status_code)


def _rows(session: Session, run: BulkRun, state: str) -> Sequence[BulkRow]:
    query = select(BulkRow).where(BulkRow.run_id == run.id, BulkRow.state == state)
    return session.scalars(query.order_by(BulkRow.id)).all()


def _outcomes(session: Session, rows: Sequence[BulkRow]) -> list[Outcome]:
    orders = {
        order.public_id: order
        for order in load_orders(session, [row.order_public_id for row in rows])
    }
    return [Outcome(row, orders.get(row.order_public_id)) for row in rows]
