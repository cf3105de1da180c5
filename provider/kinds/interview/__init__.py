"""Interview templates and interviews: questions answered on video."""

from typing import Any

from provider.kinds.interview import content
from provider.kinds.interview.content import InterviewContent
from provider.orders import Order, Product


class InterviewTemplate(Product):
    """A set of questions that an ATS can order as a video interview."""

    __mapper_args__ = {"polymorphic_identity": "interview"}  # noqa: RUF012

    @staticmethod
    def parse(document: dict[str, Any]) -> InterviewContent:
        """Read a version's content; Invalid names the field."""
        return content.parse(document)


class Interview(Order):
    """A video interview ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "interview"}  # noqa: RUF012

    @property
    def lasts(self) -> int | None:
        """The longest that thinking and answering can take, in seconds."""
        return InterviewTemplate.parse(self.version.content).seconds
