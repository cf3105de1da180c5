"""Scheduled work: the rows of bulk runs that erase orders.

An erasure deletes files first and commits its rows itself, so it cannot share a transaction with
the row of the run. A row whose order is erased already counts as done.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from provider.core.audit import Action
from provider.core.orders import ErasedOrder
from provider.core.orders.actions import ORDER_ACTIONS
from provider.core.orders.bulk_run import DONE, REFUSED, BulkRow
from provider.core.orders.bulk_runner import (
    LEASE,
    MAX_RUN_TIME,
    UNEXPECTED_PROBLEM,
    find_order,
    waiting_rows,
)
from provider.core.orders.edit_conflict import OrderChanged, require_as_seen
from provider.core.orders.order_action import AnyAction, Form, SeparateAction
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.core.staff import Permission
from provider.errors import Invalid, ProviderError, Unavailable
from provider.maintenance.erasure import Erasure, erase_order, require_erasable

ERASE = "erase"
CONFIRMATION = "erase"  # what staff type to confirm


def _read_confirmation(form: Form) -> dict[str, Any]:
    if form.get("confirmation", "").strip().casefold() != CONFIRMATION:
        raise Invalid("Type the word “erase” to confirm")
    return {}


def _erase(context: WorkContext, order_id: str, actor: str) -> Erasure:
    return erase_order(
        context.db,
        context.media,
        context.secret_box,
        order_id,
        actor=actor,
        now=context.now(),
    )


ERASE_ACTION = SeparateAction(
    Action.ORDER_ERASED,
    require_erasable,
    _read_confirmation,
    _erase,
    permission=Permission.MANAGE_ACCOUNTS,
)
# The actions of bulk runs.
BULK_ACTIONS: Mapping[str, AnyAction] = {**ORDER_ACTIONS, ERASE: ERASE_ACTION}


def erase_next(context: WorkContext) -> bool:
    """Erase the order of one row. Returns whether there was one."""
    with context.db.reading() as session:
        row = session.scalar(waiting_rows([ERASE]))
        if row is None:
            return False
        row_id, order_id, actor = row.id, row.order_public_id, row.run.actor
        problem = _find_problem(session, row)
    if not problem:
        problem = _try_erasure(context, order_id, actor)
    with context.db.writing() as session:
        row = session.get_one(BulkRow, row_id, with_for_update=True)
        row.state, row.problem = REFUSED if problem else DONE, problem
    return True


def _find_problem(session: Session, row: BulkRow) -> str:
    """Return why a row must not be performed; empty for an order that is erased already."""
    try:
        if not _is_erased(session, row.order_public_id):
            order = find_order(session, row, ERASE_ACTION.permission)
            require_as_seen(session, order, row.seen)
    except OrderChanged as error:
        return error.summary
    except ProviderError as error:
        return str(error)
    return ""


def _try_erasure(context: WorkContext, order_id: str, actor: str) -> str:
    try:
        ERASE_ACTION.perform(context, order_id, actor)
    except (OperationalError, Unavailable):
        raise  # the other rows would fail too: the next run tries again
    except ProviderError as error:
        with context.db.reading() as session:
            return "" if _is_erased(session, order_id) else str(error)
    except Exception:
        from structlog import get_logger  # late: see `logging_config`

        get_logger().exception("order_not_erased", order=order_id)
        return UNEXPECTED_PROBLEM
    return ""


def _is_erased(session: Session, order_id: str) -> bool:
    query = select(ErasedOrder.id).where(ErasedOrder.public_id == order_id)
    return session.scalar(query) is not None


def _has_waiting_rows(session: Session, _now: datetime) -> bool:
    return session.scalar(waiting_rows([ERASE])) is not None


def _erase_rows(context: WorkContext) -> None:
    end = context.now() + MAX_RUN_TIME
    while context.now() < end and erase_next(context):
        pass


ERASE_IN_BULK = ScheduledWork(
    "erase_in_bulk",
    every=timedelta(seconds=2),
    run=_erase_rows,
    is_needed=_has_waiting_rows,
    lease=LEASE,
)
