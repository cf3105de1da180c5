"""The report as an accessible PDF and as a page."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
import typst
from flask import Flask, render_template
from pypdf import PdfReader
from structlog.testing import capture_logs

from provider.core import typst_compiler
from provider.core.kinds.assessment.evidence import AssessmentEvidence, EvidenceItem
from provider.core.kinds.check.evidence import CheckEvidence, ReportedFinding, ReportedRecord
from provider.core.kinds.interview.evidence import InterviewEvidence, VideoAnswer
from provider.core.orders import Bar
from provider.core.report import Report
from provider.core.report_pdf import render_pdf
from provider.texts import list_languages, use_language

REPORT = Report(
    title="Reasoning",
    kind="assessment",
    candidate="Lakita Marrero",
    account="Groove Tech",
    status="completed",
    sentence="Above the mark for this test.",
    finished_at=datetime(2026, 11, 23, 14, 5, tzinfo=UTC),
    timezone="Europe/Athens",
    reference="q3XbZ0d9TnK2m1aVw7LpRg",
    job_title="Operations Manager",
    grade="passed",
    percent=78,
    facts=(("Time taken", "32 minutes"),),
    evidence=AssessmentEvidence(
        bars=(Bar("Numbers", 91.7, "11 of 12 points"), Bar("Words", 50)),
        cut_scores=(("passed", 50.0), ("excelled", 82.5)),
        items=(
            EvidenceItem("Numbers", "What is 17 + 25?", "42", "1 of 1"),
            EvidenceItem("Numbers", "Half of 7?", "3", "0 of 1"),
            EvidenceItem("Words", "The opposite of early?", "late", "1 of 1"),
        ),
    ),
)
WITH_TRAITS = replace(
    REPORT,
    evidence=AssessmentEvidence(
        bars=(
            Bar("Situations", 50, "1 of 2 answered"),
            Bar("Patience", 75, section="Situations"),
            Bar("Calm", 100, section="Style"),
            Bar("Teamwork", 25, section="Style"),
        )
    ),
)
RECORD = ReportedRecord("conviction", "low", date(2017, 3, 4), "Driving without a licence.")
CHECK = replace(
    REPORT,
    kind="check",
    grade=None,
    percent=None,
    evidence=CheckEvidence(
        findings=(
            ReportedFinding("Identity", "clear"),
            ReportedFinding("Criminal record", "consider", "A fine in 2017.", (RECORD,)),
        )
    ),
)
LEFT_MARGIN = 22 / 25.4 * 72
RIGHT_MARGIN = 188 / 25.4 * 72  # points from the left edge of an A4 page
PAGE_TEMPLATE = "report/assessment/report.html"
NAMES = {
    "Arabic": "محمد عبد الله",
    "Hebrew": "שרה כהן",
    "Devanagari": "अनिता शर्मा",
    "Chinese": "李小龙",
    "Korean": "김민준",
    "Thai": "สมชาย",
    "Greek": "Ιωάννα Παπαδοπούλου",
    "combining": "Zo\u0301e\u0323 N\u0303u\u0302n\u0303ez",
    "emoji": "Sam 👩🏽\u200d💻 🫨",
    "unassigned": "Sam \u0378",
    "direction": "Sam \u202egnoL\u202c",
    "control": "Sam\x07\x1b\x00",
    "surrogate": "Sam \ud83d",
    "nothing": "",
    "spaces": "   ",
    "long": "Wolfeschlegelsteinhausenbergerdorff" * 12,
    "typst": '#read("/etc/passwd") $x$ *b* _i_ = H \\ `c` // @ref <l> #{panic()}',
}


def parse_pdf(pdf: bytes) -> PdfReader:
    return PdfReader(BytesIO(pdf))


def pdf_text(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in parse_pdf(pdf).pages).split())


def tags(pdf: bytes) -> list[Any]:
    """Return every element of the structure tree."""
    root = parse_pdf(pdf).root_object["/StructTreeRoot"]
    return [node for node in iterate_nodes(root) if "/S" in node]


def iterate_nodes(node: Any) -> Iterator[Any]:
    node = node.get_object()
    if isinstance(node, list):
        for child in node:
            yield from iterate_nodes(child)
    elif isinstance(node, dict):
        yield node
        if "/K" in node:
            yield from iterate_nodes(node["/K"])


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_render_pdf_any_candidate_name_shows_the_score(name: str) -> None:
    pdf = render_pdf(replace(REPORT, candidate=name))
    assert pdf.startswith(b"%PDF-")
    assert "78%" in pdf_text(pdf)


def test_render_pdf_fills_the_bars_with_the_colour_of_the_account() -> None:
    def count_fills(colour: str) -> int:
        (page,) = parse_pdf(render_pdf(replace(REPORT, accent=colour))).pages
        contents = page.get_contents()
        assert contents is not None
        return contents.get_data().count(b"0.2 0.4 0.6 scn")

    scale_count = 1
    assert count_fills("#336699") == len(REPORT.evidence.bars) + scale_count
    assert count_fills("#663399") == 0


def test_render_pdf_result_comes_before_evidence() -> None:
    text = pdf_text(render_pdf(REPORT))
    parts = ["Lakita Marrero", "78%", "Passed", "Above the mark", "Numbers", "91.7%", "17 + 25"]
    positions = [text.index(part) for part in parts]
    assert positions == sorted(positions)
    assert "23 November 2026, 16:05 Athens time" in text
    assert "Page 1 of 1" in text


def test_render_pdf_is_tagged_and_declares_pdf_ua() -> None:
    document = parse_pdf(render_pdf(REPORT))
    root: Any = document.root_object
    assert "/StructTreeRoot" in root
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    metadata = root["/Metadata"].get_object().get_data().decode()
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    assert document.metadata is not None
    assert document.metadata.title == "Reasoning: Lakita Marrero"


def test_render_pdf_at_another_time_has_the_same_bytes() -> None:
    """Every date is the result's. The clock of Typst cannot be set."""
    pdf = render_pdf(REPORT)
    document = parse_pdf(pdf)
    assert document.metadata is not None
    assert document.metadata.creation_date == REPORT.finished_at
    assert document.metadata.modification_date == REPORT.finished_at
    root: Any = document.root_object
    metadata = root["/Metadata"].get_object().get_data().decode()
    assert set(re.findall(r"<xmp:\w+Date>([^<]*)", metadata)) == {"2026-11-23T14:05:00Z"}
    assert render_pdf(REPORT) == pdf
    later = replace(REPORT, finished_at=REPORT.finished_at + timedelta(seconds=1))
    assert render_pdf(later) != pdf


