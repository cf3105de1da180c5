"""Lanes on loan: claimed only while they are lent, and given back in time."""

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.orders import Order
from provider.delivery.runners import leased_queues
from provider.delivery.runners.leased_queues import LeasedQueueDispatcher
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.fake_ats import FakeAts


class Lent:
    """A lane's loan as its borrower sees it."""

    def __init__(self, dispatcher: LeasedQueueDispatcher, lane: str) -> None:
        self.told: list[bool] = []
        dispatcher.lend(lane, self.told.append)


@pytest.fixture
def services(services: Services) -> Services:
    return replace(services, settings=replace(services.settings, private_callbacks=True))


@pytest.fixture
def strays() -> list[str]:
    return []


@pytest.fixture
def dispatcher(services: Services, strays: list[str]) -> Iterator[LeasedQueueDispatcher]:
    dispatcher = LeasedQueueDispatcher(services, strays.extend, hands=12)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def write(services: Services, ats: FakeAts) -> Callable[[int], str]:
    """Return what writes so many statuses into one lane, and says which."""
    account, _ = factories.create_account(services)
    test = factories.create_test(services)

    numbers = itertools.count()

    def write(count: int) -> str:
        for number in itertools.islice(numbers, count):
            url = f"{ats.url}/callbacks/{number}"
            order = factories.place_order(services, account, test, callback_url=url)
            with services.db.writing() as session:
                Order.find(session, order).decline(session, "", services.now())
        (lane,) = factories.queue_names(services)
        return lane

    return write


def work(dispatcher: LeasedQueueDispatcher, until: Callable[[], object]) -> None:
    for _ in range(100):
        dispatcher.run_once()
        if until():
            return
        dispatcher.wait(1.0)
    raise AssertionError("it never comes about")


def test_a_lane_that_is_not_lent_is_somebody_elses(
    dispatcher: LeasedQueueDispatcher, write: Callable[[int], str], ats: FakeAts, strays: list[str]
) -> None:
    lane = write(1)
    dispatcher.wake([lane])
    assert dispatcher.run_once() == 0
    assert ats.received == []
    assert strays == [lane]


def test_a_lane_is_given_back_once_all_is_sent_and_settled(
    dispatcher: LeasedQueueDispatcher, write: Callable[[int], str], ats: FakeAts, strays: list[str]
) -> None:
    lent = Lent(dispatcher, write(9))
    work(dispatcher, lambda: lent.told)
    assert lent.told == [False]
    assert len(ats.received) == 9
    assert factories.queue_names(dispatcher.services)
    assert dispatcher.drain() == 0
    assert strays == []


def test_a_lane_with_more_than_a_shift_goes_round(
    dispatcher: LeasedQueueDispatcher,
    write: Callable[[int], str],
    ats: FakeAts,
    strays: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Lent(dispatcher, write(1))  # a host that answers gets eight at once
    work(dispatcher, lambda: known.told)
    monkeypatch.setattr(leased_queues, "SHIFT", 0.0)
    going_on = threading.Event()

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        going_on.wait(10)
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    ats.responses += [slowly, slowly, slowly]
    lane = write(20)
    lent = Lent(dispatcher, lane)
    work(dispatcher, lambda: lent.told)
    assert lent.told == [True]
    assert len(ats.received) < 20
    # What was in hand is settled all the same, and what came free by it is passed on.
    assert strays == []
    going_on.set()
    work(dispatcher, lambda: strays)
    assert set(strays) == {lane}
    shifts_had = [lent]
    while shifts_had[-1].told == [True]:
        shifts_had.append(Lent(dispatcher, lane))
        work(dispatcher, lambda: shifts_had[-1].told)
    assert len(shifts_had) > 2
    assert len(ats.received) == 21


def test_a_lane_that_is_kept_to_a_pace_is_given_back_when_it_may_go_on(
    dispatcher: LeasedQueueDispatcher,
    write: Callable[[int], str],
    ats: FakeAts,
    clock: ManualClock,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leased_queues, "SHIFT", 0.0)
    lane = write(2)
    with services.db.writing() as session:
        session.scalars(select(Account)).one().callback_rate = 0.1
    lent = Lent(dispatcher, lane)
    dispatcher.run_once()
    ats.wait_for(1)
    dispatcher.wait(1.0)
    dispatcher.run_once()
    assert lent.told == []  # another process knows nothing of the pace so far
    clock.advance(timedelta(seconds=10))
    work(dispatcher, lambda: lent.told)
    assert lent.told == [True]
    assert len(ats.received) == 1


def test_who_borrows_a_lane_twice_hears_of_it_twice(
    dispatcher: LeasedQueueDispatcher, write: Callable[[int], str]
) -> None:
    lane = write(1)
    lents = [Lent(dispatcher, lane), Lent(dispatcher, lane)]
    work(dispatcher, lambda: lents[0].told)
    assert [lent.told for lent in lents] == [[False], [False]]


def test_a_stop_gives_every_lane_back(services: Services, write: Callable[[int], str]) -> None:
    dispatcher = LeasedQueueDispatcher(services, lambda lanes: None)
    lents = [Lent(dispatcher, write(1)), Lent(dispatcher, "7/email")]
    dispatcher.stop()
    assert [lent.told for lent in lents] == [[True], [True]]
