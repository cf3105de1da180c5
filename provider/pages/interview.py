"""Giving an interview: the camera's check, one question per screen, watching, handing in.

A take is recorded in the browser and sent here as one upload, whose length and hash are verified
before anything says “saved”. Recording needs scripts; all else is plain forms.
"""

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from provider import vault
from provider.errors import Unready
from provider.here import here
from provider.kinds.interview import Interview
from provider.media import Kept
from provider.pages import csp, ranges
from provider.pages.candidate_answers import dress, forgotten, to_landing, wants_json
from provider.pages.candidate_door import Visit, acting, looking
from provider.pages.candidate_takes import MOST, Refused, announced, original_of, take_in
from provider.pages.candidate_turns import turn_of, turns

routes = Blueprint("interview", __name__, url_prefix="/o/<public_id>")


@routes.url_value_preprocessor
def _make_room(endpoint: str | None, _: dict[str, Any] | None) -> None:
    # Before anything looks at the body: the proof of the form is checked first of all.
    if endpoint and endpoint.endswith(".take") and announced(request.mimetype):
        request.max_content_length = MOST


@routes.get("/camera")
def camera(public_id: str) -> ResponseReturnValue:
    """Try the camera and the microphone before anything begins."""
    with looking(public_id, Interview) as visit:
        if not visit.order.waits_on_candidate:
            return to_landing(public_id)
        page = render_template("candidate/interview/camera.html", **_facts(visit))
    return _recording(page)


@routes.post("/interview")
def begin(public_id: str) -> ResponseReturnValue:
    """Begin, and show the first question that has no answer."""
    with acting(public_id, Interview) as visit:
        visit.order.start(visit.session, visit.at)
        return redirect(_onward(visit.order), 303)


@routes.get("/questions/<int:number>")
def question(public_id: str, number: int) -> ResponseReturnValue:
    """Show one question with the takes that are saved."""
    with looking(public_id, Interview) as visit:
        if not visit.order.running(visit.at):
            return to_landing(public_id)
        turn = turn_of(visit.order, number)
        page = render_template("candidate/interview/question.html", **_facts(visit), turn=turn)
    return _recording(page)


@routes.post("/questions/<int:number>/takes")
def take(public_id: str, number: int) -> ResponseReturnValue:
    """Save one take; 201 only when every byte is here, 200 for bytes that were here already."""
    with looking(public_id, Interview) as visit:
        key = turn_of(visit.order, number).question.key
    new = vault.public_id()
    try:
        # No transaction is open while the bytes come in: a bad line takes minutes.
        mime, kept = take_in(here().media, new)
    except Refused as refused:
        return jsonify(error=str(refused)), refused.code
    return _noted(public_id, key, new, mime, kept)


@routes.post("/takes/<take_id>")
def choose(public_id: str, take_id: str) -> ResponseReturnValue:
    """Let one take stand for its question."""
    with acting(public_id, Interview) as visit:
        chosen = visit.order.choose(take_id, visit.at)
        number = next(t.number for t in turns(visit.order) if t.question.key == chosen.question)
    return redirect(url_for(".question", public_id=public_id, number=number), 303)


@routes.get("/takes/<take_id>")
def watch(public_id: str, take_id: str) -> ResponseReturnValue:
    """Serve the candidate their own recording."""
    with looking(public_id, Interview) as visit:
        recording = visit.order.recording(take_id)
    return ranges.serve(here().media, recording.playable, recording.mime)


@routes.get("/answers")
def answers(public_id: str) -> ResponseReturnValue:
    """List every question, answered or not, before handing in."""
    with looking(public_id, Interview) as visit:
        if not visit.order.running(visit.at):
            return to_landing(public_id)
        return render_template("candidate/interview/answers.html", **_facts(visit))


@routes.post("/send")
def send(public_id: str) -> ResponseReturnValue:
    """Hand in; leads to what is still missing. Handing in twice changes nothing."""
    with acting(public_id, Interview) as visit:
        if visit.order.running(visit.at) and visit.order.unanswered():
            return redirect(url_for(".answers", public_id=public_id), 303)
        visit.order.send(visit.session, visit.at)
    return to_landing(public_id)


@routes.errorhandler(CSRFError)
def _unproven(_: CSRFError) -> ResponseReturnValue:
    """The browser has lost its form cookie: a script fetches a new proof and goes on."""
    return (jsonify(reload=True), 400) if wants_json() else forgotten()


def _noted(public_id: str, key: str, new: str, mime: str, kept: Kept) -> ResponseReturnValue:
    """Write down a take whose bytes are here; they go where it cannot be, or was already."""
    saved = None
    try:
        with acting(public_id, Interview) as visit:
            order = visit.order
            saved = order.record(visit.session, key, new, mime, kept, visit.at).public_id
            left = order.takes_left(order.question(key))
    except BaseException:
        saved = None
        raise
    finally:
        if saved != new:
            with suppress(Unready):  # it keeps a file that nobody knows, and no more
                here().media.drop(original_of(new))
    return jsonify(saved=saved, takes_left=left), 201 if saved == new else 200


def _recording(page: str) -> Response:
    """Answer with a page that may use the camera and the microphone, and play what they gave."""
    response = Response(page)
    response.headers["Permissions-Policy"] = "camera=(self), microphone=(self), geolocation=()"
    response.headers["Content-Security-Policy"] = csp.recording(here().media.origin)
    return response


def _onward(order: Interview) -> str:
    """Return the address of the first question without an answer, or of the overview."""
    for turn in turns(order):
        if not turn.chosen:
            return url_for(".question", public_id=order.public_id, number=turn.number)
    return url_for(".answers", public_id=order.public_id)


def _facts(visit: Visit[Interview]) -> dict[str, Any]:
    order = visit.order
    return {
        **dress(order.account),
        "order": order,
        "content": order.content,
        "turns": turns(order),
        "most": MOST,
        "at": visit.at,
    }
