"""The records of a screening: the forms to add, to correct and to remove one."""

from flask import Blueprint, flash, make_response, render_template, request
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.records import (
    MAX_REASON_LENGTH,
    RecordForm,
    add_record,
    correct_record,
    remove_record,
)
from provider.core.kinds.check.tables.finding import MAX_NOTE_LENGTH, MAX_REPORT_TEXT_LENGTH
from provider.core.kinds.check.tables.found_record import RECORD_KINDS, SEVERITIES
from provider.core.orders import CONSENTED
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.check_readings import record_reading
from provider.web.console.check_screening import back, record_rows, render_screening, status_of
from provider.web.console.presence import record_visit

routes = Blueprint("records", __name__, url_prefix="/screenings/<key>/records")


@routes.post("/")
@requires(Permission.DECIDE_CHECKS)
def create(order_id: str, key: str) -> Response:
    services = current_services()
    try:
        form = _read_form()
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            staff, now = current_staff().email, services.now()
            add_record(session, services.secret_box, check, key, form, staff, now)
            after = {"screening": key}
            record_act(session, Action.RECORD_ADDED, f"order:{order_id}", after=after)
    except (Conflict, Invalid) as error:
        return render_screening(order_id, key, str(error), status_of(error))
    flash("The record is saved.", "success")
    return back(order_id, key, "records")


@routes.get("/<record_id>/")
@requires(Permission.DECIDE_CHECKS)
def edit(order_id: str, key: str, record_id: str) -> Response:
    record_visit(order_id)
    return _render(order_id, key, record_id)


@routes.post("/<record_id>/")
@requires(Permission.DECIDE_CHECKS)
def correct(order_id: str, key: str, record_id: str) -> Response:
    """Replace a record by a corrected one; the old one stays, with the reason."""
    services, reason = current_services(), request.form.get("reason", "")
    try:
        form = _read_form()
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            staff, now = current_staff().email, services.now()
            box = services.secret_box
            correct_record(session, box, check, record_id, form, reason, staff, now)
            after = {"screening": key}
            record_act(session, Action.RECORD_CORRECTED, f"order:{order_id}", after=after)
    except (Conflict, Invalid) as error:
        return _render(order_id, key, record_id, str(error), status_of(error))
    flash("The record is corrected.", "success")
    return back(order_id, key, "records")


@routes.post("/<record_id>/remove")
@requires(Permission.DECIDE_CHECKS)
def remove(order_id: str, key: str, record_id: str) -> Response:
    services, reason = current_services(), request.form.get("reason", "")
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            staff, now = current_staff().email, services.now()
            remove_record(session, services.secret_box, check, record_id, reason, staff, now)
            after = {"screening": key}
            record_act(session, Action.RECORD_REMOVED, f"order:{order_id}", after=after)
    except (Conflict, Invalid) as error:
        return _render(order_id, key, record_id, str(error), status_of(error))
    flash("The record is removed.", "success")
    return back(order_id, key, "records")


def _read_form() -> RecordForm:
    form = request.form
    return RecordForm.parse(
        form.get("kind", ""),
        form.get("severity", ""),
        form.get("occurred_on", ""),
        form.get("public_text", ""),
        form.get("private_note", ""),
        current_services().now(),
    )


def _render(
    order_id: str, key: str, record_id: str, problem: str = "", status_code: int = 200
) -> Response:
    with current_services().db.reading() as session:
        check = Check.find(session, order_id)
        row = next(
            (row for row in record_rows(check, key) if row["record"].public_id == record_id), None
        )
        if row is None:
            raise NotFound("There is no such record")
        record, facts = row["record"], row["facts"]
        stored = {
            "kind": facts.kind,
            "severity": facts.severity,
            "occurred_on": facts.occurred_on.isoformat() if facts.occurred_on else "",
            "public_text": row["text"],
            "private_note": row["note"],
        }
        page = render_template(
            "console/check/record.html",
            order=check,
            screening=check.find_screening(key),
            record=record,
            form=request.form if "public_text" in request.form else stored,
            reason=request.form.get("reason", ""),
            can_edit=check.status == CONSENTED and record.removed_at is None,
            problem=problem,
            kinds=list(RECORD_KINDS.items()),
            severities=list(SEVERITIES.items()),
            limits={
                "text": MAX_REPORT_TEXT_LENGTH,
                "note": MAX_NOTE_LENGTH,
                "reason": MAX_REASON_LENGTH,
            },
        )
    record_reading(order_id, "screening", screening=key)
    return make_response(page, status_code)
