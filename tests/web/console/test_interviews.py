"""Interviews at the console: watched, rated, summed up, completed; and nobody else's films."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import select

from provider.core.kinds.interview import BROKEN, Interview
from provider.core.orders import Order
from provider.core.staff import complete_sign_in
from provider.services import Services
from provider.web.console.orders import WAITING_FOR_STAFF_CONDITION
from tests import factories, interview_factories
from tests.conftest import LiveServer
from tests.factories import ManualClock
from tests.web.accessibility import DESKTOP_VARIANTS, AccessibilityChecker
from tests.web.console.test_browser import tab_to
from tests.web.console.test_orders import events, listed, messages
from tests.web.console_client import ORDERS_PATH, ConsoleClient


def page_of(interview: str) -> str:
    return f"{ORDERS_PATH}{interview}/interview"


def rate(desk: ConsoleClient, interview: str, question: str, value: object, note: str = "") -> int:
    path = f"{page_of(interview)}/ratings/{question}"
    answer = desk.submit(path, page=page_of(interview), value=str(value), note=note)
    return answer.status_code


def stand(desk: ConsoleClient, interview: str) -> str:
    found = re.search(
        r'name="stand" value="([^"]+)"', desk.get_text(f"{page_of(interview)}/complete")
    )
    assert found, "the page offers no form"
    return found[1]


def complete(desk: ConsoleClient, interview: str, seen: str, summary: str = "") -> tuple[int, str]:
    path = f"{page_of(interview)}/complete"
    answer = desk.submit(path, page=path, stand=seen, summary=summary)
    return answer.status_code, answer.text


# Watching


def test_a_question_shows_the_take_that_was_sent_in_and_the_others_apart(
    services: Services, client: FlaskClient
) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    page = ConsoleClient.signed_in(services, client).get_text(page_of(interview))
    chosen, rest = page.split("<details", 1)
    assert f"takes/{recordings[1]}" in chosen
    assert f"takes/{recordings[0]}" not in chosen
    assert f"takes/{recordings[0]}" in rest
    assert "1 other take, not sent in" in page
    assert "Take 2 of 2, 2 seconds" in page
    assert page.count('preload="none"') == 4
    assert "<strong>this</strong>" in page


def test_a_take_is_watched_whole_or_in_part(services: Services, client: FlaskClient) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    desk = ConsoleClient.signed_in(services, client)
    whole = desk.client.get(f"{page_of(interview)}/takes/{recordings[1]}")
    assert whole.status_code == 200
    assert whole.mimetype == "video/webm"
    assert whole.data == interview_factories.processed_video(11)[0]
    part = desk.client.get(
        f"{page_of(interview)}/takes/{recordings[1]}", headers={"Range": "bytes=10-19"}
    )
    assert part.status_code == 206
    assert part.data == whole.data[10:20]
    poster = desk.client.get(f"{page_of(interview)}/posters/{recordings[1]}")
    assert poster.mimetype == "image/jpeg"
    assert poster.data.startswith(b"\xff\xd8")


def test_a_film_is_served_to_nobody_who_is_not_signed_in(
    services: Services, client: FlaskClient
) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    for what in ("takes", "posters", "originals"):
        answer = client.get(f"{page_of(interview)}/{what}/{recordings[1]}")
        assert answer.status_code == 302
        assert "/console/sign-in" in answer.headers["Location"]


def test_a_film_is_found_in_its_own_interview_alone(
    services: Services, client: FlaskClient
) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    account = interview_factories.account_id_of(services, interview)
    other, _ = interview_factories.submitted_interview(services, 2, account=account)
    test = factories.place_order(
        services,
        account,
        factories.create_test(services),
        callback_url="https://groove-tech.workable.com/test/1",
    )
    desk = ConsoleClient.signed_in(services, client)
    for order in (other, test, "nobody"):
        for what in ("takes", "posters", "originals"):
            desk.get_text(f"{page_of(order)}/{what}/{recordings[1]}", 404)
    for missing in ("nobody", "x" * 500, "..%2F..%2Fprovider.db"):
        desk.get_text(f"{page_of(interview)}/takes/{missing}", 404)
    desk.get_text(page_of(test), 404)


def test_what_was_not_handed_in_is_the_candidates_own(
    services: Services, client: FlaskClient
) -> None:
    interview = interview_factories.place_interview(services)
    recording = interview_factories.record_answer(services, interview, "why")
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(page_of(interview))
    assert "has not handed the interview in yet" in page
    assert "<video" not in page
    desk.get_text(f"{page_of(interview)}/takes/{recording}", 409)
    assert "/interview" not in desk.get_text(ORDERS_PATH + interview)


def test_a_recording_that_is_being_prepared_says_so_and_can_be_watched(
    services: Services, client: FlaskClient
) -> None:
    interview = interview_factories.place_interview(services)
    recording = interview_factories.record_answer(services, interview, "why", ready=False)
    for question in ("proud", "ask"):
        interview_factories.record_answer(services, interview, question, tint=5)
    interview_factories.submit_interview(services, interview)
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(page_of(interview))
    assert page.count("still being prepared") == 1
    assert f"posters/{recording}" not in page
    assert desk.client.get(
        f"{page_of(interview)}/takes/{recording}"
    ).data == interview_factories.webm(tint=0)
    desk.get_text(f"{page_of(interview)}/posters/{recording}", 404)


def test_a_broken_recording_says_so_and_its_original_can_be_kept(
    services: Services, client: FlaskClient
) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    with services.db.writing() as session:
        Interview.find(session, interview).find_recording(recordings[1]).state = BROKEN
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(page_of(interview))
    assert "could not be prepared" in page
    path = f"{page_of(interview)}/originals/{recordings[1]}"
    assert path in page
    answer = desk.client.get(path)
    assert answer.data == interview_factories.webm(tint=11)
    assert answer.headers["Content-Disposition"] == (f"attachment; filename={interview}-why-2.webm")


def test_what_a_recorder_claims_never_runs_in_the_console(
    services: Services, client: FlaskClient
) -> None:
    interview = interview_factories.place_interview(services)
    ids = [
        interview_factories.record_answer(services, interview, question, tint=at, mime="text/html")
        for at, question in enumerate(("why", "proud", "ask"))
    ]
    interview_factories.submit_interview(services, interview)
    desk = ConsoleClient.signed_in(services, client)
    for what in ("takes", "originals"):
        answer = desk.client.get(f"{page_of(interview)}/{what}/{ids[0]}")
        assert answer.mimetype == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


# Rating


def test_a_rating_is_kept_with_its_note_and_who_gave_it(
    services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    desk = ConsoleClient.signed_in(services, client)
    assert rate(desk, interview, "why", 4, "Knows the company") == 303
    page = desk.get_text(page_of(interview))
    assert "The rating of question 1 is saved" in page
    assert "Rated by operator@provider.test" in page
    assert "Knows the company" in page
    assert re.search(r'value="4" checked', page)


def test_the_last_word_counts(app: Flask, services: Services, client: FlaskClient) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    first, second = (
        ConsoleClient.signed_in(services, client),
        ConsoleClient.signed_in(services, app.test_client(), "admin"),
    )
    rate(first, interview, "why", 2, "Vague")
    rate(second, interview, "why", 5, "I disagree")
    page = first.get_text(page_of(interview))
    assert "Rated by admin@provider.test" in page
    assert "I disagree" in page
    assert "Vague" not in page


@pytest.mark.parametrize("value", ["", "0", "6", "-1", "two", "1.5", "9" * 50, "²"])
def test_a_rating_outside_the_scale_is_refused_and_the_note_stays(
    services: Services, client: FlaskClient, value: str
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    desk = ConsoleClient.signed_in(services, client)
    path = f"{page_of(interview)}/ratings/proud"
    answer = desk.submit(path, page=page_of(interview), value=value, note="Kept as typed")
    assert answer.status_code == 400
    assert "Kept as typed" in answer.text
    assert "field-error" in answer.text
    with services.db.reading() as session:
        assert Interview.find(session, interview).ratings == []


def test_a_question_that_is_not_asked_cannot_be_rated(
    services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    assert rate(ConsoleClient.signed_in(services, client), interview, "nothing", 3) == 404


def test_who_may_only_look_watches_and_changes_nothing(
    services: Services, client: FlaskClient
) -> None:
    interview, recordings = interview_factories.submitted_interview(services)
    interview_factories.rate_answers(services, interview, 5, 4, 3)
    desk = ConsoleClient.signed_in(services, client, "viewer")
    page = desk.get_text(page_of(interview))
    assert "5 of 5, Excellent" in page
    assert "<textarea" not in page
    assert "Sum up" not in page
    assert desk.client.get(f"{page_of(interview)}/takes/{recordings[1]}").status_code == 200
    assert rate(desk, interview, "why", 1) == 403
    desk.get_text(f"{page_of(interview)}/complete", 403)
    assert complete_anyway(desk, interview) == 403
    assert factories.order_status(services, interview) == "pending"


def complete_anyway(desk: ConsoleClient, interview: str) -> int:
    path = f"{page_of(interview)}/complete"
    return desk.submit(path, page=page_of(interview), stand="0 75").status_code


# Completing


def test_nothing_is_completed_while_an_answer_has_no_rating(
    services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    desk = ConsoleClient.signed_in(services, client)
    rate(desk, interview, "why", 4)
    assert "2 answers have no rating yet" in desk.get_text(page_of(interview))
    path = f"{page_of(interview)}/complete"
    assert "2 answers have no rating yet" in desk.get_text(path)
    answer = desk.submit(path, page=page_of(interview), stand="0 25")
    assert answer.status_code == 409
    assert factories.order_status(services, interview) == "pending"


def test_completing_says_first_what_the_ats_will_be_told_and_then_tells_it(
    services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    interview_factories.rate_answers(services, interview, 5, 4, 3)
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(f"{page_of(interview)}/complete")
    for told in ("Groove Tech’s ATS", "75%", "Passed", "The answers show what the job asks for."):
        assert told in page
    assert factories.order_status(services, interview) == "pending"
    code, _ = complete(desk, interview, stand(desk, interview), "Warm, quick,\nand prepared.")
    assert code == 303
    with services.db.reading() as session:
        result = Interview.find(session, interview).result
        assert result
        assert (result.score, result.grade, result.duration) == (75, "passed", 6)
        assert result.summary == "Warm, quick,\nand prepared."
    assert messages(services, interview)[-1] == ("status", "completed")
    assert events(services, interview)[-1][:2] == ("completed", "operator@provider.test")
    page = desk.get_text(ORDERS_PATH + interview)
    assert "The interview is completed" in page
    assert "Watch the answers" in page


def test_a_result_that_differs_from_what_was_shown_is_not_sent(
    services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    interview_factories.rate_answers(services, interview, 5, 4, 3)
    desk = ConsoleClient.signed_in(services, client)
    seen = stand(desk, interview)
    interview_factories.rate_answers(services, interview, 1, 1, 1)
    code, text = complete(desk, interview, seen, "Typed already")
    assert code == 409
    assert "Somebody changed this interview" in text
    assert "Typed already" in text
    assert "Did not pass" in text
    assert factories.order_status(services, interview) == "pending"


def test_a_completed_interview_cannot_be_rated_or_completed_again(
    services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.completed_interview(services)
    desk = ConsoleClient.signed_in(services, client)
    assert "<textarea" not in desk.get_text(page_of(interview))
    assert rate(desk, interview, "why", 1) == 409
    assert "is not completed yet" in desk.get_text(f"{page_of(interview)}/complete")
    assert complete_anyway(desk, interview) == 409
    assert [news for _, news in messages(services, interview)].count("completed") == 1


def test_after_a_reopening_takes_and_ratings_begin_anew(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    interview, _ = interview_factories.completed_interview(services)
    with services.db.writing() as session:
        found = Interview.find(session, interview)
        found.reopen(
            session, services.secret_box, "sam@provider.test", "the line broke", services.now()
        )
    desk = ConsoleClient.signed_in(services, client)
    assert "<video" not in desk.get_text(page_of(interview))
    clock.advance(timedelta(minutes=1))
    with services.db.writing() as session:
        found = Interview.find(session, interview)
        found.start(session, services.now())
        assert [found.takes_left(each) for each in found.content.questions] == [3, 1, 1]
    interview_factories.submit_interview(services, interview)
    page = desk.get_text(page_of(interview))
    assert "3 answers have no rating yet" in page
    assert "Clear and to the point." not in page


# What waits on the staff


def test_the_list_shows_what_waits_on_the_staff_and_nothing_else(
    services: Services, client: FlaskClient
) -> None:
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
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(ORDERS_PATH)
    assert "1 order waits on the staff" in page
    assert page.count("console-waits") == 1
    page = desk.get_text(f"{ORDERS_PATH}?waits=staff")
    assert listed(page) == [waiting]
    desk.get_text(f"{ORDERS_PATH}?waits=somebody", 400)


@pytest.mark.sqlite
def test_what_waits_is_found_by_its_own_index(services: Services) -> None:
    query = select(Order.id).where(WAITING_FOR_STAFF_CONDITION).order_by(Order.id.desc()).limit(50)
    with services.db.reading() as session:
        text = str(query.compile(session.connection(), compile_kwargs={"literal_binds": True}))
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    assert [("ix_orders_staff" in str(step), "TEMP" in str(step)) for step in plan] == [
        (True, False)
    ]


def test_an_order_leads_to_its_answers_once_they_are_handed_in(
    services: Services, client: FlaskClient
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    desk = ConsoleClient.signed_in(services, client)
    assert f'href="{page_of(interview)}"' in desk.get_text(ORDERS_PATH + interview)
    assert "Watch and rate the answers" in desk.get_text(ORDERS_PATH + interview)


# In a browser


def sign_in(page: Page, live_server: LiveServer, role: str = "operator") -> None:
    factories.create_staff(live_server.services, role=role)
    with live_server.services.db.writing() as session:
        cookie = complete_sign_in(
            session, "sam@provider.test", "127.0.0.1", live_server.services.now()
        )
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": live_server.url}])


def test_every_page_is_open_to_everybody_and_fits_every_width(
    page: Page, live_server: LiveServer
) -> None:
    interview, _ = interview_factories.submitted_interview(live_server.services)
    account = interview_factories.account_id_of(live_server.services, interview)
    half = interview_factories.auto_submitted_interview(live_server.services, 2, account=account)
    interview_factories.rate_answers(live_server.services, interview, 5, 4, 3)
    done, _ = interview_factories.completed_interview(live_server.services, 3, account=account)
    sign_in(page, live_server)
    paths = [page_of(each) for each in (interview, half, done)]
    paths += [f"{page_of(interview)}/complete", f"{page_of(done)}/complete", ORDERS_PATH]
    eye = AccessibilityChecker(page, DESKTOP_VARIANTS)
    for path in paths:
        page.goto(live_server.url + path)
        eye.check_page(path)
    assert eye.problems == []


def test_an_interview_is_rated_and_completed_by_the_keyboard_alone(
    page: Page, live_server: LiveServer
) -> None:
    interview, _ = interview_factories.submitted_interview(live_server.services)
    interview_factories.rate_answers(live_server.services, interview, 3, 4, 3)
    sign_in(page, live_server)
    page.goto(live_server.url + page_of(interview))
    page.get_by_role("group", name="Rating of question 1").get_by_label("3 Fair").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    tab_to(page, r"Note optional[\s\S]*")
    page.keyboard.press("Control+a")
    page.keyboard.type("The best of all")
    tab_to(page, r"Save again\s+the rating of question 1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The rating of question 1 is saved")
    expect(page).to_have_url(re.compile("#question-1$"))
    tab_to(page, "Sum up and complete…", 80)
    page.keyboard.press("Enter")
    expect(page.get_by_text("75%")).to_be_visible()
    tab_to(page, "Summary optional")
    page.keyboard.type("A good talk")
    tab_to(page, "Complete and tell the ATS")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The interview is completed")
    assert factories.order_status(live_server.services, interview) == "completed"
