"""The page that adds a screening to a running check, within the candidate's consent."""

from flask import Blueprint, flash, make_response, render_template, request
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.added_screening import (
    MAX_NAME_LENGTH,
    MAX_REASON_LENGTH,
    add_screening,
    list_addable_types,
)
from provider.core.orders import CONSENTED
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.check_screening import back, status_of

routes = Blueprint("additions", __name__, url_prefix="/add-screening")


@routes.get("/")
@requires(Permission.DECIDE_CHECKS)
def form(order_id: str) -> Response:
    return _render(order_id)


@routes.post("/")
@requires(Permission.DECIDE_CHECKS)
def create(order_id: str) -> Response:
    services, values = current_services(), request.form
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            screening = add_screening(
                session,
                check,
                values.get("type", ""),
                values.get("name", ""),
                values.get("reason", ""),
                current_staff().email,
                services.now(),
            )
            key = screening.key
            after = {"screening": key, "type": screening.type}
            record_act(session, Action.SCREENING_ADDED, f"order:{order_id}", after=after)
    except (Conflict, Invalid) as error:
        return _render(order_id, str(error), status_of(error))
    flash("The screening is added.", "success")
    return back(order_id, key)


def _render(order_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        check = Check.find(session, order_id)
        page = render_template(
            "console/check/add_screening.html",
            order=check,
            types=[(name, entry.label) for name, entry in list_addable_types(check).items()],
            can_edit=check.status == CONSENTED,
            form=request.form,
            problem=problem,
            max_name_length=MAX_NAME_LENGTH,
            max_reason_length=MAX_REASON_LENGTH,
        )
    return make_response(page, status_code)
