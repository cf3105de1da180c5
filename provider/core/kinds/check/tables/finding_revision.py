"""The outcomes that a revision has replaced after a check was completed."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted


class FindingRevision(Base):
    """An outcome as it was before a revision. Both texts and `reason` are encrypted.

    `result_revision` is that of the result which the revision made.
    """

    __tablename__ = "finding_revisions"
    __table_args__ = (Index("ix_finding_revisions_order", "order_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    screening: Mapped[str] = mapped_column(String(64))
    result_revision: Mapped[int]
    status: Mapped[str] = mapped_column(String(10))
    report_text: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/revisions/{public_id}/report")
    )
    note: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/revisions/{public_id}/note")
    )
    entered_by: Mapped[str] = mapped_column(String(254))
    entered_at: Mapped[datetime]
    reason: Mapped[bytes] = mapped_column(
        Encrypted("orders/{order_id.public_id}/revisions/{public_id}/reason")
    )
    revised_by: Mapped[str] = mapped_column(String(254))
    revised_at: Mapped[datetime]
