"""Packages of screenings, and the texts of their disclosures."""

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import String, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.kinds.check import content
from provider.core.kinds.check.content import PackageContent
from provider.core.products import Product, ProductVersion
from provider.errors import DocumentError
from provider.storage.database import Base


class DisclosureRecord(Base):
    """The text of a disclosure. A key and a version name one text, which never changes."""

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
    """Return the SHA-256 of a disclosure in hex. A consent records this digest."""
    return hashlib.sha256(text.encode()).hexdigest()


class Package(Product):
    """A set of screenings that an ATS can order as a background check."""

    __mapper_args__ = {"polymorphic_identity": "check"}  # noqa: RUF012

    @staticmethod
    def parse(document: dict[str, Any]) -> PackageContent:
        return content.parse(document)

    def is_sample(self, version: ProductVersion) -> bool:
        return version.parsed(Package.parse).disclosure.sample

    def check_against_history(
        self, session: Session, content: dict[str, Any], now: datetime
    ) -> None:
        """Raise DocumentError for a changed text under the same key and version.

        Consents name a disclosure by key and version, so its text must not change.
        """
        disclosure = self.parse(content).disclosure
        digest = text_digest(disclosure.text)
        query = select(DisclosureRecord).where(
            DisclosureRecord.key == disclosure.key, DisclosureRecord.version == disclosure.version
        )
        existing = session.scalar(query)
        if existing is None:
            session.add(
                DisclosureRecord(
                    key=disclosure.key,
                    version=disclosure.version,
                    digest=digest,
                    text=disclosure.text,
                    sample=disclosure.sample,
                    created_at=now,
                )
            )
        elif (existing.digest, existing.sample) != (digest, disclosure.sample):
            difference = "another text" if existing.digest != digest else "another `sample`"
            raise DocumentError(
                "disclosure.version",
                f"{disclosure.key} {disclosure.version} already exists with {difference}; "
                "give the changed disclosure a new version",
            )
