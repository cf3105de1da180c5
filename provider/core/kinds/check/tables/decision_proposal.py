"""The table of what one person proposes to decide and a second person confirms (four eyes)."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted

COMPLETION, REVISION = "completion", "revision"
# The answers to a proposal; empty while it is open.
CONFIRMED, SENT_BACK, WITHDRAWN_PROPOSAL = "confirmed", "sent back", "withdrawn"
_OPEN_SQL = text("answer = ''")


class DecisionProposal(Base):
    """A completion, or a revision of a finding, that waits for a second person.

    `basis` is the digest of the outcomes that the first person saw. `content` has the fields of a
    revision as JSON, and `reason` says why it was sent back; both are encrypted.
    """

    __tablename__ = "decision_proposals"
    __table_args__ = (
        # One open proposal of a check.
        Index(
            "ix_decision_proposals_open",
            "order_id",
            unique=True,
            sqlite_where=_OPEN_SQL,
            postgresql_where=_OPEN_SQL,
        ),
        Index("ix_decision_proposals_order", "order_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    purpose: Mapped[str] = mapped_column(String(10))
    basis: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/proposals/{public_id}/content")
    )
    proposed_by: Mapped[str] = mapped_column(String(254))  # a staff e-mail
    proposed_at: Mapped[datetime]
    answer: Mapped[str] = mapped_column(String(10), default="")
    answered_by: Mapped[str] = mapped_column(String(254), default="")
    answered_at: Mapped[datetime | None]
    reason: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/proposals/{public_id}/reason")
    )

    @property
    def is_open(self) -> bool:
        return not self.answer

    def close(self, answer: str, actor: str, now: datetime) -> None:
        self.answer, self.answered_by, self.answered_at = answer, actor, now
