"""A test that is taken again keeps its first result with the answers."""

from datetime import timedelta

import pytest

from provider.core.kinds.assessment import Assessment
from provider.core.kinds.assessment.evidence import AssessmentEvidence
from provider.core.orders import Order
from provider.errors import Conflict
from provider.services import Services
from tests import factories
from tests.check_factories import completed_check
from tests.factories import CORRECT_ANSWERS, ManualClock

pytestmark = pytest.mark.both

ACTOR = "sam@provider.test"
OTHER_URL = "https://groove-tech.workable.com/assessments/2"
WRONG_ANSWERS = {"sum": {"answer": "a"}, "half": {"answer": "3"}}


@pytest.fixture
def finished(services: Services, clock: ManualClock) -> str:
    """Return a completed test with four correct answers."""
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    factories.finish_test(services, order_id)
    clock.advance(timedelta(hours=1))
    return order_id


def retake(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        order.retake(session, services.secret_box, ACTOR, "The fire alarm rang", services.now())


def reopen(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        order.reopen(session, services.secret_box, ACTOR, "One answer more", services.now())


def saved_answers(services: Services, order_id: str) -> dict[str, object]:
    with services.db.reading() as session:
        return Assessment.find(session, order_id).saved_answers


def earlier_answers(services: Services, order_id: str) -> list[list[str]]:
    """Return the answers of each earlier result, as staff see them."""
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        answers = []
        for result in order.earlier_results:
            evidence = order.earlier_evidence(result)
            assert isinstance(evidence, AssessmentEvidence)
            answers.append([item.answer for item in evidence.items])
        return answers


def scores(services: Services, order_id: str) -> list[float | None]:
    with services.db.reading() as session:
        return [result.score for result in Order.find(session, order_id).results]


def test_retake_begins_without_answers_and_invites(services: Services, finished: str) -> None:
    url = factories.invitation_url(services, finished)
    retake(services, finished)
    assert saved_answers(services, finished) == {}
    assert factories.order_status(services, finished) == "pending"
    assert factories.invitation_url(services, finished) != url
    with services.db.reading() as session:
        events = Order.find(session, finished).events[-2:]
        assert [(event.type, event.note) for event in events] == [
            ("reopened", "The fire alarm rang"),
            ("new attempt", ""),
        ]


def test_retake_keeps_the_first_result_and_answers(services: Services, finished: str) -> None:
    retake(services, finished)
    factories.finish_test(services, finished, WRONG_ANSWERS)
    assert scores(services, finished) == [100, 0]
    assert earlier_answers(services, finished) == [["42", "3.5", "Late", "True"]]
    with services.db.reading() as session:
        order = Assessment.find(session, finished)
        assert [item.answer for item in order.evidence(services.secret_box).items][:2] == [
            "32",
            "3",
        ]


def test_second_retake_keeps_both_results(
    services: Services, finished: str, clock: ManualClock
) -> None:
    for answers in (WRONG_ANSWERS, CORRECT_ANSWERS):
        retake(services, finished)
        factories.finish_test(services, finished, answers)
        clock.advance(timedelta(hours=1))
    assert scores(services, finished) == [100, 0, 100]
    assert [answers[0] for answers in earlier_answers(services, finished)] == ["42", "32"]


def test_reopened_test_keeps_the_answers_of_its_result(services: Services, finished: str) -> None:
    reopen(services, finished)
    assert len(saved_answers(services, finished)) == 4
    factories.finish_test(services, finished, WRONG_ANSWERS)
    assert earlier_answers(services, finished) == [["42", "3.5", "Late", "True"]]


def test_retake_of_an_order_that_is_not_a_completed_test_is_refused(services: Services) -> None:
    check_id = completed_check(services)
    with services.db.reading() as session:
        account_id = Order.find(session, check_id).account_id
    open_id = factories.place_order(
        services, account_id, factories.create_test(services), callback_url=OTHER_URL
    )
    with pytest.raises(Conflict, match="Only a test can be taken again: reopen"):
        retake(services, check_id)
    with pytest.raises(Conflict, match="Only a completed test"):
        retake(services, open_id)


def test_result_of_an_earlier_program_has_no_answers(services: Services, finished: str) -> None:
    retake(services, finished)
    with services.db.writing() as session:
        (result,) = Order.find(session, finished).results
        result.figures = {name: value for name, value in result.figures.items() if name == "bars"}
    with services.db.reading() as session:
        order = Assessment.find(session, finished)
        assert order.earlier_evidence(order.earlier_results[0]).bars
