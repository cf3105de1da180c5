"""E-mails to candidates, rendered once as RFC 5322 bytes."""

import re
import textwrap
from collections.abc import Iterable, Mapping
from contextlib import suppress
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
from provider.core.kinds import KINDS
from provider.core.markdown import markdown_to_text, render_markdown
from provider.core.orders import Order
from provider.texts import DEFAULT_LANGUAGE, gettext, gettext_noop, use_language
from provider.texts.templates import translate_templates

TEMPLATES_FOLDER = Path(__file__).parent / "templates"
# Longer headers are truncated: mail programs do not show more. The body has the full text.
MAX_SUBJECT_LENGTH = 140  # characters
MAX_SENDER_NAME_LENGTH = 60  # characters
TEXT_WIDTH = 68  # characters of a line in the text part

# The `To` header of an e-mail without a recipient, as RFC 5322 defines it.
UNDISCLOSED_RECIPIENTS = "undisclosed-recipients:;"
_LOCAL_PART = re.compile(r"""(?!.*=\?)[^\s\x00-\x1f\x7f-\x9f()<>\[\]:;@\\,"]{1,64}""")
_DOMAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


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
    message["Subject"] = _truncate(subject, MAX_SUBJECT_LENGTH)
    message["Date"] = now
    message["Message-ID"] = f"<{message_id}@{message['From'].addresses[0].domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: prevents out-of-office replies
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    is_international = not str(message["To"]).isascii()
    return message.as_bytes(policy=policy.SMTPUTF8 if is_international else policy.SMTP)


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
    return {
        "company": to_one_line(order.account.display_name),
        "name": to_one_line(order.candidate.first_name),
        "job": to_one_line(order.job_title),
        "product": to_one_line(order.product.name),
        "kind_texts": KINDS[order.kind].texts,
        "duration_text": (
            labels.format_duration(order.duration_seconds) if order.duration_seconds else None
        ),
        "expires_at_text": labels.format_datetime(order.expires_at, order.account.timezone),
        "timezone": order.account.timezone,
        "url": url,
    }


def to_one_line(text: str) -> str:
    """Return the text on one line, without the characters that could end a header."""
    # The Unicode categories of control characters, surrogates and line separators.
    unsafe_categories = ("Cc", "Cs", "Zl", "Zp")
    return " ".join(
        "".join(" " if category(char) in unsafe_categories else char for char in text).split()
    )


def _truncate(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else text[: max_length - 1].rstrip() + "…"


def _header_address(address: str, name: str = "") -> Address | None:
    """Return an address for a header, with its domain in Punycode; None for an invalid address.

    Both parts are checked first, because the email library misreads or rejects some addresses.
    """
    user, _, domain = address.rpartition("@")
    user = user.strip('"')  # the library adds quotes where they are needed
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    if not _LOCAL_PART.fullmatch(user) or not _DOMAIN.fullmatch(domain):
        return None
    return Address(name, user, domain)


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
