"""A check at the console: what the candidate entered, each screening's outcome, completing it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from hashlib import sha256

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core import labels
from provider.core.kinds.check import Check
from provider.core.kinds.check.candidate_details import DETAIL_FIELDS
from provider.core.kinds.check.content import Screening
from provider.core.orders import COMPLETED, CONSENTED, REPORT, Link
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console import authentication

routes = Blueprint("checks", __name__, url_prefix="/checks/<order_id>")

CHANGED_MESSAGE = (
    "A colleague changed this check after you opened this page, so nothing was done. "
    "Below is how it stands now"
)


@dataclass(frozen=True)
class ScreeningRow:
    """One screening on the page: its outcome and note, as they stand or as they were typed."""

    screening: Screening
    status: str = ""
    note: str = ""
    actor: str = ""
    problem: str = ""


@routes.get("/")
def one(order_id: str) -> Response:
    """Show a check, and to who may change it the form of its outcomes."""
    return _check_response(order_id)


@routes.post("/particulars")
def particulars(order_id: str) -> Response:
    """Show what the candidate entered, and put on record who asked for it."""
    services = current_services()
    with services.db.writing() as session:
        check = Check.find(session, order_id)
        if not check.candidate_details and not check.consents:
            raise Conflict("The candidate has entered nothing yet")
        check.record_event(
            session, "particulars shown", authentication.current_staff().email, services.now()
        )
        session.flush()
        return _render_check(session, check, show_details=True)


@routes.post("/outcomes")
def enter(order_id: str) -> Response:
    """Save the outcomes that were chosen; nothing is saved while one of them is wrong."""
    services = current_services()
    try:
        with services.db.writing() as session:
            _save_submitted_outcomes(session, _lock_unchanged_check(session, order_id))
    except Invalid as error:
        return _check_response(order_id, f"{error}. Nothing is saved yet", 400, use_submitted=True)
    except Conflict as error:
        return _check_response(order_id, str(error), 409)
    if request.form.get("go") == "complete":
        return redirect(url_for(".confirm", order_id=order_id))
    flash("The outcomes are saved.", "success")
    return redirect(url_for(".one", order_id=order_id))


@routes.get("/complete")
def confirm(order_id: str) -> Response:
    """Say what completing will do, word for word what the ATS is told, and ask."""
    authentication.require_change_permission()
    return _render_confirmation(order_id)


@routes.post("/complete")
def complete(order_id: str) -> Response:
    """Complete the check and tell the ATS."""
    services = current_services()
    try:
        with services.db.writing() as session:
            check = _lock_unchanged_check(session, order_id)
            check.conclude(
                session, services.secret_box, authentication.current_staff().email, services.now()
            )
    except Conflict as error:
        return _render_confirmation(order_id, str(error), 409)
    flash("The check is completed.", "success")
    return redirect(url_for("console.orders.story", order_id=order_id))


def _lock_unchanged_check(session: Session, order_id: str) -> Check:
    """Return a check for changing; Conflict when it moved on since the page was opened."""
    check = Check.find(session, order_id, lock=True)
    if request.form.get("stand") != edit_token(check):
        raise Conflict(CHANGED_MESSAGE)
    return check


def edit_token(check: Check) -> str:
    """Return a short sign of a check's status and outcomes: another one once they change."""
    found = [(each.screening, each.status, each.found_at.isoformat()) for each in check.findings]
    return sha256(repr((check.revision, sorted(found))).encode()).hexdigest()[:16]


def _save_submitted_outcomes(session: Session, check: Check) -> None:
    services = current_services()
    if problems := _find_problems(check):
        raise Invalid(next(iter(problems.values())))
    for each in check.content.screenings:
        status, note = _submitted_outcome(each.key)
        if status:
            actor = authentication.current_staff().email
            check.record_finding(
                session, services.secret_box, each.key, status, note, actor, services.now()
            )


def _find_problems(check: Check) -> dict[str, str]:
    """Return, by screening, what stands in the way of saving."""
    said = "{}: choose an outcome for what you noted"
    keys = [each for each in check.content.screenings if _submitted_outcome(each.key)[1].strip()]
    return {
        each.key: said.format(each.name) for each in keys if not _submitted_outcome(each.key)[0]
    }


def _submitted_outcome(key: str) -> tuple[str, str]:
    return request.form.get(f"status-{key}", ""), request.form.get(f"note-{key}", "")


def _check_response(
    order_id: str, problem: str = "", status_code: int = 200, *, use_submitted: bool = False
) -> Response:
    with current_services().db.reading() as session:
        return _render_check(
            session,
            Check.find(session, order_id),
            problem,
            status_code,
            use_submitted=use_submitted,
        )


def _render_check(
    session: Session,
    check: Check,
    problem: str = "",
    status_code: int = 200,
    *,
    show_details: bool = False,
    use_submitted: bool = False,
) -> Response:
    services, sees = current_services(), authentication.current_staff().can_change
    report = Link.find_permanent(session, check, REPORT) if check.result else None
    page = render_template(
        "console/check.html",
        order=check,
        zone=check.account.timezone,
        problem=problem,
        stand=edit_token(check),
        consent=check.consents[-1] if check.consents else None,
        disclosure=check.content.disclosure,
        lines=_submitted_rows(check) if use_submitted else _saved_rows(check, sees),
        working=check.status == CONSENTED and sees,
        shown=_candidate_detail_rows(check) if show_details else None,
        agreed=check.latest_consent_view(services.secret_box) if show_details else None,
        completed=check.status == COMPLETED,
        report=services.urls.report(report.get_token(services.secret_box)) if report else "",
    )
    return make_response(page, status_code)


def _render_confirmation(order_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        check = Check.find(session, order_id)
        page = render_template(
            "console/check_complete.html",
            order=check,
            problem=problem,
            stand=edit_token(check),
            possible=check.status == CONSENTED,
            left=check.open_screenings(),
            outcomes=check.finding_statuses(),
            overall=check.overall_status,
        )
    return make_response(page, status_code)


def _candidate_detail_rows(check: Check) -> list[tuple[str, str]]:
    found = check.decrypt_details(current_services().secret_box)
    return [
        (each.label, _format_date(found[name]) if each.input_type == "date" else found[name])
        for name, each in DETAIL_FIELDS.items()
        if name in found
    ]


def _format_date(text: str) -> str:
    return labels.format_date(datetime.combine(date.fromisoformat(text), time(), UTC))


def _saved_rows(check: Check, can_see_notes: bool) -> list[ScreeningRow]:
    """Return the screenings as they stand; what was found is for those who work on it alone."""
    found = []
    for each in check.content.screenings:
        finding = check.find_finding(each.key)
        if finding is None:
            found.append(ScreeningRow(each))
            continue
        note = check.decrypt_note(current_services().secret_box, finding) if can_see_notes else ""
        found.append(ScreeningRow(each, finding.status, note, finding.actor))
    return found


def _submitted_rows(check: Check) -> list[ScreeningRow]:
    wrong = _find_problems(check)
    return [
        ScreeningRow(each, *_submitted_outcome(each.key), problem=wrong.get(each.key, ""))
        for each in check.content.screenings
    ]
