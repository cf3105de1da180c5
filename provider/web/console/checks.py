"""Pages of a check: outcomes of the screenings, completion."""

from dataclasses import dataclass, replace
from hashlib import sha256

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core import formats, labels
from provider.core.audit import Action
from provider.core.kinds.check import Check, Finding, decisions
from provider.core.kinds.check.adjudication.matrix import require_explanation
from provider.core.kinds.check.external_work import has_outside_work
from provider.core.kinds.check.packages.content import Screening
from provider.core.kinds.check.screening_work import describe_task
from provider.core.kinds.check.tables.check_document import list_documents
from provider.core.kinds.check.tables.finding import MAX_NOTE_LENGTH, MAX_REPORT_TEXT_LENGTH
from provider.core.kinds.check.tables.screening_task import ScreeningTask
from provider.core.orders import COMPLETED, CONSENTED, REPORT, Link
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console import authentication, check_details, check_documents, check_proposals
from provider.web.console.authentication import requires
from provider.web.console.check_details import list_details
from provider.web.console.check_disputes import list_disputes
from provider.web.console.check_documents import describe_document
from provider.web.console.check_readings import record_reading
from provider.web.console.form_digest import content_digest
from provider.web.console.presence import presence_context, record_visit

routes = Blueprint("checks", __name__, url_prefix="/checks/<order_id>")
routes.register_blueprint(check_details.routes)
routes.register_blueprint(check_documents.routes)

CHANGED_MESSAGE = (
    "A colleague changed this check after you opened this page, so nothing was saved. "
    "This page now shows the current state"
)
OUTCOMES_CHANGED_MESSAGE = (
    "A colleague changed this check after you opened this page, so nothing was saved. "
    "Your entries are still here. Compare them, then save again"
)


NO_OUTCOME_DIGEST = content_digest("", "", "")


class OutcomesChanged(Conflict):
    """A colleague changed a screening that the form changes too."""


@dataclass(frozen=True)
class ScreeningRow:
    """One screening on the page, with the saved or the submitted outcome and texts.

    `seen` is the digest of the outcome and texts that the form showed when it was opened.
    """

    screening: Screening
    status: str = ""
    report_text: str = ""
    note: str = ""
    actor: str = ""
    problem: str = ""
    seen: str = ""
    task: ScreeningTask | None = None
    state: str = ""


@routes.get("/")
@requires(Permission.VIEW_RESULTS)
def detail(order_id: str) -> Response:
    record_visit(order_id)
    return _check_response(order_id)


@routes.post("/outcomes")
@requires(Permission.DECIDE_CHECKS)
def save_outcomes(order_id: str) -> Response:
    """Save the changed outcomes; a single invalid or conflicting one rejects the whole form."""
    services = current_services()
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            _save_submitted_outcomes(session, check)
    except OutcomesChanged as error:
        return _check_response(order_id, str(error), 409, use_submitted=True)
    except Invalid as error:
        return _check_response(order_id, f"{error}. Nothing is saved yet", 400, use_submitted=True)
    except Conflict as error:
        return _check_response(order_id, str(error), 409)
    if request.form.get("go") == "complete":
        return redirect(url_for(".confirm_completion", order_id=order_id))
    flash("The outcomes are saved.", "success")
    return redirect(url_for(".detail", order_id=order_id))


@routes.get("/complete")
@requires(Permission.DECIDE_CHECKS)
def confirm_completion(order_id: str) -> Response:
    """Show exactly what the ATS will receive, and ask for confirmation."""
    record_visit(order_id)
    return _render_confirmation(order_id)


@routes.post("/complete")
@requires(Permission.DECIDE_CHECKS)
def complete(order_id: str) -> Response:
    services = current_services()
    try:
        with services.db.writing() as session:
            check = _lock_unchanged_check(session, order_id)
            before, staff = {"status": check.status}, authentication.current_staff().email
            is_done = decisions.complete(session, services.secret_box, check, staff, services.now())
            subject, after = f"order:{order_id}", {"status": check.status}
            if is_done:
                authentication.record_act(session, Action.CHECK_COMPLETED, subject, before, after)
            else:
                authentication.record_act(session, Action.CHECK_DECISION_PROPOSED, subject)
    except Conflict as error:
        return _render_confirmation(order_id, str(error), 409)
    if not is_done:
        flash("The outcomes wait for a second person, who confirms them or sends them back.")
        return redirect(url_for(".detail", order_id=order_id))
    flash("The check is completed.", "success")
    return redirect(url_for("console.orders.detail", order_id=order_id))


