"""The console's pages of interviews: recordings, ratings, completion."""

import re
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import select

from provider.core.kinds.interview import BROKEN, Interview
from provider.core.orders import Order
from provider.core.staff import complete_sign_in
from provider.services import Services
from tests import factories, interview_factories
from tests.conftest import LiveServer
from tests.factories import ManualClock
from tests.web.accessibility import AccessibilityChecker
from tests.web.console.test_browser import tab_to
from tests.web.console.test_orders import listed_order_ids, order_events, order_messages
from tests.web.console_client import ORDERS_PATH, ConsoleClient


def interview_path(interview: str) -> str:
    return f"{ORDERS_PATH}{interview}/interview"


def rate(
    console: ConsoleClient, interview: str, question: str, value: object, note: str = ""
) -> int:
    page = console.get_text(interview_path(interview))
    return post_rating(console, interview, question, read_number(page, question), value, note)[0]


def read_number(page: str, question: str) -> str:
    """Return the number of the save that the form of a question shows; empty without a form."""
    match = re.search(rf'/ratings/{question}".*?name="based_on" value="(\d+)"', page, re.DOTALL)
    return match[1] if match else ""


def post_rating(
    console: ConsoleClient,
    interview: str,
    question: str,
    number: str,
    value: object,
    note: str = "",
) -> tuple[int, str]:
    path, page = f"{interview_path(interview)}/ratings/{question}", interview_path(interview)
    response = console.submit(path, page=page, based_on=number, value=str(value), note=note)
    return response.status_code, unescape(response.text)


def read_edit_token(console: ConsoleClient, interview: str) -> str:
    match = re.search(
        r'name="edit_token" value="([^"]+)"',
        console.get_text(f"{interview_path(interview)}/complete"),
    )
    assert match, "the page has no form"
    return match[1]


def complete(
    console: ConsoleClient, interview: str, edit_token: str, summary: str = ""
) -> tuple[int, str]:
    path = f"{interview_path(interview)}/complete"
    response = console.submit(path, page=path, edit_token=edit_token, summary=summary)
    return response.status_code, response.text


def test_interview_page_separates_selected_take_from_others(
    services: Services, client: FlaskClient
) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    page = ConsoleClient.signed_in(services, client).get_text(interview_path(interview))
    selected_part, others_part = page.split('class="answer-others"', 1)
    assert f"takes/{recordings[1]}" in selected_part
    assert f"takes/{recordings[0]}" not in selected_part
    assert f"takes/{recordings[0]}" in others_part
    assert "1 other take, not submitted" in page
    assert "Take 2 of 2, 2 seconds" in page
    assert page.count('preload="none"') == 4
    assert "<strong>this</strong>" in page


def test_media_file_serves_whole_file_and_ranges(services: Services, client: FlaskClient) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    console = ConsoleClient.signed_in(services, client)
    full = console.client.get(f"{interview_path(interview)}/takes/{recordings[1]}")
    assert full.status_code == 200
    assert full.mimetype == "video/webm"
    assert full.data == interview_factories.processed_video(11)[0]
    partial = console.client.get(
        f"{interview_path(interview)}/takes/{recordings[1]}", headers={"Range": "bytes=10-19"}
    )
    assert partial.status_code == 206
    assert partial.data == full.data[10:20]
    poster = console.client.get(f"{interview_path(interview)}/posters/{recordings[1]}")
    assert poster.mimetype == "image/jpeg"
    assert poster.data.startswith(b"\xff\xd8")


def test_media_file_without_session_redirects_to_sign_in(
    services: Services, client: FlaskClient
) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    for variant in ("takes", "posters", "originals"):
        response = client.get(f"{interview_path(interview)}/{variant}/{recordings[1]}")
        assert response.status_code == 302
        assert "/console/sign-in" in response.headers["Location"]


def test_media_file_of_another_order_is_not_found(services: Services, client: FlaskClient) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    account = interview_factories.account_id_of(services, interview)
    other, _ = interview_factories.submitted_interview(services, 2, account=account)
    test = factories.place_order(
        services,
        account,
        factories.create_test(services),
        callback_url="https://groove-tech.workable.com/test/1",
    )
    console = ConsoleClient.signed_in(services, client)
    for order in (other, test, "nobody"):
        for variant in ("takes", "posters", "originals"):
            console.get_text(f"{interview_path(order)}/{variant}/{recordings[1]}", 404)
    for missing in ("nobody", "x" * 500, "..%2F..%2Fprovider.db"):
        console.get_text(f"{interview_path(interview)}/takes/{missing}", 404)
    console.get_text(interview_path(test), 404)


