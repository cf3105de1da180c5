"""The page of one screening: the work on it, what the candidate gave for it, and its outcome."""

from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.adjudication.matrix import require_explanation
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.questions import MAX_QUESTION_LENGTH
from provider.core.kinds.check.records import MAX_REASON_LENGTH
from provider.core.kinds.check.screening_work import (
    claim,
    describe_task,
    give_back,
    hand_over,
    list_colleagues,
)
from provider.core.kinds.check.tables.finding import MAX_NOTE_LENGTH, MAX_REPORT_TEXT_LENGTH
from provider.core.kinds.check.tables.found_record import RECORD_KINDS, SEVERITIES
from provider.core.orders import CONSENTED
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.check_details import list_details
from provider.web.console.check_proposals import find_proposals
from provider.web.console.check_readings import record_reading
from provider.web.console.form_digest import content_digest
from provider.web.console.presence import presence_context, record_visit

routes = Blueprint("work", __name__, url_prefix="/screenings/<key>")

CHANGED_MESSAGE = (
    "A colleague changed this outcome after you opened the page, so nothing was saved. "
    "The form shows your entries: compare them with the timeline, then save again"
)


@routes.get("/")
@requires(Permission.DECIDE_CHECKS)
def detail(order_id: str, key: str) -> Response:
    record_visit(order_id)
    return render_screening(order_id, key)


@routes.post("/claim")
@requires(Permission.DECIDE_CHECKS)
def take(order_id: str, key: str) -> Response:
    """Become the assignee; a colleague who was quicker is named."""
    services, staff = current_services(), current_staff().email
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            if claim(session, check, key, staff, services.now()):
                _record_assignee(session, Action.SCREENING_CLAIMED, order_id, key, staff)
    except Conflict as error:
        return render_screening(order_id, key, str(error), 409)
    return back(order_id, key)


@routes.post("/hand-over")
@requires(Permission.DECIDE_CHECKS)
def pass_on(order_id: str, key: str) -> Response:
    """Make a colleague the assignee, or take the screening over."""
    services, staff = current_services(), current_staff().email
    to, seen = request.form.get("assignee", ""), request.form.get("seen", "")
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            hand_over(session, check, key, to, seen, staff, services.now())
            _record_assignee(session, Action.SCREENING_HANDED_OVER, order_id, key, to, seen)
    except (Conflict, Invalid) as error:
        return render_screening(order_id, key, str(error), status_of(error))
    flash(f"{to} is the assignee now.", "success")
    return back(order_id, key)


@routes.post("/give-back")
@requires(Permission.DECIDE_CHECKS)
def release(order_id: str, key: str) -> Response:
    """Leave the screening to whoever claims it next."""
    services, staff = current_services(), current_staff().email
    with services.db.writing() as session:
        check = Check.find(session, order_id, lock=True)
        if give_back(session, check, key, staff, services.now()):
            _record_assignee(session, Action.SCREENING_GIVEN_BACK, order_id, key, "", staff)
    return back(order_id, key)


@routes.post("/outcome")
@requires(Permission.DECIDE_CHECKS)
def save_outcome(order_id: str, key: str) -> Response:
    """Save the outcome, unless a colleague changed it after the form was opened."""
    services = current_services()
    status, text, note = _submitted_outcome()
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            _require_seen(check, key)
            _require_explanation(session, check, key, status, note)
            is_changed = check.record_finding(
                session,
                services.secret_box,
                key,
                status,
                note,
                current_staff().email,
                services.now(),
                report_text=text,
            )
            if is_changed:  # its name only: an outcome is a result
                after = {"screenings": [key]}
                record_act(session, Action.CHECK_OUTCOMES_SAVED, f"order:{order_id}", after=after)
    except (Conflict, Invalid) as error:
        return render_screening(order_id, key, str(error), status_of(error))
    flash("The outcome is saved.", "success")
    return redirect(url_for("console.checks.detail", order_id=order_id), 303)


def render_screening(
    order_id: str, key: str, problem: str = "", status_code: int = 200
) -> Response:
    """Return the page; after a form that was not saved, with its values and the problem."""
    with current_services().db.reading() as session:
        check = Check.find(session, order_id)
        response = make_response(_render(session, check, key, problem), status_code)
        has_findings = (
            check.find_finding(key) is not None
            or any(record.screening == key for record in check.records)
            or any(question.screening == key for question in check.questions)
        )
    if has_findings:
        record_reading(order_id, "screening", screening=key)
    return response