def _lock_unchanged_check(session: Session, order_id: str) -> Check:
    """Lock and return a check; Conflict when the check changed after the page was rendered."""
    check = Check.find(session, order_id, lock=True)
    if request.form.get("edit_token") != edit_token(check):
        latest = max(check.findings, key=lambda finding: finding.found_at, default=None)
        last_change = f". The last change: {_describe_finding(check, latest)}" if latest else ""
        raise Conflict(CHANGED_MESSAGE + last_change)
    return check


def edit_token(check: Check) -> str:
    """Return a digest of the check's revision and outcomes, to detect concurrent edits."""
    findings = [
        (finding.screening, finding.status, finding.found_at.isoformat())
        for finding in check.findings
    ]
    return sha256(repr((check.revision, sorted(findings))).encode()).hexdigest()[:16]


def _save_submitted_outcomes(session: Session, check: Check) -> None:
    services = current_services()
    if request.form.get("revision") != str(check.revision):
        raise Conflict(CHANGED_MESSAGE)  # reopened meanwhile: the candidate consented again
    if problems := _find_problems(check):
        raise Invalid(next(iter(problems.values())))
    if _find_conflicts(check):
        raise OutcomesChanged(OUTCOMES_CHANGED_MESSAGE)
    proposals = check_proposals.find_proposals(session, check)
    changed_screenings = []
    for screening in check.screenings:
        status, report_text, note = _submitted_outcome(screening.key)
        # An outcome that the form did not change is left alone: a colleague may have changed it.
        if status and _is_changed_by_form(screening.key):
            proposal = proposals.get(screening.key)
            require_explanation(proposal, status, note, screening.name)
            actor = authentication.current_staff().email
            if check.record_finding(
                session,
                services.secret_box,
                screening.key,
                status,
                note,
                actor,
                services.now(),
                report_text=report_text,
            ):
                changed_screenings.append(screening.key)
    if changed_screenings:  # their names only: an outcome is a result
        authentication.record_act(
            session,
            Action.CHECK_OUTCOMES_SAVED,
            f"order:{check.public_id}",
            after={"screenings": changed_screenings},
        )


def _find_problems(check: Check) -> dict[str, str]:
    """Return, by screening key, why the submitted form cannot be saved."""
    problems = {}
    for screening in check.screenings:
        status, report_text, note = _submitted_outcome(screening.key)
        if (report_text.strip() or note.strip()) and not status:
            problems[screening.key] = f"{screening.name}: choose an outcome for your text"
    return problems


def _find_conflicts(check: Check) -> dict[str, str]:
    """Return, by screening key, what a colleague changed that the form changes differently."""
    conflicts = {}
    for screening in check.screenings:
        finding = check.find_finding(screening.key)
        standing = _finding_digest(check, screening.key)
        submitted = content_digest(*_submitted_outcome(screening.key))
        is_unseen = standing not in (_seen_digest(screening.key), submitted)
        if is_unseen and _is_changed_by_form(screening.key):
            conflicts[screening.key] = (
                f"{_describe_finding(check, finding)}, after you opened this page. "
                "Save again to replace it"
                if finding
                else "A colleague removed the outcome after you opened this page"
            )
    return conflicts


def _is_changed_by_form(key: str) -> bool:
    return content_digest(*_submitted_outcome(key)) != _seen_digest(key)


def _seen_digest(key: str) -> str:
    return request.form.get(f"seen-{key}", NO_OUTCOME_DIGEST)


def _finding_digest(check: Check, key: str) -> str:
    finding = check.find_finding(key)
    if finding is None:
        return NO_OUTCOME_DIGEST
    return content_digest(*check.decrypt_finding(current_services().secret_box, finding))


def _describe_finding(check: Check, finding: Finding) -> str:
    name = check.find_screening(finding.screening).name
    outcome = labels.label_for("finding", finding.status)
    time = formats.format_datetime(finding.found_at, check.account.timezone)
    _, report_text, note = check.decrypt_finding(current_services().secret_box, finding)
    texts = [
        f"{label} “{text}”"
        for label, text in (("the text in the report", report_text), ("the note", note))
        if text
    ]
    details = f" with {' and '.join(texts)}" if texts else ""
    return f"{finding.actor} entered “{outcome}” for {name}{details}, on {time}"


def _submitted_outcome(key: str) -> tuple[str, str, str]:
    """Return the status, the text in the report and the private note."""
    form = request.form
    return form.get(f"status-{key}", ""), form.get(f"text-{key}", ""), form.get(f"note-{key}", "")


