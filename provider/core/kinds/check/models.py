"""What a candidate agreed to and entered, and what the staff found out."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from provider.storage.database import Base

if TYPE_CHECKING:
    from provider.core.kinds.check import Check

CLEAR, CONSIDER = "clear", "consider"


class DisclosureRecord(Base):
    """A text that candidates consent to; a key and a version stand for one text for ever."""

    __tablename__ = "disclosures"
    __table_args__ = (UniqueConstraint("key", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(40))
    digest: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)
    sample: Mapped[bool]
    created_at: Mapped[datetime]


def text_digest(text: str) -> str:
    """Return the SHA-256, in hex, by which a consent names the exact text."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class ConsentView:
    """A consent in words: the name that was typed, when, and the text it was typed under."""

    name: str
    given_at: datetime
    text: str
    version: str
    sample: bool


class Consent(Base):
    """A consent: who typed which name when, from where, to exactly which text.

    `disclosure` is the SHA-256 of the text as it was shown; the text itself stands in the
    version that the order was placed on, which never changes.
    """

    __tablename__ = "consents"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    disclosure_digest: Mapped[str] = mapped_column(String(64))
    disclosure_version: Mapped[str] = mapped_column(String(110))
    name: Mapped[bytes] = mapped_column(LargeBinary)
    ip_address: Mapped[str] = mapped_column(String(60))
    user_agent: Mapped[str] = mapped_column(String(300))
    given_at: Mapped[datetime]
    check: Mapped["Check"] = relationship(back_populates="consents")


class CandidateDetail(Base):
    """One thing that the candidate filled in, encrypted by itself."""

    __tablename__ = "candidate_details"
    __table_args__ = (UniqueConstraint("order_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    name: Mapped[str] = mapped_column(String(40))
    value_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    check: Mapped["Check"] = relationship(back_populates="candidate_details")


class Finding(Base):
    """How one screening came out; what exactly was found stays here, encrypted."""

    __tablename__ = "findings"
    __table_args__ = (UniqueConstraint("order_id", "screening"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    screening: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(10))
    note: Mapped[bytes | None] = mapped_column(LargeBinary)
    actor: Mapped[str] = mapped_column(String(254))
    found_at: Mapped[datetime]
    check: Mapped["Check"] = relationship(back_populates="findings")
