"""The parts of a report that a product switches on or off, for every kind with such a switch."""

from dataclasses import dataclass
from typing import Any

from marshmallow import post_load

from provider.core.orders import PDF, REPORT, SHARED
from provider.core.products.schema_fields import Choice, DocumentSchema, ListOf

PLACES = (REPORT, PDF, SHARED)


@dataclass(frozen=True)
class ReportOptions:
    """`answers` are the places of the questions and answers: of REPORT, PDF and SHARED."""

    answers: frozenset[str] = frozenset()


SHOWN_NOWHERE, SHOWN_EVERYWHERE = ReportOptions(), ReportOptions(frozenset(PLACES))


class ReportSchema(DocumentSchema):
    """`report`: where questions and answers are shown."""

    answers = ListOf(Choice(*PLACES), "places", 0, len(PLACES), required=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> ReportOptions:
        return ReportOptions(frozenset(data["answers"]))
