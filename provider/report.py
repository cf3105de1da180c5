"""A result for people to read: the figures both the report page and its PDF are made from."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple

import structlog
import typst

from provider.orders import Take
from provider.words import duration, percent, tone, when, word

log = structlog.get_logger(__name__)

TEMPLATE = Path(__file__).parent / "templates" / "report.typ"
NO_POSTERS: Mapping[str, bytes] = {}
FONTS = ("Noto Sans", "Liberation Sans", "DejaVu Sans")
Standard = Literal["ua-1"]


class Bar(NamedTuple):
    """One bar of the chart: what it measures, 0 to 100, and what to know about it."""

    label: str
    percent: float
    note: str = ""


class Item(NamedTuple):
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
    items: tuple[Item, ...] = ()
    takes: tuple[Take, ...] = ()

    @property
    def verdict(self) -> tuple[str, str]:
        """The one answer and its family of words: a grade, else the findings', else the status."""
        if self.grade:
            return "grade", self.grade
        if self.findings:
            doubts = any(status == "consider" for _, status in self.findings)
            return "finding", "consider" if doubts else "clear"
        return "status", self.status

    @property
    def sections(self) -> tuple[tuple[str, tuple[Item, ...]], ...]:
        """The evidence in its order, gathered under each section's name."""
        runs = groupby(self.items, key=lambda item: item.section)
        return tuple((section, tuple(items)) for section, items in runs)

    @property
    def chart(self) -> str:
        """What the chart shows, for those who do not see it."""
        shown = "; ".join(f"{bar.label} {percent(bar.percent)}" for bar in self.bars)
        return f"Bar chart from 0 to 100%: {shown}."


def pdf(report: Report, posters: Mapping[str, bytes] = NO_POSTERS) -> bytes:
    """Return the report as a tagged PDF, PDF/UA-1 wherever the fonts have every letter.

    `posters` are the JPEGs of its takes by media key; a take goes without where there is none.
    """
    inputs = {"report": _document(report, posters)}
    try:
        return _compile(inputs, "ua-1")
    except typst.TypstError as error:
        # PDF/UA forbids a letter that no font can draw; a report with a box in it beats no report.
        log.warning("report_without_standard", reference=report.reference, reason=error.message)
    try:
        return _compile(inputs, None)
    except typst.TypstError as error:
        log.warning("report_without_posters", reference=report.reference, reason=error.message)
        return _compile({"report": _document(report, NO_POSTERS)}, None)


def _document(report: Report, posters: Mapping[str, bytes]) -> str:
    figures = dict(_figures(report)) | {"takes": list(_takes(report, posters))}
    text = json.dumps(figures, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def _takes(report: Report, posters: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    for number, take in enumerate(report.takes, 1):
        yield {
            "number": number,
            "asked": take.asked,
            "rating": take.rating,
            "note": take.note,
            "length": "" if take.seconds is None else duration(take.seconds),
            # The compiler reads no file, so a picture travels in the document, as its bytes.
            "poster": list(posters.get(take.poster, b"")),
            "alt": f"{report.candidate}, answering question {number} on video",
        }


def _figures(report: Report) -> Iterator[tuple[str, Any]]:
    for name in ("title", "candidate", "account", "sentence", "reference", "job_title", "score"):
        yield name, getattr(report, name)
    yield "kind", word("kind", report.kind)
    yield "verdict", [word(*report.verdict), tone(report.verdict[1])]
    yield "bars", [bar._asdict() | {"value": percent(bar.percent)} for bar in report.bars]
    yield "chart", report.chart
    yield "facts", report.facts
    yield "findings", [[name, word("finding", it), tone(it)] for name, it in report.findings]
    yield "sections", [[name, [it._asdict() for it in items]] for name, items in report.sections]
    yield "finished", when(report.finished_at, report.timezone)
    yield "fonts", [name for name in FONTS if name in _fonts().families()]


# The compiler keeps what it has parsed and shaped, which makes the next report quick,
# but it may serve only one caller at a time.
_one_at_a_time = Lock()


def _compile(inputs: dict[str, str], standard: Standard | None) -> bytes:
    with _one_at_a_time:
        made = _compiler().compile(
            input=_template(), format="pdf", sys_inputs=inputs, pdf_standards=standard
        )
    if not isinstance(made, bytes):
        raise TypeError("typst returned no PDF: install the version in requirements.lock")
    return made


@cache
def _template() -> bytes:
    return TEMPLATE.read_bytes()


@cache
def _fonts() -> typst.Fonts:
    return typst.Fonts()


@cache
def _compiler() -> typst.Compiler:
    # Its root is a folder that is gone: whatever a report holds, there is no file to be read.
    with tempfile.TemporaryDirectory(prefix="provider-report-") as folder:
        return typst.Compiler(root=folder, font_paths=_fonts())