def _check_response(
    order_id: str, problem: str = "", status_code: int = 200, *, use_submitted: bool = False
) -> Response:
    with current_services().db.reading() as session:
        check = Check.find(session, order_id)
        response = _render_check(session, check, problem, status_code, use_submitted=use_submitted)
        # A reopened check has no finding, and still shows what was corrected before.
        shows_revisions = authentication.may(Permission.DECIDE_CHECKS) and bool(check.revisions)
        has_findings = bool(check.findings) or shows_revisions
    if has_findings:
        record_reading(order_id, "outcomes")
    return response


def _render_check(
    session: Session,
    check: Check,
    problem: str = "",
    status_code: int = 200,
    *,
    use_submitted: bool = False,
) -> Response:
    services, can_decide = current_services(), authentication.may(Permission.DECIDE_CHECKS)
    report = Link.find_permanent(session, check, REPORT) if check.result else None
    page = render_template(
        "console/check/detail.html",
        order=check,
        timezone=check.account.timezone,
        problem=problem,
        consent=check.consents[-1] if check.consents else None,
        disclosure=check.content.disclosure_for(check.country),
        rows=_submitted_rows(check, is_conflict=status_code == 409)
        if use_submitted
        else _saved_rows(check, can_decide),
        max_report_text_length=MAX_REPORT_TEXT_LENGTH,
        max_note_length=MAX_NOTE_LENGTH,
        can_edit=check.status == CONSENTED and can_decide,
        details=list_details(check) if can_decide else (),
        disputes=list_disputes(check) if can_decide else (),
        presence=presence_context(session, check),
        documents=[
            (describe_document(check, document), document)
            for document in list_documents(session, check)
            if not document.is_draft
        ],
        is_completed=check.status == COMPLETED,
        **check_proposals.page_context(session, check),
        has_outside_work=can_decide and has_outside_work(session, check),
        report_url=services.urls.report(report.get_token(services.secret_box)) if report else "",
    )
    return make_response(page, status_code)


def _render_confirmation(order_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        check = Check.find(session, order_id)
        page = render_template(
            "console/check/complete.html",
            order=check,
            problem=problem,
            edit_token=edit_token(check),
            is_allowed=check.status == CONSENTED,
            open_screenings=check.open_screenings(),
            unexplained_screenings=check.unexplained_screenings(),
            outcomes=check.reported_findings(current_services().secret_box),
            overall_status=check.overall_status,
            **check_proposals.page_context(session, check),
        )
        has_findings = bool(check.findings)
    if has_findings:
        record_reading(order_id, "outcomes")
    return make_response(page, status_code)


def _saved_rows(check: Check, can_see_notes: bool) -> list[ScreeningRow]:
    """Return the screenings as saved. Notes are private, so not all staff get them."""
    rows = []
    for screening in check.screenings:
        finding = check.find_finding(screening.key)
        task = next((task for task in check.tasks if task.key == screening.key), None)
        state = describe_task(task) if task else ""
        if finding is None:
            rows.append(ScreeningRow(screening, seen=NO_OUTCOME_DIGEST, task=task, state=state))
            continue
        outcome = check.decrypt_finding(current_services().secret_box, finding)
        status, report_text, note = outcome
        rows.append(
            ScreeningRow(
                screening,
                status,
                report_text,
                note if can_see_notes else "",
                finding.actor,
                seen=content_digest(*outcome),
                task=task,
                state=state,
            )
        )
    return rows


def _submitted_rows(check: Check, *, is_conflict: bool) -> list[ScreeningRow]:
    """Return the screenings as typed, each with its problem.

    After an invalid form the digests stay, or a colleague's change would be missed. After a
    conflict the form counts as opened now: it shows the change, and saving again replaces it.
    """
    conflicts = _find_conflicts(check) if is_conflict else {}
    problems = dict.fromkeys(_find_problems(check), "Choose an outcome for your text")
    rows = []
    for saved_row in _saved_rows(check, can_see_notes=True):
        key = saved_row.screening.key
        if conflicts and not _is_changed_by_form(key):
            rows.append(saved_row)
            continue
        status, report_text, note = _submitted_outcome(key)
        rows.append(
            replace(
                saved_row,
                status=status,
                report_text=report_text,
                note=note,
                problem=conflicts.get(key) or problems.get(key, ""),
                seen=saved_row.seen if conflicts else _seen_digest(key),
            )
        )
    return rows
