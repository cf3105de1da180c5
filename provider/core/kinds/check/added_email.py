"""The e-mail about a screening that was added to a running check: what, why, and what it uses."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from provider.core.kinds.base import EmailParts
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.orders import COMPLETED, CONSENTED

ADDED_EMAIL = "screening_added"  # the template
_SCREENING = "screening"  # of the payload of a message: the key


def enqueue_added_email(session: Session, check: Check, screening: str, now: datetime) -> None:
    check.enqueue_email(session, ADDED_EMAIL, now, {_SCREENING: screening})


def added_email_parts(check: Check, payload: Mapping[str, Any]) -> EmailParts:
    """Return the texts about the screening; a sample of the e-mail has one of the package's."""
    key = payload.get(_SCREENING, check.content.screenings[-1].key)
    screening = check.find_screening(key)
    uses = [str(DETAIL_FIELDS[name].label) for name in screening.asks]
    uses += [str(DOCUMENT_SLOTS[name].label) for name in screening.documents]
    return EmailParts(
        {
            "screening_name": screening.name,
            "screening_reason": str(screening.reason_text),
            "screening_uses": ", ".join(uses),
        }
    )


def is_email_needed(check: Check, template: str, payload: Mapping[str, Any]) -> bool:
    """Tell whether the added screening is still part of the check.

    The e-mail may wait for a mail server while the check is cancelled or reopened.
    """
    if template != ADDED_EMAIL:
        return True
    is_running = check.status in (CONSENTED, COMPLETED)
    return is_running and any(task.key == payload[_SCREENING] for task in check.tasks)
