"""The list of orders as a CSV file, which streams: the memory does not grow with the list."""

from datetime import datetime
from typing import Any

from flask import Blueprint, Response

from provider.core.audit import Action
from provider.core.candidate_names import label_of
from provider.core.labels import label_for, needs_label
from provider.core.staff import Permission
from provider.services import current_services
from provider.web.console.authentication import candidate_names, may, record_act, requires
from provider.web.console.csv_download import csv_response
from provider.web.console.order_list import filter_choices, read_all_rows, read_filter

routes = Blueprint("order_export", __name__, url_prefix="/orders/export")

COLUMN_NAMES = (
    "Id",
    "First name",
    "Last name",
    "E-mail",
    "Job",
    "Job reference",
    "Product",
    "Kind",
    "Account",
    "Status",
    "Progress",
    "Needs",
    "Placed (UTC)",
    "Start by (UTC)",
    "Ended (UTC)",
)
SCORE_NAME = "Score (%)"

Cell = str | float | None


@routes.post("/")
@requires(Permission.VIEW_ORDERS)
def download() -> Response:
    """Export the filtered list; the scores only for a role that may see results."""
    services, with_scores = current_services(), may(Permission.VIEW_RESULTS)
    with services.db.writing() as session:
        order_filter = read_filter(session, filter_choices(session))
        # Without the text of the search: it often names a candidate.
        after = {**order_filter.values, "search": bool(order_filter.query), "scores": with_scores}
        record_act(session, Action.ORDERS_EXPORTED, "orders", after=after)
    names = (*COLUMN_NAMES, SCORE_NAME) if with_scores else COLUMN_NAMES
    rows = (
        (*_cells(row, is_hidden=is_hidden), score)
        if with_scores
        else _cells(row, is_hidden=is_hidden)
        for row, score, is_hidden in read_all_rows(services.db, order_filter, candidate_names())
    )
    return csv_response(f"orders-{services.now():%Y-%m-%d}.csv", names, rows)


def _cells(row: Any, *, is_hidden: bool) -> tuple[Cell, ...]:
    names = (row.first_name, row.last_name, row.email)
    return (
        row.public_id,
        *((label_of(row.public_id), "", "") if is_hidden else names),
        row.job_title,
        row.job_reference,
        row.product,
        label_for("kind", row.kind),
        row.account,
        label_for("status", row.status),
        label_for("progress", row.progress),
        needs_label(row.kind, row.waiting_for, row.progress),
        _utc_text(row.placed_at),
        _utc_text(row.expires_at),
        _utc_text(row.finished_at),
    )


def _utc_text(moment: datetime | None) -> str:
    """Return a time as spreadsheets read it."""
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else ""
