"""The pages of a test: start, one question per screen, the overview, submitting.

Every page works as a plain form post. A script posts the same forms and asks for JSON, so that
each answer is saved as soon as the candidate gives it. The server decides when the time is over.
"""

from typing import Any

from flask import Blueprint, current_app, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import RequestEntityTooLarge

from provider.core.kinds.assessment import Assessment, ClosedItem, StaleSave, UnreadText
from provider.core.kinds.assessment.items import Reading
from provider.core.orders import COMPLETED
from provider.core.products.schema_fields import clean_text
from provider.errors import Conflict, Invalid, ProviderError
from provider.services import current_services
from provider.texts import gettext
from provider.web.candidate import (
    assessment_files,
    assessment_parts,
    assessment_pieces,
    assessment_uploads,
)
from provider.web.candidate.assessment_navigation import (
    ItemPosition,
    find_item_position,
    find_moved_button,
    is_moving,
    is_unchanged,
    must_see_reading,
    read_submitted_fields,
)
from provider.web.candidate.assessment_page import (
    AssessmentRequest,
    clock_fields,
    item_url,
    overview_url,
    place_url,
    template_context,
)
from provider.web.candidate.assessment_rendering import (
    render_item_over_page,
    render_item_page,
    render_overview_page,
    unread_text_advice,
)
from provider.web.candidate.assessment_signals import note_connection
from provider.web.candidate.assessment_signals import routes as signals_routes
from provider.web.candidate.responses import (
    redirect_to_landing,
    respond_form_expired,
    wants_json,
)
from provider.web.candidate.session import order_for_read, order_for_update

# The values of the buttons of a question. Each of them saves the answer, too.
NEXT, PAUSE = "next", "pause"
FLAG, UNFLAG = "flag", "unflag"
QUESTION_FIELD = "question"  # the number of the question at which a pause began

routes = Blueprint("assessment", __name__, url_prefix="/o/<public_id>")
routes.add_url_rule("/part", "part", assessment_parts.part)
routes.register_blueprint(assessment_parts.routes)
routes.register_blueprint(assessment_files.routes)
routes.register_blueprint(assessment_pieces.routes)
routes.register_blueprint(signals_routes)


@routes.post("/start")
def start(public_id: str) -> ResponseReturnValue:
    with order_for_update(public_id, Assessment) as candidate_request:
        candidate_request.order.require_start_permitted(
            candidate_request.session, current_services().secret_box, candidate_request.now
        )
        candidate_request.order.start(
            candidate_request.session,
            candidate_request.now,
            given_at=candidate_request.given.given_at,
        )
        note_connection(candidate_request)
        return redirect(place_url(candidate_request, question=1), 303)


@routes.get("/items/<int:number>")
def item(public_id: str, number: int) -> ResponseReturnValue:
    """Show one question with its saved answer."""
    with order_for_read(public_id, Assessment) as candidate_request:
        order = candidate_request.order
        if not order.is_clock_running(candidate_request.now):
            return redirect_to_landing(public_id)
        position = find_item_position(order.parts, number)
        if order.is_item_over(number, candidate_request.now):
            return render_item_over_page(candidate_request, position)
        if not order.can_open_item(number, candidate_request.now):
            return redirect(place_url(candidate_request), 303)
        return render_item_page(candidate_request, position)


@routes.post("/items/<int:number>")
def save_answer(public_id: str, number: int) -> ResponseReturnValue:
    """Save the answer to one question; the pressed button decides which page follows.

    A number that can be read two ways is shown again first, with a note on how it was read. A typed
    text that cannot be read is kept and shown again with advice. With the button for a pause, both
    are shown after the pause.
    """
    is_pausing = request.form.get("go") == PAUSE
    unread_text = None
    must_stay = False
    try:
        with order_for_update(public_id, Assessment) as candidate_request:
            order, given = candidate_request.order, candidate_request.given
            position = find_item_position(order.parts, number)
            order.require_in_time(given.given_at)
            note_connection(candidate_request)
            if not is_unchanged(request.form):
                try:
                    order.save(position.item.key, request.form, candidate_request.now, given)
                except UnreadText as error:
                    unread_text = error  # and what was typed is committed
            reading = position.item.reading(position.item.typed_text(request.form))
            must_stay = not is_unchanged(request.form) and must_see_reading(request.form, reading)
            must_stay = must_stay or is_moving(request.form)
            _press_button(candidate_request, position, is_kept=must_stay or bool(unread_text))
            next_url = _next_url(candidate_request, position)
    except StaleSave:
        return _respond_stale(public_id, number)
    except ClosedItem as error:
        return _respond_closed(public_id, error)
    except Invalid as error:
        return _render_item_with_error(public_id, number, error.translated())
    if unread_text and not is_pausing:
        return _render_item_with_error(
            public_id, number, unread_text_advice(unread_text), is_kept=True
        )
    must_stay = must_stay and not is_pausing
    return _respond_saved(candidate_request, position, reading, next_url, must_stay=must_stay)


