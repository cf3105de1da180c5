"""The captions of recordings: staff write, upload, download and delete them, or ask an engine."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.interview import READY, Interview
from provider.core.kinds.interview.captions import (
    MAX_TEXT_LENGTH,
    STAFF,
    request_captions,
    save_captions,
)
from provider.core.kinds.interview.speech import find_engine
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.authentication import candidate_names, current_staff, record_act, requires
from provider.web.console.interviews import find_recording, question_number

routes = Blueprint("captioning", __name__)

EXAMPLE = "WEBVTT\n\n00:00:00.000 --> 00:00:04.000\nGood morning.\n"


@routes.get("/captions/<recording_id>")
@requires(Permission.RATE_INTERVIEWS)
def edit(order_id: str, recording_id: str) -> Response:
    return _render(order_id, recording_id)


@routes.post("/captions/<recording_id>")
@requires(Permission.RATE_INTERVIEWS)
def save(order_id: str, recording_id: str) -> Response:
    """Store the text, or the uploaded file where there is one."""
    services = current_services()
    try:
        text = _read_captions()
        with services.db.writing() as session:
            Interview.find(session, order_id, lock=True)
            recording = find_recording(session, order_id, recording_id)
            save_captions(
                recording,
                text,
                request.form.get("language", "").strip(),
                STAFF,
                current_staff().email,
                services.now(),
                based_on=_read_number(),
            )
            after = {"recording": recording_id}
            record_act(session, Action.CAPTIONS_SAVED, f"order:{order_id}", after=after)
    except (Invalid, Conflict) as error:
        status_code = 400 if isinstance(error, Invalid) else 409
        return _render(order_id, recording_id, str(error), status_code)
    flash("The captions are saved.", "success")
    return redirect(url_for(".edit", order_id=order_id, recording_id=recording_id), 303)


@routes.post("/captions/<recording_id>/delete")
@requires(Permission.RATE_INTERVIEWS)
def delete(order_id: str, recording_id: str) -> Response:
    with current_services().db.writing() as session:
        Interview.find(session, order_id, lock=True)
        recording = find_recording(session, order_id, recording_id)
        if recording.caption:
            session.delete(recording.caption)
            before = {"recording": recording_id}
            record_act(session, Action.CAPTIONS_DELETED, f"order:{order_id}", before=before)
    flash("The captions are deleted.", "success")
    return redirect(url_for(".edit", order_id=order_id, recording_id=recording_id), 303)


@routes.post("/captions")
@requires(Permission.RATE_INTERVIEWS)
def transcribe(order_id: str) -> Response:
    """Ask the engine for the captions of every submitted answer that has none."""
    services = current_services()
    with services.db.writing() as session:
        interview = Interview.find(session, order_id, lock=True)
        if find_engine(services.settings.speech_engine) is None:
            raise Conflict("No speech engine is set up: see PROVIDER_SPEECH_ENGINE")
        answers = [
            recording
            for recording in interview.recordings
            if recording.is_selected and recording.state == READY and recording.caption is None
        ]
        for recording in answers:
            find_recording(session, order_id, recording.public_id)  # only after the submission
            request_captions(session, recording, current_staff().email, services.now())
        if answers:
            after = {"recordings": len(answers)}
            record_act(session, Action.CAPTIONS_REQUESTED, f"order:{order_id}", after=after)
    count = len(answers)
    flash(
        f"The captions of {count} {'answer' if count == 1 else 'answers'} are being written. They "
        "are shown here when they are ready."
        if answers
        else "Every answer that can be played has captions already.",
        "success",
    )
    return redirect(url_for("console.interviews.detail", order_id=order_id), 303)


def _render(
    order_id: str, recording_id: str, problem: str = "", status_code: int = 200
) -> Response:
    with current_services().db.reading() as session:
        interview = Interview.find(session, order_id)
        recording = find_recording(session, order_id, recording_id)
        caption = recording.caption
        html = render_template(
            "console/interview/captions.html",
            order=interview,
            recording=recording,
            caption=caption,
            name=candidate_names().name_of(interview),
            number=question_number(interview, recording.question),
            timezone=interview.account.timezone,
            problem=problem,
            text=request.form.get("text", caption.text if caption else EXAMPLE),
            language=request.form.get(
                "language", caption.language if caption else interview.content.language or "en"
            ),
            based_on=request.form.get("based_on", caption.save_number if caption else 0),
            max_length=MAX_TEXT_LENGTH,
        )
    return make_response(html, status_code)


def _read_captions() -> str:
    file = request.files.get("file")
    if file is None or not file.filename:
        return request.form.get("text", "")
    content: bytes = file.read(4 * MAX_TEXT_LENGTH + 1)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("The file is no text in UTF-8: save it as WebVTT in UTF-8") from None


def _read_number() -> int:
    text = request.form.get("based_on", "")
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else 0