def test_recordings_before_submission_are_hidden(services: Services, client: FlaskClient) -> None:
    interview = interview_factories.place_interview(services)
    recording = interview_factories.record_answer(services, interview, "why")
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(interview_path(interview))
    assert "has not submitted the interview yet" in page
    assert "<video" not in page
    console.get_text(f"{interview_path(interview)}/takes/{recording}", 409)
    assert "/interview" not in console.get_text(ORDERS_PATH + interview)


def test_recording_during_processing_can_be_watched(
    services: Services, client: FlaskClient
) -> None:
    interview = interview_factories.place_interview(services)
    recording = interview_factories.record_answer(services, interview, "why", ready=False)
    for question in ("proud", "ask"):
        interview_factories.record_answer(services, interview, question, tint=5)
    interview_factories.submit_interview(services, interview)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(interview_path(interview))
    assert page.count("still being processed") == 1
    assert f"posters/{recording}" not in page
    assert console.client.get(
        f"{interview_path(interview)}/takes/{recording}"
    ).data == interview_factories.webm(tint=0)
    console.get_text(f"{interview_path(interview)}/posters/{recording}", 404)


def test_broken_recording_offers_its_original_for_download(
    services: Services, client: FlaskClient
) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    with services.db.writing() as session:
        Interview.find(session, interview).find_recording(recordings[1]).state = BROKEN
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(interview_path(interview))
    assert "damaged, or has no picture or no sound" in page
    path = f"{interview_path(interview)}/originals/{recordings[1]}"
    assert path in page
    response = console.client.get(path)
    assert response.data == interview_factories.webm(tint=11)
    assert response.headers["Content-Disposition"] == (
        f"attachment; filename={interview}-why-2.webm"
    )


def test_recording_with_html_mimetype_is_served_as_binary(
    services: Services, client: FlaskClient
) -> None:
    interview = interview_factories.place_interview(services)
    ids = [
        interview_factories.record_answer(
            services, interview, question, tint=tint, mime="text/html"
        )
        for tint, question in enumerate(("why", "proud", "ask"))
    ]
    interview_factories.submit_interview(services, interview)
    console = ConsoleClient.signed_in(services, client)
    for variant in ("takes", "originals"):
        response = console.client.get(f"{interview_path(interview)}/{variant}/{ids[0]}")
        assert response.mimetype == "application/octet-stream"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_save_rating_stores_note_and_actor(services: Services, client: FlaskClient) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    console = ConsoleClient.signed_in(services, client)
    assert rate(console, interview, "why", 4, "Knows the company") == 303
    page = console.get_text(interview_path(interview))
    assert "The rating of question 1 is saved" in page
    assert "Knows the company" in page
    assert re.search(r'value="4" checked', page)
    with services.db.reading() as session:
        (rating,) = Interview.find(session, interview).ratings
        assert (rating.actor, rating.save_number) == ("operator@provider.test", 1)


