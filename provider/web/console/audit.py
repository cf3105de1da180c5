"""The audit log: what staff and commands have done, newest first."""

from typing import Any

from flask import Blueprint, render_template, request, url_for
from sqlalchemy import Select, select

from provider.core.audit import Action, AuditEntry, list_changes
from provider.core.formats import format_duration
from provider.core.labels import label_for
from provider.core.staff import Permission
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.console.pagination import Sorting, paginate, read_filter_value

routes = Blueprint("audit", __name__, url_prefix="/audit")

NEWEST_FIRST = Sorting(AuditEntry.public_id, (AuditEntry.id,))
# Type of a subject → endpoint and argument of its page.
SUBJECT_PAGES = {
    "order": ("console.orders.detail", "order_id"),
    "bulk": ("console.bulk_runs.detail", "run_id"),
    "delivery": ("console.deliveries.detail", "message_id"),
    "product": ("console.products.detail", "product_id"),
    "account": ("console.accounts.detail", "account_id"),
}
# Field → family of its values' labels.
VALUE_LABELS = {"status": "status", "state": "delivery", "kind": "kind"}
EMPTY_VALUES: tuple[object, ...] = (None, "", [], {})


@routes.get("/")
@requires(Permission.VIEW_AUDIT_LOG)
def listing() -> str:
    action = read_filter_value("action", list(Action))
    filters = {name: _read_text_filter(name) for name in ("actor", "subject")}
    with current_services().db.reading() as session:
        page = paginate(session, _entry_query(action, **filters), NEWEST_FIRST)
        return render_template(
            "console/audit.html",
            page=page,
            args=request.args,
            actions=[(name, label_for("action", name)) for name in Action],
            is_filtered=bool(action or any(filters.values())),
            subject_link=_subject_link,
            change_lines=_change_lines,
        )


def _read_text_filter(name: str) -> str:
    return request.args.get(name, "").strip().replace("\x00", "")


def _entry_query(action: str, actor: str, subject: str) -> Select[Any]:
    query = select(
        AuditEntry.public_id,
        AuditEntry.at,
        AuditEntry.actor,
        AuditEntry.action,
        AuditEntry.subject,
        AuditEntry.before,
        AuditEntry.after,
    )
    values = (
        (AuditEntry.action, action),
        (AuditEntry.actor, actor),
        (AuditEntry.subject, subject),
    )
    return query.where(*(column == value for column, value in values if value))


def _subject_link(subject: str) -> tuple[str, str, str]:
    """Return the type of a subject as text, its id, and its page's URL or an empty text."""
    subject_type, _, subject_id = subject.partition(":")
    url = ""
    if subject_type in SUBJECT_PAGES:
        endpoint, argument = SUBJECT_PAGES[subject_type]
        url_values: dict[str, Any] = {argument: subject_id}
        url = url_for(endpoint, **url_values)
    return label_for("subject", subject_type), subject_id, url


def _change_lines(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[str]:
    """Return one line per changed field: `Status: Waiting → Cancelled`.

    An entry without a `before` has lines for the values alone that are not empty.
    """
    lines = []
    for name, old, new in list_changes(before, after):
        if before is None and new in EMPTY_VALUES:
            continue
        values = [
            _format_value(name, value)
            for fields, value in ((before, old), (after, new))
            if name in (fields or {})
        ]
        lines.append(f"{label_for('field', name)}: {' → '.join(values)}")
    return lines


def _format_value(name: str, value: Any) -> str:
    if value in EMPTY_VALUES:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_seconds"):
        return format_duration(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(
            f"{label_for('field', key)}: {_format_value(key, item)}" for key, item in value.items()
        )
    return label_for(VALUE_LABELS[name], str(value)) if name in VALUE_LABELS else str(value)
