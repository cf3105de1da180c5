"""Taking a test: start, one question per screen, an overview, handing in.

Everything works as plain form posts. With scripts the same addresses are asked for JSON, so that
each answer is saved as it is given. The deadline is the server's.
"""

from typing import Any

from flask import Blueprint, current_app, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from provider.errors import Invalid, ProviderError
from provider.here import here
from provider.kinds.assessment import Assessment
from provider.orders import COMPLETED
from provider.pages.candidate_answers import dress, forgotten, to_landing, wants_json
from provider.pages.candidate_door import Visit, acting, looking
from provider.pages.candidate_places import Place, place_of, places, posted, untouched

routes = Blueprint("assessment", __name__, url_prefix="/o/<public_id>")


@routes.post("/start")
def start(public_id: str) -> ResponseReturnValue:
    """Begin, and show the first question."""
    with acting(public_id, Assessment) as visit:
        visit.order.start(visit.session, visit.at)
    return redirect(url_for(".item", public_id=public_id, number=1), 303)


@routes.get("/items/<int:number>")
def item(public_id: str, number: int) -> ResponseReturnValue:
    """Show one question with the answer that was saved."""
    with looking(public_id, Assessment) as visit:
        if not visit.order.running(visit.at):
            return to_landing(public_id)
        return _item_page(visit, place_of(visit.order.content, number))


@routes.post("/items/<int:number>")
def answer(public_id: str, number: int) -> ResponseReturnValue:
    """Save the answer to one question and go where the pressed button leads."""
    try:
        with acting(public_id, Assessment) as visit:
            place = place_of(visit.order.content, number)
            visit.order.must_be_running(visit.at)
            if not untouched(request.form):
                visit.order.save(place.item.key, request.form, visit.at)
    except Invalid as error:
        return _again(public_id, number, str(error))
    return _saved(visit, place)


@routes.get("/overview")
def overview(public_id: str) -> ResponseReturnValue:
    """List every question, answered or not, before handing in."""
    with looking(public_id, Assessment) as visit:
        if not visit.order.running(visit.at):
            return to_landing(public_id)
        return _overview_page(visit)


@routes.get("/submit")
def confirm(public_id: str) -> ResponseReturnValue:
    """Ask whether to hand in although questions are blank, or say which must be answered."""
    with looking(public_id, Assessment) as visit:
        if not visit.order.running(visit.at):
            return to_landing(public_id)
        if visit.order.missing or not visit.order.blank:
            return _overview_page(visit, asked=True)
        return _overview_page(visit, "candidate/sure.html")


@routes.post("/submit")
def submit(public_id: str) -> ResponseReturnValue:
    """Hand in; asks once more when questions are blank. Handing in twice changes nothing."""
    with acting(public_id, Assessment) as visit:
        order = visit.order
        if order.status != COMPLETED:
            order.must_be_running(visit.at)
            if order.missing or len(order.blank) > request.form.get("blank", 0, type=int):
                return redirect(url_for(".confirm", public_id=public_id), 303)
            order.submit(visit.session, here().vault, visit.at)
    return to_landing(public_id)


@routes.get("/time")
def time(public_id: str) -> ResponseReturnValue:
    """Answer how many seconds are left (JSON), for a page that wonders whether time is over."""
    with looking(public_id, Assessment) as visit:
        visit.order.must_be_running(visit.at)
        return jsonify(seconds_left=seconds_left(visit))


@routes.errorhandler(CSRFError)
def _unproven(_: CSRFError) -> ResponseReturnValue:
    """The browser has lost its form cookie: give it a new one and keep what was typed."""
    known = request.view_args or {}
    if wants_json():
        return jsonify(reload=True), 400
    if "number" not in known:
        return forgotten()
    try:
        return _again(**known, error="This is not saved yet. Please press the button again")
    except ProviderError as error:
        return current_app.handle_user_exception(error)


def seconds_left(visit: Visit[Assessment]) -> float:
    """Return the seconds until the attempt ends, 0 when it has."""
    ends = visit.order.attempt_ends_at
    return max(0.0, (ends - visit.at).total_seconds()) if ends else 0.0


def _again(public_id: str, number: int, error: str) -> ResponseReturnValue:
    if wants_json():
        return jsonify(error=error), 400
    with looking(public_id, Assessment) as visit:
        visit.order.must_be_running(visit.at)
        place = place_of(visit.order.content, number)
        return _item_page(visit, place, error=error, typed=posted(request.form)), 400


def _saved(visit: Visit[Assessment], place: Place) -> ResponseReturnValue:
    onward = _onward(visit.order.public_id, place)
    if wants_json():
        return jsonify(next=onward, seconds_left=seconds_left(visit))
    return redirect(onward, 303)


def _onward(public_id: str, place: Place) -> str:
    steps = {"previous": place.number - 1, "overview": 0}
    number = steps.get(request.form.get("go", ""), place.number + 1)
    if 1 <= number <= place.of:
        return url_for(".item", public_id=public_id, number=number)
    return url_for(".overview", public_id=public_id)


def _item_page(
    visit: Visit[Assessment], place: Place, *, error: str = "", typed: list[str] | None = None
) -> str:
    saved = place.item.chosen(visit.order.given.get(place.item.key))
    return render_template(
        "candidate/item.html",
        **_facts(visit),
        place=place,
        saved=saved,
        chosen=saved if typed is None else typed,
        error=error,
    )


def _overview_page(
    visit: Visit[Assessment], template: str = "candidate/overview.html", *, asked: bool = False
) -> str:
    return render_template(
        template, **_facts(visit), places=places(visit.order.content), asked=asked
    )


def _facts(visit: Visit[Assessment]) -> dict[str, Any]:
    order = visit.order
    return {
        **dress(order.account),
        "order": order,
        "content": order.content,
        "seconds_left": seconds_left(visit),
    }
