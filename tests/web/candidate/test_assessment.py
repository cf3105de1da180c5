"""The pages of a test, by plain forms and by the requests of scripts."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.formats import format_datetime
from provider.core.kinds.assessment import Assessment
from provider.core.orders import REPORT, staff_acts
from provider.core.orders.given_time import ARRIVAL_GRACE, to_milliseconds
from provider.core.report import build_report
from provider.services import Services
from provider.web.request_time import RECEIVE_SECONDS_KEY
from tests import factories
from tests.factories import ManualClock
from tests.web.candidate.test_pages import event_types, open_invitation, submit_form

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
def every_item(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    test = factories.create_test(
        services, "Everything", "everything", sections=ALL_KINDS, shuffle=True
    )
    return factories.place_order(services, account_id, test)


def start_test(client: FlaskClient, services: Services, public_id: str) -> str:
    """Start the test and return the first question's page."""
    landing = open_invitation(client, services, public_id).text
    response = submit_form(client, landing, f"/c/o/{public_id}/start")
    assert response.headers["Location"] == f"/c/o/{public_id}/items/1"
    return client.get(response.headers["Location"]).text


def post_answer(
    client: FlaskClient, public_id: str, number: int, answer: Any, go: str = "next", **fields: Any
) -> TestResponse:
    """Post the form of one question."""
    path = f"/c/o/{public_id}/items/{number}"
    token = factories.csrf_token(client.get(path).text)
    data = {"csrf_token": token, "answer": answer, "go": go, **fields}
    return client.post(path, data=data)


def post_as_script(client: FlaskClient, page: str, path: str, **data: Any) -> TestResponse:
    """Post as the JavaScript of a page does."""
    headers = {"Accept": "application/json", "X-CSRFToken": factories.csrf_token(page)}
    return client.post(path, data=data, headers=headers)


def saved_answers(services: Services, public_id: str) -> dict[str, Any]:
    with services.db.reading() as session:
        return Assessment.find(session, public_id).saved_answers


def score(services: Services, public_id: str) -> float | None:
    with services.db.reading() as session:
        result = Assessment.find(session, public_id).result
        assert result
        return result.score


