"""Disputes: a candidate says that a finding is wrong, and the staff answer."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted
from provider.texts import LazyText
from provider.texts import lazy_gettext as _

# The answers to a dispute; empty while it is open.
UPHELD, CORRECTED, RETRACTED = "upheld", "corrected", "retracted"
# Why the candidate disputes a finding.
OTHER = "other"
DISPUTE_REASONS: Mapping[str, LazyText] = {
    "not me": _("It is about somebody else"),
    "wrong": _("It is about me, but it is wrong"),
    "out of date": _("It is out of date"),
    OTHER: _("Another reason"),
}


# Characters: a ciphertext is as long as its text, so that other lengths would tell the reason.
REASON_LENGTH = 16


class Dispute(Base):
    """A dispute about the outcome of a screening. An open one stops the clock of a notice.

    `text` is the candidate's and `answer` the staff's; both are encrypted. So is the reason, which
    is of DISPUTE_REASONS. The finding is `upheld` or `corrected`, or the candidate has `retracted`
    the dispute.
    """

    __tablename__ = "disputes"
    __table_args__ = (Index("ix_disputes_open", "outcome", "opened_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    screening: Mapped[str] = mapped_column(String(64))
    reason_encrypted: Mapped[bytes] = mapped_column(
        Encrypted("orders/{order_id.public_id}/disputes/{public_id}/reason")
    )
    text: Mapped[bytes] = mapped_column(
        Encrypted("orders/{order_id.public_id}/disputes/{public_id}/text")
    )
    opened_at: Mapped[datetime]
    answer: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/disputes/{public_id}/answer")
    )
    outcome: Mapped[str] = mapped_column(String(10), default="")
    actor: Mapped[str] = mapped_column(String(254), default="")
    answered_at: Mapped[datetime | None]

    @property
    def is_open(self) -> bool:
        return not self.outcome
