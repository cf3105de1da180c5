"""The profile of scales on the report page and in its PDF."""

import re
from dataclasses import replace
from html import unescape

from flask import Flask, render_template
from structlog.testing import capture_logs

from provider.core.kinds.assessment import content, scoring
from provider.core.kinds.assessment.evidence import AssessmentEvidence
from provider.core.kinds.assessment.scale_profile import build_profiles, cut_score_facts
from provider.core.products.samples import load_sample_documents
from provider.core.report import Report
from provider.core.report_pdf import render_pdf
from provider.texts import use_language
from tests.core.kinds.assessment.test_scales import ADULTS, Json, survey
from tests.core.test_report import PAGE_TEMPLATE, REPORT, line_ends, pdf_text, tags

TEST = survey(
    norms=[ADULTS | {"source": "Invented for this test"}],
    grades={"on": {"scale": "calm", "measure": "percentile"}, "passed": 30, "excelled": 95},
)
TEST["scales"] += [
    {"key": "k", "name": "Knowledge", "items": ["q"]},
    {"key": "two", "name": "Poise", "items": ["c1", "c2"]},
]
TEST["norms"][0]["scales"] = ADULTS["scales"] | {"two": {"mean": 6, "sd": 1}}
ANSWERS = {"c1": 5, "c2": 3, "c3": 3, "q": True}


def report_of(test: Json, **answers: int | bool) -> Report:
    scored = scoring.score(content.parse(test), answers)
    figures = scored.figures()
    facts = tuple(cut_score_facts(figures))
    evidence = AssessmentEvidence(profiles=build_profiles(figures), facts=facts)
    return replace(REPORT, evidence=evidence, facts=facts, grade=scored.grade, percent=None)


def page_of(app: Flask, report: Report) -> str:
    with app.test_request_context():
        return unescape(render_template(PAGE_TEMPLATE, report=report, pdf_url=None))


def visible_text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_page_and_pdf_show_the_same_figures(pages_app: Flask) -> None:
    report = report_of(TEST, **ANSWERS)
    page, pdf = visible_text(page_of(pages_app, report)), pdf_text(render_pdf(report))
    for text in (
        "Compared with Adults, n = 812",
        "Percentile 84 Sten 8 T score 60 z score 1 Adults, n = 812 Score 11, from 3 to 15",
        "Percentile 98 Sten 10 T score 70 z score 2",
        "Source of the group’s figures: Invented for this test",
        "The curve shows how the scores of this group are spread.",
        "Cut scores on Calm",
        "Passed from 30; Excelled from 95 (Percentile, Adults, n = 812)",
        "2 16 50 84 98",
        "Knowledge",
    ):
        assert text in page, text
        assert text in pdf, text
    # Neither shows cut scores in percent, because the percentage has none.
    assert "Passed from 30%" not in page + pdf


def test_page_draws_the_curve_the_dots_and_the_cut_scores(pages_app: Flask) -> None:
    page = page_of(pages_app, report_of(TEST, **ANSWERS))
    assert page.count('class="profile-curve"') == 1
    assert re.findall(r'class="profile-dot" cx="([\d.]+)%"', page) == ["66.67", "83.33"]
    assert len(re.findall(r'class="scale-cut" x1="[\d.]+%"', page)) == 2
    small = report_of(TEST | {"norms": [TEST["norms"][0] | {"n": 99}]}, **ANSWERS)
    page = page_of(pages_app, small)
    assert 'class="profile-curve"' not in page
    assert page.count('class="profile-dot"') == 2


def test_sample_with_norms_says_that_they_are_invented(pages_app: Flask) -> None:
    [document] = [row for row in load_sample_documents() if row.key == "work-style-demonstration"]
    test = document.content
    answers = {item["key"]: 4 for item in test["sections"][0]["items"]}
    report = report_of(test, **answers)
    page, pdf = page_of(pages_app, report), pdf_text(render_pdf(report))
    assert page.count('class="profile-curve"') == 1
    for text in (
        "Compared with Invented for the demonstration, n = 400",
        "these figures are invented for the demonstration and describe no people",
    ):
        assert text in visible_text(page)
        assert text in pdf
    assert "demonstration" in test["name"]
    assert "is invented" in test["description"]


def test_pdf_profile_has_an_alternative_text_and_conforms() -> None:
    with capture_logs() as logs:
        pdf = render_pdf(report_of(TEST, c1=5, c2=3))
    assert logs == []
    alternatives = [tag["/Alt"] for tag in tags(pdf) if tag["/S"] == "/Figure"]
    assert alternatives == [
        "Compared with Adults, n\u00a0=\u00a0812: Calm No score: 2 of 3 answered; "
        "Poise 8, Percentile 98, Sten 10, T score 70, z score 2.",
        "Scales: Knowledge 0.",
    ]


def test_pdf_with_long_names_stays_in_its_columns() -> None:
    word = "W" * 60
    test = survey(norms=[ADULTS | {"name": "W" * 50, "source": "W" * 200}])
    test["scales"][0]["name"] = word
    test["scales"].append({"key": "k", "name": word[1:], "items": ["q"]})
    ends = list(line_ends(render_pdf(report_of(test, **ANSWERS))))
    assert ends
    assert [end for end in ends if end[0] > end[1]] == []


def test_profile_speaks_the_language_of_the_reader() -> None:
    with use_language("de"):
        pdf = pdf_text(render_pdf(report_of(TEST, **ANSWERS)))
    for text in ("Vergleich mit Adults, n = 812", "Perzentil 84 Sten-Wert 8", "von 3 bis 15"):
        assert text in pdf
    with use_language("ar"), capture_logs() as logs:
        render_pdf(report_of(TEST, **ANSWERS))
    assert logs == []
