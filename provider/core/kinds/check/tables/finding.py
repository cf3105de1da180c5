"""The outcome of a screening, and the table that stores it."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.products.schema_fields import clean_text
from provider.errors import Invalid
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted

MAX_NOTE_LENGTH = 5000  # characters
MAX_REPORT_TEXT_LENGTH = 2000  # characters


class Outcome(NamedTuple):
    """The outcome of a screening. The report shows `report_text`; `note` is for the staff."""

    status: str
    report_text: str
    note: str


def clean_outcome(status: str, report_text: str, note: str) -> Outcome:
    """Return an outcome with clean texts. Raises Invalid."""
    if status not in (CLEAR, CONSIDER):
        raise Invalid("Choose “clear” or “to consider”")
    note = clean_text(note).replace("\r\n", "\n")
    if len(note) > MAX_NOTE_LENGTH:
        raise Invalid("A note has at most %(maximum)d characters", maximum=MAX_NOTE_LENGTH)
    report_text = clean_text(report_text).replace("\r\n", "\n")
    if len(report_text) > MAX_REPORT_TEXT_LENGTH:
        raise Invalid(
            "A text in the report has at most %(maximum)d characters",
            maximum=MAX_REPORT_TEXT_LENGTH,
        )
    return Outcome(status, report_text, note)


class Finding(Base):
    """The outcome of one screening.

    The report shows `report_text`; an ATS never receives it. `note` is private: only the staff who
    decide read it. Both are encrypted.
    """

    __tablename__ = "findings"
    __table_args__ = (UniqueConstraint("order_id", "screening"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    screening: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(10))
    note: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/finding/{screening}")
    )
    report_text: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/finding/{screening}/report")
    )
    actor: Mapped[str] = mapped_column(String(254))
    found_at: Mapped[datetime]
