"""The evidence of a check: the findings of its screenings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from provider.core.labels import label_for, tone
from provider.core.orders import Evidence

CLEAR, CONSIDER = "clear", "consider"


@dataclass(frozen=True)
class CheckEvidence(Evidence):
    """The evidence of a check. `findings` are (name of the screening, CLEAR or CONSIDER)."""

    findings: tuple[tuple[str, str], ...] = ()

    @property
    def overall_result(self) -> tuple[str, str] | None:
        if not self.findings:
            return None
        return "finding", overall_status(status for _, status in self.findings)

    def pdf_fields(self, pictures: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "findings": [
                [name, label_for("finding", status), tone(status)] for name, status in self.findings
            ]
        }


def overall_status(statuses: Iterable[str]) -> str:
    """Return CONSIDER if one of the statuses is, else CLEAR."""
    return CONSIDER if CONSIDER in statuses else CLEAR
