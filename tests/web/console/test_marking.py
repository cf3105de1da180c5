"""The console's queue of answers that wait for a mark, and the page of one answer."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import urlsplit

from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect

from provider.core.marking import LEASE
from provider.core.orders import Order
from provider.services import Services
from tests import factories, interview_factories
from tests.conftest import LiveServer
from tests.factories import ManualClock
from tests.marking_factories import (
    ANA,
    BEN,
    LETTER,
    PLAN,
    ask_second_look,
    mark,
    submit_texts,
    take,
    task_ids,
)
from tests.web.accessibility import AccessibilityChecker
from tests.web.console.test_interviews import sign_in
from tests.web.console_client import ConsoleClient

QUEUE = "/console/marking/"
TWO_MARKERS = {"markers": 2, "tolerance": 2}


def path_of(services: Services, order_id: str, key: str) -> str:
    return f"{QUEUE}{task_ids(services, order_id)[key]}/"


def test_queue_lists_answers_and_interviews_oldest_first(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    interview, _ = interview_factories.submitted_interview(services)
    clock.advance(timedelta(hours=1))
    order_id = submit_texts(services, account="Contoso")
    console = ConsoleClient.signed_in(services, client, "reviewer")
    page = console.get_text(QUEUE)
    places = [
        page.index(text)
        for text in (f"/orders/{interview}/interview", "Write a letter.", "Write a plan.")
    ]
    assert places == sorted(places)
    assert page.count(">To mark<") == 2
    assert 'aria-current="page">Marking' in page
    overview = console.get_text("/console/")
    assert re.search(r">2</span> <span [^>]*>Answers that wait for a mark", overview)
    product = re.search(r'<option value="([\w-]+)">Writing', page)
    assert product
    filtered = console.get_text(f"{QUEUE}?product={product[1]}")
    assert "Write a plan." in filtered
    assert interview not in filtered
    assert order_id not in filtered


def test_marker_saves_and_gets_the_next_answer(services: Services, client: FlaskClient) -> None:
    order_id = submit_texts(services)
    letter, plan = (path_of(services, order_id, key) for key in ("letter", "plan"))
    console = ConsoleClient.signed_in(services, client, "reviewer")
    assert console.submit(f"{QUEUE}next", page=QUEUE).location == letter
    page = console.get_text(letter)
    assert "Dear customer,\nwe are sorry." in page
    assert "Lakita" not in page  # the mark depends on the answer alone
    refused = console.submit(letter, page=letter, points="12", comment="Long", go="next")
    assert refused.status_code == 400
    assert "Give 0 to 10 points" in refused.text
    assert 'value="12"' in refused.text
    assert ">Long</textarea>" in refused.text
    saved = console.submit(letter, page=letter, points="7,5", comment="Long", go="next")
    assert saved.location == plan
    page = console.get_text(plan)
    assert "Names a goal" in page
    rows = {"points.goal": "4", "points.steps": "6"}
    assert console.submit(plan, page=plan, go="next", **rows).location == QUEUE
    assert "No answer is left" not in console.get_text(QUEUE)
    assert factories.order_status(services, order_id) == "completed"
    assert "It has 7.5 of 10 points" in console.get_text(letter)


def test_answer_that_a_colleague_marks_is_not_offered(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = submit_texts(services, LETTER)
    path = path_of(services, order_id, "letter")
    take(services, path.split("/")[3], ANA)
    console = ConsoleClient.signed_in(services, client, "reviewer")
    assert "Nothing is left" in console.get_text(QUEUE)
    assert f"Being marked by {ANA}" in console.get_text(f"{QUEUE}?whose=all")
    assert console.submit(f"{path}claim", page=path).status_code == 409
    clock.advance(LEASE)
    assert console.submit(f"{path}claim", page=path).location == path
    assert "Write a letter." in console.get_text(f"{QUEUE}?whose=mine")
    assert console.submit(f"{path}release", page=path).location == QUEUE
    assert "You are marking nothing" in console.get_text(f"{QUEUE}?whose=mine")


def test_second_marker_sees_the_first_mark_only_after_both(
    services: Services, client: FlaskClient
) -> None:
    order_id = submit_texts(services, LETTER, marking=TWO_MARKERS)
    path = path_of(services, order_id, "letter")
    mark(services, path.split("/")[3], ANA, 3, "Too short")
    console = ConsoleClient.signed_in(services, client, "reviewer")
    console.submit(f"{path}claim", page=path)
    page = console.get_text(path)
    assert ANA not in page
    assert "Too short" not in page
    console.submit(path, page=path, points="9", go="list")
    assert "The marks differ: decide" in console.get_text(QUEUE)
    console.submit(f"{path}claim", page=path)
    page = console.get_text(path)
    for text in (ANA, "3 of 10 points", "Too short", "9 of 10 points", "Decide between two marks"):
        assert text in page
    assert console.submit(path, page=path, points="5").status_code == 409  # an older form
    assert console.submit(path, page=path, points="5", decision="yes").status_code == 303
    assert factories.order_status(services, order_id) == "completed"


def test_marker_finds_and_corrects_an_own_mark(services: Services, client: FlaskClient) -> None:
    order_id = submit_texts(services, LETTER)
    path = path_of(services, order_id, "letter")
    console = ConsoleClient.signed_in(services, client, "reviewer")
    assert "You have marked no answer yet" in console.get_text(f"{QUEUE}?whose=done")
    console.submit(f"{path}claim", page=path)
    console.submit(path, page=path, points="4", comment="Too short", go="list")
    listed = console.get_text(f"{QUEUE}?whose=done")
    assert path in listed
    assert "4 of 10 points" in listed
    page = console.get_text(path)
    assert 'value="4"' in page
    assert ">Too short</textarea>" in page
    refused = console.submit(f"{path}correction", page=path, points="8", comment="Better")
    assert refused.status_code == 400
    assert "Write why you correct the mark" in refused.text
    assert 'value="8"' in refused.text
    corrected = console.submit(f"{path}correction", page=path, points="8", reason="Read again")
    assert corrected.location == path
    page = console.get_text(path)
    assert "The ATS gets the corrected result." in page
    assert "It has 8 of 10 points" in page
    with services.db.reading() as session:
        assert [row.score for row in Order.find(session, order_id).results] == [70, 90]


def test_correction_that_differs_too_much_is_decided_in_the_queue(
    services: Services, client: FlaskClient
) -> None:
    order_id = submit_texts(services, LETTER, marking=TWO_MARKERS)
    path = path_of(services, order_id, "letter")
    console = ConsoleClient.signed_in(services, client, "reviewer")
    console.submit(f"{path}claim", page=path)
    console.submit(path, page=path, points="9", go="list")
    mark(services, path.split("/")[3], ANA, 7)
    assert path not in console.get_text(QUEUE)
    console.submit(f"{path}correction", page=path, points="1", reason="Read again")
    page = console.get_text(path)
    assert "The two marks differ too much: the result stays until somebody decides." in page
    assert "The ATS gets the corrected result." not in page
    assert "The marks differ: decide" in console.get_text(QUEUE)
    console.submit(f"{path}claim", page=path)
    page = console.get_text(path)
    assert "The test is scored again by it" in page
    console.submit(path, page=path, points="5", decision="yes", go="list")
    assert "The ATS gets the corrected result." in console.get_text(QUEUE)
    with services.db.reading() as session:
        assert [row.score for row in Order.find(session, order_id).results] == [90, 75]


def test_colleague_cannot_correct_a_mark(services: Services, client: FlaskClient) -> None:
    order_id = submit_texts(services, LETTER)
    path = path_of(services, order_id, "letter")
    mark(services, path.split("/")[3], ANA, 4)
    console = ConsoleClient.signed_in(services, client, "reviewer")
    assert "Correct my mark" not in console.get_text(path)
    refused = console.submit(f"{path}correction", page=path, points="8", reason="Read again")
    assert refused.status_code == 409


def test_marks_that_are_not_blind_are_shown_to_the_second_marker(
    services: Services, client: FlaskClient
) -> None:
    order_id = submit_texts(services, LETTER, marking=TWO_MARKERS | {"blind": False})
    path = path_of(services, order_id, "letter")
    mark(services, path.split("/")[3], BEN, 3, "Too short")
    console = ConsoleClient.signed_in(services, client, "reviewer")
    assert "Too short" in console.get_text(path)


def test_reviewer_of_one_account_sees_no_other_answers(
    services: Services, client: FlaskClient
) -> None:
    order_id = submit_texts(services, LETTER)
    other_id, _ = factories.create_account(services, "Rival Corp")
    console = ConsoleClient.signed_in(services, client, "reviewer", [other_id])
    assert "Write a letter." not in console.get_text(f"{QUEUE}?whose=all")
    console.get_text(path_of(services, order_id, "letter"), 404)
    response = console.submit(f"{QUEUE}next", page=QUEUE)
    assert response.location == QUEUE


def test_answer_is_marked_by_keyboard_at_320_pixels(live_server: LiveServer, page: Page) -> None:
    services = live_server.services
    order_id = submit_texts(services)
    sign_in(page, live_server, "reviewer")
    checker = AccessibilityChecker(page)
    page.set_viewport_size({"width": 320, "height": 700})
    page.goto(f"{live_server.url}{QUEUE}")
    checker.check_page()
    page.get_by_role("button", name="Mark the next answer").press("Enter")
    expect(page.get_by_label("Points")).to_be_focused()
    checker.check_page()
    page.keyboard.type("8")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Names a goal")).to_be_focused()
    page.keyboard.type("4")
    page.keyboard.press("Tab")
    page.keyboard.type("6")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The mark is saved")).to_be_visible()
    assert factories.order_status(services, order_id) == "completed"


def test_own_mark_is_corrected_by_keyboard_at_320_pixels(
    live_server: LiveServer, page: Page
) -> None:
    services = live_server.services
    order_id = submit_texts(services, PLAN)
    task = task_ids(services, order_id)["plan"]
    sign_in(page, live_server, "reviewer")
    checker = AccessibilityChecker(page)
    mark(services, task, "sam@provider.test", {"goal": 1, "steps": 2}, "Too short")
    page.set_viewport_size({"width": 320, "height": 700})
    page.goto(f"{live_server.url}{QUEUE}?whose=done")
    checker.check_page()
    page.get_by_role("link", name="Write a plan.").press("Enter")
    page.locator("summary", has_text="Correct my mark").press("Enter")
    checker.check_page()
    page.get_by_label("Names a goal").fill("3")
    page.get_by_label("Reason").fill("I read it again")
    page.get_by_label("Reason").press("Enter")
    expect(page.get_by_text("Your mark is corrected.")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{live_server.url}/console/me/")
    checker.check_page()
    assert checker.problems == []


def test_candidate_asks_once_and_staff_change_the_marks(
    services: Services, client: FlaskClient, app: Flask
) -> None:
    order_id = submit_texts(services, LETTER, second_look=True)
    candidate = app.test_client()
    page = open_page(services, candidate, order_id)
    assert "People read and mark some of your answers" in page
    assert "second look" not in page
    mark(services, task_ids(services, order_id)["letter"], ANA, 4)
    page = open_page(services, candidate, order_id)
    form = {"csrf_token": factories.csrf_token(page), "reason": "The second page was not read"}
    path = f"/c/o/{order_id}/second-look"
    refused = candidate.post(path, data=form | {"reason": "?"})
    assert "in 3 to 2000 characters" in refused.text
    assert candidate.post(path, data=form).status_code == 303
    page = open_page(services, candidate, order_id)
    assert "You asked for a second look on" in page
    assert "Ask for a second look" not in page
    assert candidate.post(path, data=form).status_code == 409
    console = ConsoleClient.signed_in(services, client, "reviewer")
    link = re.search(r'href="(/console/marking/[\w-]+/second-look)"', console.get_text(QUEUE))
    assert link
    page = console.get_text(link[1])
    for text in ("The second page was not read", "4 of 10 points", "we are sorry"):
        assert text in page
    answer = {"decision": "change", "points.letter": "9", "reply": "You are right"}
    refused = console.submit(link[1], page=link[1], **answer | {"points.letter": "11"})
    assert refused.status_code == 400
    assert console.submit(link[1], page=link[1], **answer).location == QUEUE
    assert console.submit(link[1], page=QUEUE, **answer).status_code == 409
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        scores = [(result.revision, result.score) for result in order.results]
        assert scores == [(1, 70), (2, 95)]
        assert (order.status, order.events[-1].type) == ("completed", "rescored")
    page = open_page(services, candidate, order_id)
    assert "Your result has changed" in page
    assert "You are right" in page


def test_kept_marks_change_no_result(services: Services, client: FlaskClient) -> None:
    order_id, path = ask_second_look(services)
    console = ConsoleClient.signed_in(services, client, "reviewer")
    answer = {"decision": "keep", "points.letter": "9", "reply": "The marks are right"}
    assert console.submit(path, page=path, **answer).location == QUEUE
    with services.db.reading() as session:
        assert len(Order.find(session, order_id).results) == 1
    assert "The marks are right" in console.get_text(path)
    assert "asks for a second look" not in console.get_text(f"{QUEUE}?whose=all")


def test_test_without_second_looks_refuses_a_request(services: Services, app: Flask) -> None:
    order_id = submit_texts(services, LETTER)
    mark(services, task_ids(services, order_id)["letter"], ANA, 4)
    candidate = app.test_client()
    page = open_page(services, candidate, order_id)
    assert "second look" not in page
    token = factories.csrf_token(candidate.get("/console/sign-in").text)
    form = {"csrf_token": token, "reason": "Once more"}
    assert candidate.post(f"/c/o/{order_id}/second-look", data=form).status_code == 409


def open_page(services: Services, candidate: FlaskClient, order_id: str) -> str:
    """Return the candidate's page of an order, opened by the link of the invitation."""
    path = urlsplit(factories.invitation_url(services, order_id)).path
    return unescape(candidate.get(path, follow_redirects=True).text)
