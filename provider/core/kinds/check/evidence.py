"""The evidence of a check: the findings of its screenings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from provider.core.formats import format_date
from provider.core.labels import label_for, tone
from provider.core.orders import Evidence
from provider.texts import gettext, ngettext

CLEAR, CONSIDER = "clear", "consider"


class ReportedRecord(NamedTuple):
    """A record that a screening found: of RECORD_KINDS and SEVERITIES, and its public text."""

    kind: str
    severity: str
    occurred_on: date | None
    text: str

    @property
    def facts(self) -> str:
        """The kind, the severity and the date in words."""
        words = [label_for("found record", self.kind), label_for("severity", self.severity)]
        if self.occurred_on:
            words.append(format_date(datetime.combine(self.occurred_on, time(), UTC)))
        return ", ".join(words)


class ReportedFinding(NamedTuple):
    """The finding of a screening: CLEAR or CONSIDER, the staff's text for the report, records."""

    name: str
    status: str
    text: str = ""
    records: tuple[ReportedRecord, ...] = ()


@dataclass(frozen=True)
class CheckEvidence(Evidence):
    """The evidence of a check, with one finding per screening.

    `newer_check` says that this check is not the current one any more.
    """

    findings: tuple[ReportedFinding, ...] = ()
    newer_check: str = ""

    @property
    def overall_result(self) -> tuple[str, str] | None:
        if not self.findings:
            return None
        return "finding", overall_status(finding.status for finding in self.findings)

    def pdf_fields(self, pictures: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "newer_check": self.newer_check,
            "findings": [
                {
                    "name": finding.name,
                    "label": label_for("finding", finding.status),
                    "tone": tone(finding.status),
                    "text": finding.text,
                    "records": [
                        {"facts": record.facts, "text": record.text} for record in finding.records
                    ],
                }
                for finding in self.findings
            ],
        }


def overall_status(statuses: Iterable[str]) -> str:
    """Return CONSIDER if one of the statuses is, else CLEAR."""
    return CONSIDER if CONSIDER in statuses else CLEAR


def describe_findings(findings: Sequence[ReportedFinding]) -> str:
    """Return how many of the findings are to consider; empty without any."""
    if not findings:
        return ""
    consider_count, count = sum(finding.status == CONSIDER for finding in findings), len(findings)
    if not consider_count:
        return gettext("Nothing to consider in any screening.")
    return ngettext(
        "%(consider_count)d of %(num)d screening to consider.",
        "%(consider_count)d of %(num)d screenings to consider.",
        count,
        consider_count=consider_count,
    )
