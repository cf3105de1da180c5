"""The list of e-mails."""

from flask import Blueprint, render_template, request

from provider.core.staff import Permission
from provider.outbox import EMAIL
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.console.message_list import STATES, list_messages, state_labels
from provider.web.console.pagination import read_filter_value

routes = Blueprint("emails", __name__, url_prefix="/emails")


@routes.get("/")
@requires(Permission.VIEW_DELIVERIES)
def listing() -> str:
    state, services = read_filter_value("state", STATES), current_services()
    with services.db.reading() as session:
        return render_template(
            "console/emails.html",
            page=list_messages(session, state, EMAIL),
            state=state,
            states=state_labels(),
            is_stored_in_folder=services.settings.mail_url is None,
            args=request.args,
        )
