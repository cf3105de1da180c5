"""The queue of answers that wait for a mark, and the page on which staff mark one.

A page about an answer names no candidate, so that the mark depends on the answer alone.
"""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session, joinedload
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.marking import (
    ANSWER,
    CORRECTION_REASON_LENGTHS,
    DISPUTED,
    OPEN,
    QUEUED,
    SECOND_LOOK,
    MarkedFile,
    MarkedOrder,
    MarkForm,
    MarkingTask,
    claim,
    claim_next,
    correct_mark,
    find_own_mark,
    find_task,
    is_claimed_by,
    is_free,
    is_marked_by,
    needs_reason,
    release,
    save_mark,
)
from provider.core.orders import COMPLETED, PENDING, Order
from provider.core.products import Product
from provider.core.products.schema_fields import clean_text
from provider.core.staff import Permission
from provider.core.text_cleaning import clean_line
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.pagination import Sorting, paginate, read_filter_value
from provider.web.range_responses import serve_media

routes = Blueprint("marking", __name__, url_prefix="/marking")

MAX_COMMENT_LENGTH = 2000  # characters
DISPUTED_RESULT_NOTE = "The two marks differ too much: the result stays until somebody decides."
COLUMNS: tuple[Any, ...] = (MarkingTask.public_id, MarkingTask.id)
SORTING = Sorting(MarkingTask.public_id, (MarkingTask.id,), descending=False)
NEWEST_FIRST = Sorting(MarkingTask.public_id, (MarkingTask.id,))
# Which tasks the list shows: those that one may take, one's own claims, and all.
# One shows the tasks that one has marked, which may be settled.
FREE, MINE, ALL, DONE = "free", "mine", "all", "done"


@routes.get("/")
@requires(Permission.RATE_INTERVIEWS)
def listing() -> str:
    """Show the queue, the oldest task first."""
    services = current_services()
    staff, now = current_staff().email, services.now()
    with services.db.reading() as session:
        products = _list_products(session)
        whose = read_filter_value("whose", (FREE, MINE, ALL, DONE)) or FREE
        query: Select[Any] = select(*COLUMNS).join(Order, Order.id == MarkingTask.order_id)
        query = query.where(*_product_condition(session), *_whose_conditions(whose, staff, now))
        page = paginate(session, query, NEWEST_FIRST if whose == DONE else SORTING)
        tasks = session.scalars(
            select(MarkingTask)
            .where(MarkingTask.id.in_([row.id for row in page.rows]))
            .order_by(MarkingTask.id.desc() if whose == DONE else MarkingTask.id)
            .options(
                joinedload(MarkingTask.order).joinedload(Order.version),
                joinedload(MarkingTask.order).joinedload(Order.product),
                joinedload(MarkingTask.marks),
            )
        )
        return render_template(
            "console/marking.html",
            page=page,
            rows=[(task, _title(task), _state_text(task)) for task in tasks.unique()],
            products=products,
            args={"product": request.args.get("product", ""), "whose": whose},
            whose_choices=(
                (FREE, "Free for me"),
                (MINE, "I am marking"),
                (DONE, "Marked by me"),
                (ALL, "All"),
            ),
        )


@routes.post("/next")
@requires(Permission.RATE_INTERVIEWS)
def take_next() -> Response:
    """Claim the oldest answer that is free, and show it."""
    with current_services().db.writing() as session:
        url = _take_next_url(session)
    if not url:
        flash("No answer is left that you can mark now.", "success")
    return redirect(url or _list_url(), 303)


@routes.get("/<task_id>/")
@requires(Permission.RATE_INTERVIEWS)
def detail(task_id: str) -> Response:
    return _render_task(task_id)


@routes.get("/<task_id>/file")
@requires(Permission.RATE_INTERVIEWS)
def answer_file(task_id: str) -> Response:
    """Send the file that is the answer, as a download: a browser must not open it."""
    file = _find_file(task_id)
    return serve_media(
        current_services().media, file.media_key, file.content_type, file.download_name
    )


@routes.get("/<task_id>/picture")
@requires(Permission.RATE_INTERVIEWS)
def answer_picture(task_id: str) -> Response:
    """Send the picture that is the answer, for the page of the answer."""
    file = _find_file(task_id)
    if not file.content_type.startswith("image/"):
        raise NotFound("There is no such picture")
    return serve_media(current_services().media, file.media_key, file.content_type)


