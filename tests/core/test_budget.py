"""Budgets of requests: windows, the share of writers, and what headers correct."""

from datetime import timedelta

import pytest

from provider.core.connections import ApiBudget, Budget, BudgetReading, learn, reserve
from provider.services import Services
from tests.factories import ManualClock

BUDGET = Budget("client", 10, timedelta(seconds=30))
NOW = timedelta(0)


def take(services: Services, *, is_round: bool = False, budget: Budget = BUDGET) -> timedelta:
    """Reserve one request and return the wait."""
    with services.db.writing() as session:
        return reserve(session, budget, services.now(), is_round=is_round).wait


def correct(services: Services, **values: object) -> None:
    with services.db.writing() as session:
        learn(session, BUDGET, BudgetReading(**values), services.now())  # type: ignore[arg-type]


def remaining(services: Services) -> int:
    with services.db.reading() as session:
        return session.get_one(ApiBudget, "client").remaining


@pytest.mark.both
def test_window_gives_its_limit_and_then_the_wait(services: Services, clock: ManualClock) -> None:
    assert [take(services) for _ in range(10)] == [NOW] * 10
    clock.advance(timedelta(seconds=10))
    assert take(services) == timedelta(seconds=20)
    clock.advance(timedelta(seconds=20))
    assert take(services) == NOW


def test_rounds_leave_a_share_to_writers(services: Services) -> None:
    waits = [take(services, is_round=True) for _ in range(8)]
    assert waits == [*[NOW] * 7, timedelta(seconds=30)]
    assert take(services) == NOW


def test_limit_of_one_serves_rounds_too(services: Services) -> None:
    assert take(services, is_round=True, budget=Budget("slow", 1, timedelta(seconds=2))) == NOW


@pytest.mark.both
def test_higher_limit_opens_the_present_window(services: Services) -> None:
    take(services)
    correct(services, limit=75, remaining=74)
    assert remaining(services) == 74


@pytest.mark.both
def test_lower_limit_and_fewer_remaining_close_it(services: Services) -> None:
    take(services)
    correct(services, limit=5)
    assert remaining(services) == 4
    correct(services, remaining=0)
    assert take(services) == timedelta(seconds=30)


def test_more_remaining_than_we_count_is_not_believed(services: Services) -> None:
    """Requests of other processes are on their way."""
    for _ in range(4):
        take(services)
    correct(services, limit=10, remaining=9)
    assert remaining(services) == 6


def test_end_of_the_window_follows_the_header(services: Services, clock: ManualClock) -> None:
    for _ in range(10):
        take(services)
    correct(services, resets_at=clock.now() + timedelta(seconds=4))
    assert take(services) == timedelta(seconds=4)


def test_several_requests_are_reserved_together_or_not_at_all(services: Services) -> None:
    with services.db.writing() as session:
        first = reserve(session, BUDGET, services.now(), count=8)
        second = reserve(session, BUDGET, services.now(), count=3)
        third = reserve(session, BUDGET, services.now(), count=2)
    assert (first.count, second.count, third.count) == (8, 0, 2)
    assert second.wait == timedelta(seconds=30)


def test_reservation_is_never_larger_than_a_window(services: Services) -> None:
    slow = Budget("slow", 1, timedelta(seconds=2))
    with services.db.writing() as session:
        assert reserve(session, slow, services.now(), count=4).count == 1
