"""Pages of an interview: its recordings, the rating of each answer, completion."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.interview import Interview, Rating, Recording
from provider.core.labels import format_datetime
from provider.core.orders import COMPLETED
from provider.core.orders.states import SUBMITTED
from provider.core.products.schema_fields import clean_text
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console import authentication, interview_files
from provider.web.console.authentication import requires
from provider.web.console.form_digest import content_digest
from provider.web.console.presence import presence_context, record_visit
from provider.web.range_responses import safe_mimetype, serve_media
from provider.web.report.interview_media import find_media_file

routes = Blueprint("interviews", __name__, url_prefix="/orders/<order_id>/interview")
routes.register_blueprint(interview_files.routes)

MAX_NOTE_LENGTH = 2000  # characters
MAX_SUMMARY_LENGTH = 5000  # characters
FILE_EXTENSIONS = {
    "video/webm": "webm",
    "audio/webm": "webm",
    "video/mp4": "mp4",
    "audio/mp4": "mp4",
}


class RatingChanged(Conflict):
    """A colleague rated the same answer after the form was opened."""


@routes.get("")
@requires(Permission.VIEW_RESULTS)
def detail(order_id: str) -> Response:
    record_visit(order_id)
    return _render_interview(order_id)


@routes.get("/<any(takes, posters):variant>/<recording_id>")
@requires(Permission.VIEW_RESULTS)
def media_file(order_id: str, variant: str, recording_id: str) -> Response:
    """Send a recording or its poster; range requests are answered in part."""
    with current_services().db.reading() as session:
        key, mimetype = find_media_file(_find_recording(session, order_id, recording_id), variant)
    return serve_media(current_services().media, key, mimetype)


@routes.get("/originals/<recording_id>")
@requires(Permission.VIEW_RESULTS)
def download_original(order_id: str, recording_id: str) -> Response:
    """Send the uploaded file as a download, for recordings that could not be processed."""
    with current_services().db.reading() as session:
        recording = _find_recording(session, order_id, recording_id)
        key, mimetype = find_media_file(recording, "originals")
        name = f"{order_id}-{recording.question}-{recording.take}.{_file_extension(mimetype)}"
    return serve_media(current_services().media, key, mimetype, name)


@routes.post("/ratings/<question>")
@requires(Permission.RATE_INTERVIEWS)
def save_rating(order_id: str, question: str) -> Response:
    """Save the rating and the note of one answer, in place of the previous ones."""
    services = current_services()
    try:
        value = _parse_rating(request.form.get("value", ""))
        note = _read_text("note", MAX_NOTE_LENGTH)
        with services.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            _require_seen_rating(interview, question, value, note)
            interview.rate(
                question, value, note, authentication.current_staff().email, services.now()
            )
            number = _question_number(interview, question)
            authentication.record_act(
                session, Action.INTERVIEW_RATED, f"order:{order_id}", after={"question": question}
            )
    except Invalid as error:
        return _render_interview(
            order_id, invalid_question=question, problem=str(error), status_code=400
        )
    except RatingChanged as error:
        return _render_interview(
            order_id, invalid_question=question, problem=str(error), status_code=409
        )
    except Conflict as error:
        return _render_interview(order_id, problem=str(error), status_code=409)
    flash(f"The rating of question {number} is saved.", "success")
    url = url_for("console.interviews.detail", order_id=order_id, _anchor=f"question-{number}")
    return redirect(url, 303)


@routes.get("/complete")
@requires(Permission.RATE_INTERVIEWS)
def confirm_completion(order_id: str) -> Response:
    """Show what the ATS will receive, and ask for a summary."""
    return _render_confirmation(order_id)


@routes.post("/complete")
@requires(Permission.RATE_INTERVIEWS)
def complete(order_id: str) -> Response:
    """Complete the interview if the result is still the one that the form showed."""
    services = current_services()
    try:
        summary = _read_text("summary", MAX_SUMMARY_LENGTH)
        with services.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            _require_unchanged(interview, request.form.get("edit_token", ""))
            actor = authentication.current_staff().email
            before = {"status": interview.status}
            interview.conclude(session, services.secret_box, summary, actor, services.now())
            subject, after = f"order:{order_id}", {"status": interview.status}
            authentication.record_act(session, Action.INTERVIEW_COMPLETED, subject, before, after)
    except Invalid as error:
        return _render_confirmation(order_id, str(error), 400)
    except Conflict as error:
        return _render_confirmation(order_id, str(error), 409)
    flash("The interview is completed. The ATS is being notified.", "success")
    return redirect(url_for("console.orders.detail", order_id=order_id), 303)


def edit_token(interview: Interview) -> str:
    """Return the interview's revision and score, to detect a result that changed meanwhile."""
    return f"{interview.revision} {interview.build_result().score:g}"


