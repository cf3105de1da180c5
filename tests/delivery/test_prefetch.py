"""What is claimed ahead of a free hand: sent as soon as one is free, and freed if it may not go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.delivery.channels.base import Channel, PreparedDelivery
from provider.delivery.dispatcher import Delivery
from provider.outbox import CALLBACK, Attempt, Claim, Message, Outcome
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

HANDS = 36  # of which a route that answered once may use four, and has two more claimed


@dataclass(frozen=True)
class Note(PreparedDelivery):
    body: bytes = b"{}"

    def send(self) -> Outcome:
        raise AssertionError("no thread sends here")


class Desk(Channel):
    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[PreparedDelivery | Exception]:
        return [Note() for _ in claims]


class ByHand(Dispatcher):
    """A courier whose sends end when a test says so."""

    def __init__(self, services: Services, route: str = "a.test", hands: int = HANDS) -> None:
        super().__init__(services, {CALLBACK: Desk()}, max_concurrent_sends=hands)
        self.sending: list[Delivery] = []
        self._concurrency_limiter.take(route)
        self._concurrency_limiter.begin(route)
        self._concurrency_limiter.end(route, answered=True, seconds=0.0)

    def _submit(self, job: Delivery) -> None:
        self.sending.append(job)

    def end(self, outcome: Outcome, seconds: float = 0.0) -> None:
        began = self.services.now() - timedelta(seconds=seconds)
        self._finish(self.sending.pop(0), outcome, began)


@pytest.fixture
def dispatcher(services: Services) -> Callable[[], ByHand]:
    services = replace(services, settings=replace(services.settings, private_callbacks=True))
    account, _ = factories.create_account(services)
    test = factories.create_test(services)
    orders = [
        factories.place_order(services, account, test, callback_url=f"http://127.0.0.1:9/{number}")
        for number in range(10)
    ]
    with services.db.writing() as session:
        for order in orders:
            Order.find(session, order).decline(session, "", services.now())

    def ready() -> ByHand:
        made = ByHand(services, "127.0.0.1:9")
        made.wake(lane for lane in factories.queue_names(services) if CALLBACK in lane)
        made.run_once()
        return made

    return ready


def leased(services: Services) -> int:
    with services.db.reading() as session:
        count = select(func.count()).select_from(Message).where(Message.lease.is_not(None))
        return session.scalar(count) or 0


def test_a_hand_that_comes_free_goes_on_without_a_turn(
    dispatcher: Callable[[], ByHand], services: Services
) -> None:
    ours = dispatcher()
    assert (len(ours.sending), leased(services)) == (4, 6)
    ours.end(Outcome("delivered", status_code=200))
    assert len(ours.sending) == 5  # the one that waited, and one more for a route that answers


def test_what_was_never_sent_is_no_answer_that_lets_more_go(
    dispatcher: Callable[[], ByHand],
) -> None:
    ours = dispatcher()
    ours.end(Outcome("rejected", error="Its host is not on the list any more", is_sent=False))
    assert len(ours.sending) == 4


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("retry", error="refused", failure_scope="destination"),
        Outcome("retry", status_code=401, failure_scope="account"),
        Outcome("retry", status_code=429, pause_duration=timedelta(seconds=30)),
    ],
)
def test_what_is_claimed_ahead_of_a_route_is_freed_where_it_may_not_go_and_was_no_try(
    dispatcher: Callable[[], ByHand], services: Services, clock: ManualClock, outcome: Outcome
) -> None:
    ours = dispatcher()
    ours.end(outcome)
    assert len(ours.sending) == 3
    ours.run_once()
    assert leased(services) == 3
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Attempt)) == 1
    while ours.sending:
        ours.end(Outcome("delivered", status_code=200))
    ours.run_once()
    clock.advance(timedelta(minutes=1))
    ours.wake(lane for lane in factories.queue_names(services) if CALLBACK in lane)
    ours.run_once()
    assert ours.sending, "what was freed is claimed again"


@pytest.mark.parametrize(("seconds", "in_hand"), [(0.0, 7), (2.0, 5)])
def test_nothing_more_is_claimed_ahead_of_a_route_that_has_become_slow(
    dispatcher: Callable[[], ByHand], services: Services, seconds: float, in_hand: int
) -> None:
    ours = dispatcher()
    ours.end(Outcome("delivered", status_code=200), seconds)
    ours.run_once()
    assert (len(ours.sending), leased(services)) == (5, in_hand)


def put(services: Services, lane: str, keys: str) -> None:
    with services.db.writing() as session:
        for key in keys:
            outbox.append(
                session,
                queue=lane,
                ordering_key=key,
                sequence=0,
                topic="status",
                payload={},
                now=services.now(),
            )


def test_of_what_waits_no_more_goes_on_than_the_route_may_have(services: Services) -> None:
    ours, lane = ByHand(services, hands=84), "1/callback/a.test"
    put(services, lane, "abcdefghijkl")
    ours.wake([lane])
    ours.run_once()
    assert (len(ours.sending), leased(services)) == (8, 12)
    ours.end(Outcome("delivered", status_code=200))
    assert len(ours.sending) == 9


def test_hosts_that_are_held_share_the_hands_of_those_that_fail_though_nobody_here_tried_them(
    services: Services,
) -> None:
    ours, at = ByHand(services, hands=48), services.now()
    held, new = (
        [f"1/callback/{kind}-{number}.test" for number in range(20)] for kind in ("held", "new")
    )
    with services.db.writing() as session:
        for lane in held:
            outbox.pause(session, f"destination/{lane.rpartition('/')[2]}", "", at, at)
    for lane in (*held, *new):
        put(services, lane, "abcde")
    ours.wake(held)
    ours.run_once()
    assert len(ours.sending) == 12
    ours.wake(new)
    ours.run_once()
    assert len(ours.sending) == 36


def test_what_was_claimed_while_the_courier_stopped_is_freed(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, desk = ByHand(services), Desk()
    put(services, "1/callback/a.test", "ab")

    def stopping(*told: Any) -> list[PreparedDelivery | Exception]:
        ours._stopping = True
        return desk.prepare(*told)

    monkeypatch.setattr(ours._channels[CALLBACK], "prepare", stopping)
    ours.wake(["1/callback/a.test"])
    ours.run_once()
    assert (ours.sending, leased(services), ours._concurrency_limiter.busy) == ([], 2, 0)
    ours.run_once()
    assert leased(services) == 0


def test_what_is_freed_of_another_account_is_claimed_again_though_nothing_of_it_ended(
    services: Services,
) -> None:
    ours, (failing, other) = ByHand(services, hands=84), ("1/callback/a.test", "2/callback/a.test")
    put(services, failing, "abcdefgh")
    put(services, other, "i")
    ours.wake([failing, other])
    ours.run_once()
    assert [job.claim.queue for job in ours.sending] == [failing] * 8
    ours.end(Outcome("retry", error="refused", failure_scope="destination"))
    ours.run_once()
    while ours.sending and ours.sending[0].claim.queue == failing:
        ours.end(Outcome("delivered", status_code=200))
        ours.run_once()
    assert [job.claim.queue for job in ours.sending] == [other]


def test_a_courier_that_stops_frees_what_it_did_not_send(
    dispatcher: Callable[[], ByHand], services: Services
) -> None:
    ours = dispatcher()
    ours.stop()
    assert leased(services) == len(ours.sending) == 4


def test_a_turn_that_fails_forgets_nothing_of_what_was_to_be_freed(
    dispatcher: Callable[[], ByHand], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = dispatcher()
    ours.end(Outcome("retry", error="refused", failure_scope="destination"))
    with monkeypatch.context() as broken:
        broken.setattr("provider.outbox.settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ours.run_once()
    ours.run_once()
    assert leased(services) == 3
