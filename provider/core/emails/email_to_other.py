"""E-mails about an order to others than its candidate; the order's kind says which there are."""

from datetime import datetime

from sqlalchemy.orm import Session

from provider.core import colours
from provider.core.emails import language_of, template_environment
from provider.core.emails.composition import Draft, compose
from provider.core.kinds import KINDS
from provider.core.kinds.base import EmailsToOthers
from provider.core.orders import Order
from provider.core.text_cleaning import clean_line
from provider.core.urls import UrlBuilder
from provider.storage.secrets import SecretBox
from provider.texts import use_language


def find_emails_to_others(order: Order, topic: str) -> EmailsToOthers | None:
    """Return the kind's description of a topic; None for an e-mail to the candidate."""
    emails = KINDS[order.kind].emails_to_others
    return emails if emails and topic in emails.topics else None


def render_email_to_other(
    session: Session,
    secret_box: SecretBox,
    order: Order,
    topic: str,
    writer: str,
    *,
    urls: UrlBuilder,
    sender: str,
    message_id: str,
    now: datetime,
) -> bytes | None:
    """Render an e-mail in the language of the order; None if it is not needed any more."""
    emails = find_emails_to_others(order, topic)
    assert emails
    with use_language(language_of(order)):
        email = emails.compose(session, secret_box, order, topic, writer, urls)
        if email is None:
            return None
        branding, company = order.account.branding, clean_line(order.account.display_name)
        context = {
            "accent": colours.fill_colour(branding.get("colour")),
            "accent_on_dark": colours.text_colour_on_dark(branding.get("colour")),
            "company": company,
            "name": email.name,
            "support_address": branding.get("support_address"),
            "privacy_address": branding.get("privacy_address"),
            "subject": email.subject,
            **email.context,
        }
        environment = template_environment(KINDS[order.kind].emails_folder)
        text, html = (
            environment.get_template(f"{email.template}.{extension}").render(context)
            for extension in ("txt", "html")
        )
    draft = Draft(email.to, company, email.subject, text, html)
    return compose(draft, sender=sender, message_id=message_id, now=now)
