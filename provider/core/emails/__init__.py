"""E-mails to candidates, rendered once as RFC 5322 bytes."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Any
from unicodedata import category

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from provider.core import labels
from provider.core.markdown import markdown_to_text, render_markdown
from provider.core.orders import Order

TEMPLATES_FOLDER = Path(__file__).parent / "templates"
# Cut in the headers only: no mail program shows more of them, and the letter itself has it all.
MAX_SUBJECT_LENGTH = 140
MAX_SENDER_NAME_LENGTH = 60

UNDISCLOSED_RECIPIENTS = (
    "undisclosed-recipients:;"  # RFC 5322's way to write a letter that has no address
)
_LOCAL_PART = re.compile(r"""(?!.*=\?)[^\s\x00-\x1f\x7f-\x9f()<>\[\]:;@\\,"]{1,64}""")
_DOMAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class KindTexts:
    """What a kind of order is called in a letter, and what it asks of the candidate."""

    noun: str
    request_phrase: str
    button_label: str
    reassurance: str


KIND_TEXTS = {
    "assessment": KindTexts(
        "test",
        "invites you to take a test",
        "See the test",
        "The time runs only from the moment you choose to begin. Looking first is safe.",
    ),
    "interview": KindTexts(
        "video interview",
        "invites you to a video interview",
        "See the interview",
        "Nothing is recorded before you choose to begin. Looking first is safe.",
    ),
    "check": KindTexts(
        "background check",
        "asks for your consent to a background check",
        "See what is checked",
        "Nothing is checked before you have given your consent. Looking first is safe.",
    ),
}
# The letters there are and their subjects; the rest of each is in templates/mail, as text and HTML.
EMAIL_SUBJECTS = {
    "invitation": "{{ company }}: your {{ asked.noun }}{% if job %} for {{ job }}{% endif %}",
    "consent": "{{ company }}: your copy of what you agreed to",
}


def render_email(
    template: str,
    order: Order,
    *,
    url: str,
    sender: str,
    message_id: str,
    now: datetime,
    kind_context: Mapping[str, Any] | None = None,
) -> bytes:
    """Return one of LETTERS to an order's candidate, text and HTML, as RFC 5322 bytes.

    `aside` is what only the order's kind has to say.
    """
    said = {**_template_context(order, url), **(kind_context or {})}
    subject = _template_environment().from_string(EMAIL_SUBJECTS[template]).render(said)
    message = EmailMessage(policy=policy.SMTP)
    # The candidate's name is in the letter; in the address it could only do harm.
    message["To"] = _header_address(order.candidate.email) or UNDISCLOSED_RECIPIENTS
    message["From"] = _header_address(
        parseaddr(sender)[1], _truncate(said["company"], MAX_SENDER_NAME_LENGTH)
    )
    message["Subject"] = _truncate(subject, MAX_SUBJECT_LENGTH)
    message["Date"] = now
    message["Message-ID"] = f"<{message_id}@{message['From'].addresses[0].domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence need be told
    text, html = (
        _template_environment().get_template(f"{template}.{kind}") for kind in ("txt", "html")
    )
    message.set_content(text.render(said), cte="quoted-printable")
    message.add_alternative(html.render(said), subtype="html", cte="quoted-printable")
    international = not str(message["To"]).isascii()
    return message.as_bytes(policy=policy.SMTPUTF8 if international else policy.SMTP)


def _template_context(order: Order, url: str) -> dict[str, Any]:
    """Return what the letters' templates may say; every text is on one line."""
    return {
        "company": to_one_line(order.account.display_name),
        "name": to_one_line(order.candidate.first_name),
        "job": to_one_line(order.job_title),
        "product": to_one_line(order.product.name),
        "asked": KIND_TEXTS[order.kind],
        "lasts": labels.format_duration(order.duration_seconds) if order.duration_seconds else None,
        "until": labels.format_datetime(order.expires_at, order.account.timezone),
        "zone": order.account.timezone,
        "url": url,
    }


def to_one_line(text: str) -> str:
    """Return text on one line, without what could end a header."""
    ends = ("Cc", "Cs", "Zl", "Zp")  # controls, half characters, separators of lines
    return " ".join("".join(" " if category(char) in ends else char for char in text).split())


def _truncate(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else text[: max_length - 1].rstrip() + "…"


def _header_address(address: str, name: str = "") -> Address | None:
    """Return a header's address, its domain in letters that all servers know; None if it is none.

    What the library would read as something else, or stumble over, is not let through to it.
    """
    user, _, domain = address.rpartition("@")
    user = user.strip('"')  # put back where they are needed
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    if not _LOCAL_PART.fullmatch(user) or not _DOMAIN.fullmatch(domain):
        return None
    return Address(name, user, domain)


@cache
def _template_environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES_FOLDER),
        autoescape=select_autoescape(("html",), default_for_string=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        when=labels.format_datetime, markdown=render_markdown, plain=markdown_to_text
    )
    return made
