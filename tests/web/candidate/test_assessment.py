"""Taking a test, by plain forms and by what a script asks."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.kinds.assessment import Assessment
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.web.candidate.test_pages import enter, press, story

ALL_KINDS: list[dict[str, Any]] = [
    {
        "key": "every",
        "title": "Every kind",
        "instructions": "Read *this* first.",
        "items": [
            {
                "key": "one",
                "kind": "single_choice",
                "prompt": "One?",
                "options": [
                    {"key": key, "text": f"Option {key}", "correct": key == "a"} for key in "abcdef"
                ],
            },
            {
                "key": "many",
                "kind": "multiple_choice",
                "prompt": "Many?",
                "options": [
                    {"key": "x", "text": "Left", "correct": True},
                    {"key": "y", "text": "Right", "correct": True},
                    {"key": "z", "text": "Middle"},
                ],
            },
            {"key": "number", "kind": "numeric", "prompt": "How much?", "answer": 4, "unit": "€"},
            {"key": "word", "kind": "short_text", "prompt": "Say it.", "accepted": ["yes"]},
            {"key": "fact", "kind": "true_false", "prompt": "It is so.", "answer": True},
            {
                "key": "feel",
                "kind": "likert",
                "prompt": "I like tests.",
                "labels": ["Not at all", "A little", "Quite", "Very much"],
            },
        ],
    }
]


@pytest.fixture
def invited(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services))


@pytest.fixture
def every(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    test = factories.create_test(
        services, "Everything", "everything", sections=ALL_KINDS, shuffle=True
    )
    return factories.place_order(services, account_id, test)


def begin(client: FlaskClient, services: Services, public_id: str) -> str:
    """Start the test and return the first question's page."""
    landing = enter(client, services, public_id).text
    answer = press(client, landing, f"/c/o/{public_id}/start")
    assert answer.headers["Location"] == f"/c/o/{public_id}/items/1"
    return client.get(answer.headers["Location"]).text


def reply(
    client: FlaskClient, public_id: str, number: int, answer: Any, go: str = "next", **more: Any
) -> TestResponse:
    """Answer a question as its form does."""
    path = f"/c/o/{public_id}/items/{number}"
    token = factories.csrf_token(client.get(path).text)
    data = {"csrf_token": token, "answer": answer, "go": go, **more}
    return client.post(path, data=data)


def script(client: FlaskClient, page: str, path: str, **data: Any) -> TestResponse:
    """Ask as the page's script does."""
    headers = {"Accept": "application/json", "X-CSRFToken": factories.csrf_token(page)}
    return client.post(path, data=data, headers=headers)


def given(services: Services, public_id: str) -> dict[str, Any]:
    with services.db.reading() as session:
        return Assessment.find(session, public_id).saved_answers


def score(services: Services, public_id: str) -> float | None:
    with services.db.reading() as session:
        result = Assessment.find(session, public_id).result
        assert result
        return result.score


def test_the_whole_test_by_plain_forms(
    client: FlaskClient, services: Services, invited: str
) -> None:
    begin(client, services, invited)
    for number, answer in enumerate(["b", "3,5", "Late", "true"], 1):
        onward = reply(client, invited, number, answer)
        assert onward.status_code == 303
    assert onward.headers["Location"] == f"/c/o/{invited}/overview"
    overview = client.get(onward.headers["Location"]).text
    assert "You have answered all 4 questions." in overview
    end = press(client, overview, f"/c/o/{invited}/submit")
    assert end.headers["Location"] == f"/c/o/{invited}/"
    thanks = client.get(end.headers["Location"]).text
    assert "Thank you, Lakita" in thanks
    assert "Your answers have been handed in." in thanks
    assert "100" not in thanks, "the result is the recruiter's to tell"
    assert factories.order_status(services, invited) == "completed"
    assert score(services, invited) == 100
    assert story(services, invited) == ["placed", "opened", "started", "submitted", "completed"]


def test_the_pressed_button_leads_the_way(
    client: FlaskClient, services: Services, invited: str
) -> None:
    begin(client, services, invited)
    ways = {"next": "items/3", "previous": "items/1", "overview": "overview", "": "items/3"}
    for go, where in ways.items():
        answer = reply(client, invited, 2, "1", go)
        assert answer.headers["Location"] == f"/c/o/{invited}/{where}"
    assert reply(client, invited, 1, "b", "previous").headers["Location"].endswith("/overview")


