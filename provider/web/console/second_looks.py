"""The page on which staff answer a candidate's request for a second look at the marks."""

from decimal import Decimal

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.marking import OPEN, SECOND_LOOK, MarkedOrder, find_task
from provider.core.marking.second_look import answer, list_settled_tasks
from provider.core.products.schema_fields import clean_text
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.marking import read_number

routes = Blueprint("second_looks", __name__, url_prefix="/marking/<task_id>/second-look")

POINTS_PREFIX = "points."


@routes.get("")
@requires(Permission.RATE_INTERVIEWS)
def detail(task_id: str) -> Response:
    return _render(task_id)


@routes.post("")
@requires(Permission.RATE_INTERVIEWS)
def save(task_id: str) -> Response:
    """Keep the marks, or save the changed ones; the pressed button decides."""
    services = current_services()
    try:
        points = _read_points() if request.form.get("decision") == "change" else {}
        reply = clean_text(request.form.get("reply", "")).replace("\r\n", "\n")
        with services.db.writing() as session:
            task = find_task(session, task_id, lock=True)
            staff, now = current_staff().email, services.now()
            answer(session, services.secret_box, task, points, reply, staff, now)
            subject, state = f"order:{task.order.public_id}", task.state
            record_act(session, Action.SECOND_LOOK_ANSWERED, subject, after={"state": state})
    except (Invalid, Conflict) as error:
        return _render(task_id, str(error), 400 if isinstance(error, Invalid) else 409)
    outcome = "The ATS gets the corrected result" if state == "changed" else "The marks stay"
    flash(f"The request is answered. {outcome}.", "success")
    return redirect(url_for("console.marking.listing"), 303)


def _render(task_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        task = find_task(session, task_id)
        order = task.order
        if task.purpose != SECOND_LOOK or not isinstance(order, MarkedOrder):
            raise NotFound("There is no such request")
        tasks = list_settled_tasks(session, order)
        html = render_template(
            "console/second_look.html",
            task=task,
            order=order,
            answers=[(marked, order.marking_unit(marked.unit)) for marked in tasks],
            is_open=task.state == OPEN and order.status == "completed",
            problem=problem,
            form=request.form,
        )
    return make_response(html, status_code)


def _read_points() -> dict[str, Decimal]:
    """Return the points by unit. Raises Invalid for a field without a number."""
    numbers = {
        name.removeprefix(POINTS_PREFIX): read_number(value)
        for name, value in request.form.items()
        if name.startswith(POINTS_PREFIX)
    }
    points = {unit: number for unit, number in numbers.items() if number is not None}
    if len(points) < len(numbers):
        raise Invalid("Give points for each answer")
    return points
