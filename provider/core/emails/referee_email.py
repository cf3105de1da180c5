"""E-mails to referees: the link to the questions, and one reminder.

They name the candidate and the company, and say nothing else of the check.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core import colours, labels
from provider.core.emails import TEMPLATES_FOLDER, language_of, template_environment
from provider.core.emails.composition import Draft, compose
from provider.core.kinds.check import Check
from provider.core.kinds.check.referee_acts import REFEREE_REMINDER, shown_name
from provider.core.kinds.check.referee_request import RefereeRequest
from provider.core.text_cleaning import clean_line
from provider.storage.secrets import SecretBox
from provider.texts import gettext, gettext_noop, use_language

SUBJECT = gettext_noop("%(company)s: questions about %(candidate)s")
REMINDER_SUBJECT = gettext_noop("%(company)s: a reminder of the questions about %(candidate)s")


def find_request(session: Session, public_id: str) -> RefereeRequest | None:
    """Return the request that an e-mail is about; None if the check was reopened since."""
    return session.scalar(select(RefereeRequest).where(RefereeRequest.public_id == public_id))


def render_referee_email(
    request: RefereeRequest,
    check: Check,
    topic: str,
    secret_box: SecretBox,
    *,
    url: str,
    sender: str,
    message_id: str,
    now: datetime,
) -> bytes:
    """Render an e-mail to a referee in the language of the order, as RFC 5322 bytes."""
    with use_language(language_of(check)):
        is_reminder = topic == REFEREE_REMINDER
        referee, account = request.get_referee(secret_box), check.account
        colour = account.branding.get("colour")
        candidate = shown_name(check, secret_box)
        company = clean_line(account.display_name)
        subject = gettext(
            REMINDER_SUBJECT if is_reminder else SUBJECT, company=company, candidate=candidate
        )
        context = {
            "accent": colours.fill_colour(colour),
            "accent_on_dark": colours.text_colour_on_dark(colour),
            "company": company,
            "candidate": candidate,
            "name": clean_line(referee.name),
            "is_reminder": is_reminder,
            "expires_at_text": labels.format_datetime(request.expires_at, account.timezone),
            "support_address": account.branding.get("support_address"),
            "privacy_address": account.branding.get("privacy_address"),
            "subject": subject,
            "url": url,
        }
        environment = template_environment(TEMPLATES_FOLDER)
        text, html = (
            environment.get_template(f"referee.{extension}").render(context)
            for extension in ("txt", "html")
        )
    draft = Draft(referee.email, company, subject, text, html)
    return compose(draft, sender=sender, message_id=message_id, now=now)