@routes.post("/items/<int:number>/file")
def save_file(public_id: str, number: int) -> ResponseReturnValue:
    """Save a file as the answer to one question; the pressed button decides which page follows."""
    with order_for_read(public_id, Assessment) as candidate_request:
        candidate_request.order.require_in_time(candidate_request.given.given_at)
        position = find_item_position(candidate_request.order.parts, number)
    try:
        with (
            assessment_uploads.stored_file(position.item) as sent,
            order_for_update(public_id, Assessment) as candidate_request,
        ):
            note_connection(candidate_request)
            assessment_uploads.save_sent(candidate_request, position, sent)
            _press_button(candidate_request, position, is_kept=False)
            next_url = _next_url(candidate_request, position)
    except ClosedItem as error:
        return _respond_closed(public_id, error)
    except Invalid as error:
        return _render_item_with_error(public_id, number, error.translated())
    return redirect(next_url, 303)


@routes.get("/overview")
def overview(public_id: str) -> ResponseReturnValue:
    """List every question, with or without an answer, before the candidate submits."""
    with order_for_read(public_id, Assessment) as candidate_request:
        order = candidate_request.order
        if not order.is_clock_running(candidate_request.now):
            return redirect_to_landing(public_id)
        if not _is_overview_open(order):
            return redirect(place_url(candidate_request), 303)
        show_missing = "missing" in request.args and bool(order.unanswered_required_keys)
        return render_overview_page(candidate_request, show_missing=show_missing)


@routes.get("/submit")
def confirm_submit(public_id: str) -> ResponseReturnValue:
    """Ask whether to submit with blank questions, or name the questions that need an answer."""
    with order_for_read(public_id, Assessment) as candidate_request:
        order = candidate_request.order
        if not order.is_clock_running(candidate_request.now):
            return redirect_to_landing(public_id)
        if not _is_overview_open(order) or not order.is_last_part:
            return redirect(place_url(candidate_request), 303)
        if order.unanswered_required_keys or not order.open_blank_keys:
            return render_overview_page(candidate_request, show_missing=True)
        return render_overview_page(candidate_request, "candidate/assessment/confirm_submit.html")


@routes.post("/submit")
def submit(public_id: str) -> ResponseReturnValue:
    """Submit the test; more blanks than the form confirms are asked about first.

    A second submit changes nothing.
    """
    with order_for_update(public_id, Assessment) as candidate_request:
        order, now = candidate_request.order, candidate_request.now
        if order.status != COMPLETED:
            order.require_in_time(candidate_request.given.given_at)
            confirmed_blanks = request.form.get("blank", 0, type=int)
            if not _is_overview_open(order) or not order.is_last_part:
                return redirect(place_url(candidate_request), 303)
            if order.unanswered_required_keys or len(order.open_blank_keys) > confirmed_blanks:
                return redirect(url_for(".confirm_submit", public_id=public_id), 303)
            order.submit(candidate_request.session, current_services().secret_box, now)
    return redirect_to_landing(public_id)


@routes.get("/time")
def remaining_time(public_id: str) -> ResponseReturnValue:
    """Return the server's time and the seconds left (JSON).

    The page asks now and then, when its own countdown reaches zero, and when the device wakes. With
    the number of its question it learns when this is not open any more.
    """
    number = request.args.get(QUESTION_FIELD, 0, type=int)
    with order_for_read(public_id, Assessment) as candidate_request:
        order, now = candidate_request.order, candidate_request.now
        order.require_clock_running(now)
        if number and not order.can_open_item(number, now):
            return jsonify(next=place_url(candidate_request)), 409
        return jsonify(clock_fields(candidate_request))


@routes.get("/pause")
def paused(public_id: str) -> ResponseReturnValue:
    """Show the pause; without one, the question at which the candidate goes on."""
    question = request.args.get(QUESTION_FIELD, 0, type=int)
    with order_for_read(public_id, Assessment) as candidate_request:
        if not candidate_request.order.is_paused(candidate_request.now):
            return redirect(place_url(candidate_request, question), 303)
        context = template_context(candidate_request) | {"now": candidate_request.now}
        return render_template("candidate/assessment/paused.html", **context, question=question)


@routes.post("/pause")
def pause(public_id: str) -> ResponseReturnValue:
    """Stop the clock. A second press changes nothing."""
    with order_for_update(public_id, Assessment) as candidate_request:
        candidate_request.order.pause(candidate_request.session, candidate_request.now)
    return redirect(url_for(".paused", public_id=public_id), 303)


@routes.post("/go-on")
def go_on(public_id: str) -> ResponseReturnValue:
    """End the pause and show the question at which it began. A second press changes nothing."""
    with order_for_update(public_id, Assessment) as candidate_request:
        candidate_request.order.go_on(candidate_request.session, candidate_request.now)
        question = request.form.get(QUESTION_FIELD, 0, type=int)
        return redirect(place_url(candidate_request, question), 303)


@routes.post("/second-look")
def ask_second_look(public_id: str) -> ResponseReturnValue:
    """Store the candidate's request that staff look at the result again."""
    reason = clean_text(request.form.get("reason", "")).replace("\r\n", "\n")
    try:
        with order_for_update(public_id, Assessment) as candidate_request:
            session, order = candidate_request.session, candidate_request.order
            order.ask_second_look(session, reason, candidate_request.now)
    except Invalid as error:  # the status page shows it with the reason that was typed
        raise Conflict(error.text.message, **dict(error.text.params)) from error
    return redirect_to_landing(public_id)


