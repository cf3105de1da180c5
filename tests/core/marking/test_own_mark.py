"""Corrections of own marks, before and after the task is settled, and old addresses of tasks."""

from datetime import timedelta
from decimal import Decimal
from email import message_from_bytes, policy
from fractions import Fraction

import pytest

from provider.core.emails import render_email
from provider.core.kinds.assessment import Assessment
from provider.core.marking import (
    MarkForm,
    claim_next,
    correct_mark,
    find_second_look,
    find_task,
)
from provider.core.marking.second_look import answer, list_settled_tasks
from provider.core.orders import Order
from provider.errors import Conflict, Invalid
from provider.outbox import CALLBACK, EMAIL
from provider.services import Services
from tests import factories
from tests.core.marking.test_marking import TWO_MARKERS, score, state, topics
from tests.factories import ManualClock
from tests.marking_factories import (
    ANA,
    BEN,
    CLEO,
    LETTER,
    PLAN,
    ask_second_look,
    mark,
    submit_texts,
    take,
    task_ids,
)


def correct(
    services: Services, task_id: str, marker: str, points: object, reason: str = ""
) -> tuple[str, str | None]:
    """Correct a mark; return the state and the points of the task."""
    with services.db.writing() as session:
        task = find_task(session, task_id, lock=True)
        form = MarkForm(Decimal(str(points)))
        correct_mark(session, services.secret_box, task, form, marker, reason, services.now())
        return task.state, task.points


@pytest.mark.both
def test_mark_is_corrected_without_a_reason_until_the_task_is_settled(services: Services) -> None:
    order_id = submit_texts(services, LETTER, marking=TWO_MARKERS)
    task_id = task_ids(services, order_id)["letter"]
    mark(services, task_id, ANA, 3)
    assert correct(services, task_id, ANA, 4) == ("open", None)
    assert mark(services, task_id, BEN, 9) == "disputed"
    take(services, task_id, CLEO)
    # The corrected mark agrees with the other one, so that nobody has to decide.
    assert correct(services, task_id, ANA, 8) == ("marked", "8.5")
    assert state(services, order_id)[0] == "completed"
    assert topics(services, CALLBACK) == ["status"]
    with pytest.raises(Conflict, match="marked already"):
        mark(services, task_id, CLEO, 5)


@pytest.mark.both
def test_correction_after_the_result_needs_a_reason_and_publishes_it(
    services: Services, clock: ManualClock
) -> None:
    order_id = submit_texts(services, LETTER)
    task_id = task_ids(services, order_id)["letter"]
    mark(services, task_id, ANA, 4)
    clock.advance(timedelta(hours=1))
    with pytest.raises(Invalid, match="Write why you correct the mark"):
        correct(services, task_id, ANA, 8)
    with pytest.raises(Conflict, match="You have no mark"):
        correct(services, task_id, BEN, 8, "I read it again")
    assert score(services, order_id) == 70
    assert correct(services, task_id, ANA, 8, "I read it again") == ("marked", "8")
    assert score(services, order_id) == 90
    assert topics(services, CALLBACK) == ["status", "status"]
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        assert [result.score for result in order.results] == [70, 90]
        assert (order.events[-1].type, order.events[-1].note) == ("rescored", "I read it again")
    assert correct(services, task_id, ANA, 8, "Another comment") == ("marked", "8")
    assert topics(services, CALLBACK) == ["status", "status"]  # the points are the same


def test_correction_between_two_tasks_waits_for_the_last_mark(services: Services) -> None:
    order_id = submit_texts(
        services, LETTER, {key: value for key, value in PLAN.items() if key != "rubric"}
    )
    tasks = task_ids(services, order_id)
    mark(services, tasks["letter"], ANA, 4)
    assert correct(services, tasks["letter"], ANA, 10, "A slip of the pen") == ("marked", "10")
    assert state(services, order_id)[:2] == ("pending", "marking")
    mark(services, tasks["plan"], BEN, 1)
    assert score(services, order_id) == 100


def complete_with_two_marks(services: Services) -> tuple[str, str]:
    """Return a completed order and its task; the two marks are 7 and 9."""
    order_id = submit_texts(services, LETTER, marking=TWO_MARKERS)
    task_id = task_ids(services, order_id)["letter"]
    mark(services, task_id, ANA, 7)
    mark(services, task_id, BEN, 9)
    assert score(services, order_id) == 90
    return order_id, task_id


def results(services: Services, order_id: str) -> list[float | None]:
    with services.db.reading() as session:
        return [result.score for result in Order.find(session, order_id).results]


def test_correction_of_a_completed_test_within_the_tolerance_counts(services: Services) -> None:
    order_id, task_id = complete_with_two_marks(services)
    with pytest.raises(Invalid, match="Write why you correct the mark"):
        correct(services, task_id, ANA, 9)
    assert correct(services, task_id, ANA, 9, "I read it again") == ("marked", "9")
    assert results(services, order_id) == [90, 95]


@pytest.mark.both
def test_decision_after_a_disputed_correction_corrects_the_result(services: Services) -> None:
    order_id, task_id = complete_with_two_marks(services)
    assert correct(services, task_id, ANA, 1, "I read it again") == ("disputed", "8")
    assert results(services, order_id) == [90]  # it stays until somebody decides
    assert topics(services, CALLBACK) == ["status"]
    with services.db.reading() as session:
        event = Order.find(session, order_id).events[-1]
        assert (event.type, event.actor, event.note) == ("marks differ", ANA, "I read it again")
    with services.db.writing() as session:
        queued = claim_next(session, CLEO, services.now())
        assert queued
        assert queued.public_id == task_id
    assert mark(services, task_id, CLEO, 4) == "reconciled"
    assert results(services, order_id) == [90, 70]
    assert state(services, order_id) == ("completed", "submitted", "nobody")
    assert topics(services, CALLBACK) == ["status", "status"]
    with services.db.writing() as session:
        assert claim_next(session, CLEO, services.now()) is None
    assert correct(services, task_id, CLEO, 5, "A slip of the pen") == ("reconciled", "5")


