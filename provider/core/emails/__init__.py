"""E-mails to candidates, rendered once as RFC 5322 bytes."""

import textwrap
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from sqlalchemy.orm import Session

from provider.core import colours, formats
from provider.core.accounts.setting_texts import contact_url
from provider.core.emails.composition import Draft, compose
from provider.core.emails.own_text import EmailText
from provider.core.kinds import KINDS
from provider.core.kinds.base import EmailParts
from provider.core.markdown import markdown_to_text, render_markdown
from provider.core.orders import Order
from provider.core.orders.accommodation import Decision
from provider.core.text_cleaning import clean_line
from provider.storage.secrets import SecretBox
from provider.texts import DEFAULT_LANGUAGE, gettext, gettext_noop, use_language
from provider.texts.templates import translate_templates

TEMPLATES_FOLDER = Path(__file__).parent / "templates"
NO_PARTS = EmailParts()
TEXT_WIDTH = 68  # characters of a line in the text part

# The subject of each e-mail of every kind, by template. The folder `templates` has the bodies as
# text and HTML; the words that differ by kind are `KindTexts`. A kind's folder has the e-mails of
# that kind alone.
EMAIL_SUBJECTS = {
    "invitation": gettext_noop("%(company)s: your %(noun)s"),
    "accommodation": gettext_noop("%(company)s: the answer to your request for your %(noun)s"),
    "extension": gettext_noop("%(company)s: more time for your %(noun)s"),
    "reminder": gettext_noop("%(company)s: a reminder of your %(noun)s"),
    "completion": gettext_noop("%(company)s: your %(noun)s is complete"),
    "decline": gettext_noop("%(company)s: you have declined the %(noun)s"),
    "expiry": gettext_noop("%(company)s: the time for your %(noun)s is over"),
}
# The subject for an order that names a job, where it differs.
SUBJECTS_WITH_JOB = {
    "invitation": gettext_noop("%(company)s: your %(noun)s for %(job)s"),
    "reminder": gettext_noop("%(company)s: a reminder of your %(noun)s for %(job)s"),
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
    decision: Decision | None = None,
    own_text: EmailText | None = None,
    parts: EmailParts = NO_PARTS,
) -> bytes:
    """Render an e-mail to the candidate of an order, as RFC 5322 bytes with text and HTML parts.

    `template` is a key of EMAIL_SUBJECTS or of the kind's `email_subjects`. `kind_context` has the
    variables of the order's kind. `decision` is that of the e-mail about an accommodation.
    `own_text` is the account's for this template and the language of `language_of`. `parts` are
    what the order's kind adds to this e-mail.
    """
    with use_language(language_of(order)):
        context = {**_template_context(order, url, now), **(kind_context or {}), **parts.variables}
        if decision:
            lines = decision.terms.lines(order)
            context |= {"decision": decision, "decision_lines": lines}
        own_subject = own_text.render_subject(context) if own_text else ""
        context["subject"] = subject = own_subject or _render_subject(template, order, context)
        context["own_paragraphs"] = own_text.render_paragraphs(context) if own_text else []
        environment = template_environment(KINDS[order.kind].emails_folder)
        text, html = (
            environment.get_template(f"{template}.{extension}").render(context)
            for extension in ("txt", "html")
        )
    return compose(
        Draft(order.candidate.email, context["company"], subject, text, html, parts.attachments),
        sender=sender,
        message_id=message_id,
        now=now,
    )


def language_of(order: Order) -> str:
    """Return the language of the e-mails of an order."""
    return order.texts_language or DEFAULT_LANGUAGE


def collect_parts(
    order: Order,
    template: str,
    secret_box: SecretBox,
    payload: Mapping[str, Any] = MappingProxyType({}),
) -> EmailParts:
    """Return what the order's kind adds to an e-mail, in the language of `language_of`.

    `payload` is that of the message; empty for a sample.
    """
    with use_language(language_of(order)):
        return KINDS[order.kind].email_parts(order, template, secret_box, payload)


def find_own_text(session: Session, order: Order, template: str) -> EmailText | None:
    """Return the account's own text of an e-mail in the language of its order."""
    return EmailText.find(session, order.account_id, template, language_of(order))


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


def _template_context(order: Order, url: str, now: datetime) -> dict[str, Any]:
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
            formats.format_duration(order.duration_seconds) if order.duration_seconds else None
        ),
        "expires_at_text": formats.format_datetime(order.expires_at, order.timezone),
        "support_address": order.account.branding.get("support_address"),
        "privacy_address": order.account.branding.get("privacy_address"),
        # An order that waits for the staff, or was reopened since, has no end.
        "happened_at_text": formats.format_datetime(
            order.finished_at or order.submitted_at or now, order.timezone
        ),
        "reference": order.public_id,
        "timezone": order.timezone,
        "url": url,
    }


@cache
def template_environment(kind_folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES_FOLDER, kind_folder]),
        autoescape=select_autoescape(("html",), default_for_string=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    translate_templates(environment)
    environment.filters.update(
        when=formats.format_datetime,
        markdown=render_markdown,
        plain=markdown_to_text,
        wrap=_wrap,
        contact_url=contact_url,
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
