"""The pages around the questions of an interview: introduction, practice, time limit, pauses."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from provider.core.kinds.interview import Interview
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.web.candidate.test_interview_answers import QUESTIONS, answer_all, token
from tests.web.candidate.test_pages import event_types, open_invitation, submit_form

INTRODUCTION = {"text": "Welcome to **Groove**."}
PRACTICE = {"text": "What is your name?", "think_seconds": 5, "answer_seconds": 20}
CLOSING = {"text": "We answer *soon*."}


def place(services: Services, wishes: dict[str, Any] | None = None, **content: Any) -> str:
    """Place an order with `wishes` as its preferences."""
    account_id, _ = factories.create_account(services, timezone="Europe/Athens")
    document = {"schema": 1, "questions": QUESTIONS} | content
    template = factories.create_product(services, "interview", document, "course", "Course")
    return factories.place_order(
        services, account_id, template, "interview", preferences=wishes or {}
    )


def start(client: FlaskClient, services: Services, public_id: str, **fields: str) -> str:
    page = open_invitation(client, services, public_id).text
    return submit_form(client, page, f"/c/o/{public_id}/interview", **fields).location


def read(services: Services, public_id: str) -> tuple[str | None, float]:
    """Return the progress, and the minutes that are left."""
    with services.db.reading() as session:
        order = Interview.find(session, public_id)
        return order.progress, order.time_left(services.now()).total_seconds() / 60


def test_introduction_and_practice_come_before_the_start(
    client: FlaskClient, services: Services
) -> None:
    public_id = place(services, introduction=INTRODUCTION, practice=PRACTICE, closing=CLOSING)
    landing = f"/c/o/{public_id}"
    assert start(client, services, public_id) == f"{landing}/introduction"
    page = client.get(f"{landing}/introduction").text
    assert "Welcome to <strong>Groove</strong>." in page
    following = submit_form(client, page, f"{landing}/interview", seen="introduction")
    assert following.location == f"{landing}/practice"
    assert read(services, public_id)[0] == "opened"
    response = client.get(f"{landing}/practice")
    assert "What is your name?" in response.text
    assert "camera=(self)" in response.headers["Permissions-Policy"]
    assert "upload" not in response.text  # the page knows no address to send a recording to
    first = submit_form(client, response.text, f"{landing}/interview", seen="practice")
    assert first.location == f"{landing}/questions/1"
    assert read(services, public_id)[0] == "started"
    assert client.get(f"{landing}/practice").location == f"{landing}/"
    assert client.get(f"{landing}/introduction").location == f"{landing}/"
    answer_all(client, public_id)
    client.post(f"{landing}/send", data={"csrf_token": token(client, public_id)})
    assert "We answer <em>soon</em>." in client.get(f"{landing}/").text


def test_practice_question_is_nowhere_in_the_result(
    client: FlaskClient, services: Services
) -> None:
    public_id = place(services, practice=PRACTICE)
    start(client, services, public_id, seen="practice")
    answer_all(client, public_id)
    with services.db.writing() as session:
        order = Interview.find(session, public_id)
        order.submit(session, services.now())
        for question in order.unrated_questions():
            order.rate(question.key, 3, "", "rita@provider.test", services.now())
        order.conclude(session, services.secret_box, "", "rita@provider.test", services.now())
        evidence = order.evidence(services.secret_box)
        assert len(evidence.video_answers) == len(evidence.bars) == 3
        assert "name" not in str(evidence)
        assert order.result
        assert "name" not in str(order.result.details)


@pytest.mark.parametrize("name", ["introduction", "practice"])
def test_page_that_the_template_has_not_leads_to_the_landing_page(
    client: FlaskClient, services: Services, name: str
) -> None:
    public_id = place(services)
    open_invitation(client, services, public_id)
    assert client.get(f"/c/o/{public_id}/{name}").location == f"/c/o/{public_id}/"


def test_order_can_leave_the_practice_out(client: FlaskClient, services: Services) -> None:
    public_id = place(
        services, {"practice": False, "time_limit": 45}, practice=PRACTICE,
        preferences=["practice", "time_limit"],
    )  # fmt: skip
    page = open_invitation(client, services, public_id).text
    assert "At most 45 minutes after the start" in page
    assert start(client, services, public_id) == f"/c/o/{public_id}/questions/1"


def test_time_limit_ends_the_interview_and_extra_time_extends_it(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    public_id = place(services, time_limit=30, may_be_paused=False)
    with services.db.writing() as session:
        Interview.find(session, public_id).extra_time_seconds = 15 * 60
    start(client, services, public_id)
    assert read(services, public_id) == ("started", 45)
    page = client.get(f"/c/o/{public_id}/questions/1").text
    assert "data-time-left" in page
    assert "Pause the time" not in client.get(f"/c/o/{public_id}/answers").text
    form = {"csrf_token": token(client, public_id)}
    assert client.post(f"/c/o/{public_id}/interview-pause", data=form).status_code == 409
    clock.advance(timedelta(minutes=44))
    assert client.get(f"/c/o/{public_id}/questions/1").status_code == 200
    clock.advance(timedelta(minutes=2))
    assert client.get(f"/c/o/{public_id}/questions/1").status_code == 303


def test_pause_stops_the_time_until_the_candidate_goes_on(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    public_id = place(services, time_limit=30)
    landing = f"/c/o/{public_id}"
    start(client, services, public_id)
    clock.advance(timedelta(minutes=10))
    overview = client.get(f"{landing}/answers").text
    assert "Pause the time" in overview
    assert submit_form(client, overview, f"{landing}/interview-pause").location == f"{landing}/"
    clock.advance(timedelta(days=2))
    paused = client.get(f"{landing}/").text
    assert "The time is paused" in paused
    assert "20 min" in paused
    assert client.get(f"{landing}/questions/1").location == f"{landing}/"
    refused = client.post(
        f"{landing}/questions/1/answer",
        data={"csrf_token": token(client, public_id), "answer": "Two words"},
    )
    assert (refused.status_code, "press “Go on” first" in refused.text) == (409, True)
    going_on = submit_form(client, paused, f"{landing}/interview-go-on")
    assert going_on.location == f"{landing}/questions/1"
    assert read(services, public_id) == ("started", 20)
    assert event_types(services, public_id)[-2:] == ["paused", "went on"]


def test_pause_ends_by_itself_at_the_deadline_of_the_invitation(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    public_id = place(services, time_limit=30)
    start(client, services, public_id)
    form = {"csrf_token": token(client, public_id)}
    client.post(f"/c/o/{public_id}/interview-pause", data=form)
    with services.db.reading() as session:
        order = Interview.find(session, public_id)
        deadline = order.expires_at
        assert order.pause_ends_at == deadline
    clock.advance(deadline + timedelta(minutes=10) - clock.now())
    assert "Welcome back" in client.get(f"/c/o/{public_id}/").text
    assert read(services, public_id) == ("started", 20)


def test_interview_without_a_time_limit_has_no_pause(
    client: FlaskClient, services: Services
) -> None:
    public_id = place(services)
    start(client, services, public_id)
    assert "Pause the time" not in client.get(f"/c/o/{public_id}/answers").text
    form = {"csrf_token": token(client, public_id)}
    assert client.post(f"/c/o/{public_id}/interview-pause", data=form).status_code == 409


def test_unlimited_time_to_think_is_never_over(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    questions = [{"key": "why", "text": "Why?", "think_seconds": None}]
    public_id = place(services, questions=questions)
    open_invitation(client, services, public_id)
    page = client.get(f"/c/o/{public_id}/camera").text
    submit_form(client, page, f"/c/o/{public_id}/interview")
    url, form = f"/c/o/{public_id}/questions/1", {"csrf_token": token(client, public_id)}
    for _ in range(2):
        shown = client.post(f"{url}/show", data=form).json
        assert shown == {"question": "<p>Why?</p>\n", "think_seconds_left": None}
        clock.advance(timedelta(hours=3))