def test_other_marker_can_end_a_dispute_by_a_correction(services: Services) -> None:
    order_id, task_id = complete_with_two_marks(services)
    correct(services, task_id, ANA, 1, "I read it again")
    take(services, task_id, CLEO)
    with pytest.raises(Invalid, match="Write why you correct the mark"):
        correct(services, task_id, BEN, 2)
    assert correct(services, task_id, BEN, 2, "Ana is right") == ("marked", "1.5")
    assert results(services, order_id) == [90, 57.5]
    with pytest.raises(Conflict, match="marked already"):
        mark(services, task_id, CLEO, 5)


def test_decision_for_the_same_points_makes_no_new_result(services: Services) -> None:
    order_id, task_id = complete_with_two_marks(services)
    correct(services, task_id, ANA, 1, "I read it again")
    assert mark(services, task_id, CLEO, "8.0") == "reconciled"
    assert results(services, order_id) == [90]


def test_disputed_correction_keeps_its_points_while_keys_are_corrected(services: Services) -> None:
    order_id, task_id = complete_with_two_marks(services)
    correct(services, task_id, ANA, 1, "I read it again")
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        assert order.load_marks() == {"letter": Fraction(8, 10)}


def test_only_the_decision_between_two_marks_can_be_corrected(services: Services) -> None:
    order_id = submit_texts(services, LETTER, marking=TWO_MARKERS)
    task_id = task_ids(services, order_id)["letter"]
    mark(services, task_id, ANA, 1)
    mark(services, task_id, BEN, 9)
    mark(services, task_id, CLEO, 4)
    with pytest.raises(Conflict, match="You have no mark"):
        correct(services, task_id, ANA, 9, "I read it again")
    assert correct(services, task_id, CLEO, 6, "I read it again") == ("reconciled", "6")
    assert score(services, order_id) == 80


def test_mark_before_a_reopening_cannot_be_corrected(
    services: Services, clock: ManualClock
) -> None:
    order_id = submit_texts(services, LETTER)
    task_id = task_ids(services, order_id)["letter"]
    mark(services, task_id, ANA, 4)
    with services.db.writing() as session:
        order = Assessment.find(session, order_id, lock=True)
        order.reopen(session, services.secret_box, BEN, "Once more", clock.now())
    with pytest.raises(Conflict, match="You have no mark"):
        correct(services, task_id, ANA, 8, "I read it again")


@pytest.mark.parametrize("is_submitted", [False, True])
def test_task_of_the_first_attempt_shows_its_answer_after_a_retake(
    services: Services, clock: ManualClock, is_submitted: bool
) -> None:
    order_id = submit_texts(services, LETTER)
    task_id = task_ids(services, order_id)["letter"]
    mark(services, task_id, ANA, 4)
    clock.advance(timedelta(hours=1))
    with services.db.writing() as session:
        order = Assessment.find(session, order_id, lock=True)
        order.retake(session, services.secret_box, ANA, "The line broke", clock.now())
    if is_submitted:
        factories.finish_test(services, order_id, {"letter": {"answer": "The second letter"}})
        [new_task_id] = task_ids(services, order_id).values()
        assert answer_of(services, new_task_id) == ("The second letter", False)
    assert answer_of(services, task_id) == ("Dear customer,\nwe are sorry.", False)


def test_task_whose_answer_was_not_kept_says_so(services: Services, clock: ManualClock) -> None:
    order_id = submit_texts(services, LETTER)
    task_id = task_ids(services, order_id)["letter"]
    with services.db.writing() as session:  # without a result there is nothing to keep it with
        order = Assessment.find(session, order_id, lock=True)
        order.cancel(session, ANA, "A mistake", clock.now())
        order.reopen(session, services.secret_box, ANA, "Once more", clock.now())
    assert answer_of(services, task_id) == ("", True)


def email_text(services: Services, order_id: str) -> str:
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        email = render_email(
            "second_look",
            order,
            url="http://provider.test/c/x",
            sender="tests@provider.test",
            message_id="x",
            now=services.now(),
            kind_context=order.kind_context(services.secret_box),
        )
    body = message_from_bytes(email, policy=policy.default).get_body(("plain",))
    assert body
    return " ".join(body.get_content().split())


def answer_of(services: Services, task_id: str) -> tuple[str, bool]:
    with services.db.reading() as session:
        task = find_task(session, task_id)
        assert isinstance(task.order, Assessment)
        unit = task.order.unit_of_task(task)
        return unit.answer, unit.is_lost


def test_second_look_that_changed_a_mark_is_what_can_be_corrected(services: Services) -> None:
    order_id, _ = ask_second_look(services)
    with services.db.writing() as session:
        order = Assessment.find(session, order_id, lock=True)
        task = find_second_look(session, order)
        assert task
        points = {"letter": Decimal(6)}
        answer(session, services.secret_box, task, points, "You are right", BEN, services.now())
        [marked] = list_settled_tasks(session, order)
        task_id = marked.public_id
    assert topics(services, EMAIL)[-1] == "second_look"
    text = email_text(services, order_id)
    assert "You asked Groove Tech to look at your result again." in text
    assert "Your result has changed, and Groove Tech gets the new one." in text
    assert "http://provider.test/c/x" in text
    with pytest.raises(Conflict, match="You have no mark"):
        correct(services, task_id, ANA, 9, "I read it again")
    assert correct(services, task_id, BEN, 9, "I read it again") == ("marked", "9")
    assert score(services, order_id) == 95