def back(order_id: str, key: str, anchor: str | None = None) -> Response:
    url = url_for("console.checks.work.detail", order_id=order_id, key=key, _anchor=anchor)
    return redirect(url, 303)


def status_of(error: Exception) -> int:
    return 400 if isinstance(error, Invalid) else 409


def _render(session: Session, check: Check, key: str, problem: str = "") -> str:
    screening, task = check.find_screening(key), check.find_task(key)
    finding = check.find_finding(key)
    status, text, note = _submitted_outcome() if "status" in request.form else _outcome(check, key)
    return render_template(
        "console/check/screening.html",
        order=check,
        timezone=check.account.timezone,
        screening=screening,
        task=task,
        state=describe_task(task, finding),
        colleagues=list_colleagues(session, check),
        details=[row for row in list_details(check) if row.name in screening.asks],
        detail_labels={name: field.label for name, field in DETAIL_FIELDS.items()},
        questions=_question_rows(check, key),
        has_open_question=any(
            question.is_open for question in check.questions if question.screening == key
        ),
        records=record_rows(check, key),
        outcome={"status": status, "text": text, "note": note},
        finding=finding,
        seen=_seen_digest(check),
        proposal=find_proposals(session, check).get(key),
        can_edit=check.status == CONSENTED,
        problem=problem,
        form=request.form,
        presence=presence_context(session, check),
        kinds=list(RECORD_KINDS.items()),
        severities=list(SEVERITIES.items()),
        slots=DOCUMENT_SLOTS,
        limits={
            "question": MAX_QUESTION_LENGTH,
            "text": MAX_REPORT_TEXT_LENGTH,
            "note": MAX_NOTE_LENGTH,
            "reason": MAX_REASON_LENGTH,
        },
    )


def record_rows(check: Check, key: str) -> list[dict[str, Any]]:
    """Return the decrypted records of a screening, those that were removed at the end."""
    box, order_id = current_services().secret_box, check.public_id
    rows = [
        {
            "record": record,
            "facts": record.decrypt_facts(box, order_id),
            "text": record.decrypt_public_text(box, order_id),
            "note": record.decrypt_private_note(box, order_id),
            "reason": record.decrypt_removal_reason(box, order_id),
        }
        for record in check.records
        if record.screening == key
    ]
    return sorted(rows, key=lambda row: row["record"].removed_at is not None)


def _question_rows(check: Check, key: str) -> list[dict[str, Any]]:
    box, order_id = current_services().secret_box, check.public_id
    return [
        {
            "question": question,
            "text": question.decrypt_question(box, order_id),
            "answer": question.decrypt_answer(box, order_id),
        }
        for question in check.questions
        if question.screening == key
    ]


def _require_seen(check: Check, key: str) -> None:
    """Raise Conflict when the form would replace an outcome that it did not show."""
    if request.form.get("seen") == _seen_digest(check):
        return
    if content_digest(*_outcome(check, key)) != content_digest(*_submitted_outcome()):
        raise Conflict(CHANGED_MESSAGE)


def _require_explanation(session: Session, check: Check, key: str, status: str, note: str) -> None:
    """Raise Invalid for a changed outcome that differs from the proposal without a note."""
    if status and _outcome(check, key) != _submitted_outcome():
        proposal = find_proposals(session, check).get(key)
        require_explanation(proposal, status, note, check.find_screening(key).name)


def _submitted_outcome() -> tuple[str, str, str]:
    form = request.form
    return form.get("status", ""), form.get("text", ""), form.get("note", "")


def _outcome(check: Check, key: str) -> tuple[str, str, str]:
    finding = check.find_finding(key)
    if finding is None:
        return "", "", ""
    return check.decrypt_finding(current_services().secret_box, finding)


def _seen_digest(check: Check) -> str:
    """Return a digest of the outcome that stands; a reopened check has another revision."""
    key = str((request.view_args or {})["key"])
    return content_digest(check.revision, *_outcome(check, key))


def _record_assignee(
    session: Session, action: Action, order_id: str, key: str, after: str, before: str = ""
) -> None:
    if after == before:
        return
    record_act(
        session,
        action,
        f"order:{order_id}",
        before={"screening": key, "assignee": before} if before else {"screening": key},
        after={"screening": key, "assignee": after},
    )
