"""The evidence of a check: the findings of its screenings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from provider.core.labels import label_for, tone
from provider.core.orders import Evidence

CLEAR, CONSIDER = "clear", "consider"


class ReportedFinding(NamedTuple):
    """The finding of a screening: CLEAR or CONSIDER, and the staff's text for the report."""

    name: str
    status: str
    text: str = ""


@dataclass(frozen=True)
class CheckEvidence(Evidence):
    """The evidence of a check, with one finding per screening."""

    findings: tuple[ReportedFinding, ...] = ()

    @property
    def overall_result(self) -> tuple[str, str] | None:
        if not self.findings:
            return None
        return "finding", overall_status(finding.status for finding in self.findings)

    def pdf_fields(self, pictures: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "findings": [
                {
                    "name": finding.name,
                    "label": label_for("finding", finding.status),
                    "tone": tone(finding.status),
                    "text": finding.text,
                }
                for finding in self.findings
            ]
        }


def overall_status(statuses: Iterable[str]) -> str:
    """Return CONSIDER if one of the statuses is, else CLEAR."""
    return CONSIDER if CONSIDER in statuses else CLEAR
