"""The evidence of a test: its questions with the answers and points."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from provider.core.orders import Evidence


class EvidenceItem(NamedTuple):
    """One question with its answer. `points` is text, such as `1 of 2`."""

    section: str
    prompt: str
    answer: str
    points: str


@dataclass(frozen=True)
class AssessmentEvidence(Evidence):
    """The evidence of a test, with one item per question."""

    items: tuple[EvidenceItem, ...] = ()

    @property
    def sections(self) -> tuple[tuple[str, tuple[EvidenceItem, ...]], ...]:
        """The items by section, in their order."""
        groups = groupby(self.items, key=lambda item: item.section)
        return tuple((section, tuple(items)) for section, items in groups)

    def pdf_fields(self, pictures: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "sections": [
                [section, [item._asdict() for item in items]] for section, items in self.sections
            ]
        }
