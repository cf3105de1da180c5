"""E-mails to the staff: an invitation to the console, and a forgotten password."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parseaddr
from typing import Any

from provider.core import colours, formats
from provider.core.alerts import ALERT_TOPICS
from provider.core.emails import TEMPLATES_FOLDER, template_environment
from provider.core.emails.composition import Draft, compose
from provider.core.marking.digest import TASKS_TO_MARK
from provider.core.staff import INVITATION, RESET, ROLE_DESCRIPTIONS, STAFF_TOPICS, StaffLink
from provider.texts import DEFAULT_LANGUAGE, gettext, gettext_noop, use_language

SUBJECTS = {
    INVITATION: gettext_noop("Your invitation to the console"),
    RESET: gettext_noop("A new password for the console"),
}
SAMPLE_TOPIC = "sample"  # of a message with a sample of an e-mail to candidates
TOPICS_TO_STAFF = frozenset(
    {*STAFF_TOPICS.values(), *ALERT_TOPICS, TASKS_TO_MARK, SAMPLE_TOPIC}
)  # of messages
TIMEZONE = "UTC"  # members of the staff have no time zone yet


def render_staff_email(
    link: StaffLink, *, url: str, sender: str, message_id: str, now: datetime
) -> bytes:
    """Render the e-mail of a link, as RFC 5322 bytes with text and HTML parts."""
    with use_language(DEFAULT_LANGUAGE):
        context = {
            "role": link.role,
            "role_description": ROLE_DESCRIPTIONS.get(link.role or "", ""),
            "sender": link.sender,
            "expires_at_text": formats.format_datetime(link.expires_at, TIMEZONE),
            "url": url,
        }
        return compose_staff_email(
            f"staff_{link.purpose}",
            gettext(SUBJECTS[link.purpose]),
            context,
            to=link.email,
            sender=sender,
            message_id=message_id,
            now=now,
        )


def compose_staff_email(
    template: str,
    subject: str,
    context: Mapping[str, Any],
    *,
    to: str,
    sender: str,
    message_id: str,
    now: datetime,
) -> bytes:
    """Render a template of an e-mail to the staff in the present language."""
    company = parseaddr(sender)[0] or gettext("Provider console")
    variables = {
        "accent": colours.fill_colour(None),
        "accent_on_dark": colours.text_colour_on_dark(None),
        "company": company,
        "support_address": None,
        "privacy_address": None,
        "name": "",
        "subject": subject,
        **context,
    }
    environment = template_environment(TEMPLATES_FOLDER)
    text, html = (
        environment.get_template(f"{template}.{extension}").render(variables)
        for extension in ("txt", "html")
    )
    return compose(
        Draft(to, company, subject, text, html), sender=sender, message_id=message_id, now=now
    )