@routes.post("/<task_id>/claim")
@requires(Permission.RATE_INTERVIEWS)
def take(task_id: str) -> Response:
    """Claim an answer, so that no colleague gets it meanwhile."""
    services = current_services()
    try:
        with services.db.writing() as session:
            task = find_task(session, task_id, lock=True)
            claim(task, current_staff().email, services.now())
            record_act(session, Action.MARKING_CLAIMED, f"order:{task.order.public_id}")
    except Conflict as error:
        return _render_task(task_id, str(error), 409)
    return redirect(_task_url(task_id), 303)


@routes.post("/<task_id>/release")
@requires(Permission.RATE_INTERVIEWS)
def give_back(task_id: str) -> Response:
    """Give a claimed answer back to the queue."""
    with current_services().db.writing() as session:
        task = find_task(session, task_id, lock=True)
        release(session, task, current_staff().email)
        record_act(session, Action.MARKING_RELEASED, f"order:{task.order.public_id}")
    return redirect(_list_url(), 303)


@routes.post("/<task_id>/")
@requires(Permission.RATE_INTERVIEWS)
def save(task_id: str) -> Response:
    """Save the mark; the pressed button decides whether the next answer follows."""
    services = current_services()
    staff, now = current_staff().email, services.now()
    try:
        form = _read_form()
        with services.db.writing() as session:
            task = find_task(session, task_id, lock=True)
            is_decision, points_before = task.state == DISPUTED, task.points
            was_completed = task.order.status == COMPLETED
            action = Action.MARKS_RECONCILED if is_decision else Action.ANSWER_MARKED
            _require_same_question(is_decision=is_decision)
            save_mark(session, services.secret_box, task, form, staff, now)
            after = {"question": task.unit, "state": task.state}
            record_act(session, action, f"order:{task.order.public_id}", after=after)
            state, is_corrected = task.state, was_completed and task.points != points_before
            url = _take_next_url(session) if request.form.get("go") == "next" else ""
    except (Invalid, Conflict) as error:
        return _render_task(task_id, str(error), 400 if isinstance(error, Invalid) else 409)
    note = ". The two marks differ too much: somebody has to decide" if state == DISPUTED else ""
    note = ". The ATS gets the corrected result" if is_corrected else note
    flash(f"The mark is saved{note}.", "success")
    return redirect(url or _list_url(), 303)


@routes.post("/<task_id>/correction")
@requires(Permission.RATE_INTERVIEWS)
def correct(task_id: str) -> Response:
    """Replace one's own mark. A completed test is scored again, and the ATS gets the result."""
    services = current_services()
    staff, now = current_staff().email, services.now()
    try:
        form = _read_form()
        reason = clean_line(request.form.get("reason", ""))
        with services.db.writing() as session:
            task = find_task(session, task_id, lock=True)
            points_before = task.points
            correct_mark(session, services.secret_box, task, form, staff, reason, now)
            before = {"question": task.unit, "points": points_before}
            after = {"question": task.unit, "points": task.points, "reason": reason}
            subject = f"order:{task.order.public_id}"
            record_act(session, Action.MARK_CORRECTED, subject, before=before, after=after)
            is_completed, state = task.order.status == COMPLETED, task.state
    except (Invalid, Conflict) as error:
        return _render_task(task_id, str(error), 400 if isinstance(error, Invalid) else 409)
    note = " The ATS gets the corrected result." if is_completed else ""
    if is_completed and state == DISPUTED:
        note = f" {DISPUTED_RESULT_NOTE}"
    flash(f"Your mark is corrected.{note}", "success")
    return redirect(_task_url(task_id), 303)


def _whose_conditions(whose: str, staff: str, now: datetime) -> list[ColumnElement[bool]]:
    """Return the conditions of the chosen list."""
    if whose == DONE:
        return [is_marked_by(staff)]
    if whose == FREE:
        return [QUEUED, is_free(staff, now)]
    return [QUEUED, is_claimed_by(staff, now)] if whose == MINE else [QUEUED]


def _take_next_url(session: Session) -> str:
    """Claim the oldest answer that is free, and return its URL; empty without one."""
    staff, now = current_staff().email, current_services().now()
    task = claim_next(session, staff, now, *_product_condition(session))
    if task is None:
        return ""
    record_act(session, Action.MARKING_CLAIMED, f"order:{task.order.public_id}")
    return _task_url(task.public_id)


