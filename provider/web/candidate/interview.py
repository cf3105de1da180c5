"""The pages of an interview: camera check, one question per screen, playback, submitting.

Questions with other answers are in `interview_answers.py`; what comes before the first question,
and pauses, in `interview_course.py`.

The browser records a take and sends it in pieces. The server verifies its length and hash before
the page says “Saved”. Only recording needs scripts; everything else is plain forms.
"""

from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import RequestEntityTooLarge

from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.agreement import RECORDING_AGREEMENT, record_agreement
from provider.core.kinds.interview.shown_questions import (
    show_question,
    think_seconds_left,
    was_shown,
)
from provider.core.kinds.interview.uploads import (
    MAX_PIECE_BYTES,
    MAX_TAKE_BYTES,
    QuotaExceeded,
    WrongOffset,
    bytes_left,
    find_upload,
)
from provider.errors import NotFound
from provider.services import current_services
from provider.texts import gettext
from provider.web import range_responses
from provider.web.candidate import interview_answers, interview_course, interview_device, tus
from provider.web.candidate import interview_uploads as uploads
from provider.web.candidate.interview_answers import render_question
from provider.web.candidate.interview_course import find_next_page
from provider.web.candidate.interview_navigation import (
    find_question_position,
    list_question_positions,
    next_url,
)
from provider.web.candidate.interview_page import recording_page_response, template_context
from provider.web.candidate.responses import (
    redirect_to_landing,
    respond_form_expired,
    wants_json,
)
from provider.web.candidate.session import order_for_read, order_for_update
from provider.web.candidate.tus import UploadRejected

UPLOAD_ENDPOINTS = {
    *("announce_take", "upload_options", "upload_state", "send_piece", "terminate_upload"),
}

routes = Blueprint("interview", __name__, url_prefix="/o/<public_id>")
routes.register_blueprint(interview_answers.routes)
routes.register_blueprint(interview_course.routes)
routes.register_blueprint(interview_device.routes)


@routes.url_value_preprocessor
def _limit_body(endpoint: str | None, _: dict[str, Any] | None) -> None:
    # The CSRF check may read the body before the view runs, so the limit is set before it.
    if endpoint and endpoint.endswith(".send_piece"):
        request.max_content_length = MAX_PIECE_BYTES


@routes.get("/camera")
def camera(public_id: str) -> ResponseReturnValue:
    """Let the candidate try camera and microphone; the interview does not start."""
    with order_for_read(public_id, Interview) as candidate_request:
        if not candidate_request.order.is_waiting_for_candidate:
            return redirect_to_landing(public_id)
        page = render_template(
            "candidate/interview/camera.html",
            recording_agreement=RECORDING_AGREEMENT,
            **template_context(candidate_request),
            phone_code=interview_device.phone_code(candidate_request),
        )
    return recording_page_response(page)


@routes.post("/interview")
def start(public_id: str) -> ResponseReturnValue:
    """Start the interview, and show the first question without an answer.

    The introduction and the practice question come before: a form names the last one seen.
    """
    with order_for_update(public_id, Interview) as candidate_request:
        order, now = candidate_request.order, candidate_request.now
        was_running = order.is_running(now)
        if not was_running and (page := find_next_page(order, request.form)):
            order.require_open(candidate_request.given.given_at)
            return redirect(page, 303)
        order.start(candidate_request.session, now, given_at=candidate_request.given.given_at)
        if not was_running:
            record_agreement(candidate_request.session, order, now)
        return redirect(next_url(order), 303)


@routes.get("/questions/<int:number>")
def question(public_id: str, number: int) -> ResponseReturnValue:
    """Show one question with its answer; one without a take is shown by `show` only."""
    with order_for_read(public_id, Interview) as candidate_request:
        if not candidate_request.order.is_clock_running(candidate_request.now):
            return redirect_to_landing(public_id)
        order = candidate_request.order
        position = find_question_position(order, number)
        if not position.question.is_recorded:
            return render_question(candidate_request, position)
        page = render_template(
            "candidate/interview/question.html",
            **template_context(candidate_request),
            position=position,
            max_piece_bytes=MAX_PIECE_BYTES,
            max_take_bytes=bytes_left(candidate_request.session, order),
            think_seconds_left=think_seconds_left(
                candidate_request.session, order, position.question, candidate_request.now
            ),
            is_shown=was_shown(candidate_request.session, order, position.question),
        )
    return recording_page_response(page)


