"""Accommodations: asked for, decided, proposed for the next order; and never outside."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from provider.core.orders import Accommodation, Order
from provider.core.orders.accommodation import (
    Terms,
    ask,
    decide,
    find_earlier_grant,
    propose_terms,
)
from provider.errors import Conflict, Invalid
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.kind_factories import KIND_FACTORIES

SAM = "sam@provider.test"


def place_order(
    services: Services, kind: str = "assessment", number: int = 1, **candidate: str
) -> str:
    with services.db.reading() as session:
        account_id = session.scalar(sa.select(Order.account_id).limit(1))
    if account_id is None:
        account_id, _ = factories.create_account(services)
    product = KIND_FACTORIES[kind].create_product(services)
    url = f"https://groove-tech.workable.com/assessments/{number}"
    return factories.place_order(services, account_id, product, kind, callback_url=url, **candidate)


def ask_for(services: Services, order_id: str, **terms: Any) -> None:
    with services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        ask(session, services.secret_box, order, Terms(**terms), services.now())


def decide_on(services: Services, order_id: str, *, is_granted: bool = True, **terms: Any) -> None:
    with services.db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        decide(
            session,
            services.secret_box,
            order,
            Terms(**terms),
            SAM,
            services.now(),
            is_granted=is_granted,
        )


def load(services: Services, order_id: str) -> Order:
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        assert order.events
        return order


@pytest.mark.both
def test_request_makes_the_order_wait_for_the_staff(services: Services) -> None:
    order_id = place_order(services)
    ask_for(services, order_id, percent=50, text="I have dyslexia")
    order = load(services, order_id)
    assert (order.waiting_for, order.status) == ("staff", "pending")
    assert order.events[-1].type == "accommodation asked"
    assert order.events[-1].note == ""
    with services.db.writing() as session:
        Order.find(session, order_id).mark_opened(session, services.now())
    assert load(services, order_id).waiting_for == "staff"
    with services.db.writing() as session:
        Order.find(session, order_id).start(session, services.now())  # type: ignore[attr-defined]
    assert load(services, order_id).waiting_for == "candidate"


def test_request_is_stored_encrypted(services: Services) -> None:
    order_id = place_order(services)
    ask_for(services, order_id, text="I have dyslexia")
    with services.db.reading() as session:
        row = session.execute(sa.select(Accommodation.__table__)).one()
        assert b"dyslexia" not in row.asked_encrypted
        accommodation = Accommodation.of(session, Order.find(session, order_id))
        assert accommodation
        assert accommodation.asked(services.secret_box) == Terms(text="I have dyslexia")


@pytest.mark.both
def test_grant_gives_the_time_and_what_the_decision_took(
    services: Services, clock: ManualClock
) -> None:
    order_id = place_order(services)
    deadline = load(services, order_id).expires_at
    ask_for(services, order_id, percent=50, pause_minutes=5)
    clock.advance(timedelta(days=2))
    decide_on(services, order_id, percent=25, pause_minutes=5, text="Take your time")
    order = load(services, order_id)
    assert (order.extra_time_seconds, order.pause_limit_seconds) == (5 * 60, 5 * 60)
    assert order.expires_at == deadline + timedelta(days=2)
    assert order.waiting_for == "candidate"
    assert order.events[-1].type == "accommodation granted"
    decide_on(services, order_id, minutes=30)  # a changed decision
    changed = load(services, order_id)
    assert (changed.extra_time_seconds, changed.expires_at) == (30 * 60, order.expires_at)
    assert changed.pause_limit_seconds == 0
    decide_on(services, order_id, is_granted=False, text="It was a mistake")
    assert load(services, order_id).extra_time_seconds == 0


def test_grant_of_a_pause_in_an_interview_is_extra_time(services: Services) -> None:
    order_id = place_order(services, "interview")
    decide_on(services, order_id, pause_minutes=5)
    order = load(services, order_id)
    assert (order.extra_time_seconds, order.pause_limit_seconds) == (5 * 60, 0)


def test_refusal_keeps_extra_time_that_was_given_otherwise(services: Services) -> None:
    order_id = place_order(services)
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        order.write_state(session, order.status, order.progress, extra_time_seconds=60)
    ask_for(services, order_id, percent=100)
    for text in ("Not for this test", "Not for this short test"):
        decide_on(services, order_id, is_granted=False, percent=100, text=text)
    order = load(services, order_id)
    assert (order.extra_time_seconds, order.waiting_for) == (60, "candidate")


@pytest.mark.parametrize(
    ("terms", "is_granted", "problem"),
    [({}, True, "Choose what the candidate gets"), ({"percent": 25}, False, "Write to the")],
)
def test_decision_without_content_is_refused(
    services: Services, terms: dict[str, Any], is_granted: bool, problem: str
) -> None:
    order_id = place_order(services)
    with pytest.raises(Invalid, match=problem):
        decide_on(services, order_id, is_granted=is_granted, **terms)


def test_request_after_the_start_is_refused(services: Services) -> None:
    order_id = place_order(services)
    with services.db.writing() as session:
        Order.find(session, order_id).start(session, services.now())  # type: ignore[attr-defined]
    with pytest.raises(Conflict, match="started already"):
        ask_for(services, order_id, percent=25)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("assessment", Terms(percent=25, pause_minutes=5)),
        ("interview", Terms(percent=25, pause_minutes=5, other_way="telephone")),
        ("check", None),
    ],
)
def test_request_keeps_only_what_the_kind_offers(
    services: Services, kind: str, expected: Terms | None
) -> None:
    order_id = place_order(services, kind)
    terms = {"percent": 25, "pause_minutes": 5, "other_way": "telephone"}
    if expected is None:
        with pytest.raises(Invalid, match="choose or write what you need"):
            ask_for(services, order_id, **terms)
        return
    ask_for(services, order_id, **terms)
    with services.db.reading() as session:
        accommodation = Accommodation.of(session, Order.find(session, order_id))
        assert accommodation
        assert accommodation.asked(services.secret_box) == expected


@pytest.mark.both
def test_grant_is_proposed_for_the_next_order_of_the_person(services: Services) -> None:
    first_id, second_id = place_order(services), place_order(services, "interview", 2)
    stranger_id = place_order(services, number=3, email="someone.else@example.com")
    decide_on(services, first_id, percent=50)
    with services.db.reading() as session:
        second = Order.find(session, second_id)
        earlier = find_earlier_grant(session, services.secret_box, second)
        assert earlier
        assert earlier.order.public_id == first_id
        first = Order.find(session, first_id)
        assert find_earlier_grant(session, services.secret_box, first) is None
        stranger = Order.find(session, stranger_id)
        assert find_earlier_grant(session, services.secret_box, stranger) is None


@pytest.mark.both
@pytest.mark.parametrize(
    ("kind", "candidate", "expected"),
    [
        ("interview", {}, "staff"),
        ("interview", {"email": "Lakita_Marrero@GMAIL.com"}, "staff"),
        ("interview", {"email": "someone.else@example.com"}, "candidate"),
        ("check", {}, "candidate"),  # there is no time to grant
    ],
)
def test_next_timed_order_after_a_grant_waits_for_the_staff(
    services: Services, kind: str, candidate: dict[str, str], expected: str
) -> None:
    decide_on(services, place_order(services), percent=50, text="Only for you")
    order_id = place_order(services, kind, 2, **candidate)
    order = load(services, order_id)
    assert order.waiting_for == expected
    assert (order.accommodation_asked_at is not None) == (expected == "staff")
    if expected == "staff":
        with services.db.reading() as session:
            proposed = propose_terms(session, services.secret_box, Order.find(session, order_id))
        assert proposed == Terms(percent=50)
        decide_on(services, order_id, percent=25)
        assert load(services, order_id).waiting_for == "candidate"


def test_order_of_another_account_does_not_wait_after_a_grant(services: Services) -> None:
    decide_on(services, place_order(services), percent=50)
    other_account_id, _ = factories.create_account(services, name="Another company")
    order_id = factories.place_order(
        services, other_account_id, factories.create_test(services, key="other")
    )
    assert load(services, order_id).waiting_for == "candidate"


def test_order_after_a_refusal_does_not_wait(services: Services) -> None:
    decide_on(services, place_order(services), is_granted=False, text="No")
    assert load(services, place_order(services, "interview", 2)).waiting_for == "candidate"


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"time": "75"}, "Choose how much"),
        ({"time": "minutes"}, "how many minutes"),
        ({"time": "minutes", "minutes": "1441"}, "from 1 to 1440"),
        ({"minutes": "-1"}, "from 1 to 1440"),
        ({"pause": "241"}, "from 1 to 240"),
        ({"text": "x" * 2001}, "at most 2000"),
    ],
)
def test_terms_of_a_wrong_form_are_invalid(form: dict[str, str], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        Terms.parse(form)


@pytest.mark.parametrize(
    "terms", [Terms(), Terms(percent=25, other_way="live"), Terms(minutes=3, pause_minutes=4)]
)
def test_terms_of_their_own_form_are_the_same(terms: Terms) -> None:
    assert Terms.parse(terms.to_form()) == terms
