"""Pages before the start: a candidate corrects her name, or asks for an accommodation."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from provider.core.orders import Accommodation, Order
from provider.core.orders.accommodation import Terms, ask, propose_terms
from provider.core.orders.candidate_acts import correct_own_name, require_not_started
from provider.core.orders.staff_acts import EXTRA_TIME_PERCENTAGES
from provider.errors import Invalid
from provider.services import current_services
from provider.web.candidate.responses import order_context, redirect_to_landing
from provider.web.candidate.session import order_for_read, order_for_update

routes = Blueprint("before_start", __name__, url_prefix="/o/<public_id>")


@routes.get("/name")
def name_form(public_id: str) -> ResponseReturnValue:
    return _render_name_form(public_id)


@routes.post("/name")
def correct_name(public_id: str) -> ResponseReturnValue:
    """Correct the name; a name that cannot be one is shown again with the error."""
    names = request.form.get("first_name", ""), request.form.get("last_name", "")
    try:
        with order_for_update(public_id, Order) as candidate_request:
            correct_own_name(
                candidate_request.session, candidate_request.order, *names, candidate_request.now
            )
    except Invalid as error:
        return _render_name_form(public_id, error.translated()), 400
    return redirect_to_landing(public_id)


@routes.get("/accommodation")
def accommodation_form(public_id: str) -> ResponseReturnValue:
    return _render_accommodation_form(public_id)


@routes.post("/accommodation")
def ask_for_accommodation(public_id: str) -> ResponseReturnValue:
    """Send the request to the staff; an incomplete one is shown again with the error."""
    try:
        terms = Terms.parse(request.form)
        with order_for_update(public_id, Order) as candidate_request:
            ask(
                candidate_request.session,
                current_services().secret_box,
                candidate_request.order,
                terms,
                candidate_request.now,
            )
    except Invalid as error:
        return _render_accommodation_form(public_id, error.translated()), 400
    return redirect_to_landing(public_id)


def _render_accommodation_form(public_id: str, problem: str = "") -> str:
    with order_for_read(public_id, Order) as candidate_request:
        order, session = candidate_request.order, candidate_request.session
        secret_box = current_services().secret_box
        require_not_started(order, candidate_request.now)
        accommodation = Accommodation.of(session, order)
        terms = accommodation.asked(secret_box) if accommodation else None
        terms = terms or propose_terms(session, secret_box, order)
        return render_template(
            "candidate/accommodation.html",
            **order_context(candidate_request),
            submitted_values=request.form or (terms or Terms()).to_form(),
            percentages=EXTRA_TIME_PERCENTAGES,
            problem=problem,
        )


def _render_name_form(public_id: str, problem: str = "") -> str:
    with order_for_read(public_id, Order) as candidate_request:
        require_not_started(candidate_request.order, candidate_request.now)
        return render_template(
            "candidate/name.html",
            **order_context(candidate_request),
            submitted_values=request.form,
            problem=problem,
        )
