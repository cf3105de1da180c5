"""Parts of a test, by plain forms: limits, no way back, practice and breaks."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from provider.core.kinds.assessment import Assessment
from provider.core.orders import close_overdue_orders, staff_acts
from provider.core.orders.given_time import ARRIVAL_GRACE, to_milliseconds
from provider.services import Services
from tests import factories
from tests.core.kinds.assessment.test_form import item, section
from tests.factories import ManualClock
from tests.web.candidate.test_assessment import (
    post_answer,
    post_as_script,
    saved_answers,
    score,
    start_test,
)
from tests.web.candidate.test_pages import open_invitation, submit_form

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


class Taker:
    """A candidate without scripts."""

    def __init__(
        self, client: FlaskClient, services: Services, *sections: dict[str, Any], **content: Any
    ) -> None:
        account_id, _ = factories.create_account(services)
        test = factories.create_test(services, sections=list(sections), grades=None, **content)
        self.client, self.services = client, services
        self.public_id = factories.place_order(services, account_id, test)
        self.root = f"/c/o/{self.public_id}"

    def start(self) -> str:
        landing = open_invitation(self.client, self.services, self.public_id).text
        return self._place(submit_form(self.client, landing, f"{self.root}/start"))

    def answer(self, number: int, answer: str = "a", go: str = "next") -> str:
        return self._place(post_answer(self.client, self.public_id, number, answer, go))

    def press(self, form: str, **fields: str) -> str:
        """Send a form of the page at which the candidate is."""
        page = self.client.get(f"{self.root}/now", follow_redirects=True).text
        return self._place(submit_form(self.client, page, f"{self.root}/{form}", **fields))

    def page(self, place: str = "now") -> str:
        return self.client.get(f"{self.root}/{place}", follow_redirects=True).text

    @property
    def place(self) -> str:
        return self._place(self.client.get(f"{self.root}/now"))

    @property
    def seconds_left(self) -> float:
        reply = self.client.get(f"{self.root}/time").get_json()
        return float(reply["seconds_left"])

    def _place(self, response: Any) -> str:
        return str(response.headers["Location"]).removeprefix(self.root).lstrip("/")


TIMED = [
    section("first", [item("a1"), item("a2")], time_limit=5, instructions="Read *this*."),
    section("last", [item("b1")]),
]


def test_section_limit_runs_from_its_start_and_the_tighter_end_counts(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    taker = Taker(client, services, *TIMED, time_limit=7)
    assert taker.start() == "part"
    page = taker.page()
    assert "Read <em>this</em>." in page
    assert "5 minutes" in page
    assert "a1?" not in page
    assert taker.client.get(f"{taker.root}/items/1").status_code == 303
    clock.advance(MINUTE)  # reading takes time of the test, not of the section
    assert taker.press("part", part="0") == "items/1"
    assert taker.seconds_left == 300
    clock.advance(90 * SECOND)
    assert taker.press("part/finish", part="0") == "part"
    assert taker.press("part", part="1") == "items/3"
    assert taker.seconds_left == 7 * 60 - 150


def test_section_limit_beyond_the_end_of_the_test_changes_nothing(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    taker = Taker(client, services, *TIMED, time_limit=5)
    taker.start()
    clock.advance(2 * MINUTE)
    taker.press("part", part="0")
    assert taker.seconds_left == 180


def test_section_whose_time_is_over_is_closed_and_late_saves_count_for_ten_seconds(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    taker = Taker(client, services, *TIMED, time_limit=20)
    taker.start()
    taker.press("part", part="0")
    page = taker.page()
    clock.advance(5 * MINUTE - SECOND)
    in_time = to_milliseconds(clock.now())
    clock.advance(4 * SECOND)
    assert taker.place == "part"
    save = f"{taker.root}/items/2"
    reply = post_as_script(client, page, save, answer="a", given_at=str(in_time))
    assert (reply.status_code, reply.get_json()["next"]) == (200, f"{taker.root}/part")
    clock.advance(ARRIVAL_GRACE)
    again = post_as_script(client, page, save, answer="a", given_at=str(in_time))
    assert again.status_code == 200  # the same save, whose reply was lost on its way
    # Another answer of the same moment, as of a second device, is not acknowledged.
    other = post_as_script(client, page, save, answer="b", given_at=str(in_time))
    assert other.status_code == 409
    late = post_as_script(client, page, save, answer="b", given_at=str(in_time + 500))
    assert (late.status_code, late.get_json()["next"]) == (409, f"{taker.root}/part")
    assert client.get(f"{taker.root}/time?question=1").status_code == 409
    assert saved_answers(services, taker.public_id) == {"a2": "a"}
    assert taker.press("part", part="1") == "items/3"


def test_last_section_limit_ends_the_test(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    sections = [section("one", [item("a1"), item("a2")], time_limit=5)]
    taker = Taker(client, services, *sections, time_limit=None)
    taker.start()
    taker.press("part", part="0")
    taker.answer(1)
    clock.advance(5 * MINUTE + ARRIVAL_GRACE)
    with services.db.writing() as session:
        assert close_overdue_orders(session, services.secret_box, clock.now()) == 1
    assert score(services, taker.public_id) == 50


def test_extra_time_makes_a_section_longer_in_proportion(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    taker = Taker(client, services, *TIMED, time_limit=20)
    with services.db.writing() as session:
        order = Assessment.find(session, taker.public_id)
        staff_acts.give_extra_time(session, order, 600, "sam", clock.now())
    taker.start()
    taker.press("part", part="0")
    assert taker.seconds_left == 450
    with services.db.writing() as session:
        order = Assessment.find(session, taker.public_id)
        staff_acts.give_extra_time(session, order, 900, "sam", clock.now())
    assert taker.seconds_left == 750


def test_forward_navigation_shows_each_question_once(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    items = [item(key, required=True) for key in ("q1", "q2", "q3")]
    taker = Taker(client, services, section("one", items), navigation="forward")
    assert taker.start() == "items/1"
    page = taker.page()
    assert "You cannot come back to this question." in page
    assert 'value="previous"' not in page
    assert 'value="overview"' not in page
    assert taker.answer(1) == "items/2"
    assert taker.page("items/1").count("q2?") == 1
    assert "q3?" not in taker.page("items/3")
    for place in ("overview", "submit"):
        assert taker.client.get(f"{taker.root}/{place}").headers["Location"].endswith("items/2")
    clock.advance(11 * SECOND)
    given = str(to_milliseconds(clock.now()))
    late = post_as_script(client, page, f"{taker.root}/items/1", answer="b", given_at=given)
    assert late.status_code == 409
    assert taker.answer(2) == "items/3"
    assert taker.press("items/3", answer="", shown="", go="next") == "overview"
    assert "href=" not in taker.page("overview").split('class="overview"')[1].split("</ol>")[0]
    taker.press("submit")  # the blank question cannot be opened again, so it stops nothing
    assert score(services, taker.public_id) == 66.7


def test_question_limit_closes_one_question_however_long_the_candidate_is_away(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    items = [item("q1", time_limit_seconds=30), item("q2", time_limit_seconds=40)]
    taker = Taker(client, services, section("one", items), navigation="forward", time_limit=60)
    assert taker.start() == "items/1"
    assert taker.seconds_left == 30
    clock.advance(20 * MINUTE)
    page = taker.page()
    assert "The time for this question is over" in page
    assert "q1?" not in page
    assert taker.press("items/1/leave") == "items/2"
    assert taker.seconds_left == 40
    taker.answer(2)
    taker.press("submit")
    assert saved_answers(services, taker.public_id) == {"q2": "a"}


PRACTICE = [
    section("warm", [item("p1")], practice=True),
    section("first", [item("a1")], **{"break": 10}),
    section("last", [item("b1"), item("b2")]),
]


def test_practice_takes_no_time_and_is_not_scored(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    taker = Taker(client, services, *PRACTICE, time_limit=20)
    assert taker.start() == "part"
    clock.advance(3 * MINUTE)  # no time runs while the candidate reads what comes
    page = taker.page()
    assert "It is not scored, and no time runs." in page
    assert "No time limit" in page
    with services.db.reading() as session:
        assert Assessment.find(session, taker.public_id).elapsed_seconds(clock.now()) == 0
    assert taker.press("part", part="0") == "items/1"
    assert "No time limit" in taker.page()
    assert "Practice: Question 1" in taker.page()
    taker.answer(1, "f")
    clock.advance(60 * MINUTE)
    with services.db.writing() as session:
        order = Assessment.find(session, taker.public_id)
        staff_acts.give_extra_time(session, order, 60, "sam", clock.now())
    assert taker.press("part/finish", part="0") == "part"
    assert "What you saved in it counts" not in taker.page()
    assert taker.press("part", part="1") == "items/2"
    assert "Question 1 <small>of 3" in taker.page()
    assert taker.seconds_left == 21 * 60
    taker.answer(2)
    taker.press("part/finish", part="1")
    taker.press("go-on")
    taker.press("part", part="2")
    taker.answer(3)
    taker.answer(4)
    taker.press("submit")
    assert score(services, taker.public_id) == 100
    with services.db.reading() as session:
        order = Assessment.find(session, taker.public_id)
        assert order.result
        assert [bar["label"] for bar in order.result.figures["bars"]] == ["First", "Last"]
        assert order.result.duration == 0


def test_practice_later_takes_no_time_from_when_it_is_opened(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    sections = [section("first", [item("a1")]), PRACTICE[0], section("last", [item("b1")])]
    taker = Taker(client, services, *sections, time_limit=20)
    assert taker.start() == "items/1"
    taker.answer(1)
    clock.advance(4 * MINUTE)
    assert taker.press("part/finish", part="0") == "part"
    taker.press("part", part="1")
    clock.advance(50 * MINUTE)
    taker.answer(2)
    taker.press("part/finish", part="1")
    taker.press("part", part="2")
    assert taker.seconds_left == 16 * 60
    taker.answer(3)
    taker.press("submit")
    with services.db.reading() as session:
        result = Assessment.find(session, taker.public_id).result
        assert result
        assert result.duration == 4 * 60


def test_page_after_submit_counts_the_drawn_questions_without_practice(
    client: FlaskClient, services: Services
) -> None:
    bank = [item("a1"), item("a2"), item("a3")]
    taker = Taker(client, services, PRACTICE[0], section("first", bank, draw={"count": 2}))
    taker.start()
    taker.press("part", part="0")
    taker.answer(1)
    assert "You have answered the question." in taker.page("overview")
    taker.press("part/finish", part="0")
    taker.press("part", part="1")
    taker.answer(2)
    taker.answer(3)
    taker.press("submit")
    assert "<dd>2 of 2</dd>" in taker.page("")


def test_overview_shows_the_formula_of_a_question(client: FlaskClient, services: Services) -> None:
    long_text = "Read this slowly. " * 8
    prompts = [r"What is $\frac{3}{4} + 1$?", f"{long_text}$x^2$", "No formula"]
    questions = [item(f"q{number}", prompt=text) for number, text in enumerate(prompts)]
    taker = Taker(client, services, section("first", questions))
    taker.start()
    page = taker.page("overview")
    assert page.count("<math") == 1
    assert r"\frac" not in page
    assert "slowly.…" in page
    assert "No formula</span>" in page


def test_break_stops_the_clock_and_closes_what_was_seen(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    taker = Taker(client, services, *PRACTICE[1:], time_limit=20)
    taker.start()
    clock.advance(5 * MINUTE)
    taker.answer(1)
    assert "take a break of up to 10 minutes" in taker.page("overview")
    assert taker.press("part/finish", part="0") == "pause"
    assert "<h1>Your break</h1>" in taker.page()
    clock.advance(4 * MINUTE)
    assert "6 minutes" in taker.page()
    for place in ("items/1", "items/2", "overview", "part"):
        assert "<h1>Your break</h1>" in taker.page(place)
    assert taker.press("go-on") == "part"
    assert taker.press("part", part="1") == "items/2"
    assert taker.seconds_left == 15 * 60
    assert "a1?" not in taker.page("items/1")
    assert "a1?" not in taker.page("overview")
    clock.advance(MINUTE)
    given = str(to_milliseconds(clock.now()))
    page = taker.page()
    late = post_as_script(client, page, f"{taker.root}/items/1", answer="b", given_at=given)
    assert late.status_code == 409
    taker.answer(2)
    taker.answer(3)
    taker.press("submit")
    with services.db.reading() as session:
        result = Assessment.find(session, taker.public_id).result
        assert result
        assert (result.duration, result.score) == (360, 100)


def test_break_after_a_section_whose_time_ran_out_ends_by_itself(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    sections = [section("a", [item("a1")], time_limit=5, **{"break": 10}), PRACTICE[2]]
    taker = Taker(client, services, *sections, time_limit=8)
    taker.start()
    taker.press("part", part="0")
    clock.advance(12 * MINUTE)  # the test would be over without the break
    with services.db.writing() as session:
        close_overdue_orders(session, services.secret_box, clock.now())
    assert "<h1>Your break</h1>" in taker.page()
    clock.advance(4 * MINUTE)
    assert taker.place == "part"
    taker.press("part", part="1")
    assert taker.seconds_left == 2 * 60  # 8 minutes and a break of 10, after 16


def test_mark_is_kept_and_shown_in_the_list(client: FlaskClient, services: Services) -> None:
    taker = Taker(client, services, section("one", [item("q1"), item("q2")]))
    taker.start()
    assert taker.answer(1, "b", "flag") == "items/1"
    assert "Remove the mark" in taker.page("items/1")
    assert taker.page("overview").count("Marked to come back to") == 1
    assert taker.answer(1, "b", "unflag") == "items/1"
    assert "Marked to come back to" not in taker.page("overview")
    assert saved_answers(services, taker.public_id) == {"q1": "b"}


def test_older_device_learns_that_another_one_opened_the_test(
    client: FlaskClient, services: Services
) -> None:
    taker = Taker(client, services, section("one", [item("q1")]))
    page = start_test(client, services, taker.public_id)
    for device in ("one", "two", "x" * 41, "<b>"):
        post_as_script(client, page, f"{taker.root}/device", device=device)
    assert client.get(f"{taker.root}/time").get_json()["device"] == "two"
    reply = post_as_script(client, page, f"{taker.root}/items/1", answer="a", go="")
    assert reply.get_json()["device"] == "two"


@pytest.mark.parametrize("path", ["part", "part/finish", "items/1/leave"])
def test_forms_between_parts_after_the_end_show_the_status(
    client: FlaskClient, services: Services, clock: ManualClock, path: str
) -> None:
    taker = Taker(client, services, *TIMED, time_limit=5)
    taker.start()
    page = taker.page()
    clock.advance(6 * MINUTE)
    response = submit_form(client, page, f"{taker.root}/{path}", part="0")
    assert response.status_code in (303, 409)
    with services.db.reading() as session:
        assert Assessment.find(session, taker.public_id).progress == "submitted"
