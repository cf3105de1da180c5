"""The rule on retakes: who may start when, and which attempt counts."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from provider.core.kinds.assessment import Assessment
from provider.core.kinds.assessment.retakes import ONCE, RUNNING, TOO_EARLY, RetakeRefusal
from provider.core.orders import Order
from provider.errors import Conflict
from provider.services import Services
from tests import factories
from tests.factories import CORRECT_ANSWERS, ManualClock

pytestmark = pytest.mark.both

ACTOR = "sam@provider.test"
HALF_RIGHT = {"sum": {"answer": "b"}, "opposite": {"answer": "late"}}
Place = Callable[..., str]


@pytest.fixture
def place(services: Services) -> Place:
    """Return a function that orders the test `key`, with the rule of its first order."""
    account_id, _ = factories.create_account(services)
    products: dict[str, str] = {}
    count = 0

    def order(key: str = "reasoning", retakes: dict[str, Any] | None = None, **fields: Any) -> str:
        nonlocal count
        count += 1
        if key not in products:
            rule = {"retakes": retakes} if retakes else {}
            products[key] = factories.create_test(services, key, key, **rule)
        url = f"https://groove-tech.workable.com/assessments/{count}"
        return factories.place_order(
            services, account_id, products[key], callback_url=url, **fields
        )

    return order


def refusal(services: Services, order_id: str) -> RetakeRefusal | None:
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        return order.find_start_refusal(services.secret_box, services.now())


def facts(services: Services, order_id: str) -> dict[str, str]:
    """Return what the report says about the attempts."""
    with services.db.reading() as session:
        evidence = Assessment.find(session, order_id).evidence(services.secret_box)
    return {label: value for label, value in evidence.facts if "ttempt" in label}


def details(services: Services, order_id: str) -> dict[str, Any]:
    with services.db.reading() as session:
        result = Order.find(session, order_id).result
        assert result
        return result.details


def test_retake_too_early_starts_after_the_days(
    services: Services, clock: ManualClock, place: Place
) -> None:
    first = place(retakes={"after_days": 30})
    assert refusal(services, first) is None
    factories.finish_test(services, first)
    taken_at = clock.now()
    second = place(email="Lakita_Marrero@GMAIL.com")
    allowed_from = taken_at + timedelta(days=30)
    assert refusal(services, second) == RetakeRefusal(TOO_EARLY, taken_at, allowed_from)
    with services.db.writing() as session:
        order = Assessment.find(session, second)
        with pytest.raises(Conflict):
            order.require_start_permitted(session, services.secret_box, services.now())
    clock.advance(timedelta(days=30))
    assert refusal(services, second) is None


def test_retake_not_allowed_is_refused_until_staff_allow_it(
    services: Services, clock: ManualClock, place: Place
) -> None:
    factories.finish_test(services, place(retakes={"allowed": False}))
    second = place()
    clock.advance(timedelta(days=4))
    found = refusal(services, second)
    assert found
    assert (found.reason, found.allowed_from) == (ONCE, None)
    with services.db.writing() as session:
        order = Assessment.find(session, second)
        order.allow_retake(session, services.secret_box, ACTOR, "Another job", services.now())
    assert refusal(services, second) is None
    with services.db.writing() as session:
        order = Assessment.find(session, second)
        order.require_start_permitted(session, services.secret_box, services.now())
        with pytest.raises(Conflict, match="may start already"):
            order.allow_retake(session, services.secret_box, ACTOR, "Again", services.now())
    with services.db.reading() as session:
        events = [(event.type, event.note) for event in Order.find(session, second).events]
    assert ("retake allowed", "Another job") in events


@pytest.mark.parametrize("ending", ["decline", "expire", "cancel"])
def test_started_attempt_without_a_submission_counts_unless_cancelled(
    services: Services, clock: ManualClock, place: Place, ending: str
) -> None:
    first = place(retakes={"allowed": False})
    second = place()
    with services.db.writing() as session:
        order = Assessment.find(session, first)
        order.start(session, clock.now())
        if ending == "decline":
            order.decline(session, "", clock.now())
        elif ending == "cancel":
            order.cancel(session, ACTOR, "", clock.now())
        ended_at = clock.now()
    if ending == "expire":
        with services.db.reading() as session:
            ended_at = Assessment.find(session, first).expires_at
        clock.advance(ended_at - clock.now())
        with services.db.writing() as session:
            order = Assessment.find(session, first)
            order.apply_overdue_transition(session, services.secret_box, clock.now())
    expected = None if ending == "cancel" else RetakeRefusal(ONCE, ended_at)
    assert refusal(services, second) == expected


def test_retake_while_the_other_attempt_runs_is_refused(services: Services, place: Place) -> None:
    first, second = place(retakes={"after_days": 0}), place()
    with services.db.writing() as session:
        Assessment.find(session, first).start(session, services.now())
    assert refusal(services, second) == RetakeRefusal(RUNNING)


def test_retake_of_other_person_test_or_without_rule_is_free(
    services: Services, place: Place
) -> None:
    factories.finish_test(services, place(retakes={"allowed": False}))
    assert refusal(services, place(email="sam@example.com")) is None
    assert refusal(services, place("other", {"allowed": False})) is None
    factories.finish_test(services, place("free"))
    assert refusal(services, place("free")) is None


@pytest.mark.parametrize(
    ("rule", "first_says", "second_says", "sent"),
    [
        ("first", "The first one: this attempt", "The first one: attempt 1 of ", ", 100%"),
        ("best", "The best one: this attempt", "The best one: attempt 1 of ", ", 100%"),
        ("last", "The last one: attempt 2 of ", "The last one: this attempt", ": this one"),
    ],
)
def test_counted_attempt_is_said_in_report_and_details(
    services: Services,
    clock: ManualClock,
    place: Place,
    rule: str,
    first_says: str,
    second_says: str,
    sent: str,
) -> None:
    first = place(retakes={"counts": rule})
    factories.finish_test(services, first)
    assert facts(services, first) == {}
    assert "Attempt" not in details(services, first)
    clock.advance(timedelta(days=1))
    second = place()
    factories.finish_test(services, second, HALF_RIGHT)
    assert facts(services, first)["Attempt"] == "1 of 2"
    assert facts(services, first)["Which attempt counts"].startswith(first_says)
    assert facts(services, second)["Attempt"] == "2 of 2"
    assert facts(services, second)["Which attempt counts"].startswith(second_says)
    text = details(services, second)["Attempt"]
    assert text.startswith(f"2 of 2; the {rule} attempt counts: ")
    assert text.endswith(sent)
    assert "Attempt" not in details(services, first)


def test_counted_attempt_best_of_equal_scores_is_the_earlier(
    services: Services, clock: ManualClock, place: Place
) -> None:
    first = place(retakes={"counts": "best"})
    factories.finish_test(services, first, HALF_RIGHT)
    clock.advance(timedelta(days=1))
    second, third = place(), place()
    factories.finish_test(services, second, CORRECT_ANSWERS)
    clock.advance(timedelta(days=1))
    factories.finish_test(services, third, CORRECT_ANSWERS)
    assert facts(services, second)["Which attempt counts"] == "The best one: this attempt"
    assert facts(services, third)["Which attempt counts"].startswith("The best one: attempt 2 of ")
