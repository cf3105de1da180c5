"""A trial of a draft: its author takes the test on the candidate's pages, without an order.

Nothing is stored. After each answer the next page says how many points it gets. The questions are
drawn, the time limits run and the breaks come as for a candidate; the first page begins anew. A
switch shows every question of the banks instead.
"""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from flask import (
    Blueprint,
    flash,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from provider.core.kinds import KINDS
from provider.core.kinds.assessment import Assessment, content
from provider.core.kinds.assessment.items import ANSWER_FIELD, FileAnswer, Item
from provider.core.kinds.grading import to_number
from provider.core.products.draft import working_content
from provider.core.staff import Permission
from provider.errors import Invalid
from provider.services import current_services
from provider.web.candidate.assessment_navigation import (
    find_item_position,
    is_moving,
    list_item_positions,
    read_submitted_fields,
)
from provider.web.candidate.assessment_uploads import FILE_FIELD
from provider.web.console.assessment_trial_state import Trial
from provider.web.console.authentication import requires
from provider.web.console.editor.editing import Editing

ALL_QUESTIONS = "all"  # the value of `questions` in the address that shows whole banks

routes = Blueprint("assessment_trial", __name__, url_prefix="/products/<product_id>/try")


@routes.get("")
@requires(Permission.EDIT_PRODUCTS)
def start(product_id: str) -> str:
    """Show the texts before the start, and begin a new trial. Its time begins with a question."""
    test = _load(product_id)
    Trial.begin(product_id, shows_all=request.args.get("questions") == ALL_QUESTIONS)
    trial = Trial(product_id, test, current_services().now())
    return render_template(
        "console/assessment/trial_start.html",
        content=trial.test,
        product_id=product_id,
        count=len(list_item_positions(trial.test)),
        has_draws=any(section.draw for section in test.sections),
        shows_all=trial.shows_all,
        all_questions=ALL_QUESTIONS,
    )


@routes.get("/<int:number>")
@requires(Permission.EDIT_PRODUCTS)
def item(product_id: str, number: int) -> Response | str:
    """Show a question on the candidate's page, unless its time is over."""
    trial = _open(product_id)
    find_item_position(trial.parts, number)
    trial.end_break()
    if trial.is_over(number):
        return _leave_for_time(product_id, trial, number)
    trial.open(number)
    return _render(product_id, trial, number)


@routes.get("/break")
@requires(Permission.EDIT_PRODUCTS)
def pause(product_id: str) -> Response | str:
    """Show the break between two sections; without one, the question at which the trial goes on."""
    trial = _open(product_id)
    next_url = url_for(".item", product_id=product_id, number=trial.number_after_break)
    if not trial.break_left:
        return redirect(next_url, 303)
    return render_template(
        "console/assessment/trial_break.html",
        content=trial.test,
        product_id=product_id,
        seconds_left=trial.break_left.total_seconds(),
        next_url=next_url,
    )


@routes.get("/time")
@requires(Permission.EDIT_PRODUCTS)
def remaining_time(product_id: str) -> Response:
    """Return the time that is left for the question in the address, as a candidate's page does."""
    trial = _open(product_id)
    number = request.args.get("question", 0, int)
    find_item_position(trial.parts, number)
    end, now = trial.ends_at(number), trial.now
    if end is None or end <= now:
        return make_response(jsonify(error="The time is over"), 409)
    seconds = (end - now).total_seconds()
    return make_response(jsonify(now=int(now.timestamp() * 1000), seconds_left=seconds))


@routes.post("/<int:number>")
@requires(Permission.EDIT_PRODUCTS)
def answer(product_id: str, number: int) -> Response | str:
    """Read and score an answer, and go on. Nothing is stored."""
    trial = _open(product_id)
    position = find_item_position(trial.parts, number)
    if trial.is_over(number):
        return _leave_for_time(product_id, trial, number)
    try:
        has_file = _check_file(position.item)
        value = position.item.parse_answer(request.form)
    except Invalid as error:
        fields = read_submitted_fields(request.form)
        return _render(product_id, trial, number, str(error), fields)
    if is_moving(request.form):
        return _render(product_id, trial, number, fields=position.item.form_fields(value))
    if has_file:
        flash("Trial: a candidate can send this file. It was not stored.", "info")
    else:
        flash(_describe(position.item, value, is_scored=position.section.is_scored), "info")
    step = {"previous": -1}.get(request.form.get("go", ""), 1)
    if 1 <= number + step <= position.total and request.form.get("go") != "overview":
        return _go_on(product_id, trial, number, number + step)
    return redirect(url_for(".end", product_id=product_id), 303)


@routes.get("/end")
@requires(Permission.EDIT_PRODUCTS)
def end(product_id: str) -> str:
    """List the questions, to look at one again."""
    test = _open(product_id).test
    return render_template(
        "console/assessment/trial_end.html",
        content=test,
        product_id=product_id,
        positions=list_item_positions(test),
    )


def _go_on(product_id: str, trial: Trial, number: int, following: int) -> Response:
    """Open another question, after the break between them if there is one."""
    if trial.begin_break(number, following):
        return redirect(url_for(".pause", product_id=product_id), 303)
    return redirect(url_for(".item", product_id=product_id, number=following), 303)


def _leave_for_time(product_id: str, trial: Trial, number: int) -> Response:
    """Go where a candidate goes when the time for a question is over."""
    following = trial.next_number(number)
    if following is None:
        flash("Trial: the time is over. A candidate’s answers are submitted now.", "info")
        return redirect(url_for(".end", product_id=product_id), 303)
    flash("Trial: the time for this part is over. A candidate goes on here.", "info")
    return _go_on(product_id, trial, number, following)


def _open(product_id: str) -> Trial:
    return Trial(product_id, _load(product_id), current_services().now())


def _load(product_id: str) -> content.TestContent:
    """Return the draft's test. Raises Invalid for an incomplete one."""
    with current_services().db.reading() as session:
        editing = Editing.open(session, product_id)
        if KINDS[editing.product.kind].order_class is not Assessment:
            raise Invalid("Only a test can be tried question by question. Look at its previews")
        try:
            return content.parse(working_content(session, editing.product))
        except Invalid as error:
            raise Invalid(
                "This test cannot be tried yet, because something is missing in it. "
                "The editor lists what to correct"
            ) from error


def _check_file(item: Item) -> bool:
    """Return whether the form has a file that the item takes. Raises Invalid for another one."""
    upload = request.files.get(FILE_FIELD)
    if not isinstance(item, FileAnswer) or upload is None or not upload.filename:
        return False
    content = upload.read(item.max_bytes + 1)
    upload.close()  # a large one is a temporary file
    item.require_file(content)
    return True


def _describe(item: Item, value: Any, *, is_scored: bool) -> str:
    if value is None:
        return "Trial: the question was left blank."
    shown = item.format_answer(value)
    if not is_scored:
        return f"Trial: “{shown}” is not scored."
    points = round(float(item.points_for(value)), 2)
    return f"Trial: “{shown}” gets {points:g} of {to_number(item.points)} points."


def _render(
    product_id: str,
    trial: Trial,
    number: int,
    error: str = "",
    fields: list[tuple[str, str]] | None = None,
) -> str:
    test, now = trial.test, trial.now
    end = trial.ends_at(number)
    seconds = max(0.0, (end - now).total_seconds()) if end else 0.0
    selected = MultiDict(fields or [])

    def url_in_trial(endpoint: str, **values: Any) -> str:
        """Return the address that a page of the trial uses instead of a candidate's."""
        if not endpoint.startswith("candidate"):
            return url_for(endpoint, **values)
        if endpoint.endswith(".remaining_time"):
            return url_for(".remaining_time", product_id=product_id, question=number)
        if "number" in values:
            return url_for(".item", product_id=product_id, number=values["number"])
        return url_for(".start", product_id=product_id)

    def file_url(name: str) -> str:
        return url_for("console.editor_files.show", product_id=product_id, name=name)

    return render_template(
        "console/assessment/trial_item.html",
        file_url=file_url,
        url_for=url_in_trial,
        product_id=product_id,
        content=test,
        position=find_item_position(trial.parts, number),
        order=SimpleNamespace(
            public_id="trial",
            content=test,
            attempt_ends_at=end or now,
            saved_answers={},
            unanswered_keys=[],
            shows_time=end is not None,
        ),
        part=trial.part_of(number),
        attempt=None,
        ends_at=int(end.timestamp()) if end else 0,
        seconds_left=seconds,
        now_ms=int(now.timestamp() * 1000),
        pause_left=timedelta(),
        answer_number=0,
        is_answered=bool(fields),
        shown_fields=[],
        selected=selected,
        selected_values=selected.getlist(ANSWER_FIELD),
        value=None,
        error=error,
        is_kept=False,
        reading=None,
    )
