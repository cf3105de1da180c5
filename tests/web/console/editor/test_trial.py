"""The trial of a draft: its pages, its form, its limits and its breaks."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.web.console.editor.test_editor import ITEM, LIST, save_entry
from tests.web.console_client import ConsoleClient


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "author")


@pytest.fixture
def test_id(services: Services) -> str:
    return factories.create_test(services)


def test_trial_shows_the_pages_and_stores_nothing(console: ConsoleClient, test_id: str) -> None:
    base = f"{LIST}{test_id}/try"
    assert "Start the trial" in console.get_text(base)
    response = console.submit(f"{base}/1", page=f"{base}/1", answer="b", go="next")
    page = console.get_text(response.location)
    assert "Trial: “42” gets 1 of 1 points." in page
    assert "Question 2 <small>of 4</small>" in page
    wrong = console.submit(f"{base}/2", page=f"{base}/2", answer="seven")
    assert "number" in wrong.text
    assert wrong.status_code == 200
    last = console.submit(f"{base}/4", page=f"{base}/4", answer="")
    page = console.get_text(last.location)
    assert "Trial: the question was left blank." in page
    assert "The trial ends here" in page
    save_entry(console, test_id, ITEM, prompt="")
    assert "This test cannot be tried yet" in console.get_text(f"{base}/1", 400)


def test_trial_runs_the_time_limits_of_a_candidate(
    services: Services, clock: ManualClock, console: ConsoleClient
) -> None:
    item = {"kind": "true_false", "answer": True}
    items = [item | {"key": key, "prompt": f"Question {key}?"} for key in ("a", "b", "c", "d", "e")]
    items[1]["time_limit_seconds"] = 30
    sections = [
        {"key": "warm-up", "title": "Warm up", "practice": True, "items": items[:1]},
        {"key": "one", "title": "One", "navigation": "forward", "items": items[1:3]},
        {"key": "two", "title": "Two", "time_limit": 2, "items": items[3:4]},
        {"key": "three", "title": "Three", "items": items[4:]},
    ]
    product_id = factories.create_test(services, sections=sections, time_limit=5)
    base = f"{LIST}{product_id}/try"
    assert "5 minutes" in console.get_text(base)
    # No time runs in a section for practice.
    assert "No time limit" in console.get_text(f"{base}/1")
    clock.advance(timedelta(minutes=10))
    assert "No time limit" in console.get_text(f"{base}/1")

    assert 'data-seconds-left="30.0"' in console.get_text(f"{base}/2")
    time = f"{base}/time?question=2"
    clock.advance(timedelta(seconds=20))
    assert (console.client.get(time).json or {})["seconds_left"] == 10
    assert 'data-seconds-left="10.0"' in console.get_text(f"{base}/2")
    clock.advance(timedelta(seconds=10))
    assert console.client.get(time).status_code == 409
    late = console.submit(f"{base}/2", page=LIST, answer="true", go="next")
    assert late.location.endswith("/try/3")
    page = console.get_text(late.location)
    assert "the time for this part is over" in page
    assert "gets 1 of 1 points" not in page
    assert 'data-seconds-left="270.0"' in page  # of the whole test

    console.get_text(f"{base}/4")
    clock.advance(timedelta(minutes=2))
    assert console.client.get(f"{base}/4").location.endswith("/try/5")
    clock.advance(timedelta(minutes=2, seconds=30))
    assert console.client.get(f"{base}/5").location.endswith("/try/end")
    assert "answers are submitted now" in console.get_text(f"{base}/end")
    # The first page begins a new trial.
    console.get_text(base)
    assert 'data-seconds-left="300.0"' in console.get_text(f"{base}/3")


def test_trial_draws_as_an_attempt_does_until_every_question_is_shown(
    services: Services, console: ConsoleClient
) -> None:
    item = {"kind": "true_false", "answer": True}
    bank = [item | {"key": f"q{number}", "prompt": f"Question {number}?"} for number in range(30)]
    sections = [{"key": "one", "title": "One", "draw": {"count": 3}, "items": bank}]
    base = f"{LIST}{factories.create_test(services, sections=sections)}/try"

    def prompts(count: int) -> list[str]:
        pages = (console.get_text(f"{base}/{number}") for number in range(1, count + 1))
        matches = [re.search(r"Question [0-9]+\?", page) for page in pages]
        return [match[0] for match in matches if match]

    drawn = []
    for _ in range(3):
        assert "The questions are drawn from the banks" in console.get_text(base)
        drawn.append(prompts(3))
        assert prompts(3) == drawn[-1]  # the same on every page of a trial
        console.get_text(f"{base}/4", 404)
        end = console.get_text(f"{base}/end")
        assert all(prompt in end for prompt in drawn[-1])
    assert len({tuple(form) for form in drawn}) > 1
    page = console.get_text(f"{base}?questions=all")
    assert "This trial shows every question of the banks." in page
    assert prompts(30) == [f"Question {number}?" for number in range(30)]
    console.get_text(base)
    console.get_text(f"{base}/4", 404)


def test_trial_shows_the_break_and_lets_no_time_run_in_it(
    services: Services, clock: ManualClock, console: ConsoleClient
) -> None:
    item = {"kind": "true_false", "answer": True}
    items = [item | {"key": key, "prompt": f"Question {key}?"} for key in ("a", "b", "c")]
    sections = [
        {"key": "one", "title": "One", "break": 3, "items": items[:2]},
        {"key": "two", "title": "Two", "items": items[2:]},
    ]
    base = f"{LIST}{factories.create_test(services, sections=sections, time_limit=5)}/try"
    console.get_text(base)
    assert console.client.get(f"{base}/break").location == f"{base}/1"
    within = console.submit(f"{base}/1", page=f"{base}/1", answer="true", go="next")
    assert within.location == f"{base}/2"
    clock.advance(timedelta(minutes=1))
    left = console.submit(f"{base}/2", page=f"{base}/2", answer="true", go="next")
    assert left.location == f"{base}/break"
    clock.advance(timedelta(minutes=1))
    page = console.get_text(left.location)
    assert "Your break" in page
    assert 'data-break-left="120.0"' in page
    assert f'href="{base}/3"' in page
    clock.advance(timedelta(minutes=5))  # the break ended after two of them
    assert console.client.get(left.location).location == f"{base}/3"
    assert 'data-seconds-left="60.0"' in console.get_text(f"{base}/3")
