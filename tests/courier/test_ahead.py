"""What is claimed ahead of a free hand: sent as soon as one is free, and freed if it may not go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.courier import Courier
from provider.courier.courier import Job
from provider.courier.parcel import Parcel, Sink
from provider.house import House
from provider.orders import Order
from provider.outbox import CALLBACK, Attempt, Claim, Message, Outcome
from tests import cast
from tests.cast import HandClock

HANDS = 36  # of which a route that answered once may use four, and has two more claimed


@dataclass(frozen=True)
class Note(Parcel):
    rendered: bytes = b"{}"

    def send(self) -> Outcome:
        raise AssertionError("no thread sends here")


class Desk(Sink):
    def prepare(self, session: Session, claims: Sequence[Claim]) -> list[Parcel | Exception]:
        return [Note() for _ in claims]


class ByHand(Courier):
    """A courier whose sends end when a test says so."""

    def __init__(self, house: House, route: str = "a.test", hands: int = HANDS) -> None:
        super().__init__(house, {CALLBACK: Desk()}, hands=hands)
        self.sending: list[Job] = []
        self._hands.take(route)
        self._hands.begin(route)
        self._hands.end(route, answered=True, seconds=0.0)

    def _hand_over(self, job: Job) -> None:
        self.sending.append(job)

    def end(self, outcome: Outcome, seconds: float = 0.0) -> None:
        began = self.house.now() - timedelta(seconds=seconds)
        self._lay_down(self.sending.pop(0), outcome, began)


@pytest.fixture
def courier(house: House) -> Callable[[], ByHand]:
    house = replace(house, settings=replace(house.settings, private_callbacks=True))
    account, _ = cast.account(house)
    test = cast.test(house)
    orders = [
        cast.order(house, account, test, callback_url=f"http://127.0.0.1:9/{number}")
        for number in range(10)
    ]
    with house.db.writing() as session:
        for order in orders:
            Order.find(session, order).decline(session, "", house.now())

    def ready() -> ByHand:
        made = ByHand(house, "127.0.0.1:9")
        made.call(lane for lane in cast.lanes(house) if CALLBACK in lane)
        made.turn()
        return made

    return ready


def leased(house: House) -> int:
    with house.db.reading() as session:
        count = select(func.count()).select_from(Message).where(Message.lease.is_not(None))
        return session.scalar(count) or 0


def test_a_hand_that_comes_free_goes_on_without_a_turn(
    courier: Callable[[], ByHand], house: House
) -> None:
    ours = courier()
    assert (len(ours.sending), leased(house)) == (4, 6)
    ours.end(Outcome("done", code=200))
    assert len(ours.sending) == 5  # the one that waited, and one more for a route that answers


def test_what_was_never_sent_is_no_answer_that_lets_more_go(courier: Callable[[], ByHand]) -> None:
    ours = courier()
    ours.end(Outcome("never", error="Its host is not on the list any more", tried=False))
    assert len(ours.sending) == 4


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("again", error="refused", blame="route"),
        Outcome("again", code=401, blame="account"),
        Outcome("again", code=429, rest=timedelta(seconds=30)),
    ],
)
def test_what_is_claimed_ahead_of_a_route_is_freed_where_it_may_not_go_and_was_no_try(
    courier: Callable[[], ByHand], house: House, clock: HandClock, outcome: Outcome
) -> None:
    ours = courier()
    ours.end(outcome)
    assert len(ours.sending) == 3
    ours.turn()
    assert leased(house) == 3
    with house.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Attempt)) == 1
    while ours.sending:
        ours.end(Outcome("done", code=200))
    ours.turn()
    clock.pass_(timedelta(minutes=1))
    ours.call(lane for lane in cast.lanes(house) if CALLBACK in lane)
    ours.turn()
    assert ours.sending, "what was freed is claimed again"


@pytest.mark.parametrize(("seconds", "in_hand"), [(0.0, 7), (2.0, 5)])
def test_nothing_more_is_claimed_ahead_of_a_route_that_has_become_slow(
    courier: Callable[[], ByHand], house: House, seconds: float, in_hand: int
) -> None:
    ours = courier()
    ours.end(Outcome("done", code=200), seconds)
    ours.turn()
    assert (len(ours.sending), leased(house)) == (5, in_hand)


def put(house: House, lane: str, keys: str) -> None:
    with house.db.writing() as session:
        for key in keys:
            outbox.append(
                session, lane=lane, key=key, sequence=0, topic="status", payload={}, at=house.now()
            )


def test_of_what_waits_no_more_goes_on_than_the_route_may_have(house: House) -> None:
    ours, lane = ByHand(house, hands=84), "1/callback/a.test"
    put(house, lane, "abcdefghijkl")
    ours.call([lane])
    ours.turn()
    assert (len(ours.sending), leased(house)) == (8, 12)
    ours.end(Outcome("done", code=200))
    assert len(ours.sending) == 9


def test_hosts_that_are_held_share_the_hands_of_those_that_fail_though_nobody_here_tried_them(
    house: House,
) -> None:
    ours, at = ByHand(house, hands=48), house.now()
    held, new = (
        [f"1/callback/{kind}-{number}.test" for number in range(20)] for kind in ("held", "new")
    )
    with house.db.writing() as session:
        for lane in held:
            outbox.hold(session, f"route/{lane.rpartition('/')[2]}", "", at, at)
    for lane in (*held, *new):
        put(house, lane, "abcde")
    ours.call(held)
    ours.turn()
    assert len(ours.sending) == 12
    ours.call(new)
    ours.turn()
    assert len(ours.sending) == 36


def test_what_was_claimed_while_the_courier_stopped_is_freed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, desk = ByHand(house), Desk()
    put(house, "1/callback/a.test", "ab")

    def stopping(*told: Any) -> list[Parcel | Exception]:
        ours._stopping = True
        return desk.prepare(*told)

    monkeypatch.setattr(ours._sinks[CALLBACK], "prepare", stopping)
    ours.call(["1/callback/a.test"])
    ours.turn()
    assert (ours.sending, leased(house), ours._hands.busy) == ([], 2, 0)
    ours.turn()
    assert leased(house) == 0


def test_what_is_freed_of_another_account_is_claimed_again_though_nothing_of_it_ended(
    house: House,
) -> None:
    ours, (failing, other) = ByHand(house, hands=84), ("1/callback/a.test", "2/callback/a.test")
    put(house, failing, "abcdefgh")
    put(house, other, "i")
    ours.call([failing, other])
    ours.turn()
    assert [job.claim.lane for job in ours.sending] == [failing] * 8
    ours.end(Outcome("again", error="refused", blame="route"))
    ours.turn()
    while ours.sending and ours.sending[0].claim.lane == failing:
        ours.end(Outcome("done", code=200))
        ours.turn()
    assert [job.claim.lane for job in ours.sending] == [other]


def test_a_courier_that_stops_frees_what_it_did_not_send(
    courier: Callable[[], ByHand], house: House
) -> None:
    ours = courier()
    ours.stop()
    assert leased(house) == len(ours.sending) == 4


def test_a_turn_that_fails_forgets_nothing_of_what_was_to_be_freed(
    courier: Callable[[], ByHand], house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = courier()
    ours.end(Outcome("again", error="refused", blame="route"))
    with monkeypatch.context() as broken:
        broken.setattr("provider.outbox.settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ours.turn()
    ours.turn()
    assert leased(house) == 3
