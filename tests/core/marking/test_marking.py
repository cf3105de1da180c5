"""Marks of staff: claims, one or two markers, decisions, and the result of the test."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from provider.core.kinds.answer_files import AnswerFile
from provider.core.kinds.assessment import Assessment, Test
from provider.core.kinds.assessment.corrections import list_scoring_changes
from provider.core.kinds.assessment.rescoring import Rescoring
from provider.core.kinds.assessment.scripted import play_step
from provider.core.kinds.base import ScriptedStep
from provider.core.marking import LEASE, Mark, MarkingSettings, MarkingTask, claim_next
from provider.core.orders import Order
from provider.core.products.documents import content_digest
from provider.errors import Conflict, Invalid
from provider.maintenance.erasure import erase_order
from provider.maintenance.person_export import export_order
from provider.outbox import CALLBACK, EMAIL, Message, QueueName
from provider.services import Services
from provider.storage.file_types import detect_type
from tests import factories
from tests.factories import ManualClock
from tests.marking_factories import (
    ANA,
    BEN,
    CLEO,
    LETTER,
    mark,
    submit_texts,
    take,
    task_ids,
)

TWO_MARKERS = {"markers": 2, "tolerance": 2}
PLAN_POINTS = {"goal": 4, "steps": 1}


def topics(services: Services, channel: str) -> list[str]:
    with services.db.reading() as session:
        messages = session.scalars(select(Message).order_by(Message.id))
        return [row.topic for row in messages if QueueName.parse(row.queue).channel == channel]


def state(services: Services, order_id: str) -> tuple[str, str, str]:
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        return order.status, order.progress, order.waiting_for


def score(services: Services, order_id: str) -> float | None:
    with services.db.reading() as session:
        result = Order.find(session, order_id).result
        assert result
        return result.score


@pytest.mark.both
def test_last_mark_scores_and_completes_the_test(services: Services, clock: ManualClock) -> None:
    order_id = submit_texts(services)
    assert state(services, order_id) == ("pending", "marking", "staff")
    assert topics(services, CALLBACK) == []
    assert topics(services, EMAIL) == ["invitation", "completion"]
    tasks = task_ids(services, order_id)
    clock.advance(timedelta(days=1))
    assert mark(services, tasks["letter"], ANA, "7.5", "Friendly") == "marked"
    assert state(services, order_id)[0] == "pending"
    assert mark(services, tasks["plan"], BEN, PLAN_POINTS) == "marked"
    assert state(services, order_id) == ("completed", "submitted", "nobody")
    # (7.5 + 5) of 20 points in one section, all in the other one.
    assert score(services, order_id) == 81.3
    assert topics(services, CALLBACK) == ["status"]
    assert topics(services, EMAIL) == ["invitation", "completion"]  # the receipt is sent once
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        assert order.result
        assert order.result.duration == 0  # the time of the attempt, not that of the marks
        evidence = order.evidence(services.secret_box)
        points = [item.points for item in evidence.items]
    assert points[:2] == ["7.5 of 10", "5 of 10"]


def test_submission_without_texts_is_scored_at_once(services: Services) -> None:
    order_id = submit_texts(services, LETTER | {"key": "left-blank"})
    assert state(services, order_id) == ("completed", "submitted", "nobody")
    assert score(services, order_id) == 50
    assert topics(services, EMAIL) == ["invitation", "completion"]


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ("11", "0 to 10"),
        ("-1", "0 to 10"),
        ("1.234", "two decimals"),
        ({"goal": 1}, "points first"),
    ],
)
def test_points_out_of_range_are_refused(services: Services, points: object, problem: str) -> None:
    tasks = task_ids(services, submit_texts(services, LETTER))
    with pytest.raises(Invalid, match=problem):
        mark(services, tasks["letter"], ANA, points)


@pytest.mark.parametrize("points", [{"goal": 4}, {"goal": 5, "steps": 1}, "7"])
def test_each_row_of_a_rubric_needs_points_in_its_range(services: Services, points: object) -> None:
    tasks = task_ids(services, submit_texts(services))
    with pytest.raises(Invalid):
        mark(services, tasks["plan"], ANA, points)


@pytest.mark.both
def test_claim_keeps_colleagues_out_until_its_lease_ends(
    services: Services, clock: ManualClock
) -> None:
    tasks = task_ids(services, submit_texts(services))
    with services.db.writing() as session:
        first = claim_next(session, ANA, services.now())
        second = claim_next(session, BEN, services.now())
        again = claim_next(session, ANA, services.now())
        third = claim_next(session, CLEO, services.now())
        assert first
        assert second
        assert [first.unit, second.unit, third] == ["letter", "plan", None]
        assert again is first
    with pytest.raises(Conflict, match="A colleague is marking this answer now"):
        mark(services, tasks["letter"], BEN, 5)
    clock.advance(LEASE)
    take(services, tasks["letter"], BEN)
    with pytest.raises(Conflict, match="A colleague is marking this answer now"):
        mark(services, tasks["letter"], ANA, 5)
    assert mark(services, tasks["letter"], BEN, 5) == "marked"


@pytest.mark.both
def test_two_marks_within_the_tolerance_count_as_their_mean(services: Services) -> None:
    order_id = submit_texts(services, LETTER, marking=TWO_MARKERS)
    task_id = task_ids(services, order_id)["letter"]
    assert mark(services, task_id, ANA, 7) == "open"
    with pytest.raises(Conflict, match="You have marked this answer already"):
        mark(services, task_id, ANA, 7)
    assert mark(services, task_id, BEN, 9) == "marked"
    assert score(services, order_id) == 90


def test_two_marks_that_differ_more_wait_for_a_decision(services: Services) -> None:
    order_id = submit_texts(services, LETTER, marking=TWO_MARKERS)
    task_id = task_ids(services, order_id)["letter"]
    mark(services, task_id, ANA, 3)
    assert mark(services, task_id, BEN, "5.5") == "disputed"
    assert state(services, order_id) == ("pending", "marking", "staff")
    take(services, task_id, CLEO)
    with pytest.raises(Conflict, match="A colleague is marking"):
        mark(services, task_id, ANA, 4)
    assert mark(services, task_id, CLEO, 4) == "reconciled"
    assert score(services, order_id) == 70
    with pytest.raises(Conflict, match="marked already"):
        mark(services, task_id, BEN, 4)


@pytest.mark.both
def test_reopened_test_needs_new_marks(services: Services, clock: ManualClock) -> None:
    order_id = submit_texts(services, LETTER)
    mark(services, task_ids(services, order_id)["letter"], ANA, 10)
    clock.advance(timedelta(hours=1))
    with services.db.writing() as session:
        order = Assessment.find(session, order_id, lock=True)
        order.reopen(session, services.secret_box, ANA, "Once more", services.now())
        order.start(session, services.now())
        order.submit(session, services.secret_box, services.now())
    assert state(services, order_id)[1] == "marking"
    mark(services, task_ids(services, order_id)["letter"], BEN, 0)
    with services.db.reading() as session:
        scores = [result.score for result in Order.find(session, order_id).results]
        assert scores == [100, 50]
        assert session.scalar(select(func.count()).select_from(Mark)) == 2


def test_cancelled_order_leaves_the_queue(services: Services) -> None:
    order_id = submit_texts(services)
    tasks = task_ids(services, order_id)
    with services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        order.cancel(session, ANA, "The job is filled", services.now())
        assert claim_next(session, ANA, services.now()) is None
    with pytest.raises(Conflict, match="order has ended"):
        mark(services, tasks["letter"], ANA, 1)


def test_marks_are_exported_and_erased_with_the_order(services: Services) -> None:
    order_id = submit_texts(services, LETTER)
    mark(services, task_ids(services, order_id)["letter"], ANA, 4, "Too short")
    with services.db.reading() as session:
        document = export_order(session, services.secret_box, Order.find(session, order_id))
    assert [row["comment"] for row in document["tables"]["marks"]] == ["Too short"]
    erasure = erase_order(
        services.db,
        services.media,
        services.secret_box,
        order_id,
        actor=ANA,
        now=services.now(),
        give_up_deliveries=True,
    )
    assert (erasure.rows["marking_tasks"], erasure.rows["marks"]) == (1, 1)
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(MarkingTask)) == 0


@pytest.mark.parametrize(("is_good", "expected"), [(True, 100), (False, 50)])
def test_sandbox_marks_the_answers_of_its_candidate(
    services: Services, is_good: bool, expected: int
) -> None:
    order_id = submit_texts(services, marking=TWO_MARKERS)
    step = ScriptedStep(services.secret_box, services.media, services.now(), is_good)
    with services.db.writing() as session:
        play_step(session, Assessment.find(session, order_id, lock=True), step)
    assert score(services, order_id) == expected


@pytest.mark.parametrize("types", [["pdf"], ["picture"], ["pdf", "picture"]])
@pytest.mark.parametrize(("is_good", "expected"), [(True, 100), (False, 0)])
def test_sandbox_sends_files_and_marks_them(
    services: Services, types: list[str], is_good: bool, expected: int
) -> None:
    account_id, _ = factories.create_account(services)
    file = {"kind": "file", "key": "plan", "prompt": "Send a plan.", "types": types}
    sections = [{"key": "one", "title": "One", "items": [file]}]
    product_id = factories.create_test(services, sections=sections, grades=None)
    order_id = factories.place_order(services, account_id, product_id)
    step = ScriptedStep(services.secret_box, services.media, services.now(), is_good)
    for _ in range(3):  # start, send, mark
        with services.db.writing() as session:
            play_step(session, Assessment.find(session, order_id, lock=True), step)
    assert score(services, order_id) == expected
    with services.db.reading() as session:
        [row] = session.scalars(select(AnswerFile))
        content = b"".join(services.media.read_range(row.media_key, 0, row.size))
        assert detect_type(content) == row.type


def test_corrected_version_of_the_rules_of_marking_is_named(services: Services) -> None:
    order_id = submit_texts(services, LETTER)
    with services.db.reading() as session:
        before = Assessment.find(session, order_id).content
    after = replace(before, marking=MarkingSettings(markers=2))
    assert [change.part for change in list_scoring_changes(before, after)] == [
        "The rules of marking"
    ]


def test_corrected_version_keeps_the_share_of_each_mark(services: Services) -> None:
    order_id = submit_texts(services, LETTER)
    mark(services, task_ids(services, order_id)["letter"], ANA, 4)
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        product_id, document = order.product.public_id, deepcopy(order.version.content)
    document["sections"][0]["items"][0]["points"] = 5
    document["sections"][1]["items"][0]["options"][1]["correct"] = False
    document["sections"][1]["items"][0]["options"][2]["correct"] = True
    with services.db.writing() as session:
        product = Test.find(session, product_id)
        product.add_version(session, document, content_digest(document), services.now())
        product.publish(services.now())
        [attempt] = Rescoring.plan(product, product.versions[1]).preview(session).changed
    points = attempt.after.figures["points"]
    assert (points["letter"], points["sum"], attempt.after.score) == ("2", "0", 45)


def test_candidate_cannot_decline_what_waits_for_marks(services: Services) -> None:
    order_id = submit_texts(services, LETTER)
    with services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        with pytest.raises(Conflict, match="already been submitted"):
            order.decline(session, "", services.now())
