"""The tables of consents: the proof, the texts that were shown, and the details given."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from provider.storage.database import Base
from provider.storage.encrypted import Encrypted


@dataclass(frozen=True)
class ConsentView:
    """A decrypted consent: the typed name, the time and the text of the disclosure."""

    name: str
    given_at: datetime
    text: str
    version: str
    sample: bool


class Consent(Base):
    """The proof of a consent: the typed name, the time, the place, the browser and the text.

    `country`, `subdivision` and `wants_copy` are those of the `CheckCase` at that time.
    `disclosure_digest` is the SHA-256 of the text that was shown. The text itself is in the
    product version of the order, which never changes.
    """

    __tablename__ = "consents"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    disclosure_digest: Mapped[str] = mapped_column(String(64))
    disclosure_version: Mapped[str] = mapped_column(String(110))
    name: Mapped[bytes] = mapped_column(Encrypted("orders/{order_id.public_id}/consent/{given_at}"))
    ip_address: Mapped[str] = mapped_column(String(60))
    user_agent: Mapped[str] = mapped_column(String(300))
    given_at: Mapped[datetime]
    country: Mapped[str] = mapped_column(String(2), default="", server_default="")
    subdivision: Mapped[str] = mapped_column(String(3), default="", server_default="")
    wants_copy: Mapped[bool] = mapped_column(default=False, server_default=false())
    texts: Mapped[list["ConsentText"]] = relationship(order_by="ConsentText.id")


class ConsentText(Base):
    """A text that the candidate was shown and went on from.

    `consent_id` is None until the candidate has consented. The text itself is in the product
    version of the order, by `purpose` and `key`; `digest` is its SHA-256 in hex.
    """

    __tablename__ = "consent_texts"
    __table_args__ = (
        UniqueConstraint("consent_id", "purpose", "key"),
        Index("ix_consent_texts_order_id", "order_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    consent_id: Mapped[int | None] = mapped_column(ForeignKey("consents.id"))
    key: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(40))
    purpose: Mapped[str] = mapped_column(String(20))
    digest: Mapped[str] = mapped_column(String(64))
    shown_at: Mapped[datetime]


class CandidateDetail(Base):
    """One detail that the candidate filled in, encrypted separately; `detail_value` is its form."""

    __tablename__ = "candidate_details"
    __table_args__ = (UniqueConstraint("order_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    name: Mapped[str] = mapped_column(String(40))
    value_encrypted: Mapped[bytes] = mapped_column(Encrypted("orders/{order_id.public_id}/{name}"))
