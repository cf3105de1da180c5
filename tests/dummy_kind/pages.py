"""The pages of the dummy kind: a form for the candidate, and a screen of the console."""

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from provider.core.staff import Permission
from provider.services import current_services
from provider.web.candidate.responses import redirect_to_landing
from provider.web.candidate.session import order_for_update
from provider.web.console.authentication import requires
from provider.web.kinds import KindPages
from tests.dummy_kind.kind import Greeting

candidate = Blueprint(
    "greeting", __name__, url_prefix="/o/<public_id>/greeting", template_folder="templates"
)
console = Blueprint("greetings", __name__, url_prefix="/greetings/<order_id>")


@candidate.post("")
def write(public_id: str) -> ResponseReturnValue:
    with order_for_update(public_id, Greeting) as candidate_request:
        candidate_request.order.write(
            candidate_request.session,
            current_services().secret_box,
            request.form["text"],
            candidate_request.now,
        )
    return redirect_to_landing(public_id)


@console.get("/")
@requires(Permission.VIEW_RESULTS)
def detail(order_id: str) -> str:
    with current_services().db.reading() as session:
        return Greeting.find(session, order_id).evidence(current_services().secret_box).text


PAGES = KindPages(candidate=candidate, console=console)
