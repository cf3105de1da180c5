"""The e-mail about a screening that was added to a running check: what, why, and what it uses."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from provider.core.kinds.base import EmailParts
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.content import load_screening
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS

ADDED_EMAIL = "screening_added"  # the template
_SCREENING = "screening"  # of the payload of a message: the definition as JSON


def tell_added(
    session: Session, check: Check, definition: Mapping[str, Any], now: datetime
) -> None:
    """Enqueue the e-mail. It has the definition, because a reopening deletes the screening."""
    check.enqueue_email(session, ADDED_EMAIL, now, {_SCREENING: json.dumps(definition)})


def added_email_parts(check: Check, payload: Mapping[str, Any]) -> EmailParts:
    """Return the texts about the screening; a sample of the e-mail has one of the package's."""
    if _SCREENING in payload:
        screening = load_screening(json.loads(payload[_SCREENING]))
    else:
        screening = check.content.screenings[-1]
    uses = [str(DETAIL_FIELDS[name].label) for name in screening.asks]
    uses += [str(DOCUMENT_SLOTS[name].label) for name in screening.documents]
    return EmailParts(
        {
            "screening_name": screening.name,
            "screening_reason": str(screening.reason_text),
            "screening_uses": ", ".join(uses),
        }
    )
