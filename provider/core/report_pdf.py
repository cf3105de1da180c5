"""The report as a PDF. Typst compiles it from `report.typ`."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import structlog
import typst

from provider.core.labels import format_datetime, format_duration, format_percent, label_for, tone
from provider.core.report import Report

log = structlog.get_logger(__name__)

TEMPLATE_PATH = Path(__file__).with_name("report.typ")
NO_POSTERS: Mapping[str, bytes] = {}
FONTS = ("Noto Sans", "Liberation Sans", "DejaVu Sans")
PdfStandard = Literal["ua-1"]


def render_pdf(report: Report, posters: Mapping[str, bytes] = NO_POSTERS) -> bytes:
    """Return the report as a tagged PDF. It conforms to PDF/UA-1 if the fonts have every character.

    `posters` are the JPEGs of the video answers by media key. A missing poster is left out.
    """
    inputs = {"report": _report_json(report, posters)}
    try:
        return _compile(inputs, "ua-1")
    except typst.TypstError as error:
        # PDF/UA forbids a character that no font has. Without the standard, typst draws a box.
        log.warning("report_without_standard", reference=report.reference, reason=error.message)
    try:
        return _compile(inputs, None)
    except typst.TypstError as error:
        log.warning("report_without_posters", reference=report.reference, reason=error.message)
        return _compile({"report": _report_json(report, NO_POSTERS)}, None)


def _report_json(report: Report, posters: Mapping[str, bytes]) -> str:
    fields = dict(_report_fields(report))
    fields["video_answers"] = list(_video_answer_rows(report, posters))
    text = json.dumps(fields, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def _video_answer_rows(report: Report, posters: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    for number, answer in enumerate(report.video_answers, 1):
        yield {
            "number": number,
            "question": answer.question,
            "rating": answer.rating,
            "note": answer.note,
            "length": "" if answer.seconds is None else format_duration(answer.seconds),
            # The compiler must not read files, so the JSON has the bytes of the picture.
            "poster": list(posters.get(answer.poster_key, b"")),
            "alt": f"{report.candidate}, answering question {number} on video",
        }


def _report_fields(report: Report) -> Iterator[tuple[str, Any]]:
    for name in ("title", "candidate", "account", "sentence", "reference", "job_title", "score"):
        yield name, getattr(report, name)
    yield "kind", label_for("kind", report.kind)
    yield "overall_result", [label_for(*report.overall_result), tone(report.overall_result[1])]
    yield "bars", [bar._asdict() | {"value": format_percent(bar.percent)} for bar in report.bars]
    yield "chart", report.chart_description
    yield "facts", report.facts
    yield (
        "findings",
        [[name, label_for("finding", status), tone(status)] for name, status in report.findings],
    )
    yield (
        "sections",
        [[section, [item._asdict() for item in items]] for section, items in report.sections],
    )
    yield "finished", format_datetime(report.finished_at, report.timezone)
    yield "fonts", [name for name in FONTS if name in _load_fonts().families()]


# The compiler caches parsed and shaped text, which makes later reports faster. It is not
# thread-safe.
_compile_lock = Lock()


def _compile(inputs: dict[str, str], standard: PdfStandard | None) -> bytes:
    with _compile_lock:
        pdf = _create_compiler().compile(
            input=_load_template(), format="pdf", sys_inputs=inputs, pdf_standards=standard
        )
    if not isinstance(pdf, bytes):
        raise TypeError("typst returned no PDF: install the version in requirements.lock")
    return pdf


@cache
def _load_template() -> bytes:
    return TEMPLATE_PATH.read_bytes()


@cache
def _load_fonts() -> typst.Fonts:
    return typst.Fonts()


@cache
def _create_compiler() -> typst.Compiler:
    # Typst can read the files below its root. The root is a folder that no longer exists, so that
    # text of a report cannot read a file.
    with tempfile.TemporaryDirectory(prefix="provider-report-") as folder:
        return typst.Compiler(root=folder, font_paths=_load_fonts())
