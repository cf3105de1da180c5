"""The pages of an interview: camera check, one question per screen, playback, submitting.

The browser records a take and sends it as one upload. The server verifies its length and hash
before the page says “Saved”. Only recording needs scripts; everything else is plain forms.
"""

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from provider.core.kinds.interview import Interview
from provider.errors import Unavailable
from provider.services import current_services
from provider.storage import secrets
from provider.storage.media import StoredFile
from provider.web import csp, range_responses
from provider.web.candidate.interview_navigation import (
    find_question_position,
    list_question_positions,
)
from provider.web.candidate.interview_uploads import (
    MAX_UPLOAD_BYTES,
    UploadRejected,
    is_recording_type,
    original_key,
    store_upload,
)
from provider.web.candidate.responses import (
    branding_context,
    redirect_to_landing,
    respond_form_expired,
    wants_json,
)
from provider.web.candidate.session import CandidateRequest, order_for_read, order_for_update

routes = Blueprint("interview", __name__, url_prefix="/o/<public_id>")


@routes.url_value_preprocessor
def _raise_body_limit(endpoint: str | None, _: dict[str, Any] | None) -> None:
    # The CSRF check reads the body before the view runs, so the limit is raised before it.
    is_upload = bool(endpoint) and str(endpoint).endswith(".upload_take")
    if is_upload and is_recording_type(request.mimetype):
        request.max_content_length = MAX_UPLOAD_BYTES


@routes.get("/camera")
def camera(public_id: str) -> ResponseReturnValue:
    """Let the candidate try camera and microphone; the interview does not start."""
    with order_for_read(public_id, Interview) as candidate_request:
        if not candidate_request.order.is_waiting_for_candidate:
            return redirect_to_landing(public_id)
        context = _template_context(candidate_request)
        page = render_template("candidate/interview/camera.html", **context)
    return _recording_page_response(page)


@routes.post("/interview")
def start(public_id: str) -> ResponseReturnValue:
    """Start the interview, and show the first question without an answer."""
    with order_for_update(public_id, Interview) as candidate_request:
        candidate_request.order.start(candidate_request.session, candidate_request.now)
        return redirect(_next_url(candidate_request.order), 303)


@routes.get("/questions/<int:number>")
def question(public_id: str, number: int) -> ResponseReturnValue:
    """Show one question with its saved takes."""
    with order_for_read(public_id, Interview) as candidate_request:
        if not candidate_request.order.is_running(candidate_request.now):
            return redirect_to_landing(public_id)
        position = find_question_position(candidate_request.order, number)
        context = _template_context(candidate_request)
        page = render_template("candidate/interview/question.html", **context, position=position)
    return _recording_page_response(page)


@routes.post("/questions/<int:number>/takes")
def upload_take(public_id: str, number: int) -> ResponseReturnValue:
    """Save one take; 201 when every byte has arrived, 200 for bytes that were saved before."""
    with order_for_read(public_id, Interview) as candidate_request:
        question_key = find_question_position(candidate_request.order, number).question.key
    current_services().media.require_free_space()
    recording_id = secrets.generate_public_id()
    try:
        # No transaction is open during the upload, which takes minutes on a slow connection.
        mime, stored_file = store_upload(current_services().media, recording_id)
    except UploadRejected as error:
        return jsonify(error=error.translated()), error.status_code
    return _record_take(public_id, question_key, recording_id, mime, stored_file)


@routes.post("/takes/<take_id>")
def select_take(public_id: str, take_id: str) -> ResponseReturnValue:
    """Select the take that is submitted as the answer to its question."""
    with order_for_update(public_id, Interview) as candidate_request:
        order = candidate_request.order
        selected = order.select_recording(take_id, candidate_request.now)
        number = next(
            position.number
            for position in list_question_positions(order)
            if position.question.key == selected.question
        )
    return redirect(url_for(".question", public_id=public_id, number=number), 303)


@routes.get("/takes/<take_id>")
def play_take(public_id: str, take_id: str) -> ResponseReturnValue:
    with order_for_read(public_id, Interview) as candidate_request:
        recording = candidate_request.order.find_recording(take_id)
    return range_responses.serve_media(
        current_services().media, recording.playable_key, recording.mime
    )


@routes.get("/answers")
def overview(public_id: str) -> ResponseReturnValue:
    """List every question, with or without an answer, before the candidate submits."""
    with order_for_read(public_id, Interview) as candidate_request:
        if not candidate_request.order.is_running(candidate_request.now):
            return redirect_to_landing(public_id)
        context = _template_context(candidate_request)
        return render_template("candidate/interview/overview.html", **context)


@routes.post("/send")
def submit(public_id: str) -> ResponseReturnValue:
    """Submit the interview, or show what is missing; a second submit changes nothing."""
    with order_for_update(public_id, Interview) as candidate_request:
        order, now = candidate_request.order, candidate_request.now
        if order.is_running(now) and order.unanswered_questions():
            return redirect(url_for(".overview", public_id=public_id), 303)
        order.submit(candidate_request.session, now)
    return redirect_to_landing(public_id)


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """Answer a form whose cookie is gone; a script then fetches a new CSRF token and goes on."""
    return (jsonify(reload=True), 400) if wants_json() else respond_form_expired()


def _record_take(
    public_id: str, question_key: str, recording_id: str, mime: str, stored_file: StoredFile
) -> ResponseReturnValue:
    """Record a stored take; its file is deleted when the take is refused or a duplicate."""
    saved_id = None
    try:
        with order_for_update(public_id, Interview) as candidate_request:
            order = candidate_request.order
            recording = order.add_recording(
                candidate_request.session,
                question_key,
                recording_id,
                mime,
                stored_file,
                candidate_request.now,
            )
            saved_id = recording.public_id
            takes_left = order.takes_left(order.find_question(question_key))
    except BaseException:
        saved_id = None
        raise
    finally:
        if saved_id != recording_id:
            # A store that cannot delete now keeps one unused file; `media prune` removes it.
            with suppress(Unavailable):
                current_services().media.delete(original_key(recording_id))
    status_code = 201 if saved_id == recording_id else 200
    return jsonify(saved=saved_id, takes_left=takes_left), status_code


def _recording_page_response(page: str) -> Response:
    """Return a page that may use the camera and microphone, and play a recording from memory."""
    response = Response(page)
    response.headers["Permissions-Policy"] = "camera=(self), microphone=(self), geolocation=()"
    response.headers["Content-Security-Policy"] = csp.recording_page_policy(
        current_services().media.origin
    )
    return response


def _next_url(order: Interview) -> str:
    """Return the URL of the first question without an answer, or of the overview."""
    for position in list_question_positions(order):
        if not position.selected_take:
            return url_for(".question", public_id=order.public_id, number=position.number)
    return url_for(".overview", public_id=order.public_id)


def _template_context(candidate_request: CandidateRequest[Interview]) -> dict[str, Any]:
    order = candidate_request.order
    return {
        **branding_context(order.account),
        "order": order,
        "content": order.content,
        "positions": list_question_positions(order),
        "max_upload_bytes": MAX_UPLOAD_BYTES,
        "now": candidate_request.now,
    }
