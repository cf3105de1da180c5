"""Questions to the candidate, from the page of a screening."""

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.questions import ask, withdraw
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.check_screening import back, render_screening, status_of

routes = Blueprint("questions", __name__, url_prefix="/screenings/<key>/questions")


@routes.post("/")
@requires(Permission.DECIDE_CHECKS)
def create(order_id: str, key: str) -> Response:
    """Ask the candidate; the clock of the due date stands until the answer."""
    services, form = current_services(), request.form
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            ask(
                session,
                services.secret_box,
                check,
                key,
                form.get("question", ""),
                form.getlist("document"),
                current_staff().email,
                services.now(),
            )
            after = {"screening": key}
            record_act(session, Action.CANDIDATE_ASKED, f"order:{order_id}", after=after)
    except (Conflict, Invalid) as error:
        return render_screening(order_id, key, str(error), status_of(error))
    flash("The candidate gets an e-mail with a link to your question.", "success")
    return back(order_id, key, "questions")


@routes.post("/<request_id>/withdraw")
@requires(Permission.DECIDE_CHECKS)
def take_back(order_id: str, key: str, request_id: str) -> Response:
    """Withdraw a question that the candidate has not answered."""
    services = current_services()
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            withdraw(session, check, request_id, current_staff().email, services.now())
            after = {"screening": key}
            record_act(session, Action.QUESTION_WITHDRAWN, f"order:{order_id}", after=after)
    except Conflict as error:
        return render_screening(order_id, key, str(error), 409)
    flash("The question is withdrawn.", "success")
    return back(order_id, key, "questions")