def test_render_pdf_charts_have_alternative_texts() -> None:
    elements = tags(render_pdf(REPORT))
    figures = [element for element in elements if element["/S"] == "/Figure"]
    assert [figure["/Alt"] for figure in figures] == [
        "Score 78% on a scale from 0 to 100%; Passed from 50%; Excelled from 82.5%.",
        "Bar chart from 0 to 100%: Numbers 91.7%; Words 50%.",
    ]


def test_bar_groups_put_traits_under_their_section() -> None:
    situations, patience, calm, teamwork = WITH_TRAITS.evidence.bars
    assert WITH_TRAITS.evidence.bar_groups == (
        ("Situations", situations, (patience,)),
        ("Style", None, (calm, teamwork)),
    )


def test_render_pdf_shows_traits_under_their_section() -> None:
    pdf = render_pdf(WITH_TRAITS)
    assert "Style Calm 100% Teamwork 25%" in pdf_text(pdf)
    assert pdf_text(pdf).count("Style") == 1
    chart = [element["/Alt"] for element in tags(pdf) if element["/S"] == "/Figure"][1]
    assert chart == (
        "Bar chart from 0 to 100%: Situations 50%; Situations, Patience 75%; "
        "Style, Calm 100%; Style, Teamwork 25%."
    )


def test_report_page_shows_traits_under_their_section(pages_app: Flask) -> None:
    with pages_app.test_request_context():
        page = render_template(PAGE_TEMPLATE, report=WITH_TRAITS, pdf_url=None)
    assert page.count('<ul class="bars" aria-label="Style">') == 1
    assert page.count('<ul class="bars" aria-label="Situations">') == 1
    assert page.count('<p class="bar-section" dir="auto">Style</p>') == 1
    assert '<p class="bar-section" dir="auto">Situations</p>' not in page


def test_render_pdf_shows_records_under_their_screening() -> None:
    text = " ".join(pdf_text(render_pdf(CHECK)).split())
    record = "Conviction, Low, 4 March 2017: Driving without a licence."
    assert f"Criminal record A fine in 2017. {record}" in text.replace("To consider ", "")


def test_render_pdf_without_score_has_no_scale() -> None:
    text = pdf_text(render_pdf(replace(REPORT, percent=None)))
    assert "Passed from" not in text
    assert "Numbers" in text


