"""Lanes on loan: claimed only while they are lent, and given back in time."""

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from sqlalchemy import select

from provider.accounts import Account
from provider.courier import shifts
from provider.courier.shifts import LaneCourier
from provider.house import House
from provider.orders import Order
from tests import cast
from tests.cast import HandClock
from tests.fake_ats import FakeAts


class Lent:
    """A lane's loan as its borrower sees it."""

    def __init__(self, courier: LaneCourier, lane: str) -> None:
        self.told: list[bool] = []
        courier.lend(lane, self.told.append)


@pytest.fixture
def house(house: House) -> House:
    return replace(house, settings=replace(house.settings, private_callbacks=True))


@pytest.fixture
def strays() -> list[str]:
    return []


@pytest.fixture
def courier(house: House, strays: list[str]) -> Iterator[LaneCourier]:
    courier = LaneCourier(house, strays.extend, hands=36)
    yield courier
    courier.stop()


@pytest.fixture
def write(house: House, ats: FakeAts) -> Callable[[int], str]:
    """Return what writes so many statuses into one lane, and says which."""
    account, _ = cast.account(house)
    test = cast.test(house)

    numbers = itertools.count()

    def write(count: int) -> str:
        for number in itertools.islice(numbers, count):
            url = f"{ats.url}/callbacks/{number}"
            order = cast.order(house, account, test, callback_url=url)
            with house.db.writing() as session:
                Order.find(session, order).decline(session, "", house.now())
        (lane,) = cast.lanes(house)
        return lane

    return write


def work(courier: LaneCourier, until: Callable[[], object]) -> None:
    for _ in range(100):
        courier.turn()
        if until():
            return
        courier.wait(1.0)
    raise AssertionError("it never comes about")


def test_a_lane_that_is_not_lent_is_somebody_elses(
    courier: LaneCourier, write: Callable[[int], str], ats: FakeAts, strays: list[str]
) -> None:
    lane = write(1)
    courier.call([lane])
    assert courier.turn() == 0
    assert ats.received == []
    assert strays == [lane]


def test_a_lane_is_given_back_once_all_is_sent_and_settled(
    courier: LaneCourier, write: Callable[[int], str], ats: FakeAts, strays: list[str]
) -> None:
    lent = Lent(courier, write(9))
    work(courier, lambda: lent.told)
    assert lent.told == [False]
    assert len(ats.received) == 9
    assert cast.lanes(courier.house)
    assert courier.drain() == 0
    assert strays == []


def test_a_lane_with_more_than_a_shift_goes_round(
    courier: LaneCourier,
    write: Callable[[int], str],
    ats: FakeAts,
    strays: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Lent(courier, write(1))  # what is claimed ahead is for a host that answers
    work(courier, lambda: known.told)
    monkeypatch.setattr(shifts, "SHIFT", 0.0)
    going_on = threading.Event()

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        going_on.wait(10)
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    ats.answers += [slowly, slowly, slowly]
    lane = write(20)
    lent = Lent(courier, lane)
    work(courier, lambda: lent.told)
    assert lent.told == [True]
    assert len(ats.received) < 20
    # What was in hand is settled all the same, and what came free by it is passed on.
    assert strays == []
    going_on.set()
    work(courier, lambda: strays)
    assert set(strays) == {lane}
    shifts_had = [lent]
    while shifts_had[-1].told == [True]:
        shifts_had.append(Lent(courier, lane))
        work(courier, lambda: shifts_had[-1].told)
    assert len(shifts_had) > 2
    assert len(ats.received) == 21


def test_a_lane_that_is_kept_to_a_pace_is_given_back_when_it_may_go_on(
    courier: LaneCourier,
    write: Callable[[int], str],
    ats: FakeAts,
    clock: HandClock,
    house: House,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shifts, "SHIFT", 0.0)
    lane = write(2)
    with house.db.writing() as session:
        session.scalars(select(Account)).one().callback_rate = 0.1
    lent = Lent(courier, lane)
    courier.turn()
    ats.wait_for(1)
    courier.wait(1.0)
    courier.turn()
    assert lent.told == []  # another process knows nothing of the pace so far
    clock.pass_(timedelta(seconds=10))
    work(courier, lambda: lent.told)
    assert lent.told == [True]
    assert len(ats.received) == 1


def test_who_borrows_a_lane_twice_hears_of_it_twice(
    courier: LaneCourier, write: Callable[[int], str]
) -> None:
    lane = write(1)
    lents = [Lent(courier, lane), Lent(courier, lane)]
    work(courier, lambda: lents[0].told)
    assert [lent.told for lent in lents] == [[False], [False]]


def test_a_stop_gives_every_lane_back(house: House, write: Callable[[int], str]) -> None:
    courier = LaneCourier(house, lambda lanes: None)
    lents = [Lent(courier, write(1)), Lent(courier, "7/mail")]
    courier.stop()
    assert [lent.told for lent in lents] == [[True], [True]]
