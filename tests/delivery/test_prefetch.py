"""Prefetched messages: sent as soon as a slot is free, and released when they may not go."""

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

SLOTS = 36  # a destination that answered once may use four, and prefetch two


@dataclass(frozen=True)
class FakeDelivery(PreparedDelivery):
    body: bytes = b"{}"

    def send(self) -> Outcome:
        raise AssertionError("no thread sends here")


class FakeChannel(Channel):
    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[PreparedDelivery | Exception]:
        return [FakeDelivery() for _ in claims]


class ManualDispatcher(Dispatcher):
    """A dispatcher whose sends finish when a test calls `finish`."""

    def __init__(self, services: Services, host: str = "a.test", slots: int = SLOTS) -> None:
        super().__init__(services, {CALLBACK: FakeChannel()}, max_concurrent_sends=slots)
        self.sending: list[Delivery] = []
        self._concurrency_limiter.take(host)
        self._concurrency_limiter.begin(host)
        self._concurrency_limiter.end(host, answered=True, seconds=0.0)

    def _submit(self, delivery: Delivery) -> None:
        self.sending.append(delivery)

    def finish(self, outcome: Outcome, seconds: float = 0.0) -> None:
        started_at = self.services.now() - timedelta(seconds=seconds)
        self._finish(self.sending.pop(0), outcome, started_at)


@pytest.fixture
def dispatcher(services: Services) -> Callable[[], ManualDispatcher]:
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

    def start() -> ManualDispatcher:
        started = ManualDispatcher(services, "127.0.0.1:9")
        started.wake(queue for queue in factories.queue_names(services) if CALLBACK in queue)
        started.run_once()
        return started

    return start


def leased(services: Services) -> int:
    with services.db.reading() as session:
        count = select(func.count()).select_from(Message).where(Message.lease.is_not(None))
        return session.scalar(count) or 0


def test_free_slot_sends_prefetched_message_without_a_cycle(
    dispatcher: Callable[[], ManualDispatcher], services: Services
) -> None:
    running = dispatcher()
    assert (len(running.sending), leased(services)) == (4, 6)
    running.finish(Outcome("delivered", status_code=200))
    assert (
        len(running.sending) == 5
    )  # the prefetched message, and one more because the destination answers


def test_unsent_result_does_not_raise_concurrency(
    dispatcher: Callable[[], ManualDispatcher],
) -> None:
    running = dispatcher()
    running.finish(Outcome("rejected", error="Its host is not allowed", is_sent=False))
    assert len(running.sending) == 4


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("retry", error="refused", failure_scope="destination"),
        Outcome("retry", status_code=401, failure_scope="account"),
        Outcome("retry", status_code=429, pause_duration=timedelta(seconds=30)),
    ],
)
def test_pause_releases_prefetched_messages_without_attempts(
    dispatcher: Callable[[], ManualDispatcher],
    services: Services,
    clock: ManualClock,
    outcome: Outcome,
) -> None:
    running = dispatcher()
    running.finish(outcome)
    assert len(running.sending) == 3
    running.run_once()
    assert leased(services) == 3
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Attempt)) == 1
    while running.sending:
        running.finish(Outcome("delivered", status_code=200))
    running.run_once()
    clock.advance(timedelta(minutes=1))
    running.wake(queue for queue in factories.queue_names(services) if CALLBACK in queue)
    running.run_once()
    assert running.sending, "the released messages are claimed again"


@pytest.mark.parametrize(("seconds", "leased_count"), [(0.0, 7), (2.0, 5)])
def test_slow_destination_gets_no_more_prefetched_messages(
    dispatcher: Callable[[], ManualDispatcher],
    services: Services,
    seconds: float,
    leased_count: int,
) -> None:
    running = dispatcher()
    running.finish(Outcome("delivered", status_code=200), seconds)
    running.run_once()
    assert (len(running.sending), leased(services)) == (5, leased_count)


def put(services: Services, queue: str, keys: str) -> None:
    with services.db.writing() as session:
        for key in keys:
            outbox.append(
                session,
                queue=queue,
                ordering_key=key,
                sequence=0,
                topic="status",
                payload={},
                now=services.now(),
            )


def test_prefetched_messages_respect_concurrency_limit(services: Services) -> None:
    running, queue = ManualDispatcher(services, slots=84), "1/callback/a.test"
    put(services, queue, "abcdefghijkl")
    running.wake([queue])
    running.run_once()
    assert (len(running.sending), leased(services)) == (8, 12)
    running.finish(Outcome("delivered", status_code=200))
    assert len(running.sending) == 9


def test_paused_hosts_use_the_failing_cap_before_first_attempt(
    services: Services,
) -> None:
    running, now = ManualDispatcher(services, slots=48), services.now()
    paused, new = (
        [f"1/callback/{kind}-{number}.test" for number in range(20)] for kind in ("paused", "new")
    )
    with services.db.writing() as session:
        for queue in paused:
            outbox.pause(session, f"destination/{queue.rpartition('/')[2]}", "", now, now)
    for queue in (*paused, *new):
        put(services, queue, "abcde")
    running.wake(paused)
    running.run_once()
    assert len(running.sending) == 12
    running.wake(new)
    running.run_once()
    assert len(running.sending) == 36


def test_claims_made_while_stopping_are_released(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, channel = ManualDispatcher(services), FakeChannel()
    put(services, "1/callback/a.test", "ab")

    def stop_and_prepare(*args: Any) -> list[PreparedDelivery | Exception]:
        running._stopping = True
        return channel.prepare(*args)

    monkeypatch.setattr(running._channels[CALLBACK], "prepare", stop_and_prepare)
    running.wake(["1/callback/a.test"])
    running.run_once()
    assert (running.sending, leased(services), running._concurrency_limiter.busy) == ([], 2, 0)
    running.run_once()
    assert leased(services) == 0


def test_released_claims_wake_their_queue(
    services: Services,
) -> None:
    running, (failing, other) = (
        ManualDispatcher(services, slots=84),
        ("1/callback/a.test", "2/callback/a.test"),
    )
    put(services, failing, "abcdefgh")
    put(services, other, "i")
    running.wake([failing, other])
    running.run_once()
    assert [delivery.claim.queue for delivery in running.sending] == [failing] * 8
    running.finish(Outcome("retry", error="refused", failure_scope="destination"))
    running.run_once()
    while running.sending and running.sending[0].claim.queue == failing:
        running.finish(Outcome("delivered", status_code=200))
        running.run_once()
    assert [delivery.claim.queue for delivery in running.sending] == [other]


def test_stop_releases_prefetched_messages(
    dispatcher: Callable[[], ManualDispatcher], services: Services
) -> None:
    running = dispatcher()
    running.stop()
    assert leased(services) == len(running.sending) == 4


def test_failed_cycle_keeps_claims_to_release(
    dispatcher: Callable[[], ManualDispatcher], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = dispatcher()
    running.finish(Outcome("retry", error="refused", failure_scope="destination"))
    with monkeypatch.context() as broken:
        broken.setattr("provider.outbox.settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            running.run_once()
    running.run_once()
    assert leased(services) == 3
