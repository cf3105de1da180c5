"""E-mails as they were sent, and their list."""

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

from flask import Blueprint, render_template, request

from provider.core.staff import Permission
from provider.outbox import EMAIL
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.console.message_list import STATES, list_messages, state_labels
from provider.web.console.pagination import read_filter_value

routes = Blueprint("emails", __name__, url_prefix="/emails")

# The invitation link authenticates the candidate, so only the order's page shows it, on record.
_INVITATION_LINK_PATTERN = re.compile(r"(/c/)[\w-]{20,}")


@dataclass(frozen=True)
class EmailView:
    """The headers and the plain text of an e-mail, without the invitation link's token."""

    to: str
    sender: str
    subject: str
    text: str


def parse_email(raw_email: bytes) -> EmailView:
    message = message_from_bytes(raw_email, _class=EmailMessage, policy=policy.default)
    body = message.get_body(("plain",))
    text = str(body.get_content()).strip() if body else ""
    return EmailView(
        to=str(message["To"] or ""),
        sender=str(message["From"] or ""),
        subject=str(message["Subject"] or ""),
        text=_INVITATION_LINK_PATTERN.sub(r"\1…", text),
    )


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