def test_save_rating_replaces_own_rating_only(
    app: Flask, services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    first, second = (
        ConsoleClient.signed_in(services, client),
        ConsoleClient.signed_in(services, app.test_client(), "admin"),
    )
    rate(first, interview, "why", 2, "Vague")
    rate(second, interview, "why", 5, "I disagree")
    rate(first, interview, "why", 3, "Fair enough")
    page = first.get_text(interview_path(interview))
    assert "Fair enough" in page
    assert "Vague" not in page
    assert "I disagree" not in page


@pytest.mark.parametrize("value", ["", "0", "6", "-1", "two", "1.5", "9" * 50, "²"])
def test_save_rating_outside_scale_keeps_submitted_note(
    services: Services, client: FlaskClient, value: str
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    console = ConsoleClient.signed_in(services, client)
    path = f"{interview_path(interview)}/ratings/proud"
    response = console.submit(
        path, page=interview_path(interview), value=value, note="Kept as typed"
    )
    assert response.status_code == 400
    assert "Kept as typed" in response.text
    assert "field-error" in response.text
    with services.db.reading() as session:
        assert Interview.find(session, interview).ratings == []


def test_save_rating_of_unknown_question_is_not_found(
    services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    assert rate(ConsoleClient.signed_in(services, client), interview, "nothing", 3) == 404


def test_viewer_can_watch_but_not_rate_or_complete(services: Services, client: FlaskClient) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    interview_factories.rate_answers(services, interview, 5, 4, 3)
    interview_factories.submit_scorecard(services, interview)
    console = ConsoleClient.signed_in(services, client, "viewer")
    page = console.get_text(interview_path(interview))
    assert '5 of 5, <bdi dir="auto">Excellent</bdi>' in page
    assert "<textarea" not in page
    assert "Complete…" not in page
    assert (
        console.client.get(f"{interview_path(interview)}/takes/{recordings[1]}").status_code == 200
    )
    assert rate(console, interview, "why", 1) == 403
    console.get_text(f"{interview_path(interview)}/complete", 403)
    assert complete_anyway(console, interview) == 403
    assert factories.order_status(services, interview) == "pending"


def complete_anyway(console: ConsoleClient, interview: str) -> int:
    path = f"{interview_path(interview)}/complete"
    return console.submit(path, page=interview_path(interview), edit_token="0 75").status_code


def test_complete_with_unrated_answers_is_refused(services: Services, client: FlaskClient) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    console = ConsoleClient.signed_in(services, client)
    rate(console, interview, "why", 4)
    assert "2 answers have no rating yet" in console.get_text(interview_path(interview))
    path = f"{interview_path(interview)}/complete"
    assert "2 answers have no rating yet" in console.get_text(path)
    response = console.submit(path, page=interview_path(interview), edit_token="0 25")
    assert response.status_code == 409
    assert factories.order_status(services, interview) == "pending"


def test_complete_shows_result_and_notifies_ats(services: Services, client: FlaskClient) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    interview_factories.rate_answers(services, interview, 5, 4, 3)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(f"{interview_path(interview)}/complete")
    for text in ("Groove Tech’s ATS", "75%", "Passed", "The answers show what the job asks for."):
        assert text in page
    assert factories.order_status(services, interview) == "pending"
    status_code, _ = complete(
        console, interview, read_edit_token(console, interview), "Warm, quick,\nand prepared."
    )
    assert status_code == 303
    with services.db.reading() as session:
        result = Interview.find(session, interview).result
        assert result
        assert (result.score, result.grade, result.duration) == (75, "passed", 6)
        assert result.summary == "Warm, quick,\nand prepared."
    assert order_messages(services, interview)[-1] == ("status", "completed")
    assert order_events(services, interview)[-1][:2] == ("completed", "operator@provider.test")
    page = console.get_text(ORDERS_PATH + interview)
    assert "The interview is completed" in page
    assert "Watch the answers" in page


def test_complete_with_outdated_result_is_refused(services: Services, client: FlaskClient) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    interview_factories.rate_answers(services, interview, 5, 4, 3)
    console = ConsoleClient.signed_in(services, client)
    edit_token = read_edit_token(console, interview)
    interview_factories.rate_answers(services, interview, 1, 1, 1)
    status_code, text = complete(console, interview, edit_token, "Typed already")
    assert status_code == 409
    assert "A colleague changed this interview" in text
    assert "Typed already" in text
    assert "Did not pass" in text
    assert factories.order_status(services, interview) == "pending"


def test_rating_of_outdated_form_never_replaces_a_newer_one(
    services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    console = ConsoleClient.signed_in(services, client)
    number = read_number(console.get_text(interview_path(interview)), "why")
    assert post_rating(console, interview, "why", number, 5, "Good,\r\nI think")[0] == 303
    assert post_rating(console, interview, "why", number, 5, "Good,\r\nI think")[0] == 303  # twice
    status_code, page = post_rating(console, interview, "why", number, 1, "My own words")
    assert status_code == 409
    assert "The newer save stands" in page
    assert ">My own words</textarea>" in page
    with services.db.reading() as session:
        (rating,) = Interview.find(session, interview).ratings
        assert (rating.value, rating.note, rating.save_number) == (5, "Good,\nI think", 1)
    invalid = post_rating(console, interview, "why", "1", "", "My own words")
    assert (invalid[0], read_number(invalid[1], "why")) == (400, "1")
    again = post_rating(console, interview, "why", read_number(page, "why"), 1, "My own words")
    assert again[0] == 303


def test_completed_interview_cannot_be_rated_or_completed(
    services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.completed_interview(services)
    console = ConsoleClient.signed_in(services, client)
    assert 'name="note"' not in console.get_text(interview_path(interview))
    assert rate(console, interview, "why", 1) == 409
    assert "is not completed yet" in console.get_text(f"{interview_path(interview)}/complete")
    assert complete_anyway(console, interview) == 409
    assert [status for _, status in order_messages(services, interview)].count("completed") == 1


def test_reopened_interview_starts_without_takes_and_ratings(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    interview, _ = interview_factories.completed_interview(services)
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        order.reopen(
            session, services.secret_box, "sam@provider.test", "the line broke", services.now()
        )
    console = ConsoleClient.signed_in(services, client)
    assert "<video" not in console.get_text(interview_path(interview))
    clock.advance(timedelta(minutes=1))
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        order.start(session, services.now())
        assert [order.takes_left(question) for question in order.content.questions] == [3, 1, 1]
    interview_factories.submit_interview(services, interview)
    page = console.get_text(interview_path(interview))
    assert "3 answers have no rating yet" in page
    assert "Clear and to the point." not in page


def test_order_list_marks_orders_that_need_action(services: Services, client: FlaskClient) -> None:
    waiting, _ = interview_factories.submitted_interview(services)
    account = interview_factories.account_id_of(services, waiting)
    interview_factories.completed_interview(services, 2, account=account)
    interview_factories.place_interview(services, 3, account=account)
    factories.finish_test(
        services,
        factories.place_order(
            services,
            account,
            factories.create_test(services),
            callback_url="https://groove-tech.workable.com/test/1",
        ),
    )
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(ORDERS_PATH)
    assert "1 order needs action" in page
    assert page.count("console-needs-staff") == 1
    page = console.get_text(f"{ORDERS_PATH}?waiting_for=staff")
    assert listed_order_ids(page) == [waiting]
    assert "Staff</option>" in page
    invited = listed_order_ids(console.get_text(f"{ORDERS_PATH}?waiting_for=candidate"))
    ended = listed_order_ids(console.get_text(f"{ORDERS_PATH}?waiting_for=nobody"))
    all_orders = listed_order_ids(console.get_text(ORDERS_PATH))
    assert sorted([waiting, *invited, *ended]) == sorted(all_orders)
    assert invited
    assert ended
    assert listed_order_ids(console.get_text(f"{ORDERS_PATH}?waiting_for=vendor")) == []
    # No kind waits for the clock alone, so the filter does not offer it.
    for value in ("clock", "somebody"):
        console.get_text(f"{ORDERS_PATH}?waiting_for={value}", 400)


@pytest.mark.sqlite
def test_needs_action_query_uses_its_index(services: Services) -> None:
    query = select(Order.id).where(Order.waiting_for == "staff").order_by(Order.id.desc()).limit(50)
    with services.db.reading() as session:
        text = str(query.compile(session.connection(), compile_kwargs={"literal_binds": True}))
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    assert [("ix_orders_waiting" in str(step), "TEMP" in str(step)) for step in plan] == [
        (True, False)
    ]


def test_order_page_links_to_submitted_answers(services: Services, client: FlaskClient) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    console = ConsoleClient.signed_in(services, client)
    assert f'href="{interview_path(interview)}"' in console.get_text(ORDERS_PATH + interview)
    assert "Watch and rate the answers" in console.get_text(ORDERS_PATH + interview)


def sign_in(page: Page, live_server: LiveServer, role: str = "operator") -> None:
    factories.create_staff(live_server.services, role=role)
    with live_server.services.db.writing() as session:
        cookie = complete_sign_in(
            session, "sam@provider.test", "127.0.0.1", live_server.services.now()
        )
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": live_server.url}])


def test_interview_pages_are_accessible(page: Page, live_server: LiveServer) -> None:
    interview, _ = interview_factories.submitted_interview(live_server.services)
    account = interview_factories.account_id_of(live_server.services, interview)
    partial_interview = interview_factories.auto_submitted_interview(
        live_server.services, 2, account=account
    )
    interview_factories.rate_answers(live_server.services, interview, 5, 4, 3)
    completed, _ = interview_factories.completed_interview(live_server.services, 3, account=account)
    sign_in(page, live_server)
    paths = [interview_path(order_id) for order_id in (interview, partial_interview, completed)]
    paths += [
        f"{interview_path(interview)}/complete",
        f"{interview_path(completed)}/complete",
        ORDERS_PATH,
    ]
    checker = AccessibilityChecker(page, in_turn=True)
    for path in paths:
        page.goto(live_server.url + path)
        checker.check_page(path)
    assert checker.problems == []


def test_interview_is_rated_and_completed_by_keyboard(page: Page, live_server: LiveServer) -> None:
    interview, _ = interview_factories.submitted_interview(live_server.services)
    interview_factories.rate_answers(
        live_server.services, interview, 3, 4, 3, reviewer="sam@provider.test"
    )
    sign_in(page, live_server)
    page.goto(live_server.url + interview_path(interview))
    page.get_by_role("group", name="Rating of question 1").get_by_label("3 Fair").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    tab_to(page, r"Note optional[\s\S]*")
    page.keyboard.press("Control+a")
    page.keyboard.type("The best of all")
    tab_to(page, r"Save again\s+the rating of question 1")
    page.keyboard.press("Enter")
    expect(page.locator("#question-1 [data-scorecard-state]")).to_have_text("Saved")
    tab_to(page, "Complete…", 80)
    page.keyboard.press("Enter")
    expect(page.get_by_text("75%")).to_be_visible()
    tab_to(page, "Summary optional")
    page.keyboard.type("A good talk")
    tab_to(page, "Complete and notify the ATS")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The interview is completed")
    assert factories.order_status(live_server.services, interview) == "completed"
