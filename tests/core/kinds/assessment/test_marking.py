"""Marking: the points that people give, and the completion of a test that waits for them."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from provider.core.kinds.assessment import Assessment
from provider.core.kinds.assessment.evidence import AssessmentEvidence
from provider.core.kinds.assessment.marking import record_mark, score_when_marked
from provider.core.orders import Order
from provider.errors import Conflict, Invalid, NotFound
from provider.services import Services
from tests import factories
from tests.core.orders.test_candidate_emails import email_topics
from tests.factories import ManualClock

ESSAY = {"kind": "long_text", "key": "essay", "prompt": "Why?", "points": 3}
FACT = {"kind": "true_false", "key": "fact", "prompt": "So?", "answer": True}


def sections(**essay: Any) -> list[dict[str, Any]]:
    return [{"key": "one", "title": "One", "items": [ESSAY | essay, FACT]}]


def place(services: Services, **essay: Any) -> str:
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services, sections=sections(**essay))
    return factories.place_order(services, account_id, product_id)


def submit(services: Services, public_id: str, clock: ManualClock, **answers: str) -> None:
    with services.db.writing() as session:
        test = Assessment.find(session, public_id)
        test.start(session, clock.now())
        for key, answer in answers.items():
            test.save(key, {"answer": answer}, clock.now())
        clock.advance(timedelta(minutes=5))
        test.submit(session, services.secret_box, clock.now())


def mark(
    services: Services, public_id: str, points: str, marker: str = "ann", **fields: Any
) -> bool:
    """Give points for the essay; return whether the test is complete then."""
    with services.db.writing() as session:
        test = Assessment.find(session, public_id, lock=True)
        key = fields.pop("item_key", "essay")
        record_mark(test, key, marker, Decimal(points), services.now(), **fields)
        return score_when_marked(session, test, services.secret_box, marker, services.now())


def state(services: Services, public_id: str) -> tuple[str, str, str]:
    with services.db.reading() as session:
        order = Order.find(session, public_id)
        return order.status, order.progress, order.waiting_for


def test_submitted_test_stays_pending_until_its_answers_are_marked(
    services: Services, clock: ManualClock
) -> None:
    public_id = place(services)
    submit(services, public_id, clock, essay="Because", fact="true")
    assert state(services, public_id) == ("pending", "submitted", "staff")
    clock.advance(timedelta(days=2))
    assert mark(services, public_id, "1.5", comment="Half of it")
    assert state(services, public_id) == ("completed", "submitted", "nobody")
    with services.db.reading() as session:
        test = Assessment.find(session, public_id)
        assert test.result
        assert (test.result.score, test.result.grade) == (62.5, "passed")  # (1.5 + 1) of 4
        assert test.result.duration == 300
        evidence = test.evidence(services.secret_box)
        assert isinstance(evidence, AssessmentEvidence)
        assert [item.points for item in evidence.items] == ["1.5 of 3", "1 of 1"]
        assert [item.mark for item in evidence.items] == ["", "right"]
        assert [event.type for event in test.events].count("submitted") == 1


def test_blank_answer_needs_no_marks(services: Services, clock: ManualClock) -> None:
    public_id = place(services)
    submit(services, public_id, clock, fact="true")
    assert state(services, public_id)[0] == "completed"
    with services.db.reading() as session:
        result = Order.find(session, public_id).result
        assert result
        assert result.score == 25


def test_candidate_gets_one_receipt_at_the_submission(
    services: Services, clock: ManualClock
) -> None:
    public_id = place(services)
    submit(services, public_id, clock, essay="Because")
    assert email_topics(services, public_id).count("completion") == 1
    mark(services, public_id, "3")
    assert email_topics(services, public_id).count("completion") == 1


def test_two_markers_must_agree_or_a_final_mark_decides(
    services: Services, clock: ManualClock
) -> None:
    public_id = place(services, markers=2)
    submit(services, public_id, clock, essay="Because", fact="true")
    assert not mark(services, public_id, "1")
    assert not mark(services, public_id, "3", "bob")
    assert not mark(services, public_id, "2", "ann")  # in place of her first mark
    assert mark(services, public_id, "2.5", "cleo", is_final=True)
    with services.db.reading() as session:
        test = Assessment.find(session, public_id)
        assert [(row.marker, row.points) for row in test.marks] == [
            ("ann", "2"),
            ("bob", "3"),
            ("cleo", "2.5"),
        ]
        assert test.result
        assert test.result.score == 87.5


def test_two_markers_who_agree_complete_the_test(services: Services, clock: ManualClock) -> None:
    public_id = place(services, markers=2)
    submit(services, public_id, clock, essay="Because")
    assert not mark(services, public_id, "2")
    assert mark(services, public_id, "2.0", "bob")


@pytest.mark.parametrize(
    ("points", "fields", "error"),
    [
        ("3.1", {}, Invalid),
        ("-1", {}, Invalid),
        ("NaN", {}, Invalid),
        ("1", {"item_key": "fact"}, NotFound),
        ("1", {"item_key": "other"}, NotFound),
    ],
)
def test_mark_that_is_not_possible_is_refused(
    services: Services, clock: ManualClock, points: str, fields: Any, error: type[Exception]
) -> None:
    public_id = place(services)
    submit(services, public_id, clock, essay="Because", fact="true")
    with pytest.raises(error):
        mark(services, public_id, points, **fields)
    assert state(services, public_id) == ("pending", "submitted", "staff")


def test_test_that_waits_for_no_marks_takes_none(services: Services, clock: ManualClock) -> None:
    public_id = place(services)
    with pytest.raises(Conflict, match="Only the answers of a submitted test"):
        mark(services, public_id, "1")
    submit(services, public_id, clock, essay="Because")
    with services.db.writing() as session:
        test = Assessment.find(session, public_id)
        assert not score_when_marked(session, test, services.secret_box, "ann", services.now())
        with pytest.raises(Conflict, match="1 of the answers are not marked"):
            test.complete_with_marks(session, services.secret_box, "ann", services.now())
        with pytest.raises(Conflict, match="already been submitted"):
            test.decline(session, "", services.now())
        with pytest.raises(Conflict):
            test.save("fact", {"answer": "true"}, services.now())
    mark(services, public_id, "1")
    with pytest.raises(Conflict, match="Only the answers of a submitted test"):
        mark(services, public_id, "1")


def test_marks_from_before_a_reopening_do_not_count(services: Services, clock: ManualClock) -> None:
    public_id = place(services)
    submit(services, public_id, clock, essay="Because")
    mark(services, public_id, "3")
    clock.advance(timedelta(hours=1))
    with services.db.writing() as session:
        test = Assessment.find(session, public_id)
        test.reopen(session, services.secret_box, "sam", "Once more", services.now())
    submit(services, public_id, clock, essay="Because of that")
    assert state(services, public_id)[0] == "pending"
    assert mark(services, public_id, "1")


def test_deadline_submits_what_needs_marking(services: Services, clock: ManualClock) -> None:
    public_id = place(services)
    with services.db.writing() as session:
        test = Assessment.find(session, public_id)
        test.start(session, clock.now())
        test.save("essay", {"answer": "Because"}, clock.now())
        clock.advance(timedelta(minutes=21))
        test.close_at_deadline(session, services.secret_box, clock.now())
    assert state(services, public_id) == ("pending", "submitted", "staff")
    mark(services, public_id, "3")
    with services.db.reading() as session:
        result = Order.find(session, public_id).result
        assert result
        assert result.duration == 1200
