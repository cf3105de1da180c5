"""The acts of reviewers on an interview: ratings, scorecards, notes and assignments."""

from flask import Blueprint, flash, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.answers import TimeNote
from provider.core.kinds.interview.time_notes import MAX_TEXT_LENGTH, parse_time
from provider.core.products.schema_fields import clean_text
from provider.core.staff import Permission, Staff
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.web.console.authentication import current_staff, may, record_act, require, requires
from provider.web.console.interviews import (
    MAX_NOTE_LENGTH,
    Problem,
    find_recording,
    is_submitted,
    question_number,
    render_interview,
    submits_once,
)

routes = Blueprint("reviews", __name__)

OVERALL = "overall"


@routes.post("/ratings/<question>")
@requires(Permission.RATE_INTERVIEWS)
def save_rating(order_id: str, question: str) -> Response:
    """Save the rating and the note of one answer: for a script, or for a form."""
    return _save(order_id, question)


@routes.post("/overall")
@requires(Permission.RATE_INTERVIEWS)
def save_overall(order_id: str) -> Response:
    """Save the overall rating and its comment."""
    return _save(order_id, OVERALL)


@routes.post("/scorecard/submit")
@requires(Permission.RATE_INTERVIEWS)
def submit_scorecard(order_id: str) -> Response:
    """Submit one's own scorecard, and show those of others."""
    services, email = current_services(), current_staff().email
    try:
        with services.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            interview.submit_scorecard(session, email, services.now())
            record_act(session, Action.SCORECARD_SUBMITTED, f"order:{order_id}")
    except Conflict as error:
        return render_interview(order_id, Problem(str(error), 409))
    flash("Your scorecard is submitted.", "success")
    return _back(order_id, "reviewers")


@routes.post("/scorecard/take-back")
@requires(Permission.RATE_INTERVIEWS)
def take_back_scorecard(order_id: str) -> Response:
    """Open one's own scorecard again, as long as no other one is in."""
    services = current_services()
    try:
        with services.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            _require_name_unseen(interview)
            interview.take_back_scorecard(session, current_staff().email, services.now())
            record_act(session, Action.SCORECARD_TAKEN_BACK, f"order:{order_id}")
    except Conflict as error:
        return render_interview(order_id, Problem(str(error), 409))
    flash("You can change your scorecard again.", "success")
    return _back(order_id)


@routes.post("/observe")
@requires(Permission.RATE_INTERVIEWS)
def observe(order_id: str) -> Response:
    """Show the scorecards of others to somebody who then cannot rate any more."""
    services = current_services()
    try:
        with services.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            interview.observe(current_staff().email, services.now())
            record_act(session, Action.SCORECARDS_SHOWN, f"order:{order_id}")
    except Conflict as error:
        return render_interview(order_id, Problem(str(error), 409))
    return _back(order_id, "reviewers")


@routes.post("/reviewers")
@requires(Permission.MANAGE_ORDERS)
def assign(order_id: str) -> Response:
    """Ask a colleague for a scorecard."""
    services, email = current_services(), request.form.get("reviewer", "")
    try:
        with services.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            _require_reviewer(Staff.get_by_email(session, email), interview)
            interview.assign(session, email, current_staff().email, services.now())
            after = {"reviewer": email}
            record_act(session, Action.REVIEWER_ASSIGNED, f"order:{order_id}", after=after)
    except (Conflict, Invalid) as error:
        require(Permission.VIEW_RESULTS)  # support assigns reviewers, and sees no results
        return render_interview(order_id, Problem(str(error), 409))
    flash(f"{email} is asked for a scorecard.", "success")
    return _back(order_id, "reviewers")


@routes.post("/reviewers/withdraw")
@requires(Permission.MANAGE_ORDERS)
def unassign(order_id: str) -> Response:
    """Withdraw the request for a scorecard."""
    email = request.form.get("reviewer", "")
    try:
        with current_services().db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            interview.unassign(session, email)
            before = {"reviewer": email}
            record_act(session, Action.REVIEWER_WITHDRAWN, f"order:{order_id}", before=before)
    except Conflict as error:
        require(Permission.VIEW_RESULTS)
        return render_interview(order_id, Problem(str(error), 409))
    flash(f"{email} is not asked for a scorecard any more.", "success")
    return _back(order_id, "reviewers")


