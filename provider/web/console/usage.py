"""The usage: how many orders each account has placed and completed, by month and product."""

from collections.abc import Iterator, Sequence

from flask import Blueprint, Response, make_response, render_template, request
from sqlalchemy.orm import Session

from provider.core.orders.usage import Month, Usage, list_months, list_usage
from provider.core.staff import Permission
from provider.errors import Invalid
from provider.services import current_services
from provider.web.console.accounts import find_account
from provider.web.console.authentication import requires
from provider.web.console.csv_download import csv_response
from provider.web.console.order_list import list_account_names

routes = Blueprint("usage", __name__, url_prefix="/usage")
DEFAULT_MONTH_COUNT = 3
MAX_PAGE_MONTHS, MAX_FILE_MONTHS = 24, 240
MAX_ROWS = 500  # on the page; the file has all
CSV_COLUMNS = ("Month", "Account", "Kind", "Product", "Key", "Ordered", "Completed")


@routes.get("/")
@requires(Permission.VIEW_ACCOUNTS)
def listing() -> Response:
    first, last = _default_months()
    problem, rows = "", []
    with current_services().db.reading() as session:
        try:
            months = _read_months(MAX_PAGE_MONTHS)
            rows = list_usage(session, months, _read_account(session))
        except Invalid as error:
            problem = str(error)
        page = render_template(
            "console/usage.html",
            rows=rows[:MAX_ROWS],
            row_count=len(rows),
            ordered=sum(row.ordered for row in rows),
            completed=sum(row.completed for row in rows),
            args=request.args,
            first=request.args.get("from") or first,
            last=request.args.get("to") or last,
            accounts=list_account_names(session),
            problem=problem,
        )
    return make_response(page, 400 if problem else 200)


@routes.get("/usage.csv")
@requires(Permission.VIEW_ACCOUNTS)
def download() -> Response:
    """Return the usage as a CSV file, read month by month."""
    months = _read_months(MAX_FILE_MONTHS)
    with current_services().db.reading() as session:
        account_id = _read_account(session)
    name = f"usage-{months[0]}-{months[-1]}.csv"
    return csv_response(name, CSV_COLUMNS, _read_rows(months, account_id))


def _read_rows(months: Sequence[Month], account_id: int | None) -> Iterator[tuple[object, ...]]:
    for month in months:
        with current_services().db.reading() as session:
            rows = list_usage(session, [month], account_id)
        yield from map(_csv_row, rows)


def _csv_row(row: Usage) -> tuple[object, ...]:
    names = (row.month, row.account, row.kind, row.product, row.product_key)
    return (*names, row.ordered, row.completed)


def _default_months() -> tuple[Month, Month]:
    present = Month.of(current_services().now())
    return present.plus(1 - DEFAULT_MONTH_COUNT), present


def _read_months(max_count: int) -> list[Month]:
    first, last = _default_months()
    texts = request.args.get("from", ""), request.args.get("to", "")
    last = Month.parse(texts[1]) if texts[1] else last
    if texts[0]:
        first = Month.parse(texts[0])
    elif texts[1]:
        first = last.plus(1 - DEFAULT_MONTH_COUNT)
    return list_months(first, last, max_count)


def _read_account(session: Session) -> int | None:
    public_id = request.args.get("account", "")
    return find_account(session, public_id).id if public_id else None
