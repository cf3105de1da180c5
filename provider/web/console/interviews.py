"""Interviews at the console: watched, rated question by question, summed up, completed."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.kinds.interview import Interview, Recording
from provider.core.orders import COMPLETED
from provider.core.orders.order import SUBMITTED
from provider.core.products.schema_fields import clean_text
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console import authentication
from provider.web.range_responses import safe_mimetype, serve_media
from provider.web.report.media import find_media_file

routes = Blueprint("interviews", __name__, url_prefix="/orders/<order_id>/interview")

MAX_NOTE_LENGTH = 2000  # characters
MAX_SUMMARY_LENGTH = 5000
FILE_EXTENSIONS = {
    "video/webm": "webm",
    "audio/webm": "webm",
    "video/mp4": "mp4",
    "audio/mp4": "mp4",
}


@routes.get("")
def page(order_id: str) -> Response:
    """Show every question with its answer, and its rating."""
    return _render_interview(order_id)


@routes.get("/<any(takes, posters):what>/<recording_id>")
def file(order_id: str, what: str, recording_id: str) -> Response:
    """Send a take or its poster, whole or in part."""
    with current_services().db.reading() as session:
        key, mimetype = find_media_file(_find_recording(session, order_id, recording_id), what)
    return serve_media(current_services().media, key, mimetype)


@routes.get("/originals/<recording_id>")
def original(order_id: str, recording_id: str) -> Response:
    """Send a take as it came, to be kept: the way out where no copy of it could be made."""
    with current_services().db.reading() as session:
        recording = _find_recording(session, order_id, recording_id)
        key, mimetype = find_media_file(recording, "originals")
        name = f"{order_id}-{recording.question}-{recording.take}.{_file_extension(mimetype)}"
    return serve_media(current_services().media, key, mimetype, name)


@routes.post("/ratings/<question>")
def rate(order_id: str, question: str) -> Response:
    """Keep a rating and its note, in place of the one before."""
    services = current_services()
    try:
        value = _parse_rating(request.form.get("value", ""))
        note = _read_text("note", MAX_NOTE_LENGTH)
        with services.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            interview.rate(
                question, value, note, authentication.current_staff().email, services.now()
            )
            number = _question_number(interview, question)
    except Invalid as error:
        return _render_interview(
            order_id, invalid_question=question, problem=str(error), status_code=400
        )
    except Conflict as error:
        return _render_interview(order_id, problem=str(error), status_code=409)
    flash(f"The rating of question {number} is saved.", "success")
    here_again = url_for("console.interviews.page", order_id=order_id, _anchor=f"question-{number}")
    return redirect(here_again, 303)


@routes.get("/complete")
def ask(order_id: str) -> Response:
    """Say what completing will tell the ATS, and ask for a summary."""
    authentication.require_change_permission()
    return _render_confirmation(order_id)


@routes.post("/complete")
def complete(order_id: str) -> Response:
    """Complete the interview, as it was shown; what stands in the way is said on the same page."""
    services = current_services()
    try:
        summary = _read_text("summary", MAX_SUMMARY_LENGTH)
        with services.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            _require_unchanged(interview, request.form.get("stand", ""))
            actor = authentication.current_staff().email
            interview.conclude(session, services.secret_box, summary, actor, services.now())
    except Invalid as error:
        return _render_confirmation(order_id, str(error), 400)
    except Conflict as error:
        return _render_confirmation(order_id, str(error), 409)
    flash("The interview is completed, and the ATS is being told.", "success")
    return redirect(url_for("console.orders.story", order_id=order_id), 303)


def edit_token(interview: Interview) -> str:
    """Return what somebody who completes has seen: the order and what its ratings come to."""
    return f"{interview.revision} {interview.build_result().score:g}"


def _render_interview(
    order_id: str, invalid_question: str = "", problem: str = "", status_code: int = 200
) -> Response:
    with current_services().db.reading() as session:
        interview = Interview.find(session, order_id)
        html = render_template(
            "console/interview.html",
            order=interview,
            content=interview.content,
            zone=interview.account.timezone,
            rated=interview.ratings_by_question(),
            watchable=_is_submitted(interview),
            open=interview.status == "pending" and _is_submitted(interview),
            wrong=invalid_question,
            problem=problem,
            form=request.form,
            longest=MAX_NOTE_LENGTH,
        )
    return make_response(html, status_code)


def _render_confirmation(order_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        interview = Interview.find(session, order_id)
        html = render_template(
            "console/interview_complete.html",
            order=interview,
            content=interview.content,
            problem=problem,
            possible=interview.status == "pending" and _is_submitted(interview),
            unrated=interview.unrated_questions(),
            outcome=interview.build_result(),
            stand=edit_token(interview),
            summary=request.form.get("summary", ""),
            longest=MAX_SUMMARY_LENGTH,
        )
    return make_response(html, status_code)


def _is_submitted(interview: Interview) -> bool:
    # Until then a take is the candidate's own: it may yet be recorded again.
    return interview.progress == SUBMITTED and interview.status in ("pending", COMPLETED)


def _find_recording(session: Session, order_id: str, recording_id: str) -> Recording:
    interview = Interview.find(session, order_id)
    if not _is_submitted(interview):
        raise Conflict("The candidate has not handed this interview in, so it cannot be watched")
    return interview.find_recording(recording_id)


def _parse_rating(text: str) -> int:
    if not text.isdecimal() or len(text) > 3:
        raise Invalid("Choose a rating first")
    return int(text)


def _read_text(name: str, max_length: int) -> str:
    text = clean_text(request.form.get(name, ""))
    if len(text) > max_length:
        raise Invalid(f"Keep the {name} to {max_length:,} characters")
    return text


def _question_number(interview: Interview, question: str) -> int:
    return [each.key for each in interview.content.questions].index(question) + 1


def _require_unchanged(interview: Interview, submitted_token: str) -> None:
    if submitted_token != edit_token(interview):
        raise Conflict(
            "Somebody changed this interview after you opened this page, so nothing was done. "
            "Below is how it stands now"
        )


def _file_extension(mimetype: str) -> str:
    return FILE_EXTENSIONS.get(safe_mimetype(mimetype), "bin")
