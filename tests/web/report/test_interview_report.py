"""The report of an interview: the answer first, then each answer on video, for nobody else."""

import io
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page
from pypdf import PdfReader

from provider.core.kinds.interview import SENT, Interview
from provider.core.orders import PDF, REPORT, Order
from provider.services import Services
from tests import factories, interview_factories
from tests.conftest import LiveServer
from tests.core.test_report import tags
from tests.factories import ManualClock
from tests.web.accessibility import DESKTOP_VARIANTS, AccessibilityChecker
from tests.web.report.test_pages import paper, path, press, shared, words


def reopen(services: Services, interview: str) -> None:
    with services.db.writing() as session:
        found = Interview.find(session, interview)
        found.reopen(
            session, services.secret_box, "sam@provider.test", "the line broke", services.now()
        )


def revoke(services: Services, order: str) -> None:
    with services.db.writing() as session:
        for link in Order.find(session, order).links:
            link.revoked_at = services.now()


def code(client: FlaskClient, address: str) -> int:
    return client.get(address).status_code


# The page


def test_the_answer_comes_first_then_each_question_with_its_rating(
    client: FlaskClient, services: Services
) -> None:
    interview, _ = interview_factories.completed_interview(services)
    said = words(client.get(path(services, interview)).text)
    order = [
        "Lakita Marrero",
        "75%",
        "Passed",
        "The answers show what the job asks for.",
        "Question 1",
        "Why this job?",
        "5 of 5, Excellent",
        "Clear and to the point.",
        "Answer: 2 seconds",
        "What are you proud of?",
        "4 of 5, Good",
        "3 of 5, Fair",
    ]
    places = [said.rindex(each) if each == "Question 1" else said.index(each) for each in order]
    assert places == sorted(places)
    assert "Questions answered 3 of 3" in said
    assert "Time taken 6 seconds" in said


def test_a_question_without_an_answer_says_so(client: FlaskClient, services: Services) -> None:
    interview = interview_factories.auto_submitted_interview(
        services, 1, account=factories.create_account(services)[0]
    )
    interview_factories.rate_answers(services, interview, 4)
    interview_factories.complete_interview(services, interview)
    page = client.get(path(services, interview)).text
    assert page.count("No answer") == 2
    assert page.count("<video") == 1
    assert "Questions answered 1 of 3" in words(page)