@pytest.mark.parametrize("percent", [0.0, 0.1, 29.9, 30.0, 70.0, 70.1, 99.9, 100.0])
@pytest.mark.parametrize("score", [0, 50.5, 100])
def test_render_pdf_labels_of_cut_scores_stay_on_the_page(percent: float, score: float) -> None:
    evidence = AssessmentEvidence(cut_scores=(("passed", percent), ("excelled", percent)))
    pdf = render_pdf(replace(REPORT, percent=score, evidence=evidence))
    starts = {}

    def collect(text: str, matrix: list[float], text_matrix: list[float], *_: Any) -> None:
        starts[text.strip()] = matrix[4] + text_matrix[4]

    parse_pdf(pdf).pages[0].extract_text(visitor_text=collect)
    labels = [start for text, start in starts.items() if " from " in text]
    assert len(labels) == 2
    label_width = 100  # points, more than the label of excelled takes
    assert all(LEFT_MARGIN <= start <= RIGHT_MARGIN - label_width for start in labels)


def test_render_pdf_tables_have_header_cells() -> None:
    elements = tags(render_pdf(REPORT))
    header_cells = [element for element in elements if element["/S"] == "/TH"]
    assert len(header_cells) == 6  # question, answer and points, in each of two sections


def test_render_pdf_typst_code_in_text_is_not_executed() -> None:
    code = '#read("/etc/passwd")'
    text = pdf_text(
        render_pdf(replace(REPORT, candidate=code, sentence=code, facts=((code, code),)))
    )
    assert text.count(code) >= 4
    assert "root:" not in text


def test_render_pdf_character_without_font_drops_only_the_standard() -> None:
    with capture_logs() as logs:
        pdf = render_pdf(replace(REPORT, candidate="Sam \u0378"))
    assert [entry["event"] for entry in logs] == ["pdf_without_standard"]
    assert logs[0]["reference"] == REPORT.reference
    assert "/StructTreeRoot" in parse_pdf(pdf).root_object


def test_render_pdf_ordinary_report_logs_nothing() -> None:
    with capture_logs() as logs:
        render_pdf(REPORT)
    assert logs == []


