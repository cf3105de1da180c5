"""The legal texts of packages, each under its key and version for ever, found by their digests."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import String, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.kinds.base import RecordedText
from provider.core.kinds.check.packages.content import Disclosure, LegalText
from provider.core.kinds.check.packages.legal_text_slots import DISCLOSURE, PURPOSES
from provider.errors import DocumentError
from provider.storage.database import Base

_DIFFERENCES = {"sample": "`sample`"}


class DisclosureRecord(Base):
    """The text of a disclosure. A key and a version name one text, which never changes."""

    __tablename__ = "disclosures"
    __table_args__ = (UniqueConstraint("key", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(40))
    digest: Mapped[str] = mapped_column(String(64), index=True)
    text: Mapped[str] = mapped_column(Text)
    sample: Mapped[bool]
    created_at: Mapped[datetime]


class LegalTextRecord(Base):
    """A legal text beside a disclosure. A key and a version name one text, which never changes."""

    __tablename__ = "legal_texts"
    __table_args__ = (UniqueConstraint("key", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(40))
    purpose: Mapped[str] = mapped_column(String(20))
    title: Mapped[str] = mapped_column(String(120))
    digest: Mapped[str] = mapped_column(String(64), index=True)
    text: Mapped[str] = mapped_column(Text)
    sample: Mapped[bool]
    created_at: Mapped[datetime]


Record = TypeVar("Record", DisclosureRecord, LegalTextRecord)


def text_digest(text: str) -> str:
    """Return the SHA-256 of a legal text in hex. A consent records this digest."""
    return hashlib.sha256(text.encode()).hexdigest()


def find_texts(session: Session, digest: str) -> list[RecordedText]:
    """Return the texts with a digest, of which several may have the same words."""
    disclosures = session.scalars(
        select(DisclosureRecord)
        .where(DisclosureRecord.digest == digest)
        .order_by(DisclosureRecord.id)
    )
    texts = [_recorded(record, DISCLOSURE, "") for record in disclosures]
    records = session.scalars(
        select(LegalTextRecord).where(LegalTextRecord.digest == digest).order_by(LegalTextRecord.id)
    )
    return texts + [_recorded(record, record.purpose, record.title) for record in records]


def record_disclosure(session: Session, disclosure: Disclosure, now: datetime) -> None:
    """Store a disclosure that is new.

    Raises DocumentError for one that differs from the text which its key and version name.
    """
    fields = {"text": disclosure.text, "sample": disclosure.sample}
    existing = _find_record(session, DisclosureRecord, disclosure)
    if existing is None:
        digest = text_digest(disclosure.text)
        key, version = disclosure.key, disclosure.version
        session.add(
            DisclosureRecord(key=key, version=version, digest=digest, created_at=now, **fields)
        )
    else:
        _require_same(existing, fields, "disclosure")


def record_legal_texts(session: Session, texts: Sequence[LegalText], now: datetime) -> None:
    """Store the texts that are new.

    Raises DocumentError for one that differs from the text which its key and version name.
    """
    for index, text in enumerate(texts):
        fields = {
            "text": text.text,
            "title": text.title,
            "purpose": text.purpose,
            "sample": text.sample,
        }
        existing = _find_record(session, LegalTextRecord, text)
        if existing is None:
            digest, key, version = text_digest(text.text), text.key, text.version
            session.add(
                LegalTextRecord(key=key, version=version, digest=digest, created_at=now, **fields)
            )
        else:
            _require_same(existing, fields, f"legal_texts[{index}]")


def _find_record(
    session: Session, record_class: type[Record], text: Disclosure | LegalText
) -> Record | None:
    return session.scalar(
        select(record_class).where(
            record_class.key == text.key, record_class.version == text.version
        )
    )


def _require_same(
    existing: DisclosureRecord | LegalTextRecord, fields: Mapping[str, object], path: str
) -> None:
    for name, value in fields.items():
        if getattr(existing, name) != value:
            raise DocumentError(
                f"{path}.version",
                f"{existing.key} {existing.version} already exists with another "
                f"{_DIFFERENCES.get(name, name)}; give the changed "
                f"{'disclosure' if path == 'disclosure' else 'text'} a new version",
            )


def _recorded(record: DisclosureRecord | LegalTextRecord, purpose: str, title: str) -> RecordedText:
    return RecordedText(
        record.key,
        record.version,
        purpose,
        title,
        record.text,
        record.sample,
        record.created_at,
        is_plain=purpose not in PURPOSES,
    )