def test_the_first_question_of_a_part_introduces_it(
    client: FlaskClient, services: Services, every: str
) -> None:
    page = begin(client, services, every)
    assert "Read <em>this</em> first." in page
    assert "Question 1" in page


@pytest.mark.parametrize(
    ("number", "value", "checked"),
    [
        (1, "c", 'value="c" checked'),
        (2, ["x", "z"], 'value="z" checked'),
        (3, "1,234.5", 'value="1234.5"'),
        (4, 'a "word" <b>', 'value="a &#34;word&#34; &lt;b&gt;"'),
        (5, "false", 'value="false" checked'),
        (6, "3", 'value="3" checked'),
    ],
)
def test_every_kind_of_question_shows_its_saved_answer(
    client: FlaskClient, services: Services, every: str, number: int, value: Any, checked: str
) -> None:
    begin(client, services, every)
    assert reply(client, every, number, value).status_code == 303
    assert checked in client.get(f"/c/o/{every}/items/{number}").text


def test_options_stay_where_they_are_for_one_order(
    client: FlaskClient, services: Services, every: str
) -> None:
    def arranged(page: str) -> list[str]:
        return sorted("abcdef", key=lambda key: page.index(f"Option {key}"))

    page = begin(client, services, every)
    assert arranged(page) == arranged(client.get(f"/c/o/{every}/items/1").text)


@pytest.mark.parametrize("value", ["x" * 400_000, "nonsense", ["a", "b"], ["a"] * 900, "\x00"])
def test_no_value_of_a_form_breaks_a_page(
    client: FlaskClient, services: Services, every: str, value: Any
) -> None:
    begin(client, services, every)
    for number in range(1, 7):
        answer = reply(client, every, number, value)
        assert answer.status_code in (303, 400)
        assert len(answer.data) < 200_000


