"""A wrong key: the attempts are found, previewed, scored again, and published again."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from sqlalchemy import select

from provider.core.audit import Action, AuditEntry
from provider.core.kinds.assessment import Assessment, Test, content
from provider.core.kinds.assessment.corrections import has_same_items, list_scoring_changes
from provider.core.kinds.assessment.rescoring import Preview, Rescoring
from provider.core.orders import Order
from provider.core.orders.bulk_run import BulkRow, Progress
from provider.core.orders.bulk_runner import PERFORM_BULK_RUNS
from provider.core.products.documents import content_digest
from provider.core.report import build_report
from provider.errors import Conflict, Invalid
from provider.outbox import CALLBACK, EMAIL, Message, QueueName
from provider.services import Services
from tests import factories
from tests.factories import CORRECT_ANSWERS, TEST_CONTENT

AUTHOR = "ana@provider.test"
REASON = "The key of the first question was wrong"
# The author keyed 52 as the sum; 42 is right.
WRONG_CONTENT = deepcopy(TEST_CONTENT)
for _option in WRONG_CONTENT["sections"][0]["items"][0]["options"]:
    _option["correct"] = _option["key"] == "c"
WRONG_ANSWERS: Mapping[str, Any] = CORRECT_ANSWERS | {"sum": {"answer": "c"}}


@pytest.fixture
def product_id(services: Services) -> str:
    factories.create_staff(services, AUTHOR, "author")
    return factories.create_product(services, "assessment", WRONG_CONTENT, "reasoning", "Reasoning")


@pytest.fixture
def order_ids(services: Services, product_id: str) -> list[str]:
    """Return the orders of three candidates: right, wrong, and not completed."""
    account_id, _ = factories.create_account(services)
    order_ids = [
        factories.place_order(
            services, account_id, product_id, callback_url=f"https://a.workable.com/{number}"
        )
        for number in range(3)
    ]
    factories.finish_test(services, order_ids[0])
    factories.finish_test(services, order_ids[1], dict(WRONG_ANSWERS))
    return order_ids


def publish(services: Services, product_id: str, test: dict[str, Any]) -> int:
    """Publish a version; return its number."""
    with services.db.writing() as session:
        product = Test.find(session, product_id)
        document = test | {"name": product.name}
        version = product.add_version(session, document, content_digest(document), services.now())
        assert version
        product.publish(services.now())
        return version.number


def plan(session: Any, product_id: str, number: int) -> Rescoring:
    product = Test.find(session, product_id)
    return Rescoring.plan(product, product.versions[number - 1])


def start(services: Services, product_id: str, number: int) -> Progress:
    """Score the attempts again by a version, and perform the run."""
    with services.db.writing() as session:
        run = plan(session, product_id, number).start(session, REASON, AUTHOR, services.now())
        run_id = run.id
    PERFORM_BULK_RUNS.run(services)
    with services.db.reading() as session:
        row = session.scalars(select(BulkRow).where(BulkRow.run_id == run_id)).first()
        return row.run.progress(session) if row else Progress(0, 0, 0)


def preview(services: Services, product_id: str, number: int, limit: int = 1000) -> Preview:
    with services.db.reading() as session:
        found = plan(session, product_id, number).preview(session, limit)
        session.expunge_all()
        return found


def scores(services: Services, order_id: str) -> list[tuple[int, float | None, str | None]]:
    """Return (revision, score, grade) of every result of an order, oldest first."""
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        return [(row.revision, row.score, row.grade) for row in order.results]


def messages(services: Services, order_id: str, channel: str) -> list[dict[str, Any]]:
    with services.db.reading() as session:
        rows = session.scalars(
            select(Message).where(Message.ordering_key == order_id).order_by(Message.id)
        )
        return [
            dict(row.get_payload(services.secret_box))
            for row in rows
            if QueueName.parse(row.queue).channel == channel
        ]


@pytest.mark.both
def test_preview_shows_old_and_new_results_and_changes_nothing(
    services: Services, product_id: str, order_ids: list[str]
) -> None:
    number = publish(services, product_id, TEST_CONTENT)
    found = preview(services, product_id, number)
    assert [
        (row.order.public_id, row.before.score, row.after.score, row.before.grade, row.after.grade)
        for row in found.changed
    ] == [
        (order_ids[1], 100, 75, "excelled", "passed"),
        (order_ids[0], 75, 100, "passed", "excelled"),
    ]
    counts = (found.scored_count, found.other_score_count, found.other_grade_count)
    assert (counts, found.is_complete) == ((2, 2, 2), True)
    assert not preview(services, product_id, number, limit=1).is_complete
    assert [len(scores(services, order_id)) for order_id in order_ids] == [1, 1, 0]
    with services.db.reading() as session:
        rescoring = plan(session, product_id, number)
        assert (rescoring.count_attempts(session), rescoring.count_open(session)) == (2, 1)


@pytest.mark.both
def test_rescoring_publishes_a_new_revision_and_tells_the_ats(
    services: Services, product_id: str, order_ids: list[str]
) -> None:
    number = publish(services, product_id, TEST_CONTENT)
    emails = len(messages(services, order_ids[0], EMAIL))
    with services.db.reading() as session:
        before = Assessment.find(session, order_ids[0])
        finished_at, duration = before.finished_at, before.results[0].duration
    assert start(services, product_id, number) == Progress(0, 2, 0)
    assert scores(services, order_ids[0]) == [(1, 75, "passed"), (2, 100, "excelled")]
    with services.db.reading() as session:
        order = Assessment.find(session, order_ids[0])
        assert (order.status, order.revision, order.finished_at) == ("completed", 2, finished_at)
        assert order.results[1].duration == duration
        result_id = order.results[1].id
        assert [event.type for event in order.events][-1] == "rescored"
        assert (order.events[-1].actor, order.events[-1].note) == (AUTHOR, REASON)
    callbacks = messages(services, order_ids[0], CALLBACK)
    assert (len(callbacks), callbacks[-1]) == (2, {"status": "completed", "result": result_id})
    # The candidate has the receipt already.
    assert len(messages(services, order_ids[0], EMAIL)) == emails


def test_report_of_a_rescored_test_shows_the_marks_of_the_right_key(
    services: Services, product_id: str, order_ids: list[str]
) -> None:
    start(services, product_id, publish(services, product_id, TEST_CONTENT))
    with services.db.reading() as session:
        order = Assessment.find(session, order_ids[0])
        report = build_report(order, services.secret_box, {"report"})
        items = order.evidence(services.secret_box).items
        assert (items[0].answer, items[0].points, items[0].mark) == ("42", "1 of 1", "right")
        assert report.dates[-1] == ("Scored again, with corrected scoring", services.now())
        # The result before keeps its answers, and its own key.
        [earlier] = order.earlier_results
        evidence = order.earlier_evidence(earlier)
        assert (evidence.items[0].answer, evidence.items[0].points) == ("42", "0 of 1")  # type: ignore[attr-defined]


def test_open_order_is_scored_by_the_corrected_key_when_it_is_completed(
    services: Services, product_id: str, order_ids: list[str]
) -> None:
    number = publish(services, product_id, TEST_CONTENT)
    start(services, product_id, number)
    factories.finish_test(services, order_ids[2])
    assert scores(services, order_ids[2]) == [(1, 100, "excelled")]
    assert preview(services, product_id, number).changed == ()


def test_rescoring_by_the_version_before_restores_the_results(
    services: Services, product_id: str, order_ids: list[str]
) -> None:
    start(services, product_id, publish(services, product_id, TEST_CONTENT))
    assert start(services, product_id, 1) == Progress(0, 2, 0)
    assert [score for _, score, _ in scores(services, order_ids[0])] == [75, 100, 75]
    factories.finish_test(services, order_ids[2])
    assert scores(services, order_ids[2]) == [(1, 75, "passed")]


def test_attempt_with_the_same_result_is_left_as_it_is(
    services: Services, product_id: str, order_ids: list[str]
) -> None:
    corrected = deepcopy(WRONG_CONTENT)
    corrected["sections"][1]["items"][0]["accepted"].append("tardy")
    number = publish(services, product_id, corrected)
    assert preview(services, product_id, number).changed == ()
    assert start(services, product_id, number) == Progress(0, 0, 2)
    assert [len(scores(services, order_id)) for order_id in order_ids] == [1, 1, 0]
    with services.db.reading() as session:
        problems = set(session.scalars(select(BulkRow.problem)))
    assert problems == {"The result stays the same"}


def test_reopened_order_is_not_scored_again_before_it_is_completed(
    services: Services, product_id: str, order_ids: list[str]
) -> None:
    number = publish(services, product_id, TEST_CONTENT)
    with services.db.writing() as session:
        run = plan(session, product_id, number).start(session, REASON, AUTHOR, services.now())
        Assessment.find(session, order_ids[0]).reopen(
            session, services.secret_box, AUTHOR, "Again", services.now()
        )
        run_id = run.id
    PERFORM_BULK_RUNS.run(services)
    with services.db.reading() as session:
        rows = session.scalars(select(BulkRow).where(BulkRow.run_id == run_id).order_by(BulkRow.id))
        assert [row.problem for row in rows] == ["Only a completed test can be scored again", ""]
    assert [score for _, score, _ in scores(services, order_ids[0])] == [75]


@pytest.mark.both
def test_rescoring_is_in_the_audit_log_without_a_result(
    services: Services, product_id: str, order_ids: list[str]
) -> None:
    start(services, product_id, publish(services, product_id, TEST_CONTENT))
    with services.db.reading() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    product, *orders = entries
    assert (product.action, product.actor) == (Action.PRODUCT_RESCORED, AUTHOR)
    run_id = orders[0].after["bulk"] if orders[0].after else ""
    assert product.after == {"version": 2, "versions": [1], "orders": 2, "bulk": run_id}
    assert [(row.action, row.before) for row in orders] == [
        (Action.ORDER_RESCORED, {"revision": 1})
    ] * 2
    assert {row.subject for row in orders} == {f"order:{order_id}" for order_id in order_ids[:2]}


def test_plan_refuses_a_draft_a_short_reason_and_a_second_run(
    services: Services, product_id: str, order_ids: list[str]
) -> None:
    publish(services, product_id, TEST_CONTENT)
    with services.db.writing() as session:
        product = Test.find(session, product_id)
        product.add_version(session, {"name": "R", "sections": []}, "0" * 64, services.now())
        with pytest.raises(Conflict, match="Publish this version first"):
            Rescoring.plan(product, product.versions[-1])
        rescoring = plan(session, product_id, 2)
        with pytest.raises(Invalid, match="Give a reason"):
            rescoring.start(session, "?", AUTHOR, services.now())
        rescoring.start(session, REASON, AUTHOR, services.now())
        with pytest.raises(Conflict, match="being scored again already"):
            rescoring.start(session, REASON, AUTHOR, services.now())


def test_draft_keeps_its_own_keys(
    services: Services, product_id: str, order_ids: list[str]
) -> None:
    number = publish(services, product_id, TEST_CONTENT)
    with services.db.writing() as session:
        draft = deepcopy(WRONG_CONTENT) | {"name": "Reasoning", "time_limit": 30}
        Test.find(session, product_id).add_version(session, draft, "0" * 64, services.now())
    start(services, product_id, number)
    with services.db.reading() as session:
        versions = Test.find(session, product_id).versions
        assert [version.scoring_version.number for version in versions] == [2, 2, 3]


def changed_item(**fields: Any) -> content.TestContent:
    """Return the test with another first question."""
    test = deepcopy(TEST_CONTENT) | {"name": "Reasoning"}
    test["sections"][0]["items"][0] |= fields
    return content.parse(test)


@pytest.mark.parametrize(
    ("fields", "is_same"),
    [
        ({"points": 3}, True),
        ({"prompt": "What is 17 + 26?"}, False),
        ({"key": "total"}, False),
        ({"required": True}, False),
        (
            {"options": [{"key": "a", "text": "32"}, {"key": "b", "text": "42", "correct": True}]},
            False,
        ),
        (
            {
                "options": [
                    {"key": "a", "text": "32", "correct": True},
                    {"key": "b", "text": "42"},
                    {"key": "c", "text": "52"},
                ]
            },
            True,
        ),
    ],
)
def test_answers_can_be_scored_by_a_version_with_the_same_questions(
    fields: dict[str, Any], is_same: bool
) -> None:
    original = changed_item()
    assert has_same_items(original, changed_item(**fields)) == is_same


def test_scoring_changes_name_keys_points_weights_and_cut_scores() -> None:
    other = deepcopy(WRONG_CONTENT) | {"name": "Reasoning", "grades": {"passed": 60}}
    other["sections"][0]["weight"] = 2
    other["sections"][0]["items"][1]["points"] = 3
    changes = list(list_scoring_changes(changed_item(), content.parse(other)))
    assert changes == [
        ("What is 17 + 25?", "42 (1 point)", "52 (1 point)"),
        ("What is half of 7?", "3.5 (1 point)", "3.5 (3 points)"),
        ("Weight of Numbers", "1", "2"),
        ("The cut scores", "As before", "Changed"),
    ]


def test_only_a_test_can_be_scored_again(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(
        services, account_id, factories.create_interview(services), "interview"
    )
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        with pytest.raises(Conflict, match="Only a test can be scored again"):
            order.rescore(session, services.secret_box, AUTHOR, REASON, services.now())
