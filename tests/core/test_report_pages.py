"""The pages of long PDFs: where tables, charts and headings break."""

from collections import defaultdict
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from provider.core.kinds.assessment.evidence import AssessmentEvidence, EvidenceItem
from provider.core.kinds.check.evidence import CheckEvidence, ReportedFinding
from provider.core.kinds.interview.evidence import InterviewEvidence, VideoAnswer
from provider.core.orders import Bar
from provider.core.report_pdf import render_pdf
from tests.core.test_report import CHECK, REPORT, parse_pdf, pdf_text

FOOTER_TOP = 24 / 25.4 * 72  # points from the bottom edge: the lower margin has the footer
MIDDLE = "and a few words more, so that a row has several lines, "


def page_lines(pdf: bytes) -> list[list[str]]:
    """Return the lines of each page from top to bottom, without the footer."""
    pages = []
    for page in parse_pdf(pdf).pages:
        lines: dict[int, list[tuple[float, str]]] = defaultdict(list)

        def collect(
            text: str,
            matrix: list[float],
            text_matrix: list[float],
            *_: object,
            lines: dict[int, list[tuple[float, str]]] = lines,
        ) -> None:
            y = matrix[5] + matrix[3] * text_matrix[5]
            if text.strip() and y > FOOTER_TOP:
                lines[round(y)].append((matrix[4] + text_matrix[4], text.strip()))

        page.extract_text(visitor_text=collect)
        pages.append([" ".join(text for _, text in sorted(lines[y])) for y in sorted(lines)[::-1]])
    return pages


def pages_of(pages: list[list[str]], text: str) -> list[int]:
    return [number for number, lines in enumerate(pages) if any(text in line for line in lines)]


@pytest.mark.parametrize("facts_count", range(0, 12, 2))
def test_render_pdf_of_sixty_answers_breaks_between_rows(facts_count: int) -> None:
    items = tuple(
        EvidenceItem(
            f"Section {section}",
            f"Start-{section}-{number}, {MIDDLE * (number + section % 3)} end-{section}-{number}.",
            "An answer",
            "1 of 1",
            "right",
        )
        for section in range(20)
        for number in range(3)
    )
    facts = tuple((f"Fact {number}", "Value") for number in range(facts_count))
    report = replace(REPORT, facts=facts, evidence=AssessmentEvidence(items=items))
    pages = page_lines(render_pdf(report))
    header = "Question Answer Points"
    assert len(pages) > 4
    for lines in pages[1:]:
        assert header in lines[:2]
        assert lines[0] == header or lines[0].startswith("Section ")
    for lines in pages[:-1]:
        assert lines[-1] not in {header, "Answers"}
        assert not lines[-1].startswith("Section ")
    for item in items:
        start, *_, end = item.prompt.rstrip(".").replace(",", "").split()
        (page,) = pages_of(pages, f"{start},")
        assert pages_of(pages, f"{end}.") == [page]


@pytest.mark.parametrize("words", range(0, 60, 12))
def test_render_pdf_of_twenty_screenings_breaks_between_rows(words: int) -> None:
    findings = tuple(
        ReportedFinding(f"Screening {number},", "consider", f"{MIDDLE * 3} reason-{number}.")
        for number in range(20)
    )
    sentence = "word " * words
    report = replace(CHECK, sentence=sentence, evidence=CheckEvidence(findings=findings))
    pages = page_lines(render_pdf(report))
    assert len(pages) > 1
    assert pages_of(pages, "Screening 19,") > [0]
    for lines in pages[1:]:
        if any(line.startswith("Screening") for line in lines):
            assert lines[0] == "Check Finding"
    for lines in pages[:-1]:
        assert lines[-1] not in {"Check Finding", "What was checked", "Details"}
    for number in range(20):
        (page,) = pages_of(pages, f"Screening {number},")
        assert pages_of(pages, f"reason-{number}.") == [page]


def test_render_pdf_row_longer_than_a_page_loses_no_line() -> None:
    words = [f"word-{number}" for number in range(1500)]
    lines = "\n".join(f"line-{number}" for number in range(120))
    items = (
        EvidenceItem("One", " ".join(words), "An answer", "1 of 1"),
        EvidenceItem("Two", "What?", " ".join(words), "1 of 1"),
        EvidenceItem("Three", lines, "An answer", "1 of 1"),
    )
    pages = page_lines(render_pdf(replace(REPORT, evidence=AssessmentEvidence(items=items))))
    shown = " ".join(" ".join(lines) for lines in pages).split()
    assert [word for word in words if shown.count(word) != 2] == []
    assert [line for line in lines.split() if line not in shown] == []


def test_render_pdf_chart_longer_than_a_page_loses_no_bar() -> None:
    bars = tuple(Bar(f"Section-{number}", 50, "1 of 2 answered") for number in range(50))
    with capture_logs() as logs:
        pdf = render_pdf(replace(REPORT, evidence=AssessmentEvidence(bars=bars)))
    assert logs == []  # it conforms to PDF/UA
    pages = page_lines(pdf)
    shown = " ".join(" ".join(lines) for lines in pages).split()
    assert [bar.label for bar in bars if bar.label not in shown] == []
    assert len(pages) > 1


def test_render_pdf_long_question_of_an_interview_loses_no_line() -> None:
    words = [f"word-{number}" for number in range(1000)]
    evidence = InterviewEvidence(
        video_answers=(
            VideoAnswer("Why?", "4 of 5"),
            VideoAnswer(" ".join(words[:600]), "4 of 5", (" ".join(words[600:]),)),
        )
    )
    pages = page_lines(render_pdf(replace(REPORT, kind="interview", evidence=evidence)))
    shown = " ".join(" ".join(lines) for lines in pages).split()
    assert [word for word in words if word not in shown] == []


def test_render_pdf_long_report_is_still_pdf_ua() -> None:
    items = tuple(EvidenceItem("One", f"Question {n}?", "42", "1 of 1", "right") for n in range(60))
    with capture_logs() as logs:
        pdf = render_pdf(replace(REPORT, evidence=AssessmentEvidence(items=items)))
    assert logs == []  # else it is rendered without the standard
    assert "Question 59?" in pdf_text(pdf)
