"""E-mails to referees: the link to the questions, and one reminder.

They name the candidate and the company, and say nothing else of the check.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core import formats
from provider.core.kinds.base import EmailsToOthers, EmailToOther
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.referees.referee_acts import (
    REFEREE_REMINDER,
    REFEREE_TOPICS,
    is_awaited,
    record_referee_bounce,
    shown_name,
)
from provider.core.kinds.check.tables.referee_request import SENT, RefereeRequest
from provider.core.orders import Order
from provider.core.text_cleaning import clean_line
from provider.core.urls import UrlBuilder
from provider.storage.secrets import SecretBox
from provider.texts import gettext, gettext_noop

SUBJECT = gettext_noop("%(company)s: questions about %(candidate)s")
REMINDER_SUBJECT = gettext_noop("%(company)s: a reminder of the questions about %(candidate)s")


def compose_email(
    session: Session, secret_box: SecretBox, order: Order, topic: str, writer: str, urls: UrlBuilder
) -> EmailToOther | None:
    """Return an e-mail in the present language; None once the screening or the request is done.

    `writer` is the public id of the request.
    """
    query = select(RefereeRequest).where(RefereeRequest.public_id == writer)
    request = session.scalar(query)
    if request is None or request.state != SENT or not isinstance(order, Check):
        return None
    if not is_awaited(order, request):
        return None
    referee, is_reminder = request.get_referee(secret_box), topic == REFEREE_REMINDER
    candidate = shown_name(order, secret_box)
    company = clean_line(order.account.display_name)
    subject = REMINDER_SUBJECT if is_reminder else SUBJECT
    return EmailToOther(
        to=referee.email,
        name=clean_line(referee.name),
        subject=gettext(subject, company=company, candidate=candidate),
        template="referee",
        context={
            "candidate": candidate,
            "is_reminder": is_reminder,
            "expires_at_text": formats.format_datetime(request.expires_at, order.account.timezone),
            "url": urls.referee(request.get_token(secret_box)),
        },
    )


EMAILS_TO_REFEREES = EmailsToOthers(REFEREE_TOPICS, compose_email, record_referee_bounce)
