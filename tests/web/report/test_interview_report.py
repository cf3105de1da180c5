"""The report of an interview: the result, the video answers, and who may see them."""

import io
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page
from pypdf import PdfReader

from provider.core.kinds.interview import BROKEN, SENT, Interview
from provider.core.orders import PDF, REPORT, Order
from provider.services import Services
from tests import factories, interview_factories
from tests.conftest import LiveServer
from tests.core.test_report import tags
from tests.factories import ManualClock
from tests.web.accessibility import AccessibilityChecker
from tests.web.report.test_pages import confirm_view, page_text, pdf_text, report_path, shared_path


def reopen(services: Services, interview: str) -> None:
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        order.reopen(
            session, services.secret_box, "sam@provider.test", "the line broke", services.now()
        )


def revoke(services: Services, order: str) -> None:
    with services.db.writing() as session:
        for link in Order.find(session, order).links:
            link.revoked_at = services.now()


def status_code(client: FlaskClient, url: str) -> int:
    return client.get(url).status_code


# The page


def test_report_shows_result_before_rated_questions(
    client: FlaskClient, services: Services
) -> None:
    interview, _ = interview_factories.completed_interview(services)
    text = page_text(client.get(report_path(services, interview)).text)
    expected = [
        "Lakita Marrero",
        "75%",
        "Passed",
        "The answers show what the job asks for.",
        "1. Why this job? 5 of 5",
        "Question 1",
        "Why this job? Rated 5 of 5, Excellent",
        "Clear and to the point.",
        "Answer: 2 seconds",
        "What are you proud of? Rated 4 of 5, Good",
        "What would you ask us? Rated 3 of 5, Fair",
    ]
    positions = [text.index(part) for part in expected]
    assert positions == sorted(positions)
    assert "Questions answered 3 of 3" in text
    assert "Time taken 6 seconds" in text


def test_report_bars_have_the_questions_cut_at_a_word(
    client: FlaskClient, services: Services
) -> None:
    question = "Describe a disagreement with a colleague or a customer. How was it settled?"
    interview = interview_factories.auto_submitted_interview(
        services,
        1,
        account=factories.create_account(services)[0],
        questions=[{"key": "why", "text": f"**{question}**"}],
    )
    interview_factories.rate_answers(services, interview, 4)
    interview_factories.complete_interview(services, interview)
    label = "1. Describe a disagreement with a colleague or a customer…"
    page = page_text(client.get(report_path(services, interview)).text)
    pdf = " ".join(pdf_text(client.get(report_path(services, interview, PDF)).data).split())
    for text in (page, pdf):
        assert text.count(label) == 1
        assert text.count(question) == 1


def test_report_question_without_answer_says_so(client: FlaskClient, services: Services) -> None:
    interview = interview_factories.auto_submitted_interview(
        services, 1, account=factories.create_account(services)[0]
    )
    interview_factories.rate_answers(services, interview, 4)
    interview_factories.complete_interview(services, interview)
    page = client.get(report_path(services, interview)).text
    assert page.count("No answer") == 2
    assert page.count("<video") == 1
    assert "Questions answered 1 of 3" in page_text(page)


def test_report_shows_only_selected_takes(client: FlaskClient, services: Services) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    url = report_path(services, interview)
    page = client.get(url).text
    assert recordings[0] not in page
    assert status_code(client, f"{url}/takes/{recordings[0]}") == 404
    assert status_code(client, f"{url}/posters/{recordings[0]}") == 404
    assert status_code(client, f"{url}/takes/{recordings[1]}") == 200


