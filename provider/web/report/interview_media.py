"""Video answers and their posters, for whoever may see the report that shows them.

Only the takes of the report are served, in byte ranges, and without a file name. The files that
candidates sent as answers are downloads: a browser must not open them.
"""

from flask import Blueprint, make_response, redirect, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.kinds.answer_files import AnswerFile
from provider.core.kinds.interview import READY, Interview, Recording
from provider.core.kinds.interview.given_answers import find_answer_file
from provider.core.orders import REPORT, SHARED, Order
from provider.core.report import NO_RESULT_MESSAGE
from provider.errors import Conflict, Gone, NotFound
from provider.services import current_services
from provider.texts import gettext_noop
from provider.web.range_responses import serve_media
from provider.web.report.pages import find_reported_order, find_shared_order

routes = Blueprint("media_files", __name__)

FILES = "files"  # the variant of the files that candidates sent as answers
FILE_NOT_FOUND_MESSAGE = gettext_noop("There is no such file")
RECORDING_NOT_FOUND_MESSAGE = gettext_noop("There is no such recording")


@routes.get("/r/<token>/<any(takes, posters, files):variant>/<recording_id>")
def report_media(token: str, variant: str, recording_id: str) -> Response:
    """Send a take, its poster or an answer's file to a browser that has the report's own link."""
    with current_services().db.reading() as session:
        order = find_reported_order(session, token)
        if variant == FILES:
            return _send_file(_find_file(session, order, REPORT, recording_id))
        key, mimetype = find_media_file(
            _find_selected_recording(order, REPORT, recording_id), variant
        )
    return serve_media(current_services().media, key, mimetype)


@routes.get("/s/<token>/<any(takes, posters, files):variant>/<recording_id>")
def shared_media(token: str, variant: str, recording_id: str) -> Response:
    """Send a take, its poster or an answer's file to a browser that may see the shared report."""
    with current_services().db.reading() as session:
        order = find_shared_order(session, token)
        if order is None:
            return redirect(url_for("report.shared_report", token=token), 303)
        if variant == FILES:
            return _send_file(_find_file(session, order, SHARED, recording_id))
        key, mimetype = find_media_file(
            _find_selected_recording(order, SHARED, recording_id), variant
        )
    return serve_media(current_services().media, key, mimetype)


@routes.get("/r/<token>/captions/<recording_id>")
def report_captions(token: str, recording_id: str) -> Response:
    """Send the captions of a take to a browser that has the report's own link."""
    with current_services().db.reading() as session:
        order = find_reported_order(session, token)
        return captions_response(_find_selected_recording(order, REPORT, recording_id))


@routes.get("/s/<token>/captions/<recording_id>")
def shared_captions(token: str, recording_id: str) -> Response:
    """Send the captions of a take to a browser that may see the shared report."""
    with current_services().db.reading() as session:
        order = find_shared_order(session, token)
        if order is None:
            return redirect(url_for("report.shared_report", token=token), 303)
        return captions_response(_find_selected_recording(order, SHARED, recording_id))


def captions_response(recording: Recording, download_name: str = "") -> Response:
    """Return the captions of a recording as WebVTT. Raises NotFound and Gone."""
    if recording.is_deleted:
        raise Gone("This recording was deleted: the time of its storage is over")
    if recording.caption is None:
        raise NotFound("This recording has no captions")
    response = make_response(recording.caption.text)
    response.mimetype = "text/vtt"
    if download_name:
        response.headers["Content-Disposition"] = f"attachment; filename={download_name}"
    return response


def find_media_file(recording: Recording, variant: str) -> tuple[str, str]:
    """Return the media key and the type of `takes`, `posters` or `originals`.

    Raises NotFound for the poster of a recording that is not processed yet, and Gone for a deleted
    recording.
    """
    if recording.is_deleted:
        raise Gone("This recording was deleted: the time of its storage is over")
    if variant == "posters":
        if recording.state != READY:
            raise NotFound("There is no picture of this recording yet")
        return recording.poster_key, "image/jpeg"
    key = recording.original_key if variant == "originals" else recording.playable_key
    return key, recording.mime


def _find_selected_recording(order: Order, place: str, recording_id: str) -> Recording:
    if order.result is None:
        raise Conflict(NO_RESULT_MESSAGE)
    if not isinstance(order, Interview) or place not in order.answer_places:
        raise NotFound(RECORDING_NOT_FOUND_MESSAGE)
    recording = order.find_recording(recording_id)
    if not recording.is_selected:  # the candidate did not submit this take
        raise NotFound(RECORDING_NOT_FOUND_MESSAGE)
    return recording


def _send_file(file: AnswerFile) -> Response:
    name = f"{file.item_key}.{file.extension}"
    return serve_media(current_services().media, file.media_key, file.type, name)


def _find_file(session: Session, order: Order, place: str, file_id: str) -> AnswerFile:
    """Return a file of the report. Raises NotFound, Conflict without a result, and Gone."""
    if order.result is None:
        raise Conflict(NO_RESULT_MESSAGE)
    if not isinstance(order, Interview) or place not in order.answer_places:
        raise NotFound(FILE_NOT_FOUND_MESSAGE)
    return find_answer_file(session, order, order.given_answers, file_id)
