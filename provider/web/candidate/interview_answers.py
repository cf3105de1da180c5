"""Questions of an interview that are answered by a text, a choice or a file.

The pages work as plain form posts. A script posts the same forms and asks for JSON, so that each
answer is saved as soon as the candidate gives it.
"""

from flask import Blueprint, current_app, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import RequestEntityTooLarge

from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.given_answers import (
    StaleAnswer,
    answer_text,
    find_answer_file,
    parse_answer,
    save_answer,
    save_file,
)
from provider.core.kinds.interview.questions import FILE
from provider.core.orders.given_time import to_milliseconds
from provider.errors import Conflict, Invalid, NotFound, ProviderError
from provider.services import current_services
from provider.texts import gettext
from provider.web.candidate.interview_navigation import (
    QuestionPosition,
    find_question_position,
    next_url,
    overview_url,
    question_url,
)
from provider.web.candidate.interview_page import InterviewRequest, clock_fields, template_context
from provider.web.candidate.responses import respond_form_expired, wants_json
from provider.web.candidate.sent_files import REMOVE, STAY, stored_file
from provider.web.candidate.session import order_for_read, order_for_update
from provider.web.range_responses import serve_media

ANSWER_FIELD, SHOWN_FIELD = "answer", "shown"
OVERVIEW = "overview"  # the value of the button that opens the list of all questions
DOWNLOAD_NAME = "answer"  # of a file that the candidate has sent

routes = Blueprint("answers", __name__)


def render_question(
    candidate_request: InterviewRequest,
    position: QuestionPosition,
    *,
    error: str = "",
    typed: str | None = None,
) -> str:
    """Render a question with its saved answer, or with what was `typed`."""
    question, value = position.question, position.value
    numbers = [
        answer.number
        for answer in candidate_request.order.given_answers
        if answer.question == question.key
    ]
    saved = value if isinstance(value, str) else ""
    return render_template(
        f"candidate/interview/question_{question.answer}.html",
        **template_context(candidate_request),
        position=position,
        question=question,
        value=value,
        saved=saved,
        selected=saved if typed is None else typed,
        answer_text=answer_text(question, value),
        answer_number=numbers[0] if numbers else 0,
        error=error,
        next_question=next_url(candidate_request.order, position.number),
    )


@routes.post("/questions/<int:number>/answer")
def save(public_id: str, number: int) -> ResponseReturnValue:
    """Save a text or a choice; the pressed button decides which page follows."""
    try:
        with order_for_update(public_id, Interview) as candidate_request:
            order, given = candidate_request.order, candidate_request.given
            position = find_question_position(order, number)
            order.require_in_time(given.given_at)
            if not _is_unchanged():
                value = parse_answer(position.question, request.form.getlist(ANSWER_FIELD))
                session, now = candidate_request.session, candidate_request.now
                save_answer(session, order, position.question, value, now, given)
            url = _next_url(order, number)
    except StaleAnswer:
        return _respond_stale(public_id, number)
    except Invalid as error:
        return _render_with_error(public_id, number, error.translated())
    if not wants_json():
        return redirect(url, 303)
    return jsonify(next=url, **clock_fields(candidate_request))


@routes.post("/questions/<int:number>/file")
def send_file(public_id: str, number: int) -> ResponseReturnValue:
    """Save a file as the answer, or remove it; the pressed button decides which page follows."""
    with order_for_read(public_id, Interview) as candidate_request:
        candidate_request.order.require_in_time(candidate_request.given.given_at)
        question = find_question_position(candidate_request.order, number).question
    if question.answer != FILE:
        raise NotFound("There is no such page")
    try:
        with (
            stored_file(question.accepted_files) as sent,
            order_for_update(public_id, Interview) as candidate_request,
        ):
            session, order = candidate_request.session, candidate_request.order
            now, given = candidate_request.now, candidate_request.given
            if sent:
                save_file(session, order, question, *sent, now, given)
            elif request.form.get("go") == REMOVE:
                save_answer(session, order, question, None, now, given)
            url = _next_url(order, number)
    except Invalid as error:
        return _render_with_error(public_id, number, error.translated())
    return redirect(url, 303)


@routes.get("/interview-files/<file_id>")
def own_file(public_id: str, file_id: str) -> ResponseReturnValue:
    """Send the candidate a file that she has sent, as a download."""
    with order_for_read(public_id, Interview) as candidate_request:
        order = candidate_request.order
        order.require_clock_running(candidate_request.now)
        file = find_answer_file(candidate_request.session, order, order.given_answers, file_id)
        key, mimetype = file.media_key, file.type
    return serve_media(current_services().media, key, mimetype, DOWNLOAD_NAME)


@routes.get("/interview-time")
def remaining_time(public_id: str) -> ResponseReturnValue:
    """Return the server's time and the seconds left (JSON)."""
    with order_for_read(public_id, Interview) as candidate_request:
        candidate_request.order.require_clock_running(candidate_request.now)
        return jsonify(clock_fields(candidate_request))


@routes.errorhandler(RequestEntityTooLarge)
def _handle_large_body(error: RequestEntityTooLarge) -> ResponseReturnValue:
    if request.endpoint is None or not request.endpoint.endswith(".send_file"):
        return error
    return _render_with_error(
        **(request.view_args or {}),
        error=gettext("This file is too large. Please send a smaller one"),
    )


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """Answer a form whose cookie is gone with a new form that has the typed answer in it."""
    if wants_json():
        return jsonify(reload=True), 400
    if not (request.endpoint or "").endswith(".save"):
        return respond_form_expired()
    try:
        return _render_with_error(
            **(request.view_args or {}),
            error=gettext("This is not saved yet. Please press the button again"),
        )
    except ProviderError as error:
        return current_app.handle_user_exception(error)


def _is_unchanged() -> bool:
    """Whether the form is as it was shown. It must not replace an answer from another window."""
    values = [
        [text for text in request.form.getlist(name) if text]
        for name in (ANSWER_FIELD, SHOWN_FIELD)
    ]
    return SHOWN_FIELD in request.form and values[0] == values[1]


def _next_url(order: Interview, number: int) -> str:
    button = request.form.get("go", "")
    if button in (STAY, REMOVE):
        return question_url(order.public_id, number)
    if button == OVERVIEW:
        return overview_url(order.public_id)
    return next_url(order, number)


def _respond_stale(public_id: str, number: int) -> ResponseReturnValue:
    """Answer a save that is older than the saved answer with the one that stands."""
    with order_for_read(public_id, Interview) as candidate_request:
        order = candidate_request.order
        if not wants_json():
            raise Conflict("A newer answer to this question is saved already")
        position = find_question_position(order, number)
        numbers = {answer.question: answer.number for answer in order.given_answers}
        fields = [(ANSWER_FIELD, position.value)] if isinstance(position.value, str) else []
        return jsonify(
            error=gettext(
                "A newer answer from another window or device is saved. You see it here."
            ),
            standing=fields,
            number=numbers.get(position.question.key, to_milliseconds(candidate_request.now)),
            **clock_fields(candidate_request),
        ), 409


def _render_with_error(public_id: str, number: int, error: str) -> ResponseReturnValue:
    """Answer with the question, what was typed, and the error."""
    if wants_json():
        return jsonify(error=error), 400
    with order_for_read(public_id, Interview) as candidate_request:
        candidate_request.order.require_clock_running(candidate_request.now)
        position = find_question_position(candidate_request.order, number)
        if position.question.is_recorded:
            raise NotFound("There is no such page")
        typed = "\n".join(request.form.getlist(ANSWER_FIELD))
        return render_question(candidate_request, position, error=error, typed=typed), 400
