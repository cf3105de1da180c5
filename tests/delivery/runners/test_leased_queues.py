"""The dispatcher of leased queues: it claims within leases only, and ends them in time."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
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

AppendMessages = Callable[[int], str]


@pytest.fixture
def services(services: Services) -> Services:
    return replace(services, settings=replace(services.settings, private_callbacks=True))


@pytest.fixture
def notified_queues() -> list[str]:
    return []


@pytest.fixture
def dispatcher(services: Services, notified_queues: list[str]) -> Iterator[LeasedQueueDispatcher]:
    dispatcher = LeasedQueueDispatcher(services, notified_queues.extend, max_concurrent_sends=12)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def append_messages(services: Services, ats: FakeAts) -> AppendMessages:
    """Return a function that appends callbacks to one queue, and returns the queue's name."""
    account, _ = factories.create_account(services)
    test = factories.create_test(services)
    numbers = itertools.count()

    def append(count: int) -> str:
        for number in itertools.islice(numbers, count):
            url = f"{ats.url}/callbacks/{number}"
            order = factories.place_order(services, account, test, callback_url=url)
            with services.db.writing() as session:
                Order.find(session, order).decline(session, "", services.now())
        (queue,) = factories.queue_names(services)
        return queue

    return append


def run_until(dispatcher: LeasedQueueDispatcher, condition: Callable[[], object]) -> None:
    for _ in range(100):
        dispatcher.run_once()
        if condition():
            return
        dispatcher.wait(1.0)
    raise AssertionError("the condition is not true after 100 cycles")


def run_lease(dispatcher: LeasedQueueDispatcher, queue: str) -> bool:
    """Lease a queue until the lease ends; return whether the queue may have more to send."""
    ended = dispatcher.lease(queue)
    run_until(dispatcher, ended.done)
    return ended.result()


def test_queue_without_lease_is_notified_and_not_sent(
    dispatcher: LeasedQueueDispatcher,
    append_messages: AppendMessages,
    ats: FakeAts,
    notified_queues: list[str],
) -> None:
    queue = append_messages(1)
    dispatcher.wake([queue])
    assert dispatcher.run_once() == 0
    assert ats.received == []
    assert notified_queues == [queue]


def test_lease_ends_when_everything_is_sent_and_settled(
    dispatcher: LeasedQueueDispatcher,
    append_messages: AppendMessages,
    ats: FakeAts,
    notified_queues: list[str],
) -> None:
    assert not run_lease(dispatcher, append_messages(9))
    assert len(ats.received) == 9
    assert dispatcher.drain() == 0
    assert notified_queues == []


def test_expired_lease_ends_with_more_to_send(
    dispatcher: LeasedQueueDispatcher,
    append_messages: AppendMessages,
    ats: FakeAts,
    notified_queues: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A host that has answered quickly may get 8 of the 12 slots.
    assert not run_lease(dispatcher, append_messages(1))
    may_respond = threading.Event()

    def respond_slowly(handler: BaseHTTPRequestHandler) -> None:
        may_respond.wait(10)
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    ats.responses += [respond_slowly, respond_slowly, respond_slowly]
    queue = append_messages(20)
    ended = dispatcher.lease(queue)
    dispatcher.run_once()
    monkeypatch.setattr(leased_queues.QueueLease, "is_expired", True)
    run_until(dispatcher, ended.done)
    assert ended.result() is True
    assert len(ats.received) < 21
    # The running sends are settled without a lease, and their queue is notified.
    assert notified_queues == []
    may_respond.set()
    run_until(dispatcher, lambda: notified_queues)
    assert set(notified_queues) == {queue}
    monkeypatch.undo()
    while run_lease(dispatcher, queue):
        pass
    assert len(ats.received) == 21


def test_rate_limited_queue_is_kept_until_it_may_send(
    dispatcher: LeasedQueueDispatcher,
    append_messages: AppendMessages,
    ats: FakeAts,
    clock: ManualClock,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = append_messages(2)
    with services.db.writing() as session:
        session.scalars(select(Account)).one().callback_rate = 0.1
    ended = dispatcher.lease(queue)
    dispatcher.run_once()
    ats.wait_for(1)
    dispatcher.wait(1.0)
    monkeypatch.setattr(leased_queues.QueueLease, "is_expired", True)
    dispatcher.run_once()
    assert not ended.done()  # another process does not know when the queue may send again
    clock.advance(timedelta(seconds=10))
    run_until(dispatcher, ended.done)
    assert ended.result() is True
    assert len(ats.received) == 1


def test_second_lease_of_a_leased_queue_ends_at_once(
    dispatcher: LeasedQueueDispatcher, append_messages: AppendMessages, ats: FakeAts
) -> None:
    queue = append_messages(1)
    first, second = dispatcher.lease(queue), dispatcher.lease(queue)
    assert (first.done(), second.result(0)) == (False, False)
    run_until(dispatcher, first.done)
    assert len(ats.received) == 1


def test_lease_of_a_queue_of_unknown_channel_ends_at_once(
    dispatcher: LeasedQueueDispatcher,
) -> None:
    # Otherwise it would take a worker's slot until the dispatcher wakes for another reason.
    assert dispatcher.lease("1/pigeon").result(0) is False


def test_cancelled_lease_does_not_disturb_the_dispatcher(
    dispatcher: LeasedQueueDispatcher, append_messages: AppendMessages, ats: FakeAts
) -> None:
    queue = append_messages(1)
    cancelled: Future[bool] = dispatcher.lease(queue)
    assert cancelled.cancel()
    run_until(dispatcher, lambda: ats.received and not dispatcher._leases)
    assert not run_lease(dispatcher, queue)


def test_stop_ends_every_lease(services: Services, append_messages: AppendMessages) -> None:
    dispatcher = LeasedQueueDispatcher(services, lambda queues: None)
    leases = [dispatcher.lease(append_messages(1)), dispatcher.lease("7/email")]
    dispatcher.stop()
    assert [ended.result(0) for ended in leases] == [True, True]
    assert dispatcher.lease("7/email").result(0) is True  # for another process
