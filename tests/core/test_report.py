"""The report: as a PDF that everybody can read, and as a page."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from flask import Flask, render_template
from pypdf import PdfReader
from structlog.testing import capture_logs

from provider.core.report import Bar, EvidenceItem, Report
from provider.core.report_pdf import render_pdf

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
    score="78%",
    bars=(Bar("Numbers", 91.7, "11 of 12 points"), Bar("Words", 50)),
    facts=(("Time taken", "32 minutes"),),
    items=(
        EvidenceItem("Numbers", "What is 17 + 25?", "42", "1 of 1"),
        EvidenceItem("Numbers", "Half of 7?", "3", "0 of 1"),
        EvidenceItem("Words", "The opposite of early?", "late", "1 of 1"),
    ),
)
CHECK = replace(
    REPORT,
    kind="check",
    grade=None,
    score=None,
    bars=(),
    items=(),
    findings=(("Identity", "clear"), ("Criminal record", "consider")),
)
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


def read(document: bytes) -> PdfReader:
    return PdfReader(BytesIO(document))


def text(document: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in read(document).pages).split())


def tags(document: bytes) -> list[Any]:
    """Return every element of the structure tree."""
    root = read(document).root_object["/StructTreeRoot"]
    return [node for node in nodes(root) if "/S" in node]


def nodes(item: Any) -> Iterator[Any]:
    item = item.get_object()
    if isinstance(item, list):
        for each in item:
            yield from nodes(each)
    elif isinstance(item, dict):
        yield item
        if "/K" in item:
            yield from nodes(item["/K"])


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_whatever_the_name_there_is_a_pdf_with_the_score(name: str) -> None:
    made = render_pdf(replace(REPORT, candidate=name))
    assert made.startswith(b"%PDF-")
    assert "78%" in text(made)


def test_the_answer_comes_before_the_evidence() -> None:
    said = text(render_pdf(REPORT))
    order = ["Lakita Marrero", "78%", "Passed", "Above the mark", "Numbers", "91.7%", "17 + 25"]
    places = [said.index(each) for each in order]
    assert places == sorted(places)
    assert "23 November 2026, 16:05 Athens time" in said
    assert "Page 1 of 1" in said


def test_the_pdf_is_tagged_and_says_that_it_is_accessible() -> None:
    document = read(render_pdf(REPORT))
    root: Any = document.root_object
    assert "/StructTreeRoot" in root
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    metadata = root["/Metadata"].get_object().get_data().decode()
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    assert document.metadata is not None
    assert document.metadata.title == "Reasoning: Lakita Marrero"


def test_the_chart_can_be_heard() -> None:
    figures = [tag for tag in tags(render_pdf(REPORT)) if tag["/S"] == "/Figure"]
    assert [figure["/Alt"] for figure in figures] == [
        "Bar chart from 0 to 100%: Numbers 91.7%; Words 50%."
    ]


def test_tables_have_head_cells() -> None:
    heads = [tag for tag in tags(render_pdf(REPORT)) if tag["/S"] == "/TH"]
    assert len(heads) == 6  # question, answer and points, in each of two sections


def test_what_looks_like_a_command_is_printed_as_it_is() -> None:
    command = '#read("/etc/passwd")'
    made = render_pdf(
        replace(REPORT, candidate=command, sentence=command, facts=((command, command),))
    )
    said = text(made)
    assert said.count(command) >= 4
    assert "root:" not in said


def test_a_letter_that_no_font_has_costs_the_standard_but_not_the_report() -> None:
    with capture_logs() as logs:
        made = render_pdf(replace(REPORT, candidate="Sam \u0378"))
    assert [entry["event"] for entry in logs] == ["report_without_standard"]
    assert logs[0]["reference"] == REPORT.reference
    assert "/StructTreeRoot" in read(made).root_object


def test_an_ordinary_report_logs_nothing() -> None:
    with capture_logs() as logs:
        render_pdf(REPORT)
    assert logs == []


def test_a_check_says_that_one_finding_needs_a_look() -> None:
    said = text(render_pdf(CHECK))
    assert said.index("To consider") < said.index("Identity") < said.index("Clear")
    assert CHECK.overall_result == ("finding", "consider")
    assert replace(CHECK, findings=(("Identity", "clear"),)).overall_result == ("finding", "clear")


def test_without_grade_and_findings_the_status_is_the_answer() -> None:
    assert replace(REPORT, grade=None).overall_result == ("status", "completed")


def test_shares_beyond_the_scale_do_not_break_the_chart() -> None:
    said = text(render_pdf(replace(REPORT, bars=(Bar("Over", 250), Bar("Under", -3)))))
    assert "250%" in said


def test_a_long_report_numbers_its_pages() -> None:
    items = tuple(
        EvidenceItem("Numbers", f"Question {number}?", "42", "1 of 1") for number in range(120)
    )
    made = read(render_pdf(replace(REPORT, items=items)))
    count = len(made.pages)
    assert count > 1
    assert f"Page {count} of {count}" in made.pages[-1].extract_text()


def test_many_at_once_each_get_their_own() -> None:
    made: dict[int, str] = {}

    def make(number: int) -> None:
        made[number] = text(render_pdf(replace(REPORT, candidate=f"Candidate {number}")))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"Candidate {number} " in made[number] for number in range(8))


def test_the_page_says_the_same_as_the_pdf(app: Flask) -> None:
    with app.test_request_context():
        page = render_template("results/report.html", report=REPORT, pdf_url="/r/x/report.pdf")
    for said in ("Lakita Marrero", "78%", "Passed", "Above the mark", "91.7%", "What is 17 + 25?"):
        assert said in page
    assert 'href="/r/x/report.pdf"' in page
    assert "style=" not in page
    assert ">2026-11-23" not in page


def test_the_page_escapes_what_people_wrote(app: Flask) -> None:
    with app.test_request_context():
        nasty = replace(REPORT, candidate="<script>alert(1)</script>", sentence="<b>")
        page = render_template("results/report.html", report=nasty, pdf_url=None)
    assert "<script>alert" not in page
    assert "<b>" not in page
    assert "Download as PDF" not in page
