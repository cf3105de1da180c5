"""Packages and background checks: screenings that a candidate consents to."""

from typing import Any

from provider.kinds.check import content
from provider.kinds.check.content import PackageContent
from provider.orders import Order, Product


class Package(Product):
    """A set of screenings that an ATS can order as a background check."""

    __mapper_args__ = {"polymorphic_identity": "check"}  # noqa: RUF012

    @staticmethod
    def parse(document: dict[str, Any]) -> PackageContent:
        """Read a version's content; Invalid names the field."""
        return content.parse(document)


class Check(Order):
    """A background check ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "check"}  # noqa: RUF012
