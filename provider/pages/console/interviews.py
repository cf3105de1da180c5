"""Interviews at the console: watched, rated question by question, summed up, completed."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.errors import Conflict, Invalid
from provider.here import here
from provider.kinds.fields import cleaned
from provider.kinds.interview import Interview, Recording
from provider.orders import COMPLETED
from provider.orders.order import SUBMITTED
from provider.pages.console import gate
from provider.pages.media_files import file_of
from provider.pages.ranges import safe, serve

routes = Blueprint("interviews", __name__, url_prefix="/orders/<order_id>/interview")

LONGEST_NOTE = 2000  # characters
LONGEST_SUMMARY = 5000
ENDINGS = {"video/webm": "webm", "audio/webm": "webm", "video/mp4": "mp4", "audio/mp4": "mp4"}


@routes.get("")
def page(order_id: str) -> Response:
    """Show every question with its answer, and its rating."""
    return _page(order_id)


@routes.get("/<any(takes, posters):what>/<recording_id>")
def file(order_id: str, what: str, recording_id: str) -> Response:
    """Send a take or its poster, whole or in part."""
    with here().db.reading() as session:
        key, mimetype = file_of(_recording(session, order_id, recording_id), what)
    return serve(here().media, key, mimetype)


@routes.get("/originals/<recording_id>")
def original(order_id: str, recording_id: str) -> Response:
    """Send a take as it came, to be kept: the way out where no copy of it could be made."""
    with here().db.reading() as session:
        recording = _recording(session, order_id, recording_id)
        key, mimetype = file_of(recording, "originals")
        name = f"{order_id}-{recording.question}-{recording.take}.{_ending(mimetype)}"
    return serve(here().media, key, mimetype, name)


@routes.post("/ratings/<question>")
def rate(order_id: str, question: str) -> Response:
    """Keep a rating and its note, in place of the one before."""
    house = here()
    try:
        value = _value(request.form.get("value", ""))
        note = _no_longer("note", LONGEST_NOTE)
        with house.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            interview.rate(question, value, note, gate.visitor().email, house.now())
            number = _number(interview, question)
    except Invalid as error:
        return _page(order_id, wrong=question, problem=str(error), code=400)
    except Conflict as error:
        return _page(order_id, problem=str(error), code=409)
    flash(f"The rating of question {number} is saved.", "success")
    here_again = url_for("console.interviews.page", order_id=order_id, _anchor=f"question-{number}")
    return redirect(here_again, 303)


@routes.get("/complete")
def ask(order_id: str) -> Response:
    """Say what completing will tell the ATS, and ask for a summary."""
    gate.require_change()
    return _sure(order_id)


@routes.post("/complete")
def complete(order_id: str) -> Response:
    """Complete the interview, as it was shown; what stands in the way is said on the same page."""
    house = here()
    try:
        summary = _no_longer("summary", LONGEST_SUMMARY)
        with house.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            _as_shown(interview, request.form.get("stand", ""))
            actor = gate.visitor().email
            interview.conclude(session, house.vault, summary, actor, house.now())
    except Invalid as error:
        return _sure(order_id, str(error), 400)
    except Conflict as error:
        return _sure(order_id, str(error), 409)
    flash("The interview is completed, and the ATS is being told.", "success")
    return redirect(url_for("console.orders.story", order_id=order_id), 303)


def stand(interview: Interview) -> str:
    """Return what somebody who completes has seen: the order and what its ratings come to."""
    return f"{interview.revision} {interview.outcome().score:g}"


def _page(order_id: str, wrong: str = "", problem: str = "", code: int = 200) -> Response:
    with here().db.reading() as session:
        interview = Interview.find(session, order_id)
        html = render_template(
            "console/interview.html",
            order=interview, content=interview.content, zone=interview.account.timezone,
            rated=interview.rated(), watchable=_handed_in(interview),
            open=interview.status == "pending" and _handed_in(interview),
            wrong=wrong, problem=problem, form=request.form, longest=LONGEST_NOTE,
        )  # fmt: skip
    return make_response(html, code)


def _sure(order_id: str, problem: str = "", code: int = 200) -> Response:
    with here().db.reading() as session:
        interview = Interview.find(session, order_id)
        html = render_template(
            "console/interview_complete.html",
            order=interview, content=interview.content, problem=problem,
            possible=interview.status == "pending" and _handed_in(interview),
            unrated=interview.unrated(), outcome=interview.outcome(), stand=stand(interview),
            summary=request.form.get("summary", ""), longest=LONGEST_SUMMARY,
        )  # fmt: skip
    return make_response(html, code)


def _handed_in(interview: Interview) -> bool:
    # Until then a take is the candidate's own: it may yet be recorded again.
    return interview.progress == SUBMITTED and interview.status in ("pending", COMPLETED)


def _recording(session: Session, order_id: str, recording_id: str) -> Recording:
    interview = Interview.find(session, order_id)
    if not _handed_in(interview):
        raise Conflict("The candidate has not handed this interview in, so it cannot be watched")
    return interview.recording(recording_id)


def _value(text: str) -> int:
    if not text.isdecimal() or len(text) > 3:
        raise Invalid("Choose a rating first")
    return int(text)


def _no_longer(name: str, most: int) -> str:
    text = cleaned(request.form.get(name, ""))
    if len(text) > most:
        raise Invalid(f"Keep the {name} to {most:,} characters")
    return text


def _number(interview: Interview, question: str) -> int:
    return [each.key for each in interview.content.questions].index(question) + 1


def _as_shown(interview: Interview, seen: str) -> None:
    if seen != stand(interview):
        raise Conflict(
            "Somebody changed this interview after you opened this page, so nothing was done. "
            "Below is how it stands now"
        )


def _ending(mimetype: str) -> str:
    return ENDINGS.get(safe(mimetype), "bin")
