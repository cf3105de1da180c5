"""Answers on video, for whoever may see the report: by its own link, or by one that was shared.

Only the takes that the report shows are served, in parts, and never by a name of their own.
"""

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from provider.errors import Conflict, NotFound
from provider.here import here
from provider.kinds.interview import READY, Interview, Recording
from provider.orders import Order
from provider.pages.ranges import serve
from provider.pages.results import REDONE, reported, shown

routes = Blueprint("media_files", __name__)

NO_SUCH = "There is no such recording"


@routes.get("/r/<token>/<any(takes, posters):what>/<recording_id>")
def of_report(token: str, what: str, recording_id: str) -> Response:
    """Send a take or its poster to whoever has the report's own link."""
    with here().db.reading() as session:
        key, mimetype = file_of(_take(reported(session, token), recording_id), what)
    return serve(here().media, key, mimetype)


@routes.get("/s/<token>/<any(takes, posters):what>/<recording_id>")
def of_shared(token: str, what: str, recording_id: str) -> Response:
    """Send a take or its poster to whoever may look at a shared report."""
    with here().db.reading() as session:
        order = shown(session, token)
        if order is None:
            return redirect(url_for("results.shared", token=token), 303)
        key, mimetype = file_of(_take(order, recording_id), what)
    return serve(here().media, key, mimetype)


def file_of(recording: Recording, what: str) -> tuple[str, str]:
    """Return the media key and the type of `takes`, `posters` or `originals`; NotFound."""
    if what == "posters":
        if recording.state != READY:
            raise NotFound("There is no picture of this recording yet")
        return recording.poster, "image/jpeg"
    return recording.original if what == "originals" else recording.playable, recording.mime


def _take(order: Order, recording_id: str) -> Recording:
    if order.result is None:
        raise Conflict(REDONE)
    if not isinstance(order, Interview):
        raise NotFound(NO_SUCH)
    recording = order.recording(recording_id)
    if not recording.chosen:  # what the candidate recorded and did not send in is not evidence
        raise NotFound(NO_SUCH)
    return recording
