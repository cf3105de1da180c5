"""Taking a test: start, one question per screen, an overview, handing in.

Everything works as plain form posts. With scripts the same addresses are asked for JSON, so that
each answer is saved as it is given. The deadline is the server's.
"""

from typing import Any

from flask import Blueprint, current_app, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from provider.core.kinds.assessment import Assessment
from provider.core.orders import COMPLETED
from provider.errors import Invalid, ProviderError
from provider.services import current_services
from provider.web.candidate.responses import (
    branding_context,
    redirect_to_landing,
    respond_form_expired,
    wants_json,
)
from provider.web.candidate.session import CandidateRequest, order_for_read, order_for_update
from provider.web.candidate.test_navigation import (
    ItemPosition,
    find_item_position,
    is_unchanged,
    list_item_positions,
    read_submitted_values,
)

routes = Blueprint("assessment", __name__, url_prefix="/o/<public_id>")


@routes.post("/start")
def start(public_id: str) -> ResponseReturnValue:
    """Begin, and show the first question."""
    with order_for_update(public_id, Assessment) as visit:
        visit.order.start(visit.session, visit.now)
    return redirect(url_for(".item", public_id=public_id, number=1), 303)


@routes.get("/items/<int:number>")
def item(public_id: str, number: int) -> ResponseReturnValue:
    """Show one question with the answer that was saved."""
    with order_for_read(public_id, Assessment) as visit:
        if not visit.order.is_running(visit.now):
            return redirect_to_landing(public_id)
        return _render_item_page(visit, find_item_position(visit.order.content, number))


@routes.post("/items/<int:number>")
def answer(public_id: str, number: int) -> ResponseReturnValue:
    """Save the answer to one question and go where the pressed button leads."""
    try:
        with order_for_update(public_id, Assessment) as visit:
            place = find_item_position(visit.order.content, number)
            visit.order.require_running(visit.now)
            if not is_unchanged(request.form):
                visit.order.save(place.item.key, request.form, visit.now)
    except Invalid as error:
        return _render_item_with_error(public_id, number, str(error))
    return _respond_saved(visit, place)


@routes.get("/overview")
def overview(public_id: str) -> ResponseReturnValue:
    """List every question, answered or not, before handing in."""
    with order_for_read(public_id, Assessment) as visit:
        if not visit.order.is_running(visit.now):
            return redirect_to_landing(public_id)
        return _render_overview_page(visit)


@routes.get("/submit")
def confirm(public_id: str) -> ResponseReturnValue:
    """Ask whether to hand in although questions are blank, or say which must be answered."""
    with order_for_read(public_id, Assessment) as visit:
        if not visit.order.is_running(visit.now):
            return redirect_to_landing(public_id)
        if visit.order.unanswered_required_keys or not visit.order.unanswered_keys:
            return _render_overview_page(visit, show_missing=True)
        return _render_overview_page(visit, "candidate/sure.html")


@routes.post("/submit")
def submit(public_id: str) -> ResponseReturnValue:
    """Hand in; asks once more when questions are blank. Handing in twice changes nothing."""
    with order_for_update(public_id, Assessment) as visit:
        order = visit.order
        if order.status != COMPLETED:
            order.require_running(visit.now)
            if order.unanswered_required_keys or len(order.unanswered_keys) > request.form.get(
                "blank", 0, type=int
            ):
                return redirect(url_for(".confirm", public_id=public_id), 303)
            order.submit(visit.session, current_services().secret_box, visit.now)
    return redirect_to_landing(public_id)


@routes.get("/time")
def time(public_id: str) -> ResponseReturnValue:
    """Answer how many seconds are left (JSON), for a page that wonders whether time is over."""
    with order_for_read(public_id, Assessment) as visit:
        visit.order.require_running(visit.now)
        return jsonify(seconds_left=seconds_left(visit))


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """The browser has lost its form cookie: give it a new one and keep what was typed."""
    known = request.view_args or {}
    if wants_json():
        return jsonify(reload=True), 400
    if "number" not in known:
        return respond_form_expired()
    try:
        return _render_item_with_error(
            **known, error="This is not saved yet. Please press the button again"
        )
    except ProviderError as error:
        return current_app.handle_user_exception(error)


def seconds_left(visit: CandidateRequest[Assessment]) -> float:
    """Return the seconds until the attempt ends, 0 when it has."""
    ends = visit.order.attempt_ends_at
    return max(0.0, (ends - visit.now).total_seconds()) if ends else 0.0


def _render_item_with_error(public_id: str, number: int, error: str) -> ResponseReturnValue:
    if wants_json():
        return jsonify(error=error), 400
    with order_for_read(public_id, Assessment) as visit:
        visit.order.require_running(visit.now)
        place = find_item_position(visit.order.content, number)
        return _render_item_page(
            visit, place, error=error, submitted_values=read_submitted_values(request.form)
        ), 400


def _respond_saved(visit: CandidateRequest[Assessment], place: ItemPosition) -> ResponseReturnValue:
    onward = _next_url(visit.order.public_id, place)
    if wants_json():
        return jsonify(next=onward, seconds_left=seconds_left(visit))
    return redirect(onward, 303)


def _next_url(public_id: str, place: ItemPosition) -> str:
    steps = {"previous": place.number - 1, "overview": 0}
    number = steps.get(request.form.get("go", ""), place.number + 1)
    if 1 <= number <= place.total:
        return url_for(".item", public_id=public_id, number=number)
    return url_for(".overview", public_id=public_id)


def _render_item_page(
    visit: CandidateRequest[Assessment],
    place: ItemPosition,
    *,
    error: str = "",
    submitted_values: list[str] | None = None,
) -> str:
    saved = place.item.form_values(visit.order.saved_answers.get(place.item.key))
    return render_template(
        "candidate/item.html",
        **_template_context(visit),
        place=place,
        saved=saved,
        chosen=saved if submitted_values is None else submitted_values,
        error=error,
    )


def _render_overview_page(
    visit: CandidateRequest[Assessment],
    template: str = "candidate/overview.html",
    *,
    show_missing: bool = False,
) -> str:
    return render_template(
        template,
        **_template_context(visit),
        places=list_item_positions(visit.order.content),
        asked=show_missing,
    )


def _template_context(visit: CandidateRequest[Assessment]) -> dict[str, Any]:
    order = visit.order
    return {
        **branding_context(order.account),
        "order": order,
        "content": order.content,
        "seconds_left": seconds_left(visit),
    }
