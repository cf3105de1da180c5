"""The evidence of a test: its questions with the answers and points."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple, Self

from provider.core.kinds.assessment.integrity_summary import IntegritySummary
from provider.core.kinds.assessment.scale_profile import ScaleProfile
from provider.core.labels import label_for, tone
from provider.core.markdown import TextPart
from provider.core.orders import SHARED, Evidence
from provider.core.typst_formulas import formula_to_typst


class EvidenceItem(NamedTuple):
    """One question with its answer. `points` is text, such as `1 of 2`.

    `mark` is a value of `scoring.MARKS`; empty for an answer that is neither right nor wrong.
    `file_id` is the public id of an AnswerFile; empty for an answer that is no file.
    `prompt_parts` are the prompt in pieces; empty for a prompt without formulas.
    """

    section: str
    prompt: str
    answer: str
    points: str
    mark: str = ""
    file_id: str = ""
    prompt_parts: tuple[TextPart, ...] = ()


@dataclass(frozen=True)
class AssessmentEvidence(Evidence):
    """The evidence of a test, with one item per question, and a profile for each norm group."""

    items: tuple[EvidenceItem, ...] = ()
    profiles: tuple[ScaleProfile, ...] = ()
    integrity: IntegritySummary | None = None  # None for a test that records no signals

    @property
    def sections(self) -> tuple[tuple[str, tuple[EvidenceItem, ...]], ...]:
        """The items by section, in their order."""
        groups = groupby(self.items, key=lambda item: item.section)
        return tuple((section, tuple(items)) for section, items in groups)

    def without_answers(self) -> Self:
        return replace(self, items=())

    def shown_at(self, places: Set[str]) -> Self:
        """Return the evidence without the signals, where a shared link must not show them."""
        if SHARED in places and self.integrity and not self.integrity.is_shared:
            return replace(self, integrity=None)
        return self

    def pdf_fields(self, pictures: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "sections": [
                [section, [_item_fields(item) for item in items]]
                for section, items in self.sections
            ],
            "profiles": [_profile_fields(profile) for profile in self.profiles],
            "integrity": self.integrity and _integrity_fields(self.integrity),
        }


def _item_fields(item: EvidenceItem) -> dict[str, Any]:
    return item._asdict() | {
        "mark": [label_for("mark", item.mark), tone(item.mark)],
        "prompt_parts": [
            part._asdict() | {"code": formula_to_typst(part.text) if part.is_formula else ""}
            for part in item.prompt_parts
        ],
    }


def _profile_fields(profile: ScaleProfile) -> dict[str, Any]:
    return {
        "title": profile.title,
        "group": profile.group,
        "source": profile.source,
        "axis_label": profile.axis_label,
        "axis": [mark._asdict() for mark in profile.axis],
        "curve": profile.curve,
        "rows": [
            row._asdict() | {"cuts": [mark._asdict() for mark in row.cuts]} for row in profile.rows
        ],
        "description": profile.description,
    }


def _integrity_fields(summary: IntegritySummary) -> dict[str, Any]:
    return {
        "level": [label_for("integrity", summary.level), tone(summary.level)],
        "lines": summary.lines,
        "caveat": summary.caveat,
    }
