"""Giving an interview: the camera's check, one question per screen, watching, handing in.

A take is recorded in the browser and sent here as one upload, whose length and hash are verified
before anything says “saved”. Recording needs scripts; all else is plain forms.
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
from provider.web.candidate.responses import (
    branding_context,
    redirect_to_landing,
    respond_form_expired,
    wants_json,
)
from provider.web.candidate.session import CandidateRequest, order_for_read, order_for_update
from provider.web.candidate.uploads import (
    MAX_UPLOAD_BYTES,
    UploadRejected,
    is_recording_type,
    original_key,
    store_upload,
)

routes = Blueprint("interview", __name__, url_prefix="/o/<public_id>")


@routes.url_value_preprocessor
def _raise_body_limit(endpoint: str | None, _: dict[str, Any] | None) -> None:
    # Before anything looks at the body: the proof of the form is checked first of all.
    if endpoint and endpoint.endswith(".take") and is_recording_type(request.mimetype):
        request.max_content_length = MAX_UPLOAD_BYTES


@routes.get("/camera")
def camera(public_id: str) -> ResponseReturnValue:
    """Try the camera and the microphone before anything begins."""
    with order_for_read(public_id, Interview) as visit:
        if not visit.order.is_waiting_for_candidate:
            return redirect_to_landing(public_id)
        page = render_template("candidate/interview/camera.html", **_template_context(visit))
    return _recording_page_response(page)


@routes.post("/interview")
def begin(public_id: str) -> ResponseReturnValue:
    """Begin, and show the first question that has no answer."""
    with order_for_update(public_id, Interview) as visit:
        visit.order.start(visit.session, visit.now)
        return redirect(_next_url(visit.order), 303)


@routes.get("/questions/<int:number>")
def question(public_id: str, number: int) -> ResponseReturnValue:
    """Show one question with the takes that are saved."""
    with order_for_read(public_id, Interview) as visit:
        if not visit.order.is_running(visit.now):
            return redirect_to_landing(public_id)
        turn = find_question_position(visit.order, number)
        page = render_template(
            "candidate/interview/question.html", **_template_context(visit), turn=turn
        )
    return _recording_page_response(page)


@routes.post("/questions/<int:number>/takes")
def take(public_id: str, number: int) -> ResponseReturnValue:
    """Save one take; 201 only when every byte is here, 200 for bytes that were here already."""
    with order_for_read(public_id, Interview) as visit:
        key = find_question_position(visit.order, number).question.key
    new = secrets.generate_public_id()
    try:
        # No transaction is open while the bytes come in: a bad line takes minutes.
        mime, kept = store_upload(current_services().media, new)
    except UploadRejected as refused:
        return jsonify(error=str(refused)), refused.status_code
    return _record_take(public_id, key, new, mime, kept)


@routes.post("/takes/<take_id>")
def choose(public_id: str, take_id: str) -> ResponseReturnValue:
    """Let one take stand for its question."""
    with order_for_update(public_id, Interview) as visit:
        chosen = visit.order.select_recording(take_id, visit.now)
        number = next(
            t.number
            for t in list_question_positions(visit.order)
            if t.question.key == chosen.question
        )
    return redirect(url_for(".question", public_id=public_id, number=number), 303)


@routes.get("/takes/<take_id>")
def watch(public_id: str, take_id: str) -> ResponseReturnValue:
    """Serve the candidate their own recording."""
    with order_for_read(public_id, Interview) as visit:
        recording = visit.order.find_recording(take_id)
    return range_responses.serve_media(
        current_services().media, recording.playable_key, recording.mime
    )


@routes.get("/answers")
def answers(public_id: str) -> ResponseReturnValue:
    """List every question, answered or not, before handing in."""
    with order_for_read(public_id, Interview) as visit:
        if not visit.order.is_running(visit.now):
            return redirect_to_landing(public_id)
        return render_template("candidate/interview/answers.html", **_template_context(visit))


@routes.post("/send")
def send(public_id: str) -> ResponseReturnValue:
    """Hand in; leads to what is still missing. Handing in twice changes nothing."""
    with order_for_update(public_id, Interview) as visit:
        if visit.order.is_running(visit.now) and visit.order.unanswered_questions():
            return redirect(url_for(".answers", public_id=public_id), 303)
        visit.order.submit(visit.session, visit.now)
    return redirect_to_landing(public_id)


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """The browser has lost its form cookie: a script fetches a new proof and goes on."""
    return (jsonify(reload=True), 400) if wants_json() else respond_form_expired()


def _record_take(
    public_id: str, question_key: str, recording_id: str, mime: str, stored_file: StoredFile
) -> ResponseReturnValue:
    """Write down a take whose bytes are here; they go where it cannot be, or was already."""
    saved = None
    try:
        with order_for_update(public_id, Interview) as visit:
            order = visit.order
            saved = order.add_recording(
                visit.session, question_key, recording_id, mime, stored_file, visit.now
            ).public_id
            left = order.takes_left(order.find_question(question_key))
    except BaseException:
        saved = None
        raise
    finally:
        if saved != recording_id:
            with suppress(Unavailable):  # it keeps a file that nobody knows, and no more
                current_services().media.delete(original_key(recording_id))
    return jsonify(saved=saved, takes_left=left), 201 if saved == recording_id else 200


def _recording_page_response(page: str) -> Response:
    """Answer with a page that may use the camera and the microphone, and play what they gave."""
    response = Response(page)
    response.headers["Permissions-Policy"] = "camera=(self), microphone=(self), geolocation=()"
    response.headers["Content-Security-Policy"] = csp.recording_page_policy(
        current_services().media.origin
    )
    return response


def _next_url(order: Interview) -> str:
    """Return the address of the first question without an answer, or of the overview."""
    for turn in list_question_positions(order):
        if not turn.selected_take:
            return url_for(".question", public_id=order.public_id, number=turn.number)
    return url_for(".answers", public_id=order.public_id)


def _template_context(visit: CandidateRequest[Interview]) -> dict[str, Any]:
    order = visit.order
    return {
        **branding_context(order.account),
        "order": order,
        "content": order.content,
        "turns": list_question_positions(order),
        "most": MAX_UPLOAD_BYTES,
        "at": visit.now,
    }