def test_only_the_take_that_was_sent_in_is_in_the_report(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    address = path(services, interview)
    page = client.get(address).text
    assert recordings[0] not in page
    assert code(client, f"{address}/takes/{recordings[0]}") == 404
    assert code(client, f"{address}/posters/{recordings[0]}") == 404
    assert code(client, f"{address}/takes/{recordings[1]}") == 200


# The films


def test_an_answer_is_watched_from_the_report_whole_or_in_part(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    address = f"{path(services, interview)}/takes/{recordings[1]}"
    whole = client.get(address)
    assert whole.data == interview_factories.processed_video(11)[0]
    assert whole.mimetype == "video/webm"
    part = client.get(address, headers={"Range": "bytes=100-"})
    assert (part.status_code, part.data) == (206, whole.data[100:])
    poster = client.get(f"{path(services, interview)}/posters/{recordings[1]}")
    assert (poster.mimetype, poster.data) == (
        "image/jpeg",
        interview_factories.processed_video(11)[1],
    )


def test_a_film_goes_out_without_a_name_and_is_kept_by_nobody(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    for what in ("takes", "posters"):
        headers = client.get(f"{path(services, interview)}/{what}/{recordings[1]}").headers
        assert "filename" not in headers["Content-Disposition"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "noindex" in headers["X-Robots-Tag"]


def test_no_other_orders_token_opens_a_film(client: FlaskClient, services: Services) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    account = interview_factories.account_id_of(services, interview)
    other, others = interview_factories.completed_interview(services, 2, account=account)
    test = factories.place_order(
        services,
        account,
        factories.create_test(services),
        callback_url="https://groove-tech.workable.com/test/1",
    )
    factories.finish_test(services, test)
    for order in (other, test):
        for door in (path(services, order), shared(services, order)):
            for what in ("takes", "posters"):
                assert code(client, f"{door}/{what}/{recordings[1]}") == 404
    assert code(client, f"{path(services, other)}/takes/{others[1]}") == 200


def test_a_film_opens_by_no_link_that_was_made_for_something_else(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    report = path(services, interview).split("/")[2]
    pdf = path(services, interview, PDF).split("/")[2]
    public = shared(services, interview).split("/")[2]
    invitation = factories.invitation_url(services, interview).rsplit("/", 1)[1]
    doors = [f"/r/{pdf}", f"/r/{public}", f"/r/{invitation}", f"/s/{report}", f"/s/{pdf}"]
    doors += [f"/s/{invitation}", "/r/nobody", "/s/nobody", f"/r/{'x' * 5000}", "/r/%00"]
    for door in doors:
        for what in ("takes", "posters"):
            assert code(client, f"{door}/{what}/{recordings[1]}") == 404, door
    for missing in ("nobody", "x" * 5000, "%00", "..%2Foriginal"):
        assert code(client, f"/r/{report}/takes/{missing}") == 404


def test_a_candidate_who_is_in_sees_no_film_of_somebody_else(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    other = interview_factories.place_interview(
        services, 2, account=interview_factories.account_id_of(services, interview)
    )
    client.get(factories.invitation_url(services, other))
    token = factories.invitation_url(services, other).rsplit("/", 1)[1]
    assert code(client, f"/r/{token}/takes/{recordings[1]}") == 404
    assert code(client, f"/console/orders/{interview}/interview/takes/{recordings[1]}") == 302


def test_a_revoked_link_opens_no_film(client: FlaskClient, services: Services) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    doors = [path(services, interview), shared(services, interview)]
    revoke(services, interview)
    assert [code(client, f"{door}/takes/{recordings[1]}") for door in doors] == [404, 404]


@pytest.mark.parametrize("what", ["takes", "posters"])
def test_a_shared_link_that_is_over_opens_no_film(
    client: FlaskClient, services: Services, clock: ManualClock, what: str
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    door = shared(services, interview, 30, "minutes")
    assert code(client, f"{door}/{what}/{recordings[1]}") == 200
    clock.advance(timedelta(minutes=30))
    assert code(client, f"{door}/{what}/{recordings[1]}") == 410


def test_a_link_with_views_opens_a_film_only_behind_its_door(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    door = shared(services, interview, 1, "views")
    address = f"{door}/takes/{recordings[1]}"
    before = client.get(address)
    assert (before.status_code, before.headers["Location"]) == (303, door)
    assert press(client, door) == 303
    page = client.get(door).text
    assert address in page
    assert "/r/" not in page
    assert code(client, address) == 200
    assert client.get(address, headers={"Range": "bytes=0-9"}).status_code == 206
    assert client.application.test_client().get(address).status_code == 410
    clock.advance(timedelta(minutes=30))
    assert code(client, address) == 410


def test_a_reopened_interview_shows_no_film(client: FlaskClient, services: Services) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    doors = [path(services, interview), shared(services, interview)]
    reopen(services, interview)
    for door in doors:
        assert "being redone" in client.get(door).text
        assert code(client, f"{door}/takes/{recordings[1]}") == 409


def test_an_answer_still_being_prepared_can_be_watched_without_a_picture(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    with services.db.writing() as session:
        found = Interview.find(session, interview).find_recording(recordings[1])
        found.state, found.seconds = SENT, None
    address = path(services, interview)
    page = client.get(address).text
    assert f"/takes/{recordings[1]}" in page
    assert f"/posters/{recordings[1]}" not in page
    assert client.get(f"{address}/takes/{recordings[1]}").data == interview_factories.webm(tint=11)
    assert client.get(path(services, interview, PDF)).data.startswith(b"%PDF")


# The PDF


def figures(document: bytes) -> list[Any]:
    return [tag["/Alt"] for tag in tags(document) if tag["/S"] == "/Figure"]


def test_the_pdf_shows_the_posters_and_says_what_they_show(
    client: FlaskClient, services: Services
) -> None:
    interview, _ = interview_factories.completed_interview(services)
    document = client.get(path(services, interview, PDF)).data
    assert figures(document)[1:] == [
        f"Lakita Marrero, answering question {number} on video" for number in (1, 2, 3)
    ]
    reader = PdfReader(io.BytesIO(document))
    assert sum(len(page.images) for page in reader.pages) == 3
    root: Any = reader.root_object
    metadata = root["/Metadata"].get_object().get_data().decode()
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    said = " ".join(paper(document).split())
    for word in ("75%", "Passed", "5 of 5, Excellent", "Clear and to the point.", "2 seconds"):
        assert word in said


def test_a_poster_that_is_lost_or_no_picture_costs_no_report(
    client: FlaskClient, services: Services
) -> None:
    interview, recordings = interview_factories.completed_interview(services)
    services.media.delete(f"recordings/{recordings[1]}/poster.jpg")
    lost = client.get(path(services, interview, PDF)).data
    assert len(figures(lost)) == 3
    other, others = interview_factories.completed_interview(
        services, 2, account=interview_factories.account_id_of(services, interview)
    )
    services.media.put(f"recordings/{others[1]}/poster.jpg", [b"not a picture"])
    answer = client.get(path(services, other, PDF))
    assert answer.status_code == 200
    assert "5 of 5, Excellent" in paper(answer.data)


# How it looks


def test_the_report_is_fit_for_everybody(page: Page, live_server: LiveServer) -> None:
    interview, _ = interview_factories.completed_interview(live_server.services)
    half = interview_factories.auto_submitted_interview(
        live_server.services,
        2,
        account=interview_factories.account_id_of(live_server.services, interview),
    )
    interview_factories.rate_answers(live_server.services, half, 2)
    interview_factories.complete_interview(live_server.services, half)
    eye = AccessibilityChecker(page, DESKTOP_VARIANTS)
    for order in (interview, half):
        page.goto(live_server.url + path(live_server.services, order, REPORT))
        eye.check_page()
    assert eye.problems == []


def test_an_answer_plays_in_the_report_by_the_keyboard(page: Page, live_server: LiveServer) -> None:
    interview, _ = interview_factories.completed_interview(live_server.services)
    page.goto(live_server.url + shared(live_server.services, interview))
    video = page.get_by_label("The answer to question 1")
    video.focus()
    page.keyboard.press("Space")
    video.evaluate(interview_factories.WAIT_FOR_PLAYBACK_SCRIPT, 0.1)
    video.evaluate("film => { film.currentTime = 1.5; }")
    video.evaluate(interview_factories.WAIT_FOR_PLAYBACK_SCRIPT, 1.5)


def test_the_report_prints_its_posters(page: Page, live_server: LiveServer) -> None:
    interview, _ = interview_factories.completed_interview(live_server.services)
    page.goto(live_server.url + path(live_server.services, interview))
    page.emulate_media(media="print")
    assert not page.locator("video").first.is_visible()
    assert page.get_by_alt_text("Lakita Marrero, answering question 1 on video").is_visible()
