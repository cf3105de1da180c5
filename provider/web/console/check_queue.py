"""The queue of screenings: what of all checks has to be done, the earliest due date first."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask import Blueprint, render_template
from sqlalchemy import ColumnElement, Select, and_, select
from sqlalchemy.orm import Session, joinedload

from provider.core.accounts import Account
from provider.core.kinds.check.screening_task import (
    DONE,
    TASK_LABELS,
    WITHDRAWN,
    ScreeningTask,
)
from provider.core.kinds.check.screening_types import SCREENING_TYPES
from provider.core.kinds.check.screening_work import (
    IS_OPEN_TASK,
    OVERDUE,
    describe_task,
    name_screening,
)
from provider.core.labels import label_for
from provider.core.orders import Order
from provider.core.staff import Permission
from provider.services import current_services
from provider.web.console.authentication import current_staff, requires
from provider.web.console.order_list import list_account_names
from provider.web.console.pagination import Sorting, paginate, read_filter_value

routes = Blueprint("screenings", __name__, url_prefix="/screenings")

COLUMNS: tuple[Any, ...] = (ScreeningTask.public_id, ScreeningTask.id, ScreeningTask.due_on)
BY_DUE_DATE = Sorting(
    ScreeningTask.public_id, (ScreeningTask.due_on, ScreeningTask.id), descending=False
)
MINE, FREE = "mine", "free"
MAX_ACCOUNT_PARTITIONS = 20  # accounts; with more, one scan is quicker


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
        partitions = find_partitions(session, args, today)
        page = paginate(session, select(*COLUMNS), BY_DUE_DATE, partitions)
        tasks = session.scalars(row_query([row.id for row in page.rows])).all()
        return render_template(
            "console/check/queue.html",
            page=page,
            rows=[_build_row(task, services.now()) for task in tasks],
            choices=choices,
            args=args,
        )


def find_partitions(
    session: Session, args: dict[str, str], today: date
) -> list[ColumnElement[bool]]:
    """Return the conditions of the list, each with an index in the sort order."""
    conditions: list[ColumnElement[bool]] = []
    is_of_ended = args["state"] in (DONE, WITHDRAWN)
    if not is_of_ended:
        conditions.append(IS_OPEN_TASK)
    if args["state"]:
        conditions.append(ScreeningTask.state == args["state"])
    if args["type"]:
        conditions.append(ScreeningTask.screening_type == args["type"])
    if args["whose"] == MINE:
        conditions.append(ScreeningTask.assignee == current_staff().email)
    elif args["whose"] == FREE:
        conditions.append(ScreeningTask.assignee.is_(None))
    if args["due"]:
        conditions.append(ScreeningTask.due_on < today)
    if args["account"]:
        account_id = session.scalar(select(Account.id).where(Account.public_id == args["account"]))
        return [and_(ScreeningTask.account_id == account_id, *conditions)]
    account_ids = current_staff().account_ids
    if account_ids is None or len(account_ids) > MAX_ACCOUNT_PARTITIONS:
        return [and_(*conditions)]
    return [and_(ScreeningTask.account_id == number, *conditions) for number in account_ids]


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
