"""The report of an interview that several people have rated, and what a shared link leaves out."""

import io
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser
from pypdf import PdfReader

from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.captions import STAFF, save_captions
from provider.core.orders import PDF
from provider.maintenance.erasure import delete_recordings
from provider.services import Services
from tests import interview_factories
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker
from tests.web.report.test_pages import confirm_view, page_text, pdf_text, report_path, shared_path

ANN, BEN = "ann@provider.test", "ben@provider.test"
SCORES = (
    *("66.7%", "Passed", "The answers show what the job asks for."),
    *("4.5 of 5", "2 reviewers, from 4 to 5", "Overall rating", "Passed from 50%"),
    "Results by part",
)
NOTES = ("Note of ann", "Note of ben", "Hire Lakita", "Comments of the reviewers")
WORDS = "Good morning, I am Lakita"


def reviewed_interview(services: Services, **content: Any) -> tuple[str, str]:
    """Return a completed interview with two scorecards and captions, and its first answer."""
    interview, recordings = interview_factories.submitted_interview(services, **content)
    for reviewer, values in ((ANN, (5, 4, 3)), (BEN, (4, 4, 2))):
        note = f"Note of {reviewer.split('@', maxsplit=1)[0]}"
        interview_factories.rate_answers(services, interview, *values, note=note, reviewer=reviewer)
        with services.db.writing() as session:
            order = Interview.find(session, interview)
            order.rate_overall(4, "Hire Lakita", reviewer, services.now())
            order.submit_scorecard(session, reviewer, services.now())
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        text = f"WEBVTT\n\n00:00.000 --> 00:01.500\n{WORDS}\n"
        take = order.find_recording(recordings[1])
        save_captions(take, text, "en", STAFF, ANN, services.now())
        order.conclude(session, services.secret_box, "", ANN, services.now())
    return interview, recordings[1]


def page_and_pdf(client: FlaskClient, page_path: str, pdf_path: str) -> list[str]:
    pdf = " ".join(pdf_text(client.get(pdf_path).data).split())
    return [page_text(client.get(page_path).text), pdf]


def own_documents(client: FlaskClient, services: Services, interview: str) -> list[str]:
    return page_and_pdf(
        client, report_path(services, interview), report_path(services, interview, PDF)
    )


def shared_documents(client: FlaskClient, services: Services, interview: str) -> list[str]:
    path = shared_path(services, interview)
    return page_and_pdf(client, path, f"{path}/report.pdf")


def test_page_and_pdf_agree_on_averages_spread_and_notes(
    client: FlaskClient, services: Services
) -> None:
    interview, _ = reviewed_interview(services)
    documents = own_documents(client, services, interview)
    documents += shared_documents(client, services, interview)
    for part in (*SCORES, *NOTES):
        assert [part in text for text in documents] == [True] * 4, part
    for text in documents:
        assert text.count("Note of ann") == 3
        assert "@provider.test" not in text


@pytest.mark.parametrize(
    ("options", "absent", "present"),
    [
        ({"notes": ["report", "pdf"]}, NOTES, SCORES),
        ({"scores": ["report", "pdf"]}, SCORES, NOTES),
        ({"notes": ["report", "pdf"], "scores": ["report", "pdf"]}, (*NOTES, *SCORES), ()),
    ],
)
def test_shared_link_leaves_notes_and_scores_out(
    client: FlaskClient,
    services: Services,
    options: dict[str, list[str]],
    absent: tuple[str, ...],
    present: tuple[str, ...],
) -> None:
    interview, recording = reviewed_interview(services, report=options)
    for text in shared_documents(client, services, interview):
        assert [part for part in absent if part in text] == []
        assert [part for part in present if part not in text] == []
        assert "Why this job?" in text
    for text in own_documents(client, services, interview):
        assert [part for part in (*NOTES, *SCORES) if part not in text] == []
    path = shared_path(services, interview)
    assert client.get(f"{path}/takes/{recording}").status_code == 200


def test_report_without_scores_has_pictures_and_no_score_bar(
    client: FlaskClient, services: Services
) -> None:
    interview, _ = reviewed_interview(services, report={"scores": []})
    for page in (report_path(services, interview), shared_path(services, interview)):
        text = client.get(page).text
        assert "scale-track" not in text
        assert "3 of 3 questions answered." in page_text(text)
    document = client.get(report_path(services, interview, PDF)).data
    pages = PdfReader(io.BytesIO(document)).pages
    assert sum(len(page.images) for page in pages) == 3


# Captions


def test_report_and_shared_report_have_captions(client: FlaskClient, services: Services) -> None:
    interview, recording = reviewed_interview(services)
    for path in (report_path(services, interview), shared_path(services, interview)):
        page = client.get(path).text
        assert page.count("<track") == 1
        assert f'srclang="en" label="Captions" src="{path}/captions/{recording}"' in page
        response = client.get(f"{path}/captions/{recording}")
        assert (response.mimetype, WORDS in response.text) == ("text/vtt", True)
        assert response.headers["Cache-Control"] == "no-store"


def test_captions_are_seen_only_with_the_recording(client: FlaskClient, services: Services) -> None:
    interview, recording = reviewed_interview(services, report={"answers": ["report"]})
    report, shared = report_path(services, interview), shared_path(services, interview)
    assert client.get(f"{report}/captions/{recording}").status_code == 200
    assert client.get(f"{shared}/captions/{recording}").status_code == 404
    account = interview_factories.account_id_of(services, interview)
    other, _ = interview_factories.completed_interview(services, 2, account=account)
    assert client.get(f"{report_path(services, other)}/captions/{recording}").status_code == 404
    limited = shared_path(services, other, 1, "views")
    other_recording = interview_factories.selected_recording(services, other, "why")
    url = f"{limited}/captions/{other_recording}"
    assert client.get(url).status_code == 303
    assert confirm_view(client, limited) == 303
    assert client.get(url).status_code == 404  # it has none


def test_captions_are_deleted_with_the_recording(client: FlaskClient, services: Services) -> None:
    interview, recording = reviewed_interview(services)
    delete_recordings(
        services.db, services.media, interview, actor="sam@provider.test", now=services.now()
    )
    path = report_path(services, interview)
    assert client.get(f"{path}/captions/{recording}").status_code == 410
    assert "<track" not in client.get(path).text
    with services.db.reading() as session:
        assert Interview.find(session, interview).find_recording(recording).caption is None


# Browser tests


@pytest.mark.parametrize("width", [360, 1280])
def test_arabic_shared_report_is_accessible(
    browser: Browser, live_server: LiveServer, width: int
) -> None:
    services = live_server.services
    interview, _ = reviewed_interview(services)
    context = browser.new_context(locale="ar", viewport={"width": width, "height": 800})
    page = context.new_page()
    checker = AccessibilityChecker(page)
    page.goto(live_server.url + shared_path(services, interview))
    assert page.locator("html").get_attribute("dir") == "rtl"
    checker.check_page()
    overflow = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow <= 0
    video = page.locator("video").first
    video.evaluate("video => { video.textTracks[0].mode = 'showing'; video.muted = true; }")
    video.evaluate("video => video.play()")
    # A function: the page's CSP forbids the evaluation of an expression at a later moment.
    page.wait_for_function("() => document.querySelector('video').textTracks[0].cues?.length === 1")
    cue = video.evaluate("video => video.textTracks[0].cues[0].text")
    assert cue == WORDS
    assert checker.problems == []
    context.close()
