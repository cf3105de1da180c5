"""What a second person answers, and the correction of an outcome after completion."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.decisions import (
    MAX_REASON_LENGTH,
    RevisionForm,
    confirm,
    describe_revision,
    find_open_proposal,
    needs_second_person,
    revise,
    send_back,
)
from provider.core.kinds.check.evidence import CONSIDER
from provider.core.kinds.check.tables.finding import MAX_NOTE_LENGTH, MAX_REPORT_TEXT_LENGTH
from provider.core.orders import COMPLETED
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.authentication import requires
from provider.web.console.check_readings import record_reading
from provider.web.console.form_digest import content_digest
from provider.web.console.presence import record_visit

routes = Blueprint("decisions", __name__)

CHANGED_MESSAGE = (
    "A colleague has corrected this outcome meanwhile. The page shows the present one: make your "
    "correction again"
)


@routes.post("/confirm")
@requires(Permission.DECIDE_CHECKS)
def confirm_proposal(order_id: str) -> Response:
    """Do what a colleague has proposed."""
    services, staff = current_services(), authentication.current_staff().email
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            before = {"status": check.status}
            proposal = confirm(session, services.secret_box, check, staff, services.now())
            authentication.record_act(
                session,
                Action.CHECK_DECISION_CONFIRMED,
                f"order:{order_id}",
                before,
                {"status": check.status, "proposed_by": proposal.proposed_by},
            )
    except (Conflict, Invalid) as error:
        flash(f"{error}.", "danger")
    else:
        flash("It is confirmed. The ATS gets the result.", "success")
    return redirect(url_for("console.checks.detail", order_id=order_id))


@routes.post("/send-back")
@requires(Permission.DECIDE_CHECKS)
def send_proposal_back(order_id: str) -> Response:
    services, staff = current_services(), authentication.current_staff().email
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            proposal = send_back(
                session,
                services.secret_box,
                check,
                staff,
                request.form.get("reason", ""),
                services.now(),
            )
            after = {"purpose": proposal.purpose, "proposed_by": proposal.proposed_by}
            authentication.record_act(
                session, Action.CHECK_DECISION_SENT_BACK, f"order:{order_id}", after=after
            )
    except (Conflict, Invalid) as error:
        flash(f"{error}.", "danger")
    else:
        flash("It is sent back. The reason is on the page of the check.", "success")
    return redirect(url_for("console.checks.detail", order_id=order_id))


@routes.get("/revise/<screening>")
@requires(Permission.DECIDE_CHECKS)
def revision(order_id: str, screening: str) -> Response:
    record_visit(order_id)
    return _render(order_id, screening)


@routes.post("/revise/<screening>")
@requires(Permission.DECIDE_CHECKS)
def save_revision(order_id: str, screening: str) -> Response:
    """Correct the outcome, or propose that to a second person."""
    services, staff = current_services(), authentication.current_staff().email
    form = _read_form(screening)
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            _require_unchanged(check, screening)
            before = {"revision": check.revision}
            is_done = revise(session, services.secret_box, check, form, staff, services.now())
            action = Action.CHECK_REVISED if is_done else Action.CHECK_DECISION_PROPOSED
            # No outcome: it is a result.
            after = {"screening": screening, "revision": check.revision}
            authentication.record_act(session, action, f"order:{order_id}", before, after)
    except Invalid as error:
        return _render(order_id, screening, str(error), 400, form)
    except Conflict as error:
        return _render(order_id, screening, str(error), 409)
    message = "The outcome is corrected, and the ATS gets the new result."
    flash(message if is_done else "The correction waits for a second person.", "success")
    return redirect(url_for("console.checks.detail", order_id=order_id))


def _read_form(screening: str) -> RevisionForm:
    names = ("status", "report_text", "note", "reason")
    return RevisionForm(screening, *(request.form.get(name, "") for name in names))


def _require_unchanged(check: Check, screening: str) -> None:
    if request.form.get("seen") != _seen(check, screening):
        raise Conflict(CHANGED_MESSAGE)


def _seen(check: Check, screening: str) -> str:
    finding = check.find_finding(screening)
    if finding is None:
        raise NotFound("This screening has no outcome")
    return content_digest(*check.decrypt_finding(current_services().secret_box, finding))


def _render(
    order_id: str,
    screening: str,
    problem: str = "",
    status_code: int = 200,
    form: RevisionForm | None = None,
) -> Response:
    box = current_services().secret_box
    with current_services().db.reading() as session:
        check = Check.find(session, order_id)
        entry, finding = check.find_screening(screening), check.find_finding(screening)
        if finding is None:
            raise Conflict("This screening has no outcome yet")
        status, report_text, note = check.decrypt_finding(box, finding)
        present = RevisionForm(screening, status, report_text, note, "")
        page = render_template(
            "console/check/revise.html",
            order=check,
            screening=entry,
            present=present,
            form=form or present,
            seen=_seen(check, screening),
            problem=problem,
            is_allowed=check.status == COMPLETED and find_open_proposal(check) is None,
            needs_second_person=needs_second_person(check.account, CONSIDER),
            history=[
                (row, *describe_revision(box, check, row))
                for row in reversed(check.revisions)
                if row.screening == screening
            ],
            max_report_text_length=MAX_REPORT_TEXT_LENGTH,
            max_note_length=MAX_NOTE_LENGTH,
            max_reason_length=MAX_REASON_LENGTH,
            timezone=check.account.timezone,
        )
    record_reading(order_id, "screening", screening=screening)
    return make_response(page, status_code)
