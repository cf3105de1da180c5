"""Formulas in the PDF of a report, and what a hostile formula must not do."""

from dataclasses import replace

import pytest
import typst
from flask import Flask, render_template
from structlog.testing import capture_logs

from provider.core.formulas import formula_to_mathml
from provider.core.kinds.assessment.evidence import AssessmentEvidence, EvidenceItem
from provider.core.markdown import TextPart, markdown_to_parts
from provider.core.report_pdf import render_pdf
from provider.core.typst_compiler import compile_pdf
from provider.core.typst_formulas import _CHECK_SOURCE, MAX_DEPTH, formula_to_typst
from tests.core.test_report import PAGE_TEMPLATE, REPORT, pdf_text, tags


@pytest.mark.parametrize(
    ("latex", "code"),
    [
        (r"\frac{150}{1.2}", "150/1.2"),
        (r"\sqrt{x^2+y^2}", "sqrt(x^2 + y^2)"),
        (r"\sum_{i=1}^n i", "sum_(i = 1)^n i"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "mat(1, 2; 3, 4)"),
        ("read(x)", "r e a d(x)"),
    ],
)
def test_formula_is_written_in_the_notation_of_typst(latex: str, code: str) -> None:
    assert formula_to_typst(latex) == code


@pytest.mark.parametrize(
    "latex",
    [
        r'\text{" #read("/etc/passwd") "}',
        r"\text{#read(1)}",
        "#panic()",
        r"a // b",
        r"\foo",
        r"\frac{1}{",
        "",
        "{" * (MAX_DEPTH + 1) + "x" + "}" * (MAX_DEPTH + 1),
        "x" * 501,
    ],
)
def test_what_is_no_plain_formula_has_no_code(latex: str) -> None:
    assert formula_to_typst(latex) == ""


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../etc/passwd", "etc/passwd"])
def test_evaluated_code_reads_no_file(path: str) -> None:
    """The compiler's empty root stops a formula even without the checks before it."""
    code = f'"" #read("{path}") ""'
    with pytest.raises(typst.TypstError, match=r"file not found|escape the project root"):
        compile_pdf(_CHECK_SOURCE, {"formula": code}, None)
    # The code itself is evaluated: without the file it compiles.
    assert compile_pdf(_CHECK_SOURCE, {"formula": '"" #str(1) ""'}, None).startswith(b"%PDF")


def test_prompt_is_split_at_its_formulas() -> None:
    parts = markdown_to_parts("What is **the** value of $x^2$, in $\\foo$?\n\n$$\ny\n$$\n\nSay it.")
    assert parts == (
        TextPart("What is the value of "),
        TextPart("x^2", is_formula=True),
        TextPart(", in "),
        TextPart("\\foo", is_formula=True),
        TextPart("?\n\n"),
        TextPart("y", is_formula=True, is_block=True),
        TextPart("\n\nSay it."),
    )
    assert markdown_to_parts("It costs $5 or $6.") == ()
    assert parts[1].html == formula_to_mathml("x^2")
    assert parts[3].html == "\\foo"


def test_report_shows_formulas_and_the_latex_of_others() -> None:
    hostile = r'\text{" #read("/etc/passwd") "}'
    prompt = rf"What is $\frac{{150}}{{1.2}}$, and what is ${hostile}$?"
    item = EvidenceItem(
        "Numbers", "What is it?", "125", "1 of 1", prompt_parts=markdown_to_parts(prompt)
    )
    report = replace(REPORT, evidence=AssessmentEvidence(items=(item,)))
    with capture_logs() as logs:
        pdf = render_pdf(report)
    assert not [entry for entry in logs if entry["event"].startswith("report_")]
    text = pdf_text(pdf).replace(" ", "")
    assert '#read("/etc/passwd")' in text
    assert "root:" not in text
    [formula] = [tag for tag in tags(pdf) if tag["/S"] == "/Formula"]
    assert formula["/Alt"] == r"\frac{150}{1.2}"


def test_report_page_shows_formulas(pages_app: Flask) -> None:
    parts = markdown_to_parts(r"What is $x^2$, or $\foo<b>$?")
    item = EvidenceItem("Numbers", "What is it?", "125", "1 of 1", prompt_parts=parts)
    report = replace(REPORT, evidence=AssessmentEvidence(items=(item,)))
    with pages_app.test_request_context():
        page = render_template(PAGE_TEMPLATE, report=report, pdf_url=None)
    assert "What is <math><msup>" in page
    assert r"or \foo&lt;b&gt;?" in page