@routes.post("/notes/<recording_id>")
@requires(Permission.RATE_INTERVIEWS)
def add_note(order_id: str, recording_id: str) -> Response:
    """Add a note at a time of a recording."""
    services = current_services()
    place = ""
    try:
        with services.db.writing() as session:
            Interview.find(session, order_id, lock=True)
            recording = find_recording(session, order_id, recording_id)
            place = f"note-{recording.public_id}"
            text = _read_time_note()
            seconds = parse_time(request.form.get("time", ""), recording.seconds)
            recording.time_notes.append(
                TimeNote(
                    seconds=seconds,
                    text=text,
                    actor=current_staff().email,
                    created_at=services.now(),
                )
            )
            question = recording.question
            record_act(
                session, Action.INTERVIEW_NOTED, f"order:{order_id}", after={"question": question}
            )
            number = question_number(Interview.find(session, order_id), question)
    except (Invalid, Conflict) as error:
        status_code = 400 if isinstance(error, Invalid) else 409
        return render_interview(order_id, Problem(str(error), status_code, place))
    return _back(order_id, f"question-{number}")


@routes.post("/notes/<recording_id>/<note_id>/delete")
@requires(Permission.RATE_INTERVIEWS)
def delete_note(order_id: str, recording_id: str, note_id: str) -> Response:
    """Delete one's own note."""
    with current_services().db.writing() as session:
        recording = find_recording(session, order_id, recording_id)
        note = next((row for row in recording.time_notes if row.public_id == note_id), None)
        if note is None or note.actor != current_staff().email:
            raise NotFound("You have no such note")
        question = recording.question
        session.delete(note)
        record_act(
            session, Action.INTERVIEW_NOTED, f"order:{order_id}", before={"question": question}
        )
        number = question_number(Interview.find(session, order_id), question)
    return _back(order_id, f"question-{number}")


def _save(order_id: str, place: str) -> Response:
    is_script = request.accept_mimetypes.best == "application/json"
    try:
        # A script saves a note before a rating is chosen; a form is sent once both are given.
        value = _parse_rating(request.form.get("value", ""), is_required=not is_script)
        note = _read_text("note", MAX_NOTE_LENGTH)
        save_number, number = _write_rating(order_id, place, value, note)
    except (Invalid, Conflict) as error:
        status_code = 400 if isinstance(error, Invalid) else 409
        if is_script:
            response: Response = jsonify(error=str(error))
            response.status_code = status_code
            return response
        return render_interview(order_id, Problem(str(error), status_code, place))
    if is_script:
        return jsonify(saved=save_number)
    if place == OVERALL:
        flash("The overall rating is saved.", "success")
        return _back(order_id, "overall")
    flash(f"The rating of question {number} is saved.", "success")
    return _back(order_id, f"question-{number}")


def _write_rating(order_id: str, place: str, value: int | None, note: str) -> tuple[int, int]:
    """Save a rating; return the number of the save and that of the question."""
    services, email = current_services(), current_staff().email
    based_on = _read_number("based_on")
    with services.db.writing() as session:
        interview = Interview.find(session, order_id, lock=True)
        if place == OVERALL:
            card = interview.rate_overall(value, note, email, services.now(), based_on)
            save_number, number = card.save_number, 0
        else:
            number = question_number(interview, place)
            rating = interview.rate(place, value, note, email, services.now(), based_on)
            save_number = rating.save_number
        if save_number != based_on:
            record_act(
                session, Action.INTERVIEW_RATED, f"order:{order_id}", after={"question": place}
            )
    return save_number, number


def _require_name_unseen(interview: Interview) -> None:
    if submits_once(interview):
        raise Conflict("You have seen the candidate’s name, so your scorecard cannot be changed")


def _require_reviewer(staff: Staff, interview: Interview) -> None:
    if not is_submitted(interview):
        raise Conflict("Reviewers can be chosen after the candidate submits the interview")
    permissions = staff.permissions if staff.disabled_at is None else frozenset()
    sees_account = staff.account_ids is None or interview.account_id in staff.account_ids
    if Permission.RATE_INTERVIEWS not in permissions or not sees_account:
        raise Invalid(f"{staff.email} may not rate this interview: choose somebody else")


def _parse_rating(text: str, *, is_required: bool) -> int | None:
    if not text and not is_required:
        return None
    if not text.isdecimal() or len(text) > 3:
        raise Invalid("Choose a rating first")
    return int(text)


def _read_number(name: str) -> int:
    text = request.form.get(name, "")
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else 0


def _read_text(name: str, max_length: int) -> str:
    # Browsers send line breaks as CRLF.
    text = clean_text(request.form.get(name, "")).replace("\r\n", "\n").strip()
    if len(text) > max_length:
        raise Invalid(f"Shorten the {name} to {max_length:,} characters")
    return text


def _read_time_note() -> str:
    text = _read_text("text", MAX_TEXT_LENGTH)
    if not text:
        raise Invalid("Write a note first")
    return text


def _back(order_id: str, anchor: str = "") -> Response:
    if not may(Permission.VIEW_RESULTS):
        return redirect(url_for("console.orders.detail", order_id=order_id), 303)
    url = url_for("console.interviews.detail", order_id=order_id, _anchor=anchor or None)
    return redirect(url, 303)