def _render_task(task_id: str, problem: str = "", status_code: int = 200) -> Response:
    services = current_services()
    staff, now = current_staff().email, services.now()
    with services.db.reading() as session:
        task = find_task(session, task_id)
        if task.purpose != ANSWER:
            return redirect(url_for("console.orders.detail", order_id=task.order.public_id))
        order = task.order
        assert isinstance(order, MarkedOrder)
        own = task.claim_of(staff)
        is_queued = task.state in (OPEN, DISPUTED) and order.status == PENDING
        is_queued = is_queued or (task.is_correction_disputed and order.status == COMPLETED)
        is_mine = is_queued and own is not None and own.is_claimed(now)
        sees_marks = task.state != OPEN or not order.marking.blind
        html = render_template(
            "console/marking_task.html",
            task=task,
            order=order,
            unit=order.unit_of_task(task),
            own_mark=None if is_mine else find_own_mark(task, staff),
            reason_lengths=CORRECTION_REASON_LENGTHS,
            is_disputed=task.state == DISPUTED,
            is_queued=is_queued,
            needs_reason=needs_reason(task),
            disputed_note=DISPUTED_RESULT_NOTE if task.is_correction_disputed else "",
            is_mine=is_mine,
            marks=[mark for mark in task.finished_marks if sees_marks or mark.marker == staff],
            claims=[mark for mark in task.marks if mark.is_claimed(now) and mark.marker != staff],
            problem=problem,
            form=request.form,
            kept=_kept_arguments(),
            max_length=MAX_COMMENT_LENGTH,
        )
    return make_response(html, status_code)


def _find_file(task_id: str) -> MarkedFile:
    with current_services().db.reading() as session:
        task = find_task(session, task_id)
        order = task.order
        if task.purpose != ANSWER or not isinstance(order, MarkedOrder):
            raise NotFound("There is no such file")
        return order.marked_file(session, task)


def _title(task: MarkingTask) -> str:
    """Return the question of a task; empty for a whole order."""
    order = task.order
    if task.purpose != ANSWER or not isinstance(order, MarkedOrder):
        return ""
    return order.marking_title(task.unit)


def _state_text(task: MarkingTask) -> str:
    staff, now = current_staff().email, current_services().now()
    own = task.claim_of(staff)
    if own and own.is_claimed(now):
        return "You are marking it"
    if task.state == DISPUTED:
        return "The marks differ: decide"
    if task.settled_at:
        return f"{task.points or 0} of {task.max_points} points"
    claims = [mark.marker for mark in task.marks if mark.is_claimed(now)]
    if claims:
        return f"Being marked by {', '.join(claims)}"
    if task.purpose == SECOND_LOOK:
        return "To answer"
    if task.purpose != ANSWER:
        return "To rate"
    return f"Second mark of {task.markers}" if task.finished_marks else "To mark"


def _list_products(session: Session) -> list[tuple[str, str]]:
    """Return (public id, name) of the products with tasks in the queue."""
    query = (
        select(Product.public_id, Product.name)
        .join(Order, Order.product_id == Product.id)
        .join(MarkingTask, MarkingTask.order_id == Order.id)
        .where(QUEUED)
    )
    return [
        (row.public_id, row.name)
        for row in session.execute(query.distinct().order_by(Product.name, Product.public_id))
    ]


def _product_condition(session: Session) -> list[ColumnElement[bool]]:
    """Return the condition of the filter by product; none without a filter."""
    public_id = request.values.get("product", "")
    if not public_id:
        return []
    return [Order.product_id == Product.find(session, public_id).id]


def _kept_arguments() -> dict[str, str]:
    """Return the filter by product, which every page of the queue keeps."""
    product = request.values.get("product", "")
    return {"product": product} if product else {}


def _task_url(task_id: str) -> str:
    arguments: dict[str, Any] = {"task_id": task_id, **_kept_arguments()}
    return url_for(".detail", **arguments)


def _list_url() -> str:
    arguments: dict[str, Any] = {**_kept_arguments()}
    return url_for(".listing", **arguments)


def _require_same_question(*, is_decision: bool) -> None:
    """Raise Conflict for a form from before the two marks differed: it decides nothing."""
    if is_decision != ("decision" in request.form):
        raise Conflict("The state of this answer has changed: look at it again")


def _read_form() -> MarkForm:
    comment = clean_text(request.form.get("comment", ""))
    if len(comment) > MAX_COMMENT_LENGTH:
        raise Invalid(f"Shorten the comment to {MAX_COMMENT_LENGTH:,} characters")
    prefix = "points."
    rows: dict[str, Any] = {
        name.removeprefix(prefix): read_number(value)
        for name, value in request.form.items()
        if name.startswith(prefix)
    }
    given = {key: number for key, number in rows.items() if number is not None}
    return MarkForm(read_number(request.form.get("points", "")), given, comment)


def read_number(text: str) -> Decimal | None:
    """Return the number of a form's field; None for a blank one. Raises Invalid."""
    text = text.strip().replace(",", ".")
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or len(text) > 20:
        raise Invalid("Give the points as a number, such as 2.5")
    return number
