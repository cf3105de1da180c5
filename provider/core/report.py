"""A result for people to read: the figures of the report page and of its PDF."""

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from provider.core.labels import format_duration, format_percent
from provider.core.orders import Order, VideoAnswer
from provider.errors import Conflict

NO_RESULT_MESSAGE = "This result is being redone, so there is no report at the moment"


class Bar(NamedTuple):
    """One bar of the chart: what it measures, 0 to 100, and what to know about it."""

    label: str
    percent: float
    note: str = ""


class EvidenceItem(NamedTuple):
    """One line of evidence: the section, what was asked and answered, and the points as text."""

    section: str
    prompt: str
    answer: str
    points: str


@dataclass(frozen=True)
class Report:
    """One order's result, already in words except for the enum values and the moment."""

    title: str
    kind: str
    candidate: str
    account: str
    status: str
    sentence: str
    finished_at: datetime
    timezone: str
    reference: str
    job_title: str | None = None
    grade: str | None = None
    score: str | None = None
    bars: tuple[Bar, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[tuple[str, str], ...] = ()
    items: tuple[EvidenceItem, ...] = ()
    video_answers: tuple[VideoAnswer, ...] = ()

    @property
    def overall_result(self) -> tuple[str, str]:
        """The one answer and its family of words: a grade, else the findings', else the status."""
        if self.grade:
            return "grade", self.grade
        if self.findings:
            doubts = any(status == "consider" for _, status in self.findings)
            return "finding", "consider" if doubts else "clear"
        return "status", self.status

    @property
    def sections(self) -> tuple[tuple[str, tuple[EvidenceItem, ...]], ...]:
        """The evidence in its order, gathered under each section's name."""
        runs = groupby(self.items, key=lambda item: item.section)
        return tuple((section, tuple(items)) for section, items in runs)

    @property
    def chart_description(self) -> str:
        """What the chart shows, for those who do not see it."""
        shown = "; ".join(f"{bar.label} {format_percent(bar.percent)}" for bar in self.bars)
        return f"Bar chart from 0 to 100%: {shown}."


def build_report(order: Order) -> Report:
    """Return the report of a completed order; Conflict while there is no result."""
    result = order.result
    if result is None or order.finished_at is None:
        raise Conflict(NO_RESULT_MESSAGE)
    found = order.evidence()
    taken = [] if result.duration is None else [("Time taken", format_duration(result.duration))]
    return Report(
        title=str(order.version.content.get("name") or order.product.name),
        kind=order.kind,
        candidate=order.candidate.name,
        account=order.account.display_name,
        status=order.status,
        sentence=result.summary or found.sentence,
        finished_at=order.finished_at,
        timezone=order.account.timezone,
        reference=order.public_id,
        job_title=order.job_title or None,
        grade=result.grade,
        score=None if result.score is None else format_percent(result.score),
        bars=tuple(Bar(*bar) for bar in found.bars),
        facts=(*taken, *found.facts),
        findings=found.findings,
        items=tuple(EvidenceItem(*item) for item in found.items),
        video_answers=found.video_answers,
    )
