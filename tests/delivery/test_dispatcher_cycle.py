"""Cycles of the dispatcher; sends run in the cycle itself instead of in a thread."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from provider import outbox
from provider.core.accounts import Account
from provider.delivery import Dispatcher
from provider.delivery import dispatcher as dispatcher_module
from provider.delivery.channels.base import Channel, PreparedDelivery
from provider.delivery.channels.email import EmailChannel
from provider.delivery.dispatcher import Delivery
from provider.errors import Unavailable
from provider.outbox import (
    CALLBACK,
    DELIVERED,
    EMAIL,
    PARKED,
    WAITING,
    Attempt,
    Claim,
    Message,
    Outcome,
    QueueName,
)
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class FakeDelivery(PreparedDelivery):
    get_outcome: Callable[[], Outcome]
    body: bytes = b"{}"

    def send(self) -> Outcome:
        return self.get_outcome()


@dataclass
class FakeChannel(Channel):
    get_outcome: Callable[[], Outcome] = lambda: Outcome("delivered", status_code=200)
    closed: int = 0
    prepared: list[int] = field(default_factory=list)

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[PreparedDelivery | Exception]:
        self.prepared.append(len(claims))
        return [FakeDelivery(self.get_outcome) for _ in claims]

    def close(self) -> None:
        self.closed += 1


class FakeEmailChannel(FakeChannel):
    has_private_responses = EmailChannel.has_private_responses


class SynchronousDispatcher(Dispatcher):
    def _submit(self, delivery: Delivery) -> None:
        self._send(delivery)


def _fail() -> Outcome:
    raise KeyError


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def queue(services: Services) -> str:
    return f"{factories.create_account(services)[0]}/callback/a.test"


@pytest.fixture
def dispatcher(services: Services, channel: FakeChannel) -> Dispatcher:
    return SynchronousDispatcher(
        services, {CALLBACK: channel, EMAIL: channel}, max_concurrent_sends=4
    )


def put(services: Services, queue: str, *keys: str) -> None:
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


def states(services: Services) -> list[str]:
    with services.db.reading() as session:
        return list(session.scalars(select(Message.state).order_by(Message.id)))


def only_attempt(services: Services) -> Attempt:
    with services.db.reading() as session:
        return session.scalars(select(Attempt)).one()


def test_drain_ends_when_all_results_are_settled(
    services: Services, dispatcher: Dispatcher, queue: str
) -> None:
    put(services, queue, *"abcdef")
    assert dispatcher.drain(queue) == 6
    assert set(states(services)) == {DELIVERED}


def test_queue_without_free_slot_is_examined_later(
    services: Services, dispatcher: Dispatcher, queue: str
) -> None:
    other = queue.replace("1/", "2/", 1)  # of another account at the same host
    put(services, queue, *"abcdef")
    put(services, other, "g")
    assert dispatcher.drain(queue, other) == 7
    assert set(states(services)) == {DELIVERED}


def test_run_once_without_work_opens_no_transaction(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(dispatcher.services.db), "writing", lambda *_, **__: 1 / 0)
    assert dispatcher.run_once() == 0


def test_queue_without_due_messages_is_examined_once(
    services: Services, dispatcher: Dispatcher, channel: FakeChannel, queue: str
) -> None:
    assert dispatcher.drain(queue) == 0
    assert channel.prepared == []
    assert dispatcher.run_once() == 0


def test_exception_in_send_is_logged_and_retried(
    services: Services, dispatcher: Dispatcher, channel: FakeChannel, queue: str
) -> None:
    channel.get_outcome = _fail
    put(services, queue, "a")
    with capture_logs() as events:
        dispatcher.drain(queue)
    assert [event["order"] for event in events if event["log_level"] == "error"] == ["a"]
    assert states(services) == [WAITING]
    assert (only_attempt(services).outcome, only_attempt(services).error) == ("retry", "KeyError")


def test_rendering_error_is_logged_and_successor_is_sent(
    services: Services,
    dispatcher: Dispatcher,
    channel: FakeChannel,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(services, queue, "a")
    with services.db.writing() as session:
        outbox.append(
            session,
            queue=queue,
            ordering_key="a",
            sequence=1,
            topic="status",
            payload={},
            now=services.now(),
        )

    def prepare(_: Session, claims: Sequence[Claim]) -> list[PreparedDelivery | Exception]:
        return [
            FakeDelivery(channel.get_outcome) if claim.sequence else KeyError() for claim in claims
        ]

    monkeypatch.setattr(channel, "prepare", prepare)
    with capture_logs() as events:
        assert dispatcher.drain(queue) == 1
    assert states(services) == [PARKED, DELIVERED]
    (event,) = (event for event in events if event["log_level"] == "error")
    with services.db.reading() as session:
        parked = session.scalars(select(Message.public_id).order_by(Message.id)).first()
    assert (event["order"], event["message"]) == ("a", parked)


def test_requested_wait_is_respected_exactly(
    services: Services, dispatcher: Dispatcher, channel: FakeChannel, queue: str, clock: ManualClock
) -> None:
    channel.get_outcome = lambda: Outcome("retry", status_code=429, retry_after=timedelta(hours=3))
    put(services, queue, "a")
    dispatcher.drain(queue)
    with services.db.reading() as session:
        assert session.scalar(select(Message.due_at)) == clock.now() + timedelta(hours=3)


def test_lost_race_for_probe_releases_the_claim(
    services: Services,
    dispatcher: Dispatcher,
    channel: FakeChannel,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(services, queue, "a")
    monkeypatch.setattr("provider.delivery.policy.PolicyCycle.acquire_probes", lambda *_: False)
    assert dispatcher.drain(queue) == 0
    monkeypatch.undo()
    assert channel.prepared == []
    assert dispatcher.drain(queue) == 1


def test_failed_cycle_is_repeated_with_its_results_and_queues(
    services: Services, dispatcher: Dispatcher, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(services, queue, "a")
    dispatcher.wake([queue])
    assert dispatcher.run_once() == 1
    put(services, queue, "b")
    with monkeypatch.context() as broken:
        broken.setattr(outbox, "store_body", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dispatcher.run_once()
    assert states(services) == [WAITING, WAITING]
    assert dispatcher.drain() == 1
    assert states(services) == [DELIVERED, DELIVERED]


class BrokenChannel(FakeChannel):
    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[PreparedDelivery | Exception]:
        raise KeyError("a mistake in the channel")


def test_error_of_a_channel_does_not_stop_other_channels(
    services: Services, channel: FakeChannel, queue: str
) -> None:
    channels: dict[str, Channel] = {CALLBACK: channel, EMAIL: BrokenChannel()}
    dispatcher = SynchronousDispatcher(services, channels, max_concurrent_sends=4)
    email_queue = str(QueueName(QueueName.parse(queue).account_id, EMAIL))
    put(services, email_queue, *"abcde")
    put(services, queue, "f")
    with capture_logs() as logs:
        assert dispatcher.drain(email_queue, queue) == 1
    assert states(services) == [WAITING] * 5 + [DELIVERED]
    failures = [entry for entry in logs if entry["event"] == "channel_failed"]
    assert [entry["channel"] for entry in failures] == [EMAIL]
    channels[EMAIL] = channel
    assert dispatcher.drain(email_queue) == 5  # no lease and no slot is left


def test_repeatedly_failed_cycle_keeps_queues_and_slots(
    services: Services, dispatcher: Dispatcher, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(services, queue, "a")
    put(services, "1/email", "b")
    dispatcher.wake([queue, "1/email"])
    with monkeypatch.context() as broken:
        for _ in range(5):  # more cycles than there are slots
            results = iter((True,))  # for the first queue; the call for the second one fails
            broken.setattr(outbox, "store_body", lambda *_, results=results: next(results))
            with pytest.raises(StopIteration):
                dispatcher.run_once()
    assert dispatcher.run_once() == 2


def test_drain_waits_while_a_send_runs(
    services: Services, channel: FakeChannel, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_waiting = threading.Event()

    def wait_for_drain() -> Outcome:
        return Outcome("delivered" if is_waiting.wait(10) else "rejected", status_code=200)

    channel.get_outcome = wait_for_drain
    dispatcher = Dispatcher(services, {CALLBACK: channel}, max_concurrent_sends=4)
    wait = dispatcher.wait

    def record_wait(seconds: float | None = None) -> None:
        is_waiting.set()
        wait(seconds)

    monkeypatch.setattr(dispatcher, "wait", record_wait)
    put(services, queue, "a")
    dispatcher.drain(queue)
    assert states(services) == [DELIVERED]
    dispatcher.stop()


@pytest.mark.parametrize(
    ("expiry", "timeout", "expected"), [(None, 30, 30), (0.5, 30, 0.5), (45, 30, 30), (-1, 30, -1)]
)
def test_wait_and_run_waits_until_timeout_or_rate_limit_expiry(
    dispatcher: Dispatcher,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expiry: float | None,
    timeout: float,
    expected: float,
) -> None:
    expires_at = None if expiry is None else clock.now() + expiry * SECOND
    waits: list[float | None] = []
    monkeypatch.setattr(dispatcher, "rate_limit_expires_at", lambda: expires_at)
    monkeypatch.setattr(dispatcher, "wait", waits.append)
    dispatcher.wait_and_run(timeout)
    assert waits == [expected]


def test_wait_with_negative_timeout_returns_at_once(dispatcher: Dispatcher) -> None:
    dispatcher.wait(-1)
    dispatcher.back_off(-1)


def test_wait_and_run_logs_error_and_backs_off(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    back_offs: list[float] = []
    monkeypatch.setattr(dispatcher, "run_once", lambda: 1 / 0)
    monkeypatch.setattr(dispatcher, "back_off", back_offs.append)
    dispatcher.wait_and_run(0)
    assert back_offs == [dispatcher_module.ERROR_BACKOFF_SECONDS]
    output = capsys.readouterr()
    assert "ZeroDivisionError" in output.out + output.err


def test_rate_limited_queue_continues_by_itself(
    services: Services, dispatcher: Dispatcher, queue: str, clock: ManualClock
) -> None:
    with services.db.writing() as session:
        session.scalars(select(Account)).one().callback_rate = 2
    put(services, queue, *"ab")
    assert dispatcher.drain(queue) == 1
    assert dispatcher.rate_limit_expires_at() == clock.now() + SECOND / 2
    clock.advance(SECOND / 2)
    assert dispatcher.drain() == 1
    clock.advance(SECOND)
    dispatcher.drain(queue)  # nothing is left, so nothing is limited
    assert dispatcher.rate_limit_expires_at() is None


def test_retry_delay_repeats_last_step_with_jitter(
    dispatcher: Dispatcher,
) -> None:
    schedule = dispatcher.services.settings.retry_schedule
    for attempts, step in ((0, schedule[0]), (2, schedule[2]), (50, schedule[2])):
        waits = [dispatcher.retry_delay(attempts) for _ in range(20)]
        assert len(set(waits)) > 1
        assert all(step * 0.8 <= wait <= step * 1.2 for wait in waits)


def test_stopped_dispatcher_claims_nothing_and_closes_channels(
    services: Services, dispatcher: Dispatcher, channel: FakeChannel, queue: str
) -> None:
    put(services, queue, "a")
    dispatcher.stop()
    assert dispatcher.drain(queue) == dispatcher.run_once() == 0
    assert channel.closed == 2  # the same channel object serves two names here
    assert states(services) == [WAITING]


def test_stop_settles_finished_sends(
    services: Services, dispatcher: Dispatcher, queue: str
) -> None:
    put(services, queue, "a")
    dispatcher.wake([queue])
    assert dispatcher.run_once() == 1
    assert states(services) == [WAITING]
    dispatcher.stop()
    assert states(services) == [DELIVERED]


def test_stop_logs_a_failing_database_and_closes_channels(
    services: Services,
    dispatcher: Dispatcher,
    channel: FakeChannel,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(services, queue, "a")
    dispatcher.wake([queue])
    assert dispatcher.run_once() == 1

    def fail(**_: bool) -> None:
        raise Unavailable("The disk is full")

    monkeypatch.setattr(services.db, "writing", fail)
    with capture_logs() as logs:
        dispatcher.stop()
    monkeypatch.undo()
    assert [entry["event"] for entry in logs] == ["attempts_not_settled"]
    assert channel.closed == 2
    assert states(services) == [WAITING]


def test_failure_in_rolled_back_cycle_counts_once(
    services: Services,
    dispatcher: Dispatcher,
    channel: FakeChannel,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel.get_outcome = lambda: Outcome("retry", status_code=500, failure_scope="destination")
    monkeypatch.setattr("provider.delivery.circuit_breaker.FAILURE_THRESHOLD", 2)
    put(services, queue, "a")
    dispatcher.wake([queue])
    dispatcher.run_once()
    with monkeypatch.context() as broken:
        broken.setattr("provider.outbox.store_body", lambda *_: 1 / 0)
        put(services, queue, "b")
        with pytest.raises(ZeroDivisionError):
            dispatcher.run_once()
    dispatcher.run_once()
    with services.db.reading() as session:
        assert session.scalars(select(outbox.Pause)).all() == []


@pytest.mark.parametrize(
    ("channel_path", "code", "is_logged"),
    [("callback/a.test", 500, True), ("email", 550, False), ("email", None, True)],
)
def test_mail_server_response_is_not_logged(
    services: Services, capsys: Any, channel_path: str, code: int, is_logged: bool
) -> None:
    factories.create_account(services)

    def answer() -> Outcome:
        return Outcome("retry", status_code=code, error="unknown: sam@candidate.test")

    channels = {CALLBACK: FakeChannel(answer), EMAIL: FakeEmailChannel(answer)}
    dispatcher = SynchronousDispatcher(services, channels)
    put(services, f"1/{channel_path}", "a")
    dispatcher.drain(f"1/{channel_path}")
    output = capsys.readouterr()
    assert ("sam@candidate.test" in output.out + output.err) is is_logged
    assert only_attempt(services).error == "unknown: sam@candidate.test"


def lose_lease(services: Services, dispatcher: Dispatcher, queue: str, clock: ManualClock) -> None:
    """Let a dispatcher settle a message that another one has claimed meanwhile."""
    put(services, queue, "a")
    dispatcher.wake([queue])
    dispatcher.run_once()
    clock.advance(outbox.DEFAULT_LEASE)
    with services.db.writing() as session:
        assert outbox.claim(session, queue, clock.now(), 1)
    dispatcher.run_once()


def test_lost_lease_is_logged_as_lease_lost(
    services: Services, dispatcher: Dispatcher, queue: str, clock: ManualClock, capsys: Any
) -> None:
    lose_lease(services, dispatcher, queue, clock)
    output = capsys.readouterr()
    assert "lease_lost" in output.out + output.err
    assert states(services) == [WAITING]


def test_result_with_lost_lease_does_not_pause_host(
    services: Services,
    dispatcher: Dispatcher,
    channel: FakeChannel,
    queue: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("provider.delivery.circuit_breaker.FAILURE_THRESHOLD", 1)
    channel.get_outcome = lambda: Outcome("retry", status_code=500, failure_scope="destination")
    lose_lease(services, dispatcher, queue, clock)
    with services.db.reading() as session:
        assert session.scalars(select(outbox.Pause)).all() == []


def test_body_is_stored_only_at_first_attempt(
    services: Services,
    dispatcher: Dispatcher,
    channel: FakeChannel,
    queue: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel.get_outcome = lambda: Outcome("retry", status_code=500)
    put(services, queue, "a")
    dispatcher.drain(queue)
    with services.db.reading() as session:
        assert session.scalars(select(Message)).one().get_body(services.secret_box) == b"{}"
    clock.advance(timedelta(hours=2))
    monkeypatch.setattr(outbox, "store_body", lambda *_: 1 / 0)
    assert dispatcher.drain(queue) == 1


SHORT_WAIT_SECONDS = 0.05  # a thread that does not block has ended by then


def test_wake_ends_wait(dispatcher: Dispatcher, queue: str) -> None:
    waiting = threading.Thread(target=dispatcher.wait, args=(60,))
    waiting.start()
    waiting.join(SHORT_WAIT_SECONDS)
    assert waiting.is_alive()
    dispatcher.wake([queue])
    waiting.join(10)
    assert not waiting.is_alive()


def test_stop_ends_waits_and_joins_loop_thread(
    dispatcher: Dispatcher,
) -> None:
    finished: list[str] = []

    def run_loop() -> None:
        dispatcher.wait(60)
        threading.Event().wait(SHORT_WAIT_SECONDS)  # a last cycle
        finished.append("loop")

    loop_thread = threading.Thread(target=run_loop)
    backing_off = threading.Thread(target=dispatcher.back_off, args=(60,))
    loop_thread.start()
    backing_off.start()
    backing_off.join(SHORT_WAIT_SECONDS)
    assert backing_off.is_alive()
    dispatcher.stop(loop_thread=loop_thread)
    assert finished == ["loop"]
    backing_off.join(10)
    assert not backing_off.is_alive()
