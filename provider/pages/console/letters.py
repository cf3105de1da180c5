"""Letters as they were sent, and their list."""

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

from flask import Blueprint, render_template, request

from provider.here import here
from provider.outbox import MAIL
from provider.pages.console.mailbag import STATES, bag, state_words
from provider.pages.console.paging import chosen

routes = Blueprint("letters", __name__, url_prefix="/letters")

# Whoever holds the candidate's link is the candidate: only the order's page shows it, on record.
_INVITATION = re.compile(r"(/c/)[\w-]{20,}")


@dataclass(frozen=True)
class Letter:
    """A letter for people to read, with the candidate's link blotted out."""

    to: str
    sender: str
    subject: str
    text: str


def read(rendered: bytes) -> Letter:
    """Read the bytes of an e-mail."""
    message = message_from_bytes(rendered, _class=EmailMessage, policy=policy.default)
    body = message.get_body(("plain",))
    text = str(body.get_content()).strip() if body else ""
    return Letter(
        to=str(message["To"] or ""),
        sender=str(message["From"] or ""),
        subject=str(message["Subject"] or ""),
        text=_INVITATION.sub(r"\1…", text),
    )


@routes.get("/")
def listing() -> str:
    """List letters, newest first."""
    state, house = chosen("state", STATES), here()
    with house.db.reading() as session:
        return render_template(
            "console/letters.html",
            shelf=bag(session, state, MAIL), state=state, states=state_words(),
            kept=house.settings.mail_url is None, args=request.args,
        )  # fmt: skip
