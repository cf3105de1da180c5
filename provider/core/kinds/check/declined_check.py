"""A check whose candidate declines: what she typed and sent before is deleted.

The record of the refusal and its reason stay, and so do earlier consents: these are the proof that
earlier screenings were allowed.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy.orm import Mapped, Session

from provider.core.kinds.check.order_part import OrderPart
from provider.core.kinds.check.tables.check_case import CheckCase
from provider.core.kinds.check.tables.check_document import list_documents
from provider.core.kinds.check.tables.consent import CandidateDetail, Consent
from provider.core.orders import DECLINED


class DeclinedCheck(OrderPart):
    """The part of a check that deletes the candidate's data when she declines."""

    if TYPE_CHECKING:
        candidate_details: Mapped[list[CandidateDetail]]
        case: Mapped[CheckCase | None]
        consents: Mapped[list[Consent]]

    def decline(
        self, session: Session, reason: str, now: datetime, *, given_at: datetime | None = None
    ) -> Sequence[str]:
        """Decline, and delete what the candidate gave, unless the check is on hold."""
        super().decline(session, reason, now, given_at=given_at)
        return self._delete_given(session, "candidate", now) if self.hold_reason is None else ()

    def release(self, session: Session, actor: str, reason: str, now: datetime) -> None:
        """Release the check. What was kept of a declined one is deleted."""
        super().release(session, actor, reason, now)
        if self.status == DECLINED:
            self._delete_given(session, actor, now)  # DISCARD_LOST_DOCUMENTS deletes the files

    def _delete_given(self, session: Session, actor: str, now: datetime) -> Sequence[str]:
        """Delete the details and documents; return the folders to delete after the commit."""
        documents = list_documents(session, self)
        has_case = self.case is not None and not self.consents  # the proof of these names the place
        if not (documents or self.candidate_details or has_case):
            return ()
        folders = [document.folder for document in documents]
        for row in (*documents, *self.candidate_details, *([self.case] if has_case else [])):
            session.delete(row)
        session.flush()
        session.expire(self, ["candidate_details", "case"])
        self.record_event(session, "declined data deleted", actor, now)
        return folders
