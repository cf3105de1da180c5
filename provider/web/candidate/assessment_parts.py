"""The pages between the parts of a test: what comes next, leaving a part, the next question."""

from flask import Blueprint, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue

from provider.core.kinds.assessment import Assessment
from provider.core.kinds.assessment.attempt import MAX_DEVICE_LENGTH
from provider.web.candidate.assessment_page import (
    clock_fields,
    overview_url,
    place_url,
    template_context,
)
from provider.web.candidate.responses import redirect_to_landing
from provider.web.candidate.session import order_for_read, order_for_update

PART_FIELD = "part"  # the index of the part that the page shows

routes = Blueprint("parts", __name__)


@routes.get("/now")
def now(public_id: str) -> ResponseReturnValue:
    """Redirect to the page at which the candidate goes on."""
    with order_for_read(public_id, Assessment) as candidate_request:
        return redirect(place_url(candidate_request), 303)


def part(public_id: str) -> ResponseReturnValue:
    """Show what comes next: the instructions of a part, its time and its rules."""
    with order_for_read(public_id, Assessment) as candidate_request:
        order = candidate_request.order
        if not order.is_clock_running(candidate_request.now) or order.is_part_open:
            return redirect(place_url(candidate_request), 303)
        context = template_context(candidate_request)
        return render_template("candidate/assessment/part.html", **context)


@routes.post("/part")
def open_part(public_id: str) -> ResponseReturnValue:
    """Begin the part that the page showed, and its time. A second press changes nothing."""
    with order_for_update(public_id, Assessment) as candidate_request:
        order, index = candidate_request.order, request.form.get(PART_FIELD, -1, type=int)
        order.open_part(candidate_request.session, index, candidate_request.now)
        return redirect(place_url(candidate_request, order.part.first), 303)


@routes.post("/part/finish")
def finish_part(public_id: str) -> ResponseReturnValue:
    """Leave a part for good, unless a required question has no answer."""
    with order_for_update(public_id, Assessment) as candidate_request:
        order, index = candidate_request.order, request.form.get(PART_FIELD, -1, type=int)
        if order.part.index == index and order.unanswered_required_keys:
            return redirect(overview_url(public_id, missing="1"), 303)
        order.finish_part(candidate_request.session, index, candidate_request.now)
        return redirect(place_url(candidate_request), 303)


@routes.post("/items/<int:number>/leave")
def leave_item(public_id: str, number: int) -> ResponseReturnValue:
    """Open the next question after one whose time is over."""
    with order_for_update(public_id, Assessment) as candidate_request:
        order = candidate_request.order
        order.require_clock_running(candidate_request.now)
        order.move_forward(candidate_request.session, number, candidate_request.now)
        return redirect(place_url(candidate_request), 303)


@routes.post("/device")
def claim(public_id: str) -> ResponseReturnValue:
    """Record the device that opened the test last; the others learn it with their next request."""
    with order_for_update(public_id, Assessment) as candidate_request:
        order, device = candidate_request.order, request.form.get("device", "")
        if order.attempt is None or not order.is_running(candidate_request.now):
            return redirect_to_landing(public_id)
        if device and device.isalnum() and len(device) <= MAX_DEVICE_LENGTH:
            order.attempt.device = device
        return jsonify(clock_fields(candidate_request))
