"""The pause of a test, by plain forms and by the requests of scripts."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from provider.core.orders.given_time import to_milliseconds
from provider.core.orders.timed_order import PAUSED, WENT_ON
from provider.services import Services
from tests import factories
from tests.core.orders.test_accommodation import decide_on
from tests.core.orders.test_pauses import minutes_of_attempt
from tests.factories import ManualClock
from tests.web.candidate.test_assessment import (
    post_answer,
    post_as_script,
    saved_answers,
    start_test,
)
from tests.web.candidate.test_pages import event_types, submit_form
from tests.web.console_client import ORDERS_PATH, ConsoleClient

MINUTE = timedelta(minutes=1)
PROMPTS = ("half of 7", "opposite of", "is a rectangle")
BUTTON = "Pause the time"
REFUSAL = "The time is paused, so this was not saved"


@pytest.fixture
def order_id(services: Services) -> str:
    """Return a test of 20 minutes, with 10 minutes for pauses."""
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    decide_on(services, order_id, pause_minutes=10)
    return order_id


def pause_path(order_id: str, number: int = 0) -> str:
    return f"/c/o/{order_id}/pause" + (f"?question={number}" if number else "")


def test_pause_between_questions_saves_and_goes_on_there(
    client: FlaskClient, services: Services, clock: ManualClock, order_id: str
) -> None:
    assert "You can pause for 10 minutes more." in start_test(client, services, order_id)
    response = post_answer(client, order_id, 2, "3", "pause")
    assert response.headers["Location"] == pause_path(order_id, 2)
    clock.advance(3 * MINUTE)
    page = client.get(response.headers["Location"]).text
    assert ">7 minutes<" in page
    assert ">20 minutes<" in page
    response = submit_form(client, page, f"/c/o/{order_id}/go-on", question="2")
    assert response.headers["Location"] == f"/c/o/{order_id}/items/2"
    page = client.get(response.headers["Location"]).text
    assert 'value="3"' in page
    assert "You can pause for 7 minutes more." in page
    assert minutes_of_attempt(services, order_id) == 23


@pytest.mark.parametrize("path", ["items/1", "items/2", "overview", "submit", "pause", ""])
def test_pause_hides_the_questions_on_every_page(
    client: FlaskClient, services: Services, order_id: str, path: str
) -> None:
    start_test(client, services, order_id)
    post_answer(client, order_id, 1, "b", "pause")
    page = client.get(f"/c/o/{order_id}/{path}", follow_redirects=True).text
    assert "<h1>The time is paused</h1>" in page
    assert not any(prompt in page for prompt in PROMPTS)


def test_answer_during_a_pause_is_refused_with_the_reason(
    client: FlaskClient, services: Services, clock: ManualClock, order_id: str
) -> None:
    page = start_test(client, services, order_id)
    post_answer(client, order_id, 1, "b", "pause")
    clock.advance(MINUTE)
    path = f"/c/o/{order_id}/items/1"
    form_reply = submit_form(client, page, path, answer="a", go="next")
    assert (form_reply.status_code, REFUSAL in form_reply.text) == (409, True)
    script_reply = post_as_script(client, page, path, answer="a")
    assert script_reply.status_code == 409
    assert script_reply.json
    assert script_reply.json["error"].startswith(REFUSAL)
    assert script_reply.json["next"] == f"/c/o/{order_id}/"
    submit = submit_form(client, page, f"/c/o/{order_id}/submit", blank="4")
    assert (submit.status_code, REFUSAL in submit.text) == (409, True)
    assert client.get(f"/c/o/{order_id}/time").status_code == 409
    assert saved_answers(services, order_id) == {"sum": "b"}


def test_answer_given_before_a_pause_is_saved_during_it(
    client: FlaskClient, services: Services, clock: ManualClock, order_id: str
) -> None:
    page = start_test(client, services, order_id)
    given_at = to_milliseconds(clock.advance(MINUTE))
    clock.advance(timedelta(seconds=1))
    submit_form(client, page, pause_path(order_id))
    clock.advance(timedelta(seconds=2))
    path = f"/c/o/{order_id}/items/1"
    reply = post_as_script(client, page, path, answer="b", given_at=given_at)
    assert reply.status_code == 200
    assert saved_answers(services, order_id) == {"sum": "b"}


def test_pause_that_has_ended_by_itself_shows_the_question(
    client: FlaskClient, services: Services, clock: ManualClock, order_id: str
) -> None:
    start_test(client, services, order_id)
    response = post_answer(client, order_id, 2, "3", "pause")
    clock.advance(10 * MINUTE)
    response = client.get(response.headers["Location"])
    assert response.headers["Location"] == f"/c/o/{order_id}/items/2"
    page = client.get(response.headers["Location"]).text
    assert BUTTON not in page
    assert ">20 minutes left<" in page
    assert event_types(services, order_id)[-2:] == [PAUSED, WENT_ON]


def test_pause_button_keeps_the_answer_when_nothing_is_left(
    client: FlaskClient, services: Services, clock: ManualClock, order_id: str
) -> None:
    page = start_test(client, services, order_id)
    submit_form(client, page, pause_path(order_id))
    clock.advance(10 * MINUTE)
    reply = submit_form(client, page, f"/c/o/{order_id}/items/2", answer="3", go="pause")
    assert client.get(reply.headers["Location"]).headers["Location"].endswith("/items/2")
    assert saved_answers(services, order_id) == {"half": "3"}


def test_pause_in_two_tabs_is_one_pause_with_one_end(
    client: FlaskClient, services: Services, clock: ManualClock, order_id: str
) -> None:
    page = start_test(client, services, order_id)
    for action in ("pause", "pause", "go-on", "go-on"):
        assert submit_form(client, page, f"/c/o/{order_id}/{action}").status_code == 303
        clock.advance(MINUTE)
    assert event_types(services, order_id)[-2:] == [PAUSED, WENT_ON]
    assert event_types(services, order_id).count(PAUSED) == 1
    assert minutes_of_attempt(services, order_id) == 22


@pytest.mark.parametrize("answer", ["nonsense", "1.234"])
def test_pause_with_an_unclear_number_shows_the_advice_afterwards(
    client: FlaskClient, services: Services, order_id: str, answer: str
) -> None:
    page = start_test(client, services, order_id)
    path = f"/c/o/{order_id}/items/2"
    reply = post_as_script(client, page, path, answer=answer, go="pause")
    assert reply.json
    assert reply.json["next"] == pause_path(order_id, 2)
    assert not reply.json.get("stay")
    assert "The time is paused" in client.get(pause_path(order_id, 2)).text
    submit_form(client, page, f"/c/o/{order_id}/go-on")
    assert f'value="{answer}"' in client.get(path).text


def test_pause_without_a_grant_has_no_button_and_is_refused(
    client: FlaskClient, services: Services
) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    page = start_test(client, services, order_id)
    assert BUTTON not in page
    assert BUTTON not in client.get(f"/c/o/{order_id}/overview").text
    assert submit_form(client, page, pause_path(order_id)).status_code == 409
    assert minutes_of_attempt(services, order_id) == 20


def test_timeline_shows_the_pause_and_its_end(
    client: FlaskClient, services: Services, clock: ManualClock, order_id: str
) -> None:
    page = start_test(client, services, order_id)
    submit_form(client, page, pause_path(order_id))
    console = ConsoleClient.signed_in(services, client)
    assert "Paused until" in console.get_text(f"{ORDERS_PATH}{order_id}")
    clock.advance(3 * MINUTE)
    submit_form(client, page, f"/c/o/{order_id}/go-on")
    text = console.get_text(f"{ORDERS_PATH}{order_id}")
    assert all(part in text for part in ("Time paused", "Time goes on", "Paused for 180 s"))