def test_assessment_plain_forms_complete_the_test(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    for number, answer in enumerate(["b", "3,5", "Late", "true"], 1):
        response = post_answer(client, invited, number, answer)
        assert response.status_code == 303
    assert response.headers["Location"] == f"/c/o/{invited}/overview"
    overview = client.get(response.headers["Location"]).text
    assert "You have answered all 4 questions." in overview
    end = submit_form(client, overview, f"/c/o/{invited}/submit")
    assert end.headers["Location"] == f"/c/o/{invited}/"
    thanks = client.get(end.headers["Location"]).text
    assert "Thank you, Lakita" in thanks
    assert "Your answers have been submitted." in thanks
    assert "100" not in thanks, "the recruiter tells the candidate the result"
    assert factories.order_status(services, invited) == "completed"
    assert score(services, invited) == 100
    assert event_types(services, invited) == [
        "placed",
        "opened",
        "started",
        "submitted",
        "completed",
    ]


def test_save_answer_pressed_button_selects_next_page(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    pages = {"next": "items/3", "previous": "items/1", "overview": "overview", "": "items/3"}
    for go, target in pages.items():
        response = post_answer(client, invited, 2, "1", go)
        assert response.headers["Location"] == f"/c/o/{invited}/{target}"
    assert (
        post_answer(client, invited, 1, "b", "previous").headers["Location"].endswith("/overview")
    )


def test_item_first_of_section_shows_instructions(
    client: FlaskClient, services: Services, every_item: str
) -> None:
    page = start_test(client, services, every_item)
    assert "Read <em>this</em> first." in page
    assert "Question 1" in page


@pytest.mark.parametrize(
    ("number", "value", "checked"),
    [
        (1, "c", 'value="c" checked'),
        (2, ["x", "z"], 'value="z" checked'),
        (3, "1,234.5", 'value="1,234.5"'),
        (4, 'a "word" <b>', 'value="a &#34;word&#34; &lt;b&gt;"'),
        (5, "false", 'value="false" checked'),
        (6, "3", 'value="3" checked'),
    ],
)
def test_item_of_every_kind_shows_saved_answer(
    client: FlaskClient, services: Services, every_item: str, number: int, value: Any, checked: str
) -> None:
    start_test(client, services, every_item)
    assert post_answer(client, every_item, number, value).status_code == 303
    assert checked in client.get(f"/c/o/{every_item}/items/{number}").text


def test_item_shuffled_options_keep_their_order(
    client: FlaskClient, services: Services, every_item: str
) -> None:
    def option_order(page: str) -> list[str]:
        return sorted("abcdef", key=lambda key: page.index(f"Option {key}"))

    page = start_test(client, services, every_item)
    assert option_order(page) == option_order(client.get(f"/c/o/{every_item}/items/1").text)


@pytest.mark.parametrize("value", ["x" * 400_000, "nonsense", ["a", "b"], ["a"] * 900, "\x00"])
def test_save_answer_any_form_value_renders_a_page(
    client: FlaskClient, services: Services, every_item: str, value: Any
) -> None:
    start_test(client, services, every_item)
    for number in range(1, 7):
        response = post_answer(client, every_item, number, value)
        assert response.status_code in (303, 400)
        assert len(response.data) < 200_000


def test_save_answer_oversized_form_returns_413(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = start_test(client, services, invited)
    path = f"/c/o/{invited}/items/2"
    data = {"csrf_token": factories.csrf_token(page), "answer": "9" * 3_000_000}
    assert client.post(path, data=data).status_code == 413
    assert saved_answers(services, invited) == {}


def test_save_answer_blank_value_deletes_answer(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    post_answer(client, invited, 2, "3.5")
    post_answer(client, invited, 2, "", shown="3.5")
    assert saved_answers(services, invited) == {}
    post_answer(client, invited, 2, "4", shown="")
    assert saved_answers(services, invited) == {"half": "4"}


def test_save_answer_unchanged_blank_page_keeps_other_devices_answer(
    app: Flask, client: FlaskClient, services: Services, invited: str
) -> None:
    stale = start_test(client, services, invited)
    phone = app.test_client()
    open_invitation(phone, services, invited)
    post_answer(phone, invited, 1, "b")
    submit_form(client, stale, f"/c/o/{invited}/items/1", shown="", go="next")
    assert saved_answers(services, invited) == {"sum": "b"}


def test_landing_on_another_device_shows_saved_answers(
    app: Flask, client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    post_answer(client, invited, 1, "b")
    phone = app.test_client()
    landing = open_invitation(phone, services, invited).text
    assert "Welcome back, Lakita" in landing
    assert "1 of 4" in landing
    assert f'href="/c/o/{invited}/now"' in landing
    assert phone.get(f"/c/o/{invited}/now").headers["Location"] == f"/c/o/{invited}/items/2"
    assert 'value="b" checked' in phone.get(f"/c/o/{invited}/items/1").text


def test_save_answer_from_script_returns_next_and_seconds_left(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = start_test(client, services, invited)
    clock.advance(timedelta(minutes=5))
    path = f"/c/o/{invited}/items/1"
    response = post_as_script(client, page, path, answer="b", go="next")
    assert response.get_json() == {
        "next": f"/c/o/{invited}/items/2",
        "seconds_left": 900,
        "now": to_milliseconds(clock.now()),
        "device": "",
    }
    assert saved_answers(services, invited) == {"sum": "b"}


def test_number_with_two_readings_is_shown_before_going_on(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    path = f"/c/o/{invited}/items/2"
    response = post_answer(client, invited, 2, "1,234", shown="")
    assert response.headers["Location"] == path
    page = client.get(path).text
    assert "Read as 1234. If you mean 1.234, write 1.234." in page
    assert 'value="1,234"' in page
    assert saved_answers(services, invited) == {"half": "1234"}
    assert 'name="readings" value="1234 1.234"' in page
    going_on = submit_form(client, page, path, answer="1,234", shown="1,234", go="next")
    assert going_on.headers["Location"] == f"/c/o/{invited}/items/3"
    # The candidate has seen both readings, so the other one needs no second look.
    seen = {"shown": "1,234", "readings": "1234 1.234"}
    other = submit_form(client, page, path, answer="1.234", go="next", **seen)
    assert other.headers["Location"] == f"/c/o/{invited}/items/3"
    assert saved_answers(services, invited) == {"half": "1.234"}


def test_number_with_two_readings_is_told_to_the_script(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = start_test(client, services, invited)
    path = f"/c/o/{invited}/items/2"
    reply = post_as_script(client, page, path, answer="1,234", go="next").get_json()
    assert reply["reading"] == "Read as 1234. If you mean 1.234, write 1.234."
    assert (reply["readings"], reply["stay"]) == ("1234 1.234", True)
    data = {"answer": "1,234", "go": "next", "readings": reply["readings"]}
    assert post_as_script(client, page, path, **data).get_json()["stay"] is False


def test_unreadable_number_is_kept_and_shown_to_staff(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = start_test(client, services, invited)
    path = f"/c/o/{invited}/items/2"
    reply = post_as_script(client, page, path, answer="about 3")
    assert (reply.status_code, reply.get_json()["kept"]) == (400, True)
    assert saved_answers(services, invited) == {}
    again = client.get(path).text
    assert 'value="about 3"' in again
    assert "Write the number alone" in again
    assert "Please check it" in client.get(f"/c/o/{invited}/overview").text
    post_answer(client, invited, 2, "3.5", shown="about 3")
    assert (
        "Until then, your earlier answer counts: 3.5"
        in post_answer(client, invited, 2, "3.5 hours", shown="3.5").text
    )
    clock.advance(timedelta(hours=1))
    client.get(path)
    with services.db.reading() as session:
        order = Assessment.find(session, invited)
        assert order.saved_answers == {"half": "3.5"}
        items = order.evidence(services.secret_box).items
    assert items[1].answer == "3.5; “3.5 hours” (not read as an answer)"


def test_submit_keeps_the_points_of_each_answer(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    post_answer(client, invited, 2, "3.5")
    page = client.get(f"/c/o/{invited}/overview").text
    submit_form(client, page, f"/c/o/{invited}/submit", blank="3")
    with services.db.writing() as session:
        order = Assessment.find(session, invited)
        assert order.evidence(services.secret_box).items[1].points == "1 of 1"
        assert order.result
        assert order.result.figures["points"]["half"] == "1"
        changed = {"half": "0"}
        order.result.figures = order.result.figures | {"points": changed}
        assert order.evidence(services.secret_box).items[1].points == "0 of 1"


def test_number_keyboard_depends_on_the_minimum_alone(
    client: FlaskClient, services: Services
) -> None:
    account_id, _ = factories.create_account(services)
    numbers = [{"answer": -4}, {"answer": 4}, {"answer": 4, "minimum": 0}]
    items = [
        {"key": f"n{index}", "kind": "numeric", "prompt": "?"} | number
        for index, number in enumerate(numbers)
    ]
    sections = [{"key": "numbers", "title": "Numbers", "items": items}]
    test = factories.create_test(services, "Numbers", "numbers", sections=sections)
    public_id = factories.place_order(services, account_id, test)
    start_test(client, services, public_id)
    pages = [client.get(f"/c/o/{public_id}/items/{number}").text for number in (1, 2, 3)]
    assert ['inputmode="text"' in page for page in pages] == [True, True, False]


def test_plain_prompt_is_shown_as_it_was_written(client: FlaskClient, services: Services) -> None:
    account_id, _ = factories.create_account(services)
    item = {"key": "n", "kind": "numeric", "prompt": "2*3*4 <b>\n- 5", "answer": 4, "plain": True}
    sections = [{"key": "numbers", "title": "Numbers", "items": [item]}]
    test = factories.create_test(services, "Numbers", "numbers", sections=sections)
    public_id = factories.place_order(services, account_id, test)
    assert "2*3*4 &lt;b&gt;\n- 5</p>" in start_test(client, services, public_id)
    assert "2*3*4 &lt;b&gt;" in client.get(f"/c/o/{public_id}/overview").text


def test_save_answer_from_script_returns_error_as_json(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = start_test(client, services, invited)
    path = f"/c/o/{invited}/items/2"
    invalid = post_as_script(client, page, path, answer="abc")
    assert invalid.status_code == 400
    assert "Write a number only" in invalid.get_json()["error"]
    unknown = post_as_script(client, page, f"/c/o/{invited}/items/99", answer="b")
    assert unknown.status_code == 404
    assert unknown.get_json()["error"]
    client.delete_cookie(f"c-{invited}")
    signed_out = post_as_script(client, page, path, answer="3.5")
    assert signed_out.status_code == 403
    assert signed_out.get_json()["error"] == "Please use the link in your e-mail"


def test_save_answer_expired_form_keeps_typed_value(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    client.delete_cookie("form")
    path = f"/c/o/{invited}/items/2"
    response = client.post(path, data={"answer": "3.5", "csrf_token": "old"})
    assert response.status_code == 400
    assert "Please press the button again" in response.text
    assert 'value="3.5"' in response.text
    assert saved_answers(services, invited) == {}
    again = submit_form(client, response.text, path, answer="3.5", shown="")
    assert again.status_code == 303
    assert saved_answers(services, invited) == {"half": "3.5"}
    stale = client.post(path, data={"answer": "1"}, headers={"Accept": "application/json"})
    assert (stale.status_code, stale.get_json()) == (400, {"reload": True})


def test_save_answer_without_session_returns_403(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = start_test(client, services, invited)
    client.delete_cookie(f"c-{invited}")
    path = f"/c/o/{invited}/items/1"
    assert submit_form(client, page, path, answer="b").status_code == 403
    assert client.post(path, data={"answer": "b"}).status_code == 403
    assert saved_answers(services, invited) == {}


@pytest.mark.parametrize("number", ["0", "5", "9" * 40, "-1", "x"])
def test_item_unknown_number_returns_404(
    client: FlaskClient, services: Services, invited: str, number: str
) -> None:
    page = start_test(client, services, invited)
    path = f"/c/o/{invited}/items/{number}"
    assert client.get(path).status_code == 404
    assert submit_form(client, page, path, answer="b").status_code == 404


def test_item_before_start_redirects_or_conflicts(
    client: FlaskClient, services: Services, invited: str
) -> None:
    landing = open_invitation(client, services, invited).text
    for page in ("items/1", "overview"):
        response = client.get(f"/c/o/{invited}/{page}")
        assert response.headers["Location"] == f"/c/o/{invited}/"
    for action in ("items/1", "submit"):
        response = submit_form(client, landing, f"/c/o/{invited}/{action}", answer="b")
        assert response.status_code == 409
        assert "Start the test" in response.text
    assert factories.order_status(services, invited) == "pending"


def test_start_twice_keeps_the_deadline(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    landing = open_invitation(client, services, invited).text
    submit_form(client, landing, f"/c/o/{invited}/start")
    clock.advance(timedelta(minutes=5))
    response = submit_form(client, landing, f"/c/o/{invited}/start")
    assert response.headers["Location"] == f"/c/o/{invited}/items/1"
    assert client.get(f"/c/o/{invited}/time").get_json() == {
        "seconds_left": 900,
        "now": to_milliseconds(clock.now()),
        "device": "",
    }
    assert event_types(services, invited).count("started") == 1


def test_save_answer_attempt_may_outlast_invitation(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    landing = open_invitation(client, services, invited).text
    clock.advance(timedelta(days=7, minutes=-1))
    submit_form(client, landing, f"/c/o/{invited}/start")
    clock.advance(timedelta(minutes=15))
    assert post_answer(client, invited, 1, "b").status_code == 303


def test_submit_with_blanks_asks_for_confirmation(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    post_answer(client, invited, 1, "b")
    overview = client.get(f"/c/o/{invited}/overview").text
    assert "You have answered 1 of 4 questions." in overview
    response = submit_form(client, overview, f"/c/o/{invited}/submit")
    confirmation = client.get(response.headers["Location"])
    assert "3 questions have no answer yet." in confirmation.text
    assert "Go to question 2" in confirmation.text
    assert factories.order_status(services, invited) == "pending"
    done = submit_form(client, confirmation.text, f"/c/o/{invited}/submit", blank="3")
    assert done.status_code == 303
    assert score(services, invited) == 25


def test_submit_more_blanks_than_confirmed_asks_again(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = start_test(client, services, invited)
    for blank in ("3", "", "many", "-4", "9" * 5000):
        submit_form(client, page, f"/c/o/{invited}/submit", blank=blank)
        assert factories.order_status(services, invited) == "pending"


def test_submit_without_required_answer_is_refused(client: FlaskClient, services: Services) -> None:
    required = factories.TEST_CONTENT["sections"][0]["items"][0] | {"required": True}
    sections = [{"key": "s", "title": "S", "items": [required]}]
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(
        services, account_id, factories.create_test(services, sections=sections)
    )
    page = start_test(client, services, public_id)
    response = submit_form(client, page, f"/c/o/{public_id}/submit", blank="1")
    assert "Before you can submit" in client.get(response.headers["Location"]).text
    assert factories.order_status(services, public_id) == "pending"
    post_answer(client, public_id, 1, "b")
    assert submit_form(client, page, f"/c/o/{public_id}/submit").status_code == 303
    assert factories.order_status(services, public_id) == "completed"


def test_submit_twice_records_one_event(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = start_test(client, services, invited)
    for _ in range(2):
        response = submit_form(client, page, f"/c/o/{invited}/submit", blank="4")
        assert response.headers["Location"] == f"/c/o/{invited}/"
    assert event_types(services, invited).count("submitted") == 1


def test_submit_from_many_tabs_completes_once(
    app: Flask, client: FlaskClient, services: Services, invited: str
) -> None:
    page = start_test(client, services, invited)
    cookies = [client.get_cookie(name) for name in ("form", f"c-{invited}")]

    def submit(_: int) -> int:
        tab = app.test_client()
        for cookie in cookies:
            assert cookie
            tab.set_cookie(cookie.key, cookie.value)
        return submit_form(tab, page, f"/c/o/{invited}/submit", blank="4").status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(submit, range(16))) == {303}
    assert event_types(services, invited).count("completed") == 1


def test_item_after_submit_redirects_to_the_end(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = start_test(client, services, invited)
    submit_form(client, page, f"/c/o/{invited}/submit", blank="4")
    for path in ("items/1", "overview"):
        response = client.get(f"/c/o/{invited}/{path}", follow_redirects=True)
        assert "Thank you, Lakita" in response.text
    late = submit_form(client, page, f"/c/o/{invited}/items/1", answer="b")
    assert late.status_code == 409
    assert "Thank you, Lakita" in late.text
    assert submit_form(client, page, f"/c/o/{invited}/start").status_code == 409
    assert saved_answers(services, invited) == {}


def test_save_answer_after_deadline_is_refused_and_test_scored(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = start_test(client, services, invited)
    post_answer(client, invited, 1, "b")
    clock.advance(timedelta(minutes=20) + ARRIVAL_GRACE)
    late = submit_form(client, page, f"/c/o/{invited}/items/2", answer="3.5")
    assert late.status_code == 409
    assert (
        "The time is over. The answers you had saved were submitted for you, and they count."
        in late.text
    )
    assert saved_answers(services, invited) == {"sum": "b"}
    assert factories.order_status(services, invited) == "completed"
    assert score(services, invited) == 25
    conflict = post_as_script(client, page, f"/c/o/{invited}/items/2", answer="3.5")
    assert conflict.status_code == 409
    assert conflict.get_json()["next"] == f"/c/o/{invited}/"
    with services.db.reading() as session:
        order = Assessment.find(session, invited)
        assert [event.actor for event in order.events][-2:] == ["system", "system"]
        # The candidate's time ended before the server noticed it.
        assert order.attempt_ends_at
        end = format_datetime(order.attempt_ends_at, order.account.timezone)
        assert end in late.text
        act = build_report(order, services.secret_box, {REPORT}).candidate_act
        assert act == ("Submitted", order.attempt_ends_at)
        assert order.result
        assert order.result.duration == 1200


@pytest.mark.parametrize("path", ["", "items/1", "overview", "submit", "time", "decline"])
def test_any_page_after_deadline_completes_the_attempt(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str, path: str
) -> None:
    start_test(client, services, invited)
    clock.advance(timedelta(minutes=20) + ARRIVAL_GRACE)
    client.get(f"/c/o/{invited}/{path}")
    assert factories.order_status(services, invited) == "completed"
    assert "The time is over" in client.get(f"/c/o/{invited}/").text


def test_submit_after_deadline_says_time_is_over(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = start_test(client, services, invited)
    clock.advance(timedelta(minutes=21))
    end = submit_form(client, page, f"/c/o/{invited}/submit", blank="4")
    assert "The time is over" in client.get(end.headers["Location"]).text


def test_decline_after_start_is_accepted(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = start_test(client, services, invited)
    assert "will not be submitted" in client.get(f"/c/o/{invited}/decline").text
    submit_form(client, page, f"/c/o/{invited}/decline")
    assert factories.order_status(services, invited) == "declined"
    assert submit_form(client, page, f"/c/o/{invited}/items/1", answer="b").status_code == 409


def test_candidate_with_extra_time_sees_the_whole_time(
    client: FlaskClient, services: Services, invited: str
) -> None:
    with services.db.writing() as session:
        order = Assessment.find(session, invited)
        staff_acts.give_extra_time(session, order, 600, "sam@provider.test", services.now())
    open_invitation(client, services, invited)
    page = client.get(f"/c/o/{invited}/").text
    assert "<dt>Time</dt><dd>30 minutes</dd>" in page
    assert "Your 30 minutes begin" in page
    assert "20 minutes" not in page
    start_test(client, services, invited)
    assert 'data-seconds-left="1800.0"' in client.get(f"/c/o/{invited}/items/1").text


def test_item_without_time_limit_shows_no_countdown(
    client: FlaskClient, services: Services
) -> None:
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(
        services, account_id, factories.create_test(services, time_limit=None)
    )
    page = start_test(client, services, public_id)
    assert "No time limit" in page
    assert "data-time-left" not in page


@pytest.mark.parametrize(
    ("first", "second", "saved"),
    [
        (("c", 1000), ("b", 2000), "b"),
        (("b", 2000), ("c", 1000), "b"),  # the older one arrives last
        (("", 2000), ("c", 1000), None),  # an older one does not bring back a deleted answer
        (("b", 2000), ("b", 2000), "b"),  # the same save again
        (("c", 2000), ("b", None), "b"),  # a page without scripts states no time
        (("b", None), ("c", 1000), "b"),
    ],
)
def test_save_answer_older_one_never_overwrites_a_newer(
    client: FlaskClient,
    services: Services,
    clock: ManualClock,
    invited: str,
    first: tuple[str, int | None],
    second: tuple[str, int | None],
    saved: str | None,
) -> None:
    page = start_test(client, services, invited)
    clock.advance(timedelta(seconds=5))
    start_ms = to_milliseconds(clock.now()) - 5000
    for answer, after_ms in (first, second):
        fields = {} if after_ms is None else {"given_at": str(start_ms + after_ms)}
        response = post_as_script(client, page, f"/c/o/{invited}/items/1", answer=answer, **fields)
        is_stale = (response.get_json().get("standing")) is not None
        assert response.status_code == (409 if is_stale else 200)
    assert is_stale == (answer not in (saved, ""))
    if is_stale:
        assert response.get_json()["standing"] == ([["answer", saved]] if saved else [])
        assert "A newer answer" in response.get_json()["error"]
    assert saved_answers(services, invited).get("sum") == saved


def test_save_answer_from_the_future_does_not_block_later_ones(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = start_test(client, services, invited)
    path = f"/c/o/{invited}/items/1"
    post_as_script(client, page, path, answer="c", given_at="9" * 15)
    clock.advance(timedelta(seconds=6))
    given_at = to_milliseconds(clock.now())
    response = post_as_script(client, page, path, answer="b", given_at=str(given_at))
    assert response.status_code == 200
    assert saved_answers(services, invited) == {"sum": "b"}


@pytest.mark.parametrize(
    ("given_before_end", "arrived_after_end", "is_saved"),
    [
        (0.5, 3, True),
        (0.5, 9.9, True),
        (0.5, 10, False),  # the attempt is closed
        (0, 3, False),
        (-1, 3, False),
        (None, 3, False),  # no statement, so the time of arrival counts
        (60, 3, True),
    ],
)
def test_save_answer_given_in_time_counts_for_ten_seconds(
    client: FlaskClient,
    services: Services,
    clock: ManualClock,
    invited: str,
    given_before_end: float | None,
    arrived_after_end: float,
    is_saved: bool,
) -> None:
    page = start_test(client, services, invited)
    ends = clock.now() + timedelta(minutes=20)
    clock.current_time = ends + timedelta(seconds=arrived_after_end)
    with services.db.writing() as session:
        factories.apply_deadlines(services, session, services.now())
    fields = {}
    if given_before_end is not None:
        fields["given_at"] = str(to_milliseconds(ends) - int(given_before_end * 1000))
    path = f"/c/o/{invited}/items/1"
    response = post_as_script(client, page, path, answer="b", **fields)
    assert response.status_code == (200 if is_saved else 409)
    clock.current_time = ends + ARRIVAL_GRACE
    with services.db.writing() as session:
        factories.apply_deadlines(services, session, services.now())
    assert score(services, invited) == (25 if is_saved else 0)
    with services.db.reading() as session:
        facts = dict(Assessment.find(session, invited).evidence(services.secret_box).facts)
        assert ("Given in time, arrived after the end" in facts) == is_saved


def test_submit_given_in_time_is_the_candidates_own(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = start_test(client, services, invited)
    ends = clock.now() + timedelta(minutes=20)
    clock.current_time = ends + timedelta(seconds=3)
    given_at = str(to_milliseconds(ends) - 500)
    submit_form(client, page, f"/c/o/{invited}/submit", blank="4", given_at=given_at)
    assert "Your answers have been submitted." in client.get(f"/c/o/{invited}/").text
    with services.db.reading() as session:
        (event,) = [e for e in Assessment.find(session, invited).events if e.type == "submitted"]
        assert (event.actor, event.note) == (
            "candidate",
            "Given in time, and arrived at most 3 s after the end",
        )


def test_request_whose_first_byte_arrived_in_time_counts(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = start_test(client, services, invited)
    clock.advance(timedelta(minutes=20, seconds=2))
    token = factories.csrf_token(page)
    response = client.post(
        f"/c/o/{invited}/items/1",
        data={"csrf_token": token, "answer": "b"},
        environ_overrides={RECEIVE_SECONDS_KEY: 2.5},
    )
    assert response.status_code == 303
    assert saved_answers(services, invited) == {"sum": "b"}


def test_landing_during_the_grace_waits_and_takes_no_decline(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = start_test(client, services, invited)
    clock.advance(timedelta(minutes=20, seconds=1))
    landing = client.get(f"/c/o/{invited}/").text
    assert "Your saved answers are being submitted." in landing
    assert 'data-reload-seconds="9.0"' in landing
    for action in ("decline", "start"):
        assert submit_form(client, page, f"/c/o/{invited}/{action}").status_code == 409
    assert factories.order_status(services, invited) == "pending"
