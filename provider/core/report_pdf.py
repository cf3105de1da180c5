"""The report as a PDF. Typst compiles it from three files in this order.

`report_style.typ` has the styles, `report.typ` in the folder of the kind its own sections, and
`report.typ` beside this module the document.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any

import structlog
import typst

from provider.core.formats import cut_at_word, format_datetime, format_percent
from provider.core.kinds import KINDS
from provider.core.labels import label_for, tone
from provider.core.orders import Bar
from provider.core.report import Report
from provider.core.typst_compiler import compile_accessible_pdf, compile_pdf, list_fonts
from provider.texts import current_language, gettext
from provider.texts.direction import language_direction
from provider.texts.typst import find_typst_texts

log = structlog.get_logger(__name__)

STYLE_PATH = Path(__file__).with_name("report_style.typ")
DOCUMENT_PATH = Path(__file__).with_name("report.typ")
NO_PICTURES: Mapping[str, bytes] = {}
# The two values that `report.typ` of a kind defines.
NO_SECTIONS = b"#let first-sections = none\n#let last-sections = none\n"
MAX_FOOTER_PART_LENGTH = 50  # characters of the candidate's name and of the title


def render_pdf(report: Report, pictures: Mapping[str, bytes] = NO_PICTURES) -> bytes:
    """Return the report as a tagged PDF. It conforms to PDF/UA-1 if the fonts have every character.

    `pictures` are JPEGs by media key. A missing picture is left out.
    """
    source, inputs = _load_source(report.kind), {"report": _report_json(report, pictures)}
    try:
        return compile_accessible_pdf(source, inputs, report.reference)
    except typst.TypstError as error:
        log.warning("report_without_posters", reference=report.reference, reason=error.message)
        return compile_pdf(source, {"report": _report_json(report, NO_PICTURES)}, None)


def _report_json(report: Report, pictures: Mapping[str, bytes]) -> str:
    fields = dict(_report_fields(report)) | report.evidence.pdf_fields(pictures)
    fields["language"] = current_language().partition("-")[0]
    fields["direction"] = language_direction(current_language())
    fields["author_language"] = report.language.partition("-")[0].lower()
    fields["author_direction"] = language_direction(report.language) if report.language else ""
    fields["texts"] = {message: gettext(message) for message in _list_messages(report.kind)}
    text = json.dumps(fields, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def _report_fields(report: Report) -> Iterator[tuple[str, Any]]:
    for name in ("title", "candidate", "account", "sentence", "reference", "job_title", "score"):
        yield name, getattr(report, name)
    yield "short_candidate", cut_at_word(report.candidate, MAX_FOOTER_PART_LENGTH)
    yield "short_title", cut_at_word(report.title, MAX_FOOTER_PART_LENGTH)
    yield "kind", label_for("kind", report.kind)
    yield "overall_result", [label_for(*report.overall_result), tone(report.overall_result[1])]
    yield (
        "bar_groups",
        [
            {
                "label": group.label,
                "bar": _bar_fields(group.bar) if group.bar else None,
                "traits": [_bar_fields(trait) for trait in group.traits],
            }
            for group in report.evidence.bar_groups
        ],
    )
    yield "percent", report.percent
    yield "scale", report.scale_description
    yield "scale_ends", [format_percent(0), format_percent(100)]
    yield (
        "cut_scores",
        [{"label": label, "percent": percent} for label, percent in report.cut_scores],
    )
    yield "chart", report.chart_description
    finished_at = report.finished_at.astimezone(UTC)
    names = ("year", "month", "day", "hour", "minute", "second")
    yield "finished_at", {name: getattr(finished_at, name) for name in names}
    yield "facts", report.facts
    yield "dates", [(label, format_datetime(at, report.timezone)) for label, at in report.dates]
    yield "accent", report.accent
    yield "fonts", list_fonts()


def _bar_fields(bar: Bar) -> dict[str, Any]:
    return bar._asdict() | {"value": format_percent(bar.percent)}


@cache
def _load_source(kind: str) -> bytes:
    kind_part = KINDS[kind].report_part
    own_sections = kind_part.read_bytes() if kind_part.exists() else NO_SECTIONS
    return b"\n".join((STYLE_PATH.read_bytes(), own_sections, DOCUMENT_PATH.read_bytes()))


@cache
def _list_messages(kind: str) -> list[str]:
    """Return the ids of the texts in the source."""
    return [message for _, message in find_typst_texts(_load_source(kind).decode())]
