"""The queue of screenings: what of all checks has to be done, the earliest due date first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask import Blueprint, render_template
from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload

from provider.core.accounts import Account
from provider.core.kinds.check.packages.screening_types import SCREENING_TYPES
from provider.core.kinds.check.screening_work import (
    IS_ENDED_TASK,
    IS_OPEN_TASK,
    OVERDUE,
    describe_task,
    name_screening,
)
from provider.core.kinds.check.tables.screening_task import (
    DONE,
    TASK_LABELS,
    WITHDRAWN,
    ScreeningTask,
)
from provider.core.labels import label_for
from provider.core.orders import Order
from provider.core.staff import Permission
from provider.services import current_services
from provider.web.console.authentication import current_staff, requires
from provider.web.console.bounded_search import Column, Filter, FoundPage, search_page
from provider.web.console.order_list import list_account_names
from provider.web.console.pagination import Page, Sorting, read_filter_value

routes = Blueprint("screenings", __name__, url_prefix="/screenings")

BY_DUE_DATE = Sorting(
    ScreeningTask.public_id, (ScreeningTask.due_on, ScreeningTask.id), descending=False
)
MINE, FREE = "mine", "free"


@dataclass(frozen=True)
class QueueRow:
    """One screening of the list."""

    task: ScreeningTask
    name: str
    state: str
    is_overdue: bool
    age: str  # since the consent


@routes.get("/")
@requires(Permission.DECIDE_CHECKS)
def listing() -> str:
    services = current_services()
    today = services.now().date()
    with services.db.reading() as session:
        choices = {
            "type": [(name, label_for("screening type", name)) for name in SCREENING_TYPES],
            "state": list(TASK_LABELS.items()),
            "whose": [(MINE, "Assigned to me"), (FREE, "Assigned to nobody")],
            "due": [(OVERDUE, "Overdue")],
            "account": list_account_names(session),
        }
        args = {
            name: read_filter_value(name, [value for value, _ in options])
            for name, options in choices.items()
        }
        found = search_page(session, BY_DUE_DATE, build_filter(session, args, today))
        tasks = session.scalars(row_query([key[-1] for key in found.keys])).all()
        return render_template(
            "console/check/queue.html",
            page=_build_page(session, found, tasks),
            rows=[_build_row(task, services.now()) for task in tasks],
            choices=choices,
            args=args,
        )


def build_filter(session: Session, args: dict[str, str], today: date) -> Filter:
    """Return the filter of the list; the partitions are the accounts of the filter or the person.

    Of the other filters, an index finds the one that usually matches the fewest screenings, and
    the rest is compared.
    """
    state, staff = args["state"], current_staff()
    is_of_ended = state in (DONE, WITHDRAWN)
    filters: dict[str, tuple[Column, str | None]] = {}
    if args["whose"] == MINE:
        filters[MINE] = ScreeningTask.assignee, staff.email
    if args["type"]:
        filters["type"] = ScreeningTask.screening_type, args["type"]
    if state:
        filters["state"] = ScreeningTask.state, state
    if args["whose"] == FREE:
        filters[FREE] = ScreeningTask.assignee, None
    account_ids = staff.account_ids
    if args["account"]:
        account_id = session.scalar(select(Account.id).where(Account.public_id == args["account"]))
        account_ids = (account_id,) if account_id else ()
    name = next(iter(filters), "")
    if is_of_ended:
        name = "state"
    elif account_ids is not None:
        name = ""
    indexed = [filters.pop(name)] if name else []
    conditions = [column == value for column, value in indexed]
    if is_of_ended and account_ids is not None:
        conditions.append(IS_ENDED_TASK)
    elif name != "state":
        conditions.append(IS_OPEN_TASK)
    if args["due"]:
        conditions.append(ScreeningTask.due_on < today)
    compared = tuple(filters.values())
    if account_ids is None:
        return Filter(tuple(conditions), compared)
    return Filter(tuple(conditions), compared, ScreeningTask.account_id, account_ids)


def _build_page(session: Session, found: FoundPage, tasks: Sequence[ScreeningTask]) -> Page:
    """Return the page of the tasks; a key where the search stopped may be of another task."""
    task_ids = [key[-1] for key in (found.previous_key, found.next_key) if key]
    query = select(ScreeningTask.id, ScreeningTask.public_id).where(ScreeningTask.id.in_(task_ids))
    public_ids = {row.id: row.public_id for row in session.execute(query)}
    previous_id, next_id = (
        public_ids[key[-1]] if key else None for key in (found.previous_key, found.next_key)
    )
    return Page(tasks, previous_id, next_id, found.is_partial)


def row_query(ids: list[int]) -> Select[Any]:
    """Return the query for the tasks of a page, with all that its rows show."""
    order = joinedload(ScreeningTask.order, innerjoin=True)
    return (
        select(ScreeningTask)
        .where(ScreeningTask.id.in_(ids))
        .order_by(ScreeningTask.due_on, ScreeningTask.id)
        .options(
            order.joinedload(Order.account, innerjoin=True),
            order.joinedload(Order.candidate, innerjoin=True),
            order.joinedload(Order.product, innerjoin=True),
            order.joinedload(Order.version, innerjoin=True),
        )
    )


def _build_row(task: ScreeningTask, now: datetime) -> QueueRow:
    is_overdue = task.is_open and task.due_on is not None and task.due_on < now.date()
    days = (now - task.created_at).days
    age = "Today" if not days else "1 day" if days == 1 else f"{days} days"
    return QueueRow(task, name_screening(task), describe_task(task), is_overdue, age)
