"""A question of an interview: the page has it at its time only, and the time to think runs once."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.kinds.interview import Interview
from provider.core.orders import staff_acts
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.interview_factories import record_answer
from tests.web.candidate.test_pages import open_invitation, submit_form

TEXT = "What is the capital of France?"
QUESTIONS = [
    {"key": "capital", "text": TEXT, "think_seconds": 30, "answer_seconds": 60},
    {"key": "last", "text": "And of Spain?", "think_seconds": 0, "answer_seconds": 60},
]


@pytest.fixture
def started(client: FlaskClient, services: Services) -> str:
    account_id, _ = factories.create_account(services)
    content = factories.INTERVIEW_CONTENT | {"questions": QUESTIONS}
    template = factories.create_product(services, "interview", content, "two", "Two questions")
    public_id = factories.place_order(services, account_id, template, "interview")
    open_invitation(client, services, public_id)
    page = client.get(f"/c/o/{public_id}/camera").text
    assert submit_form(client, page, f"/c/o/{public_id}/interview").status_code == 303
    return public_id


def show(client: FlaskClient, public_id: str, number: int = 1) -> TestResponse:
    token = factories.csrf_token(client.get(f"/c/o/{public_id}/decline").text)
    return client.post(
        f"/c/o/{public_id}/questions/{number}/show",
        headers={"Accept": "application/json", "X-CSRFToken": token},
    )


def seconds_left(response: TestResponse) -> float:
    assert response.status_code == 200
    return float(response.json["think_seconds_left"])  # type: ignore[index]


def test_question_is_in_no_page_before_it_has_a_take(
    client: FlaskClient, services: Services, started: str
) -> None:
    pages = ("", "answers", "questions/1", "questions/2")
    urls = [f"/c/o/{started}/{page}" for page in pages]
    assert not any("capital" in client.get(url).text for url in urls)
    shown = show(client, started)
    assert shown.json["question"] == f"<p>{TEXT}</p>\n"  # type: ignore[index]
    assert not any("capital" in client.get(url).text for url in urls)
    record_answer(services, started, "capital", ready=False)
    assert TEXT in client.get(urls[2]).text


def test_plain_question_is_shown_as_it_was_written(client: FlaskClient, services: Services) -> None:
    account_id, _ = factories.create_account(services)
    question = {"key": "code", "text": "2*3*4 <b>\n- 5", "plain": True}
    content = factories.INTERVIEW_CONTENT | {"questions": [question]}
    template = factories.create_product(services, "interview", content, "code", "Code")
    public_id = factories.place_order(services, account_id, template, "interview")
    open_invitation(client, services, public_id)
    page = client.get(f"/c/o/{public_id}/camera").text
    submit_form(client, page, f"/c/o/{public_id}/interview")
    shown = '<p class="literal">2*3*4 &lt;b&gt;\n- 5</p>'
    assert show(client, public_id).json["question"] == shown  # type: ignore[index]
    record_answer(services, public_id, "code")
    assert shown in client.get(f"/c/o/{public_id}/questions/1").text
    assert "2*3*4 &lt;b&gt;" in client.get(f"/c/o/{public_id}/answers").text
    with services.db.reading() as session:
        (answer,) = Interview.find(session, public_id).evidence(services.secret_box).video_answers
    assert answer.question == question["text"]


def test_time_to_think_begins_by_a_post_and_runs_once(
    client: FlaskClient, clock: ManualClock, started: str
) -> None:
    url = f"/c/o/{started}/questions/1"
    assert client.get(f"{url}/show").status_code == 405
    assert "Show the question" in client.get(url).text
    clock.advance(timedelta(seconds=50))
    assert seconds_left(show(client, started)) == 30
    clock.advance(timedelta(seconds=12))
    page = client.get(url).text
    assert 'data-think-seconds-left="18.0"' in page
    assert "your time to think runs on" in page
    assert seconds_left(show(client, started)) == 18
    clock.advance(timedelta(seconds=19))
    assert "your time to think is over" in client.get(url).text
    assert seconds_left(show(client, started)) == 0
    assert seconds_left(show(client, started, number=2)) == 0


def test_reopened_interview_has_its_time_to_think_again(
    client: FlaskClient, services: Services, clock: ManualClock, started: str
) -> None:
    show(client, started)
    clock.advance(timedelta(minutes=1))
    with services.db.writing() as session:
        interview = Interview.find(session, started)
        interview.cancel(session, "staff", "", services.now())
        interview.reopen(session, services.secret_box, "staff", "", services.now())
        interview.start(session, services.now())
    open_invitation(client, services, started)
    assert "Show the question" in client.get(f"/c/o/{started}/questions/1").text
    assert seconds_left(show(client, started)) == 30


def test_interview_with_extra_time_gives_more_time_to_think_and_answer(
    client: FlaskClient, services: Services, started: str
) -> None:
    with services.db.writing() as session:
        interview = Interview.find(session, started)
        seconds = staff_acts.percent_of_time(interview, 50)
        staff_acts.give_extra_time(session, interview, seconds, "sam", services.now())
    assert 'data-answer-seconds="90"' in client.get(f"/c/o/{started}/questions/1").text
    assert seconds_left(show(client, started)) == 45


def test_question_after_the_end_of_the_interview_is_refused(
    client: FlaskClient, clock: ManualClock, started: str
) -> None:
    token = factories.csrf_token(client.get(f"/c/o/{started}/decline").text)
    clock.advance(timedelta(days=8))
    headers = {"Accept": "application/json", "X-CSRFToken": token}
    response = client.post(f"/c/o/{started}/questions/1/show", headers=headers)
    assert response.status_code == 409
    assert TEXT not in response.text
