"""Packages of screenings, and the record of their legal texts."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from provider.core.kinds.check.packages import content
from provider.core.kinds.check.packages.content import PackageContent
from provider.core.kinds.check.packages.legal_text_record import (
    DisclosureRecord,
    record_disclosure,
    record_legal_texts,
    text_digest,
)
from provider.core.products import Product, ProductVersion

__all__ = ["DisclosureRecord", "Package", "text_digest"]


class Package(Product):
    """A set of screenings that an ATS can order as a background check."""

    __mapper_args__ = {"polymorphic_identity": "check"}  # noqa: RUF012

    @staticmethod
    def parse(document: dict[str, Any]) -> PackageContent:
        return content.parse(document)

    def is_sample(self, version: ProductVersion) -> bool:
        return version.parsed(Package.parse).has_sample_text

    def check_against_history(
        self, session: Session, content: dict[str, Any], now: datetime
    ) -> None:
        """Raise DocumentError for a changed text under the same key and version.

        Consents name a text by key and version, so it must not change.
        """
        package = self.parse(content)
        record_disclosure(session, package.disclosure, now)
        record_legal_texts(session, package.legal_texts, now)