def test_a_form_beyond_measure_is_refused(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = begin(client, services, invited)
    path = f"/c/o/{invited}/items/2"
    data = {"csrf_token": factories.csrf_token(page), "answer": "9" * 2_000_000}
    assert client.post(path, data=data).status_code == 413
    assert given(services, invited) == {}


def test_an_answer_can_be_taken_back(client: FlaskClient, services: Services, invited: str) -> None:
    begin(client, services, invited)
    reply(client, invited, 2, "3.5")
    reply(client, invited, 2, "", shown="3.5")
    assert given(services, invited) == {}
    reply(client, invited, 2, "4", shown="")
    assert given(services, invited) == {"half": "4"}


def test_a_page_left_blank_does_not_take_away_what_another_device_saved(
    app: Flask, client: FlaskClient, services: Services, invited: str
) -> None:
    stale = begin(client, services, invited)
    phone = app.test_client()
    enter(phone, services, invited)
    reply(phone, invited, 1, "b")
    press(client, stale, f"/c/o/{invited}/items/1", shown="", go="next")
    assert given(services, invited) == {"sum": "b"}


def test_another_device_sees_what_was_saved(
    app: Flask, client: FlaskClient, services: Services, invited: str
) -> None:
    begin(client, services, invited)
    reply(client, invited, 1, "b")
    phone = app.test_client()
    landing = enter(phone, services, invited).text
    assert "Welcome back, Lakita" in landing
    assert "1 of 4" in landing
    assert f'href="/c/o/{invited}/items/2"' in landing
    assert 'value="b" checked' in phone.get(f"/c/o/{invited}/items/1").text


def test_a_script_is_told_that_the_answer_is_saved(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = begin(client, services, invited)
    clock.advance(timedelta(minutes=5))
    path = f"/c/o/{invited}/items/1"
    answer = script(client, page, path, answer="b", go="next")
    assert answer.get_json() == {"next": f"/c/o/{invited}/items/2", "seconds_left": 900}
    assert given(services, invited) == {"sum": "b"}


def test_a_script_is_told_what_is_wrong(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = begin(client, services, invited)
    path = f"/c/o/{invited}/items/2"
    wrong = script(client, page, path, answer="abc")
    assert wrong.status_code == 400
    assert "Write a number only" in wrong.get_json()["error"]
    lost = script(client, page, f"/c/o/{invited}/items/99", answer="b")
    assert lost.status_code == 404
    assert lost.get_json()["error"]
    client.delete_cookie(f"c-{invited}")
    locked = script(client, page, path, answer="3.5")
    assert locked.status_code == 403
    assert locked.get_json()["error"] == "Please use the link in your e-mail"


def test_a_stale_form_keeps_what_was_typed(
    client: FlaskClient, services: Services, invited: str
) -> None:
    begin(client, services, invited)
    client.delete_cookie("form")
    path = f"/c/o/{invited}/items/2"
    answer = client.post(path, data={"answer": "3.5", "csrf_token": "old"})
    assert answer.status_code == 400
    assert "Please press the button again" in answer.text
    assert 'value="3.5"' in answer.text
    assert given(services, invited) == {}
    again = press(client, answer.text, path, answer="3.5", shown="")
    assert again.status_code == 303
    assert given(services, invited) == {"half": "3.5"}
    stale = client.post(path, data={"answer": "1"}, headers={"Accept": "application/json"})
    assert (stale.status_code, stale.get_json()) == (400, {"reload": True})


def test_an_answer_without_a_session_is_refused(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = begin(client, services, invited)
    client.delete_cookie(f"c-{invited}")
    path = f"/c/o/{invited}/items/1"
    assert press(client, page, path, answer="b").status_code == 403
    assert client.post(path, data={"answer": "b"}).status_code == 403
    assert given(services, invited) == {}


@pytest.mark.parametrize("number", ["0", "5", "9" * 40, "-1", "x"])
def test_a_question_that_does_not_exist_is_a_404(
    client: FlaskClient, services: Services, invited: str, number: str
) -> None:
    page = begin(client, services, invited)
    path = f"/c/o/{invited}/items/{number}"
    assert client.get(path).status_code == 404
    assert press(client, page, path, answer="b").status_code == 404


def test_before_the_start_there_are_no_questions(
    client: FlaskClient, services: Services, invited: str
) -> None:
    landing = enter(client, services, invited).text
    for page in ("items/1", "overview"):
        answer = client.get(f"/c/o/{invited}/{page}")
        assert answer.headers["Location"] == f"/c/o/{invited}/"
    for action in ("items/1", "submit"):
        answer = press(client, landing, f"/c/o/{invited}/{action}", answer="b")
        assert answer.status_code == 409
        assert "Start the test" in answer.text
    assert factories.order_status(services, invited) == "pending"


def test_starting_twice_does_not_give_more_time(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    landing = enter(client, services, invited).text
    press(client, landing, f"/c/o/{invited}/start")
    clock.advance(timedelta(minutes=5))
    answer = press(client, landing, f"/c/o/{invited}/start")
    assert answer.headers["Location"] == f"/c/o/{invited}/items/1"
    assert client.get(f"/c/o/{invited}/time").get_json() == {"seconds_left": 900}
    assert story(services, invited).count("started") == 1


def test_an_attempt_may_outlast_the_invitation(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    landing = enter(client, services, invited).text
    clock.advance(timedelta(days=7, minutes=-1))
    press(client, landing, f"/c/o/{invited}/start")
    clock.advance(timedelta(minutes=15))
    assert reply(client, invited, 1, "b").status_code == 303


def test_blank_questions_are_named_before_handing_in(
    client: FlaskClient, services: Services, invited: str
) -> None:
    begin(client, services, invited)
    reply(client, invited, 1, "b")
    overview = client.get(f"/c/o/{invited}/overview").text
    assert "You have answered 1 of 4 questions." in overview
    answer = press(client, overview, f"/c/o/{invited}/submit")
    asked = client.get(answer.headers["Location"])
    assert "3 questions have no answer yet." in asked.text
    assert "Go to question 2" in asked.text
    assert factories.order_status(services, invited) == "pending"
    done = press(client, asked.text, f"/c/o/{invited}/submit", blank="3")
    assert done.status_code == 303
    assert score(services, invited) == 25


def test_more_blanks_than_were_confirmed_are_asked_about_again(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = begin(client, services, invited)
    for blank in ("3", "", "many", "-4", "9" * 5000):
        press(client, page, f"/c/o/{invited}/submit", blank=blank)
        assert factories.order_status(services, invited) == "pending"


def test_a_required_question_has_to_be_answered(client: FlaskClient, services: Services) -> None:
    needed = factories.TEST_CONTENT["sections"][0]["items"][0] | {"required": True}
    sections = [{"key": "s", "title": "S", "items": [needed]}]
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(
        services, account_id, factories.create_test(services, sections=sections)
    )
    page = begin(client, services, public_id)
    answer = press(client, page, f"/c/o/{public_id}/submit", blank="1")
    assert "Before you can hand in" in client.get(answer.headers["Location"]).text
    assert factories.order_status(services, public_id) == "pending"
    reply(client, public_id, 1, "b")
    assert press(client, page, f"/c/o/{public_id}/submit").status_code == 303
    assert factories.order_status(services, public_id) == "completed"


def test_handing_in_twice_changes_nothing(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = begin(client, services, invited)
    for _ in range(2):
        answer = press(client, page, f"/c/o/{invited}/submit", blank="4")
        assert answer.headers["Location"] == f"/c/o/{invited}/"
    assert story(services, invited).count("submitted") == 1


def test_handing_in_from_many_tabs_at_once_completes_once(
    app: Flask, client: FlaskClient, services: Services, invited: str
) -> None:
    page = begin(client, services, invited)
    cookies = [client.get_cookie(name) for name in ("form", f"c-{invited}")]

    def hand_in(_: int) -> int:
        tab = app.test_client()
        for cookie in cookies:
            assert cookie
            tab.set_cookie(cookie.key, cookie.value)
        return press(tab, page, f"/c/o/{invited}/submit", blank="4").status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(hand_in, range(16))) == {303}
    assert story(services, invited).count("completed") == 1


def test_the_back_button_after_handing_in_leads_to_the_end(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = begin(client, services, invited)
    press(client, page, f"/c/o/{invited}/submit", blank="4")
    for path in ("items/1", "overview"):
        answer = client.get(f"/c/o/{invited}/{path}", follow_redirects=True)
        assert "Thank you, Lakita" in answer.text
    late = press(client, page, f"/c/o/{invited}/items/1", answer="b")
    assert late.status_code == 409
    assert "Thank you, Lakita" in late.text
    assert press(client, page, f"/c/o/{invited}/start").status_code == 409
    assert given(services, invited) == {}


def test_an_answer_after_the_deadline_is_refused_and_what_was_saved_counts(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = begin(client, services, invited)
    reply(client, invited, 1, "b")
    clock.advance(timedelta(minutes=20))
    late = press(client, page, f"/c/o/{invited}/items/2", answer="3.5")
    assert late.status_code == 409
    assert "The time is over. What you had saved was handed in for you, and it counts." in late.text
    assert given(services, invited) == {"sum": "b"}
    assert factories.order_status(services, invited) == "completed"
    assert score(services, invited) == 25
    told = script(client, page, f"/c/o/{invited}/items/2", answer="3.5")
    assert told.status_code == 409
    assert told.get_json()["next"] == f"/c/o/{invited}/"
    with services.db.reading() as session:
        order = Assessment.find(session, invited)
        assert [event.actor for event in order.events][-2:] == ["system", "system"]
        assert order.result
        assert order.result.duration == 1200


@pytest.mark.parametrize("path", ["", "items/1", "overview", "submit", "time", "decline"])
def test_any_look_after_the_deadline_closes_the_attempt(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str, path: str
) -> None:
    begin(client, services, invited)
    clock.advance(timedelta(minutes=20))
    client.get(f"/c/o/{invited}/{path}")
    assert factories.order_status(services, invited) == "completed"
    assert "The time is over" in client.get(f"/c/o/{invited}/").text


def test_handing_in_after_the_deadline_says_that_time_was_over(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = begin(client, services, invited)
    clock.advance(timedelta(minutes=21))
    end = press(client, page, f"/c/o/{invited}/submit", blank="4")
    assert "The time is over" in client.get(end.headers["Location"]).text


def test_a_candidate_may_stop_and_decline(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = begin(client, services, invited)
    assert "will not be handed in" in client.get(f"/c/o/{invited}/decline").text
    press(client, page, f"/c/o/{invited}/decline")
    assert factories.order_status(services, invited) == "declined"
    assert press(client, page, f"/c/o/{invited}/items/1", answer="b").status_code == 409


def test_a_test_without_a_limit_shows_no_countdown(client: FlaskClient, services: Services) -> None:
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(
        services, account_id, factories.create_test(services, time_limit=None)
    )
    page = begin(client, services, public_id)
    assert "No time limit" in page
    assert "data-time-left" not in page
