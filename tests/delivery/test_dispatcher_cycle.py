"""The courier's turns, with everything sent in the turn itself instead of by a thread."""

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
from provider.delivery import dispatcher as courier_room
from provider.delivery.channels.base import Channel, PreparedDelivery
from provider.delivery.dispatcher import Delivery
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
)
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Note(PreparedDelivery):
    ends: Callable[[], Outcome]
    body: bytes = b"{}"

    def send(self) -> Outcome:
        return self.ends()


@dataclass
class Desk(Channel):
    ends: Callable[[], Outcome] = lambda: Outcome("delivered", status_code=200)
    closed: int = 0
    prepared: list[int] = field(default_factory=list)

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[PreparedDelivery | Exception]:
        self.prepared.append(len(claims))
        return [Note(self.ends) for _ in claims]

    def close(self) -> None:
        self.closed += 1


class AtOnce(Dispatcher):
    def _hand_over(self, job: Delivery) -> None:
        self._send(job)


def _fail() -> Outcome:
    raise KeyError


@pytest.fixture
def channel() -> Desk:
    return Desk()


@pytest.fixture
def lane(services: Services) -> str:
    return f"{factories.create_account(services)[0]}/callback/a.test"


@pytest.fixture
def dispatcher(services: Services, channel: Desk) -> Dispatcher:
    return AtOnce(services, {CALLBACK: channel, EMAIL: channel}, max_concurrent_sends=4)


def put(services: Services, lane: str, *keys: str) -> None:
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


def states(services: Services) -> list[str]:
    with services.db.reading() as session:
        return list(session.scalars(select(Message.state).order_by(Message.id)))


def attempt(services: Services) -> Attempt:
    with services.db.reading() as session:
        return session.scalars(select(Attempt)).one()


def test_draining_ends_when_what_was_sent_is_settled(
    services: Services, dispatcher: Dispatcher, lane: str
) -> None:
    put(services, lane, *"abcdef")
    assert dispatcher.drain(lane) == 6
    assert set(states(services)) == {DELIVERED}


def test_a_lane_that_finds_all_hands_of_its_host_taken_has_its_turn_later(
    services: Services, dispatcher: Dispatcher, lane: str
) -> None:
    other = lane.replace("1/", "2/", 1)  # another account's, at the same host
    put(services, lane, *"abcdef")
    put(services, other, "g")
    assert dispatcher.drain(lane, other) == 7
    assert set(states(services)) == {DELIVERED}


def test_a_turn_without_anything_to_do_opens_no_transaction(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(dispatcher.services.db), "writing", lambda *_, **__: 1 / 0)
    assert dispatcher.run_once() == 0


def test_a_lane_in_which_nothing_is_due_is_looked_at_once(
    services: Services, dispatcher: Dispatcher, channel: Desk, lane: str
) -> None:
    assert dispatcher.drain(lane) == 0
    assert channel.prepared == []
    assert dispatcher.run_once() == 0


def test_a_send_that_fails_with_an_error_of_ours_is_tried_again(
    services: Services, dispatcher: Dispatcher, channel: Desk, lane: str
) -> None:
    channel.ends = _fail
    put(services, lane, "a")
    with capture_logs() as said:
        dispatcher.drain(lane)
    assert [one["order"] for one in said if one["log_level"] == "error"] == ["a"]
    assert states(services) == [WAITING]
    assert (attempt(services).outcome, attempt(services).error) == ("retry", "KeyError")