@routes.post("/questions/<int:number>/show")
def show(public_id: str, number: int) -> ResponseReturnValue:
    """Begin the time to think and return the question; a repeated call goes on with that time."""
    with order_for_update(public_id, Interview) as candidate_request:
        order = candidate_request.order
        asked = find_question_position(order, number).question
        if not asked.is_recorded:
            raise NotFound("There is no such page")
        seconds_left = show_question(candidate_request.session, order, asked, candidate_request.now)
        markup = render_template(
            "candidate/interview/question_body.html",
            **template_context(candidate_request),
            question=asked,
        )
        return jsonify(question=markup, think_seconds_left=seconds_left)


@routes.route("/questions/<int:number>/takes", methods=["OPTIONS"])
@routes.route("/uploads/<upload_id>", methods=["OPTIONS"])
def upload_options(**_: Any) -> ResponseReturnValue:
    """Say which version and extensions of tus the uploads have."""
    return "", 204, tus.option_headers(MAX_TAKE_BYTES)


@routes.post("/questions/<int:number>/takes", provide_automatic_options=False)
def announce_take(public_id: str, number: int) -> ResponseReturnValue:
    """Open the upload of a take, or go on with it."""
    tus.require_version()
    announcement = tus.parse_announcement()
    with order_for_update(public_id, Interview) as candidate_request:
        question = find_question_position(candidate_request.order, number).question
        return uploads.announce(candidate_request, question.key, announcement)


@routes.get("/uploads/<upload_id>", provide_automatic_options=False)
def upload_state(public_id: str, upload_id: str) -> ResponseReturnValue:
    """Return how many bytes of a take have arrived, and to a GET what became of it."""
    if request.method == "HEAD":
        tus.require_version()
    with order_for_read(public_id, Interview) as candidate_request:
        upload = find_upload(candidate_request.session, candidate_request.order, upload_id)
        return uploads.state_response(upload, candidate_request.order)


@routes.patch("/uploads/<upload_id>", provide_automatic_options=False)
def send_piece(public_id: str, upload_id: str) -> ResponseReturnValue:
    """Store one piece of a take; the last one saves the take."""
    tus.require_version()
    return uploads.receive_piece(public_id, upload_id)


@routes.delete("/uploads/<upload_id>", provide_automatic_options=False)
def terminate_upload(public_id: str, upload_id: str) -> ResponseReturnValue:
    """Delete a take that the candidate does not want to send."""
    tus.require_version()
    return uploads.terminate(public_id, upload_id)


@routes.after_request
def _add_tus_version(response: Response) -> Response:
    if (request.endpoint or "").rpartition(".")[2] in UPLOAD_ENDPOINTS:
        response.headers["Tus-Resumable"] = tus.VERSION
    return response


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
        if not candidate_request.order.is_clock_running(candidate_request.now):
            return redirect_to_landing(public_id)
        context = template_context(candidate_request)
        return render_template("candidate/interview/overview.html", **context)


@routes.post("/send")
def submit(public_id: str) -> ResponseReturnValue:
    """Submit the interview, or show what is missing; a second submit changes nothing."""
    with order_for_update(public_id, Interview) as candidate_request:
        order, now = candidate_request.order, candidate_request.now
        if order.is_clock_running(now) and order.unanswered_questions():
            return redirect(url_for(".overview", public_id=public_id), 303)
        order.submit(candidate_request.session, now, given_at=candidate_request.given.given_at)
    return redirect_to_landing(public_id)


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """Answer a form whose cookie is gone; a script then fetches a new CSRF token and goes on."""
    is_script = request.method in ("PATCH", "DELETE") or wants_json()  # no form sends these
    return (jsonify(reload=True), 400) if is_script else respond_form_expired()


@routes.errorhandler(UploadRejected)
def _handle_rejected_upload(error: UploadRejected) -> ResponseReturnValue:
    headers = {"Tus-Version": tus.VERSION} if error.status_code == 412 else {}
    return jsonify(error=error.translated()), error.status_code, headers


@routes.errorhandler(QuotaExceeded)
def _handle_exceeded_quota(error: QuotaExceeded) -> ResponseReturnValue:
    return jsonify(error=error.translated()), 413


@routes.errorhandler(WrongOffset)
def _handle_wrong_offset(error: WrongOffset) -> ResponseReturnValue:
    return jsonify(error=error.translated()), 409, {"Upload-Offset": str(error.offset)}


@routes.errorhandler(RequestEntityTooLarge)
def _handle_large_body(error: RequestEntityTooLarge) -> ResponseReturnValue:
    if not wants_json():
        return error
    return jsonify(error=gettext("A piece of a recording should have at most 4 MiB")), 413
