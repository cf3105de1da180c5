"""The parts of a report that a product switches on or off, for every kind with such a switch."""

from dataclasses import dataclass
from typing import Any

from marshmallow import post_load

from provider.core.orders import PDF, REPORT, SHARED
from provider.core.products.schema_fields import Choice, DocumentSchema, ListOf

PLACES = (REPORT, PDF, SHARED)


@dataclass(frozen=True)
class ReportOptions:
    """Where parts of a report are shown: places of REPORT, PDF and SHARED.

    `answers` are the places of the questions and answers. `notes` are those of what reviewers
    wrote, and `scores` those of the score, the grade, the summary and the ratings.
    """

    answers: frozenset[str] = frozenset()
    notes: frozenset[str] = frozenset(PLACES)
    scores: frozenset[str] = frozenset(PLACES)


SHOWN_NOWHERE, SHOWN_EVERYWHERE = ReportOptions(), ReportOptions(frozenset(PLACES))


class ReportSchema(DocumentSchema):
    """`report`: where questions and answers are shown."""

    answers = ListOf(Choice(*PLACES), "places", 0, len(PLACES), required=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> ReportOptions:
        return ReportOptions(**{name: frozenset(places) for name, places in data.items()})


class ReviewedReportSchema(ReportSchema):
    """`report` of a kind whose answers are watched and rated by reviewers."""

    answers = ListOf(Choice(*PLACES), "places", 0, len(PLACES), load_default=PLACES)
    notes = ListOf(Choice(*PLACES), "places", 0, len(PLACES), load_default=PLACES)
    scores = ListOf(Choice(*PLACES), "places", 0, len(PLACES), load_default=PLACES)
