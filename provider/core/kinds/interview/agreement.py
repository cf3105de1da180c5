"""What a candidate agrees to by starting an interview, and the record of it."""

from datetime import datetime

from sqlalchemy.orm import Session

from provider.core.kinds.interview.models import Interview
from provider.texts import lazy_gettext as _

RECORDING_AGREEMENT = _(
    "By starting you agree that your answers are recorded, and watched by the people who are named "
    "under “What happens with your data”."
)
AGREED = "recording agreed"  # the event


def record_agreement(session: Session, interview: Interview, now: datetime) -> None:
    """Record the sentence that the candidate saw, in the language of the page."""
    if any(question.is_recorded for question in interview.content.questions):
        interview.record_event(session, AGREED, "candidate", now, str(RECORDING_AGREEMENT))