def test_a_message_that_cannot_be_written_is_told_and_keeps_the_next_from_nothing(
    services: Services,
    dispatcher: Dispatcher,
    channel: Desk,
    lane: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(services, lane, "a")
    with services.db.writing() as session:
        outbox.append(
            session,
            queue=lane,
            ordering_key="a",
            sequence=1,
            topic="status",
            payload={},
            now=services.now(),
        )

    def prepare(_: Session, claims: Sequence[Claim]) -> list[PreparedDelivery | Exception]:
        return [Note(channel.ends) if claim.sequence else KeyError() for claim in claims]

    monkeypatch.setattr(channel, "prepare", prepare)
    with capture_logs() as said:
        assert dispatcher.drain(lane) == 1
    assert states(services) == [PARKED, DELIVERED]
    (told,) = (one for one in said if one["log_level"] == "error")
    with services.db.reading() as session:
        parked = session.scalars(select(Message.public_id).order_by(Message.id)).first()
    assert (told["order"], told["message"]) == ("a", parked)


def test_a_wait_that_the_receiver_asks_for_is_kept_to_the_second(
    services: Services, dispatcher: Dispatcher, channel: Desk, lane: str, clock: ManualClock
) -> None:
    channel.ends = lambda: Outcome("retry", status_code=429, retry_after=timedelta(hours=3))
    put(services, lane, "a")
    dispatcher.drain(lane)
    with services.db.reading() as session:
        assert session.scalar(select(Message.due_at)) == clock.now() + timedelta(hours=3)


def test_who_loses_the_race_for_a_holds_one_try_frees_what_it_took(
    services: Services,
    dispatcher: Dispatcher,
    channel: Desk,
    lane: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(services, lane, "a")
    monkeypatch.setattr("provider.delivery.policy.DeliveryPolicy.acquire_probes", lambda *_: False)
    assert dispatcher.drain(lane) == 0
    monkeypatch.undo()
    assert channel.prepared == []
    assert dispatcher.drain(lane) == 1


def test_a_turn_whose_transaction_fails_is_taken_again_with_all_that_it_was_for(
    services: Services, dispatcher: Dispatcher, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(services, lane, "a")
    dispatcher.wake([lane])
    assert dispatcher.run_once() == 1
    put(services, lane, "b")
    with monkeypatch.context() as broken:
        broken.setattr(outbox, "store_body", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dispatcher.run_once()
    assert states(services) == [WAITING, WAITING]
    assert dispatcher.drain() == 1
    assert states(services) == [DELIVERED, DELIVERED]


def test_a_turn_that_fails_again_and_again_forgets_no_lane_and_gives_its_hands_back(
    services: Services, dispatcher: Dispatcher, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(services, lane, "a")
    put(services, "1/email", "b")
    dispatcher.wake([lane, "1/email"])
    with monkeypatch.context() as broken:
        for _ in range(5):  # more often than there are hands
            kept = iter((True,))  # the first lane's; the second one's fails
            broken.setattr(outbox, "store_body", lambda *_, kept=kept: next(kept))
            with pytest.raises(StopIteration):
                dispatcher.run_once()
    assert dispatcher.run_once() == 2


def test_who_drains_sleeps_while_something_is_out(
    services: Services, channel: Desk, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = threading.Event()
    channel.ends = lambda: Outcome("delivered" if slept.wait(10) else "rejected", status_code=200)
    dispatcher = Dispatcher(services, {CALLBACK: channel}, max_concurrent_sends=4)
    wait = dispatcher.wait

    def sleep(seconds: float | None = None) -> None:
        slept.set()
        wait(seconds)

    monkeypatch.setattr(dispatcher, "wait", sleep)
    put(services, lane, "a")
    dispatcher.drain(lane)
    assert states(services) == [DELIVERED]
    dispatcher.stop()


@pytest.mark.parametrize(
    ("paced", "told", "waits"), [(None, 30, 30), (0.5, 30, 0.5), (45, 30, 30), (-1, 30, -1)]
)
def test_who_works_waits_until_it_is_told_to_or_a_pace_lets_go(
    dispatcher: Dispatcher,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    paced: float | None,
    told: float,
    waits: float,
) -> None:
    moment = None if paced is None else clock.now() + paced * SECOND
    waited: list[float | None] = []
    monkeypatch.setattr(dispatcher, "rate_limit_expires_at", lambda: moment)
    monkeypatch.setattr(dispatcher, "wait", waited.append)
    dispatcher.wait_and_run(told)
    assert waited == [waits]


def test_nobody_waits_for_a_moment_that_has_passed(dispatcher: Dispatcher) -> None:
    dispatcher.wait(-1)
    dispatcher.back_off(-1)


def test_who_stumbles_says_so_rests_and_goes_on(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    rested: list[float] = []
    monkeypatch.setattr(dispatcher, "run_once", lambda: 1 / 0)
    monkeypatch.setattr(dispatcher, "back_off", rested.append)
    dispatcher.wait_and_run(0)
    assert rested == [courier_room.ERROR_BACKOFF_SECONDS]
    said = capsys.readouterr()
    assert "ZeroDivisionError" in said.out + said.err


def test_a_pace_lets_a_courier_go_on_by_itself(
    services: Services, dispatcher: Dispatcher, lane: str, clock: ManualClock
) -> None:
    with services.db.writing() as session:
        session.scalars(select(Account)).one().callback_rate = 2
    put(services, lane, *"ab")
    assert dispatcher.drain(lane) == 1
    assert dispatcher.rate_limit_expires_at() == clock.now() + SECOND / 2
    clock.advance(SECOND / 2)
    assert dispatcher.drain() == 1
    clock.advance(SECOND)
    dispatcher.drain(lane)  # nothing is left, and so there is nothing to wait for
    assert dispatcher.rate_limit_expires_at() is None


def test_the_last_step_of_the_schedule_is_repeated_and_never_quite_the_same(
    dispatcher: Dispatcher,
) -> None:
    schedule = dispatcher.services.settings.retry_schedule
    for attempts, step in ((0, schedule[0]), (2, schedule[2]), (50, schedule[2])):
        waits = [dispatcher.retry_delay(attempts) for _ in range(20)]
        assert len(set(waits)) > 1
        assert all(step * 0.8 <= wait <= step * 1.2 for wait in waits)


def test_a_courier_that_has_stopped_takes_nothing_and_has_let_go(
    services: Services, dispatcher: Dispatcher, channel: Desk, lane: str
) -> None:
    put(services, lane, "a")
    dispatcher.stop()
    assert dispatcher.drain(lane) == dispatcher.run_once() == 0
    assert channel.closed == 2  # lanes' sinks, which are one and the same here
    assert states(services) == [WAITING]


def test_what_was_sent_before_the_stop_is_settled(
    services: Services, dispatcher: Dispatcher, lane: str
) -> None:
    put(services, lane, "a")
    dispatcher.wake([lane])
    assert dispatcher.run_once() == 1
    assert states(services) == [WAITING]
    dispatcher.stop()
    assert states(services) == [DELIVERED]


def test_what_failed_in_a_turn_that_was_undone_counts_once(
    services: Services,
    dispatcher: Dispatcher,
    channel: Desk,
    lane: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel.ends = lambda: Outcome("retry", status_code=500, failure_scope="destination")
    monkeypatch.setattr("provider.delivery.policy.FAILURE_THRESHOLD", 2)
    put(services, lane, "a")
    dispatcher.wake([lane])
    dispatcher.run_once()
    with monkeypatch.context() as broken:
        broken.setattr("provider.outbox.store_body", lambda *_: 1 / 0)
        put(services, lane, "b")
        with pytest.raises(ZeroDivisionError):
            dispatcher.run_once()
    dispatcher.run_once()
    with services.db.reading() as session:
        assert session.scalars(select(outbox.Pause)).all() == []


@pytest.mark.parametrize(
    ("sink", "code", "told"),
    [("callback/a.test", 500, True), ("email", 550, False), ("email", None, True)],
)
def test_what_a_mail_server_answers_is_in_no_log(
    services: Services,
    dispatcher: Dispatcher,
    channel: Desk,
    capsys: Any,
    sink: str,
    code: int,
    told: bool,
) -> None:
    factories.create_account(services)
    channel.ends = lambda: Outcome("retry", status_code=code, error="unknown: sam@candidate.test")
    put(services, f"1/{sink}", "a")
    dispatcher.drain(f"1/{sink}")
    said = capsys.readouterr()
    assert ("sam@candidate.test" in said.out + said.err) is told
    assert attempt(services).error == "unknown: sam@candidate.test"


def lose_the_lease(
    services: Services, dispatcher: Dispatcher, lane: str, clock: ManualClock
) -> None:
    """Have a courier settle what another one has by then."""
    put(services, lane, "a")
    dispatcher.wake([lane])
    dispatcher.run_once()
    clock.advance(outbox.DEFAULT_LEASE)
    with services.db.writing() as session:
        assert outbox.claim(session, lane, clock.now(), 1)
    dispatcher.run_once()


def test_a_lost_lease_is_told_as_that(
    services: Services, dispatcher: Dispatcher, lane: str, clock: ManualClock, capsys: Any
) -> None:
    lose_the_lease(services, dispatcher, lane, clock)
    said = capsys.readouterr()
    assert "lease lost" in said.out + said.err
    assert states(services) == [WAITING]


def test_what_ended_under_a_lost_lease_says_nothing_about_its_host(
    services: Services,
    dispatcher: Dispatcher,
    channel: Desk,
    lane: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("provider.delivery.policy.FAILURE_THRESHOLD", 1)
    channel.ends = lambda: Outcome("retry", status_code=500, failure_scope="destination")
    lose_the_lease(services, dispatcher, lane, clock)
    with services.db.reading() as session:
        assert session.scalars(select(outbox.Pause)).all() == []


def test_the_bytes_of_a_message_are_kept_at_its_first_try_and_only_then(
    services: Services,
    dispatcher: Dispatcher,
    channel: Desk,
    lane: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel.ends = lambda: Outcome("retry", status_code=500)
    put(services, lane, "a")
    dispatcher.drain(lane)
    with services.db.reading() as session:
        assert session.scalars(select(Message.body)).one() == b"{}"
    clock.advance(timedelta(hours=2))
    monkeypatch.setattr(outbox, "store_body", lambda *_: 1 / 0)
    assert dispatcher.drain(lane) == 1


MOMENT = 0.05  # seconds in which whoever does not wait would be done


def test_a_call_wakes_who_waits(dispatcher: Dispatcher, lane: str) -> None:
    waiting = threading.Thread(target=dispatcher.wait, args=(60,))
    waiting.start()
    waiting.join(MOMENT)
    assert waiting.is_alive()
    dispatcher.wake([lane])
    waiting.join(10)
    assert not waiting.is_alive()


def test_stopping_wakes_who_waits_or_rests_and_waits_for_who_takes_the_turns(
    dispatcher: Dispatcher,
) -> None:
    ended: list[str] = []

    def work() -> None:
        dispatcher.wait(60)
        threading.Event().wait(MOMENT)  # a last turn
        ended.append("turns")

    working = threading.Thread(target=work)
    resting = threading.Thread(target=dispatcher.back_off, args=(60,))
    working.start()
    resting.start()
    resting.join(MOMENT)
    assert resting.is_alive()
    dispatcher.stop(loop_thread=working)
    assert ended == ["turns"]
    resting.join(10)
    assert not resting.is_alive()