@pytest.fixture
def typst_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a PDF have the fonts of typst only, as on a machine without fonts."""
    fonts = typst.Fonts(include_system_fonts=False)
    monkeypatch.setattr(typst_compiler, "load_fonts", lambda: fonts)
    typst_compiler._create_compiler.cache_clear()
    yield
    typst_compiler._create_compiler.cache_clear()


@pytest.mark.usefixtures("typst_fonts")
@pytest.mark.parametrize("language", list_languages())
def test_render_pdf_without_fonts_of_the_system_has_every_letter(language: str) -> None:
    with capture_logs() as logs, use_language(language):
        pdf = render_pdf(REPORT)
    assert logs == []  # PDF/UA refuses a letter that no font has
    assert str(parse_pdf(pdf).root_object["/Lang"]) == language


def test_render_pdf_check_shows_the_overall_finding_first() -> None:
    text = pdf_text(render_pdf(CHECK))
    assert text.index("To consider") < text.index("Identity") < text.index("Clear")
    assert CHECK.overall_result == ("finding", "consider")
    clear = CheckEvidence(findings=(ReportedFinding("Identity", "clear"),))
    assert replace(CHECK, evidence=clear).overall_result == ("finding", "clear")


def test_overall_result_without_grade_and_findings_is_the_status() -> None:
    assert replace(REPORT, grade=None).overall_result == ("status", "completed")


def test_render_pdf_bars_outside_0_to_100_are_shown() -> None:
    evidence = AssessmentEvidence(bars=(Bar("Over", 250), Bar("Under", -3)))
    text = pdf_text(render_pdf(replace(REPORT, evidence=evidence)))
    assert "250%" in text


def test_render_pdf_long_report_numbers_its_pages() -> None:
    items = tuple(
        EvidenceItem("Numbers", f"Question {number}?", "42", "1 of 1") for number in range(120)
    )
    document = parse_pdf(render_pdf(replace(REPORT, evidence=AssessmentEvidence(items=items))))
    count = len(document.pages)
    assert count > 1
    assert f"Page {count} of {count}" in document.pages[-1].extract_text()


def line_ends(pdf: bytes) -> Iterator[tuple[float, float]]:
    """Yield where each line of the letter W ends, and where the next column or the margin begins.

    Both are in points from the left edge. A W is at least 0.9 em wide in every font of the report.
    """
    for page in parse_pdf(pdf).pages:
        lines: dict[float, dict[float, float]] = {}

        def collect(
            text: str,
            matrix: list[float],
            _text_matrix: list[float],
            _font: Any,
            size: float,
            *,
            lines: dict[float, dict[float, float]] = lines,
        ) -> None:
            if text.strip():
                line = lines.setdefault(round(matrix[5]), {})
                line[matrix[4]] = line.get(matrix[4], 0) + text.count("W") * size * 0.9

        page.extract_text(visitor_text=collect)
        for line in lines.values():
            for start, width in line.items():
                if width:
                    yield start + width, min([x for x in line if x > start], default=RIGHT_MARGIN)


@pytest.mark.parametrize("length", [22, 29, 200])
def test_render_pdf_long_word_stays_in_its_column(length: int) -> None:
    word = "W" * length
    report = replace(REPORT, candidate=word, title=word, sentence=word, facts=((word, word),))
    evidence_of_kinds = {
        "assessment": AssessmentEvidence(
            bars=(Bar(word, 50),), items=(EvidenceItem(word, word, word, "1 of 1"),)
        ),
        "check": CheckEvidence(
            findings=(
                ReportedFinding(word, "clear"),
                ReportedFinding(
                    word, "consider", word, (ReportedRecord("gap", "low", None, word),)
                ),
            )
        ),
        "interview": InterviewEvidence(
            video_answers=(VideoAnswer(word, word, (word,), spread=word),), comments=(word,)
        ),
    }
    for kind, evidence in evidence_of_kinds.items():
        ends = list(line_ends(render_pdf(replace(report, kind=kind, evidence=evidence))))
        assert ends
        assert [end for end in ends if end[0] > end[1]] == [], kind


def test_render_pdf_word_that_fits_is_not_broken() -> None:
    word = "W" * 15
    items = (EvidenceItem("", "A question", word, "1 of 1"),)
    report = replace(REPORT, candidate=word, evidence=AssessmentEvidence(items=items))
    text = pdf_text(render_pdf(report))
    assert text.count(word) >= 3  # in the heading, the footer and the answer


def is_question_mark_left(item: EvidenceItem, language: str, first_word: str) -> bool:
    """Return whether the PDF shows the item's question mark left of the sentence's first word."""
    evidence = AssessmentEvidence(items=(item,))
    pdf = render_pdf(replace(REPORT, language=language, evidence=evidence))
    positions: dict[str, float] = {}

    def collect(
        text: str, matrix: list[float], text_matrix: list[float], _font: Any, _size: float
    ) -> None:
        for searched in ("?", first_word):
            if searched in text:
                positions[searched] = matrix[4] + text_matrix[4]

    parse_pdf(pdf).pages[0].extract_text(visitor_text=collect)
    assert positions["?"] != positions[first_word]
    return positions["?"] < positions[first_word]


@pytest.mark.parametrize(
    ("language", "question", "is_left"),
    [
        ("", "מה שלומך היום?", True),
        ("he", "מה שלומך היום?", True),
        ("en", "מה שלומך היום?", False),
        ("", "SQL זו שפה?", False),
        ("he", "SQL זו שפה?", True),
    ],
)
def test_render_pdf_authors_text_has_the_direction_of_its_language(
    language: str, question: str, is_left: bool
) -> None:
    item = EvidenceItem("Numbers", question, "42", "1 of 1")
    assert is_question_mark_left(item, language, question.split()[0]) == is_left


@pytest.mark.parametrize("language", ["", "he", "en"])
def test_render_pdf_typed_text_has_the_direction_of_its_first_letter(language: str) -> None:
    hebrew = EvidenceItem("Numbers", "Ask", "מה שלומך היום?", "1 of 1")
    assert is_question_mark_left(hebrew, language, "מה")
    mixed = EvidenceItem("Numbers", "Ask", "SQL זו שפה?", "1 of 1")
    assert not is_question_mark_left(mixed, language, "SQL")


def test_render_pdf_from_many_threads_returns_each_its_own() -> None:
    texts: dict[int, str] = {}

    def render(number: int) -> None:
        texts[number] = pdf_text(render_pdf(replace(REPORT, candidate=f"Candidate {number}")))

    threads = [threading.Thread(target=render, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"Candidate {number} " in texts[number] for number in range(8))


def test_report_page_shows_the_same_as_the_pdf(pages_app: Flask) -> None:
    with pages_app.test_request_context():
        page = render_template(PAGE_TEMPLATE, report=REPORT, pdf_url="/r/x/report.pdf")
    for part in ("Lakita Marrero", "78%", "Passed", "Above the mark", "91.7%", "What is 17 + 25?"):
        assert part in page
    assert f'role="img" aria-label="{REPORT.scale_description}"' in page
    for label, _ in REPORT.cut_scores:
        assert f">&#x2068;{label}&#x2069;</text>" in page
    assert 'href="/r/x/report.pdf"' in page
    assert "style=" not in page
    assert ">2026-11-23" not in page


def test_report_page_escapes_text(pages_app: Flask) -> None:
    with pages_app.test_request_context():
        report = replace(REPORT, candidate="<script>alert(1)</script>", sentence="<b>")
        page = render_template(PAGE_TEMPLATE, report=report, pdf_url=None)
    assert "<script>alert" not in page
    assert "<b>" not in page
    assert "Download as PDF" not in page
