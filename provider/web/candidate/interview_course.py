"""The pages around the questions of an interview: introduction, practice, pauses, files."""

from collections.abc import Mapping

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.questions import PRACTICE
from provider.core.kinds.interview.shown_questions import was_shown
from provider.core.products.files import ProductFile, poster_key
from provider.errors import NotFound
from provider.services import current_services
from provider.web.candidate.interview_navigation import next_url
from provider.web.candidate.interview_page import (
    InterviewRequest,
    recording_page_response,
    template_context,
)
from provider.web.candidate.responses import redirect_to_landing
from provider.web.candidate.session import order_for_read, order_for_update
from provider.web.range_responses import serve_media

INTRODUCTION = "introduction"
SEEN_FIELD = "seen"  # of the form that starts the interview: the page that the candidate has seen

routes = Blueprint("course", __name__)


def find_next_page(order: Interview, form: Mapping[str, str]) -> str | None:
    """Return the URL of the page that comes before the first question; None without any.

    The introduction comes first, and then the practice question.
    """
    content = order.content
    pages = [
        name
        for name, part in ((INTRODUCTION, content.introduction), (PRACTICE, content.practice))
        if part
    ]
    seen = form.get(SEEN_FIELD, "")
    following = pages[pages.index(seen) + 1 :] if seen in pages else pages
    if not following:
        return None
    return url_for(f"candidate.interview.course.{following[0]}", public_id=order.public_id)


@routes.get("/introduction")
def introduction(public_id: str) -> ResponseReturnValue:
    """Show the introduction; the interview does not start."""
    with order_for_read(public_id, Interview) as candidate_request:
        order = candidate_request.order
        if not order.is_waiting_for_candidate or order.content.introduction is None:
            return redirect_to_landing(public_id)
        context = template_context(candidate_request)
        return render_template("candidate/interview/introduction.html", **context)


@routes.get("/practice")
def practice(public_id: str) -> ResponseReturnValue:
    """Show the practice question. The recording stays in the browser, and nothing starts."""
    with order_for_read(public_id, Interview) as candidate_request:
        order = candidate_request.order
        if not order.is_waiting_for_candidate or order.practice is None:
            return redirect_to_landing(public_id)
        page = render_template(
            "candidate/interview/practice.html",
            **template_context(candidate_request),
            question=order.practice,
        )
    return recording_page_response(page)


@routes.post("/interview-pause")
def pause(public_id: str) -> ResponseReturnValue:
    """Stop the clock between two questions. A second press changes nothing."""
    with order_for_update(public_id, Interview) as candidate_request:
        candidate_request.order.pause(candidate_request.session, candidate_request.now)
    return redirect_to_landing(public_id)


@routes.post("/interview-go-on")
def go_on(public_id: str) -> ResponseReturnValue:
    """End the pause and show the next question. A second press changes nothing."""
    with order_for_update(public_id, Interview) as candidate_request:
        order, now = candidate_request.order, candidate_request.now
        order.go_on(candidate_request.session, now)
        if not order.is_running(now):
            return redirect_to_landing(public_id)
        return redirect(next_url(order), 303)


@routes.get("/interview-media/<any(files, posters):variant>/<name>")
def media_file(public_id: str, variant: str, name: str) -> ResponseReturnValue:
    """Send a video or a picture of the template, or the poster of a video.

    Raises NotFound for a file of a question that the candidate may not see yet.
    """
    with order_for_read(public_id, Interview) as candidate_request:
        file = _find_shown_file(candidate_request, name)
        key, mimetype = file.shown_key, file.type
        if variant == "posters":
            key, mimetype = poster_key(file.sha256), "image/jpeg"
    return serve_media(current_services().media, key, mimetype)


def _find_shown_file(candidate_request: InterviewRequest, name: str) -> ProductFile:
    """Return a file of the template that a page of the candidate shows at present."""
    order, session = candidate_request.order, candidate_request.session
    content = order.content
    is_before = order.is_waiting_for_candidate
    is_running = order.is_clock_running(candidate_request.now)
    parts = [
        (content.introduction, is_before),
        (content.practice, is_before),
        (content.closing, not is_before and not is_running),
    ]
    for question in content.questions if is_running else ():
        is_open = not question.is_recorded or was_shown(session, order, question)
        parts.append((question, is_open))
    for part, is_open in parts:
        if part and part.media and is_open and name in (part.media.video, part.media.picture):
            return order.version.find_file(name)
    raise NotFound("There is no such file")