def _render_interview(
    order_id: str, invalid_question: str = "", problem: str = "", status_code: int = 200
) -> Response:
    with current_services().db.reading() as session:
        interview = Interview.find(session, order_id)
        html = render_template(
            "console/interview/detail.html",
            order=interview,
            content=interview.content,
            timezone=interview.account.timezone,
            ratings=interview.ratings_by_question(),
            can_watch=_is_submitted(interview),
            can_rate=interview.status == "pending" and _is_submitted(interview),
            invalid_question=invalid_question,
            problem=problem,
            form=request.form,
            # An invalid form is compared with what it showed at first; after a conflict the page
            # shows the colleague's rating, and saving again replaces it.
            seen=request.form.get("seen", "") if status_code == 400 else "",
            rating_digest=_rating_digest,
            max_length=MAX_NOTE_LENGTH,
            presence=presence_context(session, interview),
        )
    return make_response(html, status_code)


def _render_confirmation(order_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        interview = Interview.find(session, order_id)
        html = render_template(
            "console/interview/complete.html",
            order=interview,
            content=interview.content,
            problem=problem,
            is_allowed=interview.status == "pending" and _is_submitted(interview),
            unrated=interview.unrated_questions(),
            result=interview.build_result(),
            edit_token=edit_token(interview),
            summary=request.form.get("summary", ""),
            max_length=MAX_SUMMARY_LENGTH,
        )
    return make_response(html, status_code)


def _is_submitted(interview: Interview) -> bool:
    # Before submission the candidate may still replace a recording, so staff must not see it.
    return interview.progress == SUBMITTED and interview.status in ("pending", COMPLETED)


def _find_recording(session: Session, order_id: str, recording_id: str) -> Recording:
    interview = Interview.find(session, order_id)
    if not _is_submitted(interview):
        raise Conflict("The recordings can be watched after the candidate submits the interview")
    return interview.find_recording(recording_id)


def _parse_rating(text: str) -> int:
    if not text.isdecimal() or len(text) > 3:
        raise Invalid("Choose a rating first")
    return int(text)


def _read_text(name: str, max_length: int) -> str:
    text = clean_text(request.form.get(name, ""))
    if len(text) > max_length:
        raise Invalid(f"Shorten the {name} to {max_length:,} characters")
    return text


def _question_number(interview: Interview, question_key: str) -> int:
    return [question.key for question in interview.content.questions].index(question_key) + 1


def _require_unchanged(interview: Interview, submitted_token: str) -> None:
    if submitted_token != edit_token(interview):
        ratings = interview.ratings_by_question().values()
        latest = max(ratings, key=lambda rating: rating.rated_at, default=None)
        last_change = f". The last change: {_describe_rating(interview, latest)}" if latest else ""
        raise Conflict(
            "A colleague changed this interview after you opened this page, so nothing was saved. "
            f"This page now shows the current state{last_change}"
        )


def _require_seen_rating(interview: Interview, question: str, value: int, note: str) -> None:
    """Raise RatingChanged if the answer has another rating than the form showed."""
    standing = interview.ratings_by_question().get(question)
    standing_digest = _rating_digest(standing)
    seen = request.form.get("seen", _rating_digest(None))
    if standing and standing_digest not in (seen, content_digest(value, note)):
        raise RatingChanged(
            f"{_describe_rating(interview, standing)}, after you opened this page. Your rating is "
            "not saved. Save again to replace the other one"
        )


def _rating_digest(rating: Rating | None) -> str:
    return content_digest(rating.value, rating.note) if rating else content_digest("", "")


def _describe_rating(interview: Interview, rating: Rating) -> str:
    number = _question_number(interview, rating.question)
    note = f" with the note “{rating.note}”" if rating.note else ""
    time = format_datetime(rating.rated_at, interview.account.timezone)
    scale = interview.content.scale
    return (
        f"{rating.actor} rated question {number} {scale.rating_text(rating.value)}{note}, on {time}"
    )


def _file_extension(mimetype: str) -> str:
    return FILE_EXTENSIONS.get(safe_mimetype(mimetype), "bin")