def test_report_shows_videos_only_in_the_places_of_the_product(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(
        services, report={"answers": ["report"]}
    )
    report, shared = report_path(services, interview), shared_path(services, interview)
    assert "1. Why this job?" in client.get(report).text
    page = client.get(shared).text
    pdf_paths = (f"{shared}/report.pdf", report_path(services, interview, PDF))
    documents = [client.get(path).data for path in pdf_paths]
    for text in (page_text(page), *(" ".join(pdf_text(pdf).split()) for pdf in documents)):
        assert "Question 1 5 of 5" in text
        assert "Passed from 50%" in text
        for part in ("Why this job?", "Clear and to the point.", "Answers on video"):
            assert part not in text
    assert [len(list(PdfReader(io.BytesIO(pdf)).pages[0].images)) for pdf in documents] == [0, 0]
    for variant in ("takes", "posters"):
        assert f"/{variant}/" not in page
        assert status_code(client, f"{report}/{variant}/{recordings[1]}") == 200
        assert status_code(client, f"{shared}/{variant}/{recordings[1]}") == 404


# Media files


def test_report_media_is_served_whole_and_by_range(client: FlaskClient, services: Services) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    url = f"{report_path(services, interview)}/takes/{recordings[1]}"
    whole = client.get(url)
    assert whole.data == interview_factories.processed_video(11)[0]
    assert whole.mimetype == "video/webm"
    part = client.get(url, headers={"Range": "bytes=100-"})
    assert (part.status_code, part.data) == (206, whole.data[100:])
    poster = client.get(f"{report_path(services, interview)}/posters/{recordings[1]}")
    assert (poster.mimetype, poster.data) == (
        "image/jpeg",
        interview_factories.processed_video(11)[1],
    )


def test_report_media_has_no_file_name_and_is_not_cached(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    for variant in ("takes", "posters"):
        headers = client.get(
            f"{report_path(services, interview)}/{variant}/{recordings[1]}"
        ).headers
        assert "filename" not in headers["Content-Disposition"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "noindex" in headers["X-Robots-Tag"]


def test_report_media_with_other_orders_token_returns_404(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    account = interview_factories.account_id_of(services, interview)
    other, other_recordings = interview_factories.completed_interview(services, 2, account=account)
    test = factories.place_order(
        services,
        account,
        factories.create_test(services),
        callback_url="https://groove-tech.workable.com/test/1",
    )
    factories.finish_test(services, test)
    for order in (other, test):
        for url in (report_path(services, order), shared_path(services, order)):
            for variant in ("takes", "posters"):
                assert status_code(client, f"{url}/{variant}/{recordings[1]}") == 404
    assert status_code(client, f"{report_path(services, other)}/takes/{other_recordings[1]}") == 200


def test_report_media_with_link_of_other_purpose_returns_404(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    report = report_path(services, interview).split("/")[2]
    pdf = report_path(services, interview, PDF).split("/")[2]
    shared = shared_path(services, interview).split("/")[2]
    invitation = factories.invitation_url(services, interview).rsplit("/", 1)[1]
    urls = [f"/r/{pdf}", f"/r/{shared}", f"/r/{invitation}", f"/s/{report}", f"/s/{pdf}"]
    urls += [f"/s/{invitation}", "/r/nobody", "/s/nobody", f"/r/{'x' * 5000}", "/r/%00"]
    for url in urls:
        for variant in ("takes", "posters"):
            assert status_code(client, f"{url}/{variant}/{recordings[1]}") == 404, url
    for missing in ("nobody", "x" * 5000, "%00", "..%2Foriginal"):
        assert status_code(client, f"/r/{report}/takes/{missing}") == 404


def test_report_media_with_candidate_session_is_refused(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    other = interview_factories.place_interview(
        services, 2, account=interview_factories.account_id_of(services, interview)
    )
    client.get(factories.invitation_url(services, other))
    token = factories.invitation_url(services, other).rsplit("/", 1)[1]
    assert status_code(client, f"/r/{token}/takes/{recordings[1]}") == 404
    assert (
        status_code(client, f"/console/orders/{interview}/interview/takes/{recordings[1]}") == 302
    )


def test_report_media_with_revoked_link_returns_404(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    urls = [report_path(services, interview), shared_path(services, interview)]
    revoke(services, interview)
    assert [status_code(client, f"{url}/takes/{recordings[1]}") for url in urls] == [404, 404]


@pytest.mark.parametrize("variant", ["takes", "posters"])
def test_shared_media_with_expired_link_returns_410(
    client: FlaskClient, services: Services, clock: ManualClock, variant: str
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    url = shared_path(services, interview, 30, "minutes")
    assert status_code(client, f"{url}/{variant}/{recordings[1]}") == 200
    clock.advance(timedelta(minutes=30))
    assert status_code(client, f"{url}/{variant}/{recordings[1]}") == 410


def test_shared_media_needs_a_confirmed_view(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    url = shared_path(services, interview, 1, "views")
    media_url = f"{url}/takes/{recordings[1]}"
    before = client.get(media_url)
    assert (before.status_code, before.headers["Location"]) == (303, url)
    assert confirm_view(client, url) == 303
    page = client.get(url).text
    assert media_url in page
    assert "/r/" not in page
    assert status_code(client, media_url) == 200
    assert client.get(media_url, headers={"Range": "bytes=0-9"}).status_code == 206
    assert client.application.test_client().get(media_url).status_code == 410
    clock.advance(timedelta(minutes=30))
    assert status_code(client, media_url) == 410


def test_report_media_of_reopened_interview_returns_409(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    urls = [report_path(services, interview), shared_path(services, interview)]
    reopen(services, interview)
    for url in urls:
        assert "being redone" in client.get(url).text
        assert status_code(client, f"{url}/takes/{recordings[1]}") == 409


def test_report_unprocessed_take_plays_without_poster(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    with services.db.writing() as session:
        recording = Interview.find(session, interview).find_recording(recordings[1])
        recording.state, recording.seconds = SENT, None
    url = report_path(services, interview)
    page = client.get(url).text
    assert f"/takes/{recordings[1]}" in page
    assert f"/posters/{recordings[1]}" not in page
    assert client.get(f"{url}/takes/{recordings[1]}").data == interview_factories.webm(tint=11)
    assert client.get(report_path(services, interview, PDF)).data.startswith(b"%PDF")


def test_report_says_that_a_recording_is_broken(client: FlaskClient, services: Services) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    with services.db.writing() as session:
        recording = Interview.find(session, interview).find_recording(recordings[1])
        recording.state, recording.seconds = BROKEN, None
    sentence = "This recording is damaged, or has no picture or no sound."
    assert client.get(report_path(services, interview)).text.count(sentence) == 1
    document = client.get(report_path(services, interview, PDF)).data
    assert sentence in " ".join(pdf_text(document).split())


# The PDF


def figure_texts(document: bytes) -> list[Any]:
    return [tag["/Alt"] for tag in tags(document) if tag["/S"] == "/Figure"]


def test_pdf_shows_posters_with_alt_texts(client: FlaskClient, services: Services) -> None:
    interview, _ = interview_factories.completed_interview(services)
    document = client.get(report_path(services, interview, PDF)).data
    assert figure_texts(document)[2:] == [
        f"Lakita Marrero, answering question {number} on video" for number in (1, 2, 3)
    ]
    reader = PdfReader(io.BytesIO(document))
    assert sum(len(page.images) for page in reader.pages) == 3
    root: Any = reader.root_object
    metadata = root["/Metadata"].get_object().get_data().decode()
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    text = " ".join(pdf_text(document).split())
    for word in ("75%", "Passed", "5 of 5, Excellent", "Clear and to the point.", "2 seconds"):
        assert word in text


def test_pdf_without_readable_poster_is_still_made(client: FlaskClient, services: Services) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    services.media.delete(f"recordings/{recordings[1]}/poster.jpg")
    without_poster = client.get(report_path(services, interview, PDF)).data
    assert len(figure_texts(without_poster)) == 4
    other, other_recordings = interview_factories.completed_interview(
        services, 2, account=interview_factories.account_id_of(services, interview)
    )
    services.media.put(f"recordings/{other_recordings[1]}/poster.jpg", [b"not a picture"])
    response = client.get(report_path(services, other, PDF))
    assert response.status_code == 200
    assert "5 of 5, Excellent" in pdf_text(response.data)


# Browser tests


def test_report_page_is_accessible(page: Page, live_server: LiveServer) -> None:
    interview, _ = interview_factories.completed_interview(live_server.services)
    partial = interview_factories.auto_submitted_interview(
        live_server.services,
        2,
        account=interview_factories.account_id_of(live_server.services, interview),
    )
    interview_factories.rate_answers(live_server.services, partial, 2)
    interview_factories.complete_interview(live_server.services, partial)
    checker = AccessibilityChecker(page)
    for order in (interview, partial):
        page.goto(live_server.url + report_path(live_server.services, order, REPORT))
        checker.check_page()
    assert checker.problems == []


def test_report_video_plays_by_keyboard(page: Page, live_server: LiveServer) -> None:
    interview, _ = interview_factories.completed_interview(live_server.services)
    page.goto(live_server.url + shared_path(live_server.services, interview))
    video = page.get_by_label("The answer to question 1")
    video.focus()
    page.keyboard.press("Space")
    video.evaluate(interview_factories.WAIT_FOR_PLAYBACK_SCRIPT, 0.1)
    video.evaluate("video => { video.currentTime = 1.5; }")
    video.evaluate(interview_factories.WAIT_FOR_PLAYBACK_SCRIPT, 1.5)


def test_report_print_shows_posters(page: Page, live_server: LiveServer) -> None:
    interview, _ = interview_factories.completed_interview(live_server.services)
    page.goto(live_server.url + report_path(live_server.services, interview))
    page.emulate_media(media="print")
    assert not page.locator("video").first.is_visible()
    assert page.get_by_alt_text("Lakita Marrero, answering question 1 on video").is_visible()