@routes.errorhandler(RequestEntityTooLarge)
def _handle_large_body(error: RequestEntityTooLarge) -> ResponseReturnValue:
    view_args = request.view_args or {}
    if request.endpoint is None or not request.endpoint.endswith(".save_file"):
        return error
    return _render_item_with_error(
        **view_args, error=gettext("This file is too large. Please send a smaller one")
    )


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """Answer a form whose cookie is gone with a new form that has the typed answer in it."""
    view_args = request.view_args or {}
    if wants_json():
        return jsonify(reload=True), 400
    if not (request.endpoint or "").endswith(".save_answer"):
        return respond_form_expired()
    try:
        return _render_item_with_error(
            **view_args, error=gettext("This is not saved yet. Please press the button again")
        )
    except ProviderError as error:
        return current_app.handle_user_exception(error)


def _is_overview_open(order: Assessment) -> bool:
    """Whether the candidate may see the list: without a way back, after the last question."""
    if not order.is_part_open:
        return False
    if not order.part.is_forward or order.attempt is None:
        return True
    return order.attempt.item_number > order.part.last


def _press_button(
    candidate_request: AssessmentRequest, position: ItemPosition, *, is_kept: bool
) -> None:
    """Do what the pressed button says. `is_kept` says that the question stays on the screen."""
    order, session, now = candidate_request.order, candidate_request.session, candidate_request.now
    button = request.form.get("go")
    if button == PAUSE and order.can_pause(now):
        order.pause(session, now)
    elif button in (FLAG, UNFLAG) and order.attempt:
        order.attempt.set_flag(position.item.key, is_set=button == FLAG)
    elif button == NEXT and not is_kept:
        order.move_forward(session, position.number, now)


def _respond_closed(public_id: str, error: ClosedItem) -> ResponseReturnValue:
    """Answer a save to a question that is not open with the page at which the candidate goes on."""
    with order_for_read(public_id, Assessment) as candidate_request:
        url = place_url(candidate_request)
    if wants_json():
        return jsonify(error=error.translated(), next=url), 409
    return redirect(url, 303)


def _respond_stale(public_id: str, number: int) -> ResponseReturnValue:
    """Answer a save that is older than the saved answer with the one that stands."""
    with order_for_read(public_id, Assessment) as candidate_request:
        order = candidate_request.order
        if not wants_json():
            raise Conflict("A newer answer to this question is saved already")
        item = find_item_position(order.parts, number).item
        answer = order.find_answer(item.key)
        return jsonify(
            error=gettext(
                "A newer answer from another window or device is saved. You see it here."
            ),
            standing=item.form_fields(answer.value),
            number=answer.number,
            **clock_fields(candidate_request),
        ), 409


def _render_item_with_error(
    public_id: str, number: int, error: str, *, is_kept: bool = False
) -> ResponseReturnValue:
    if wants_json():
        return jsonify(error=error, kept=is_kept), 400
    with order_for_read(public_id, Assessment) as candidate_request:
        candidate_request.order.require_clock_running(candidate_request.now)
        position = find_item_position(candidate_request.order.parts, number)
        if not candidate_request.order.can_open_item(number, candidate_request.now):
            return redirect(place_url(candidate_request), 303)
        fields = [] if position.item.takes_file else read_submitted_fields(request.form)
        page = render_item_page(
            candidate_request, position, error=error, submitted_fields=fields, is_kept=is_kept
        )
        return page, 400


def _respond_saved(
    candidate_request: AssessmentRequest,
    position: ItemPosition,
    reading: Reading | None,
    next_url: str,
    *,
    must_stay: bool,
) -> ResponseReturnValue:
    public_id = candidate_request.order.public_id
    if not wants_json():
        button_id = find_moved_button(request.form)
        same_url = item_url(public_id, position.number, _anchor=button_id)
        return redirect(same_url if must_stay else next_url, 303)
    reply: dict[str, Any] = {"next": next_url, **clock_fields(candidate_request)}
    if reading:
        numbers = " ".join(reading.numbers)
        reply |= {"reading": reading.note, "readings": numbers, "stay": must_stay}
    return jsonify(reply)


def _next_url(candidate_request: AssessmentRequest, position: ItemPosition) -> str:
    order, number = candidate_request.order, position.number
    button = request.form.get("go", "")
    if button == PAUSE:
        return url_for(".paused", public_id=order.public_id, question=number)
    if order.part.is_forward or number not in order.part or not order.is_part_open:
        return place_url(candidate_request)
    if button in (FLAG, UNFLAG, assessment_uploads.STAY, assessment_uploads.REMOVE):
        return item_url(order.public_id, number)
    numbers = {"previous": number - 1, "overview": 0}
    number = numbers.get(button, number + 1)
    if number in order.part:
        return item_url(order.public_id, number)
    return overview_url(order.public_id)
