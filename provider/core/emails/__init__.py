"""E-mails to candidates, rendered once as RFC 5322 bytes."""

import textwrap
from collections.abc import Iterable, Mapping
from datetime import datetime
from email import policy
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from provider.core import colours, labels
from provider.core.email_address import mend_address, split_address
from provider.core.kinds import KINDS
from provider.core.markdown import markdown_to_text, render_markdown
from provider.core.orders import Order
from provider.core.text_cleaning import clean_line
from provider.texts import DEFAULT_LANGUAGE, gettext, gettext_noop, use_language
from provider.texts.templates import translate_templates

TEMPLATES_FOLDER = Path(__file__).parent / "templates"
# A longer name is truncated: mail programs do not show more. The body has the full name.
MAX_SENDER_NAME_LENGTH = 60  # characters
MAX_PLAIN_SUBJECT_LENGTH = 69  # characters; with its name such a header fills a line of RFC 5322
TEXT_WIDTH = 68  # characters of a line in the text part

# The `To` header of an e-mail without a recipient, as RFC 5322 defines it.
UNDISCLOSED_RECIPIENTS = "undisclosed-recipients:;"


# The subject of each e-mail of every kind, by template. The folder `templates` has the bodies as
# text and HTML; the words that differ by kind are `KindTexts`. A kind's folder has the e-mails of
# that kind alone.
EMAIL_SUBJECTS = {"invitation": gettext_noop("%(company)s: your %(noun)s")}
# The subject for an order that names a job, where it differs.
SUBJECTS_WITH_JOB = {"invitation": gettext_noop("%(company)s: your %(noun)s for %(job)s")}


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
    """Render an e-mail to the candidate of an order, as RFC 5322 bytes with text and HTML parts.

    `template` is a key of EMAIL_SUBJECTS or of the kind's `email_subjects`. `kind_context` has the
    variables of the order's kind.
    """
    # No account or product has a language yet.
    with use_language(DEFAULT_LANGUAGE):
        context = {**_template_context(order, url), **(kind_context or {})}
        context["subject"] = subject = _render_subject(template, order, context)
        environment = _template_environment(KINDS[order.kind].emails_folder)
        text, html = (
            environment.get_template(f"{template}.{extension}").render(context)
            for extension in ("txt", "html")
        )
    message = EmailMessage(policy=policy.SMTP)
    # The address has no display name, because a hostile name could change the recipients.
    message["To"] = _header_address(order.candidate.email) or UNDISCLOSED_RECIPIENTS
    message["From"] = _header_address(
        parseaddr(sender)[1], _truncate(context["company"], MAX_SENDER_NAME_LENGTH)
    )
    message["Date"] = now
    message["Message-ID"] = f"<{message_id}@{message['From'].addresses[0].domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: prevents out-of-office replies
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    is_international = not str(message["To"]).isascii()
    rest = message.as_bytes(policy=policy.SMTPUTF8 if is_international else policy.SMTP)
    return _subject_header(subject) + rest


def _subject_header(subject: str) -> bytes:
    """Return the header line of a subject.

    The policies of the email library lose characters of long subjects, and decode a `=?…?=` that
    somebody has typed.
    """
    is_plain = subject.isascii() and "=?" not in subject
    if not is_plain or len(subject) > MAX_PLAIN_SUBJECT_LENGTH:
        subject = Header(subject, "utf-8", header_name="Subject").encode(linesep="\r\n")
    return f"Subject: {subject}\r\n".encode("ascii")


def _render_subject(template: str, order: Order, context: Mapping[str, Any]) -> str:
    subjects = EMAIL_SUBJECTS | dict(KINDS[order.kind].email_subjects)
    if context["job"]:
        subjects |= SUBJECTS_WITH_JOB
    return gettext(
        subjects[template],
        company=context["company"],
        noun=context["kind_texts"].noun,
        job=context["job"],
        product=context["product"],
    )


def _template_context(order: Order, url: str) -> dict[str, Any]:
    colour = order.account.branding.get("colour")
    return {
        "accent": colours.fill_colour(colour),
        "accent_on_dark": colours.text_colour_on_dark(colour),
        "company": clean_line(order.account.display_name),
        "name": clean_line(order.candidate.first_name),
        "job": clean_line(order.job_title),
        "product": clean_line(order.product.name),
        "kind_texts": KINDS[order.kind].texts,
        "duration_text": (
            labels.format_duration(order.duration_seconds) if order.duration_seconds else None
        ),
        "expires_at_text": labels.format_datetime(order.expires_at, order.account.timezone),
        "timezone": order.account.timezone,
        "url": url,
    }


def _truncate(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else text[: max_length - 1].rstrip() + "…"


def _header_address(address: str, name: str = "") -> Address | None:
    """Return an address for a header, with its domain in ASCII; None for an invalid address.

    The address is checked first, because the email library misreads or rejects some addresses.
    """
    parts = split_address(mend_address(address))
    return Address(name, *parts) if parts else None


@cache
def _template_environment(kind_folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES_FOLDER, kind_folder]),
        autoescape=select_autoescape(("html",), default_for_string=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    translate_templates(environment)
    environment.filters.update(
        when=labels.format_datetime, markdown=render_markdown, plain=markdown_to_text, wrap=_wrap
    )
    environment.globals["aligned"] = _align
    return environment


def _wrap(paragraph: str) -> str:
    """Break a paragraph into lines for the text part."""
    return textwrap.fill(
        paragraph.strip(), TEXT_WIDTH, break_long_words=False, break_on_hyphens=False
    )


def _align(facts: Iterable[tuple[str, str | None]]) -> str:
    """Return lines of labels and values in two columns; facts without a value are left out."""
    shown_facts = [(label, value) for label, value in facts if value]
    width = max(len(label) for label, _ in shown_facts) + 2
    return "\n".join(f"{label:<{width}}{value}" for label, value in shown_facts)
