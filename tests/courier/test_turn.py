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
from provider.accounts import Account
from provider.courier import Courier
from provider.courier import courier as courier_room
from provider.courier.courier import Job
from provider.courier.parcel import Parcel, Sink
from provider.house import House
from provider.outbox import (
    CALLBACK,
    DELIVERED,
    MAIL,
    PARKED,
    WAITING,
    Attempt,
    Claim,
    Message,
    Outcome,
)
from tests import cast
from tests.cast import HandClock

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Note(Parcel):
    ends: Callable[[], Outcome]
    rendered: bytes = b"{}"

    def send(self) -> Outcome:
        return self.ends()


@dataclass
class Desk(Sink):
    ends: Callable[[], Outcome] = lambda: Outcome("done", code=200)
    closed: int = 0
    prepared: list[int] = field(default_factory=list)

    def prepare(self, session: Session, claims: Sequence[Claim]) -> list[Parcel | Exception]:
        self.prepared.append(len(claims))
        return [Note(self.ends) for _ in claims]

    def close(self) -> None:
        self.closed += 1


class AtOnce(Courier):
    def _hand_over(self, job: Job) -> None:
        self._send(job)


def _fail() -> Outcome:
    raise KeyError


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def lane(house: House) -> str:
    return f"{cast.account(house)[0]}/callback/a.test"


@pytest.fixture
def courier(house: House, desk: Desk) -> Courier:
    return AtOnce(house, {CALLBACK: desk, MAIL: desk}, hands=4)


def put(house: House, lane: str, *keys: str) -> None:
    with house.db.writing() as session:
        for key in keys:
            outbox.append(
                session, lane=lane, key=key, sequence=0, topic="status", payload={}, at=house.now()
            )


def states(house: House) -> list[str]:
    with house.db.reading() as session:
        return list(session.scalars(select(Message.state).order_by(Message.id)))


def attempt(house: House) -> Attempt:
    with house.db.reading() as session:
        return session.scalars(select(Attempt)).one()


def test_draining_ends_when_what_was_sent_is_settled(
    house: House, courier: Courier, lane: str
) -> None:
    put(house, lane, *"abcdef")
    assert courier.drain(lane) == 6
    assert set(states(house)) == {DELIVERED}


def test_a_lane_that_finds_all_hands_of_its_host_taken_has_its_turn_later(
    house: House, courier: Courier, lane: str
) -> None:
    other = lane.replace("1/", "2/", 1)  # another account's, at the same host
    put(house, lane, *"abcdef")
    put(house, other, "g")
    assert courier.drain(lane, other) == 7
    assert set(states(house)) == {DELIVERED}


def test_a_turn_without_anything_to_do_opens_no_transaction(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(courier.house.db), "writing", lambda *_, **__: 1 / 0)
    assert courier.turn() == 0


def test_a_lane_in_which_nothing_is_due_is_looked_at_once(
    house: House, courier: Courier, desk: Desk, lane: str
) -> None:
    assert courier.drain(lane) == 0
    assert desk.prepared == []
    assert courier.turn() == 0


def test_a_send_that_fails_with_an_error_of_ours_is_tried_again(
    house: House, courier: Courier, desk: Desk, lane: str
) -> None:
    desk.ends = _fail
    put(house, lane, "a")
    with capture_logs() as said:
        courier.drain(lane)
    assert [one["order"] for one in said if one["log_level"] == "error"] == ["a"]
    assert states(house) == [WAITING]
    assert (attempt(house).outcome, attempt(house).error) == ("again", "KeyError")


def test_a_message_that_cannot_be_written_is_told_and_keeps_the_next_from_nothing(
    house: House, courier: Courier, desk: Desk, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(house, lane, "a")
    with house.db.writing() as session:
        outbox.append(
            session, lane=lane, key="a", sequence=1, topic="status", payload={}, at=house.now()
        )

    def prepare(_: Session, claims: Sequence[Claim]) -> list[Parcel | Exception]:
        return [Note(desk.ends) if claim.sequence else KeyError() for claim in claims]

    monkeypatch.setattr(desk, "prepare", prepare)
    with capture_logs() as said:
        assert courier.drain(lane) == 1
    assert states(house) == [PARKED, DELIVERED]
    (told,) = (one for one in said if one["log_level"] == "error")
    with house.db.reading() as session:
        parked = session.scalars(select(Message.public_id).order_by(Message.id)).first()
    assert (told["order"], told["message"]) == ("a", parked)


def test_a_wait_that_the_receiver_asks_for_is_kept_to_the_second(
    house: House, courier: Courier, desk: Desk, lane: str, clock: HandClock
) -> None:
    desk.ends = lambda: Outcome("again", code=429, after=timedelta(hours=3))
    put(house, lane, "a")
    courier.drain(lane)
    with house.db.reading() as session:
        assert session.scalar(select(Message.due_at)) == clock.now() + timedelta(hours=3)


def test_who_loses_the_race_for_a_holds_one_try_frees_what_it_took(
    house: House, courier: Courier, desk: Desk, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(house, lane, "a")
    monkeypatch.setattr("provider.courier.gate.Gate.try_", lambda *_: False)
    assert courier.drain(lane) == 0
    monkeypatch.undo()
    assert desk.prepared == []
    assert courier.drain(lane) == 1


def test_a_turn_whose_transaction_fails_is_taken_again_with_all_that_it_was_for(
    house: House, courier: Courier, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(house, lane, "a")
    courier.call([lane])
    assert courier.turn() == 1
    put(house, lane, "b")
    with monkeypatch.context() as broken:
        broken.setattr(outbox, "keep_rendered", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            courier.turn()
    assert states(house) == [WAITING, WAITING]
    assert courier.drain() == 1
    assert states(house) == [DELIVERED, DELIVERED]


def test_a_turn_that_fails_again_and_again_forgets_no_lane_and_gives_its_hands_back(
    house: House, courier: Courier, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(house, lane, "a")
    put(house, "1/mail", "b")
    courier.call([lane, "1/mail"])
    with monkeypatch.context() as broken:
        for _ in range(5):  # more often than there are hands
            kept = iter((True,))  # the first lane's; the second one's fails
            broken.setattr(outbox, "keep_rendered", lambda *_, kept=kept: next(kept))
            with pytest.raises(StopIteration):
                courier.turn()
    assert courier.turn() == 2


def test_who_drains_sleeps_while_something_is_out(
    house: House, desk: Desk, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = threading.Event()
    desk.ends = lambda: Outcome("done" if slept.wait(10) else "never", code=200)
    courier = Courier(house, {CALLBACK: desk}, hands=4)
    wait = courier.wait

    def sleep(seconds: float | None = None) -> None:
        slept.set()
        wait(seconds)

    monkeypatch.setattr(courier, "wait", sleep)
    put(house, lane, "a")
    courier.drain(lane)
    assert states(house) == [DELIVERED]
    courier.stop()


@pytest.mark.parametrize(
    ("paced", "told", "waits"), [(None, 30, 30), (0.5, 30, 0.5), (45, 30, 30), (-1, 30, -1)]
)
def test_who_works_waits_until_it_is_told_to_or_a_pace_lets_go(
    courier: Courier,
    clock: HandClock,
    monkeypatch: pytest.MonkeyPatch,
    paced: float | None,
    told: float,
    waits: float,
) -> None:
    moment = None if paced is None else clock.now() + paced * SECOND
    waited: list[float | None] = []
    monkeypatch.setattr(courier, "next_at", lambda: moment)
    monkeypatch.setattr(courier, "wait", waited.append)
    courier.work(told)
    assert waited == [waits]


def test_nobody_waits_for_a_moment_that_has_passed(courier: Courier) -> None:
    courier.wait(-1)
    courier.rest(-1)


def test_who_stumbles_says_so_rests_and_goes_on(
    courier: Courier, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    rested: list[float] = []
    monkeypatch.setattr(courier, "turn", lambda: 1 / 0)
    monkeypatch.setattr(courier, "rest", rested.append)
    courier.work(0)
    assert rested == [courier_room.STUMBLED]
    said = capsys.readouterr()
    assert "ZeroDivisionError" in said.out + said.err


def test_a_pace_lets_a_courier_go_on_by_itself(
    house: House, courier: Courier, lane: str, clock: HandClock
) -> None:
    with house.db.writing() as session:
        session.scalars(select(Account)).one().callback_rate = 2
    put(house, lane, *"ab")
    assert courier.drain(lane) == 1
    assert courier.next_at() == clock.now() + SECOND / 2
    clock.pass_(SECOND / 2)
    assert courier.drain() == 1
    clock.pass_(SECOND)
    courier.drain(lane)  # nothing is left, and so there is nothing to wait for
    assert courier.next_at() is None


def test_the_last_step_of_the_schedule_is_repeated_and_never_quite_the_same(
    courier: Courier,
) -> None:
    schedule = courier.house.settings.retry_schedule
    for attempts, step in ((0, schedule[0]), (2, schedule[2]), (50, schedule[2])):
        waits = [courier.pause(attempts) for _ in range(20)]
        assert len(set(waits)) > 1
        assert all(step * 0.8 <= wait <= step * 1.2 for wait in waits)


def test_a_courier_that_has_stopped_takes_nothing_and_has_let_go(
    house: House, courier: Courier, desk: Desk, lane: str
) -> None:
    put(house, lane, "a")
    courier.stop()
    assert courier.drain(lane) == courier.turn() == 0
    assert desk.closed == 2  # lanes' sinks, which are one and the same here
    assert states(house) == [WAITING]


def test_what_was_sent_before_the_stop_is_settled(
    house: House, courier: Courier, lane: str
) -> None:
    put(house, lane, "a")
    courier.call([lane])
    assert courier.turn() == 1
    assert states(house) == [WAITING]
    courier.stop()
    assert states(house) == [DELIVERED]


def test_what_failed_in_a_turn_that_was_undone_counts_once(
    house: House, courier: Courier, desk: Desk, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.ends = lambda: Outcome("again", code=500, blame="route")
    monkeypatch.setattr("provider.courier.gate.PATIENCE", 2)
    put(house, lane, "a")
    courier.call([lane])
    courier.turn()
    with monkeypatch.context() as broken:
        broken.setattr("provider.outbox.keep_rendered", lambda *_: 1 / 0)
        put(house, lane, "b")
        with pytest.raises(ZeroDivisionError):
            courier.turn()
    courier.turn()
    with house.db.reading() as session:
        assert session.scalars(select(outbox.Hold)).all() == []


@pytest.mark.parametrize(
    ("sink", "code", "told"),
    [("callback/a.test", 500, True), ("mail", 550, False), ("mail", None, True)],
)
def test_what_a_mail_server_answers_is_in_no_log(
    house: House, courier: Courier, desk: Desk, capsys: Any, sink: str, code: int, told: bool
) -> None:
    cast.account(house)
    desk.ends = lambda: Outcome("again", code=code, error="unknown: sam@candidate.test")
    put(house, f"1/{sink}", "a")
    courier.drain(f"1/{sink}")
    said = capsys.readouterr()
    assert ("sam@candidate.test" in said.out + said.err) is told
    assert attempt(house).error == "unknown: sam@candidate.test"


def lose_the_lease(house: House, courier: Courier, lane: str, clock: HandClock) -> None:
    """Have a courier settle what another one has by then."""
    put(house, lane, "a")
    courier.call([lane])
    courier.turn()
    clock.pass_(outbox.LEASE)
    with house.db.writing() as session:
        assert outbox.claim(session, lane, clock.now(), 1)
    courier.turn()


def test_a_lost_lease_is_told_as_that(
    house: House, courier: Courier, lane: str, clock: HandClock, capsys: Any
) -> None:
    lose_the_lease(house, courier, lane, clock)
    said = capsys.readouterr()
    assert "lease lost" in said.out + said.err
    assert states(house) == [WAITING]


def test_what_ended_under_a_lost_lease_says_nothing_about_its_host(
    house: House,
    courier: Courier,
    desk: Desk,
    lane: str,
    clock: HandClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("provider.courier.gate.PATIENCE", 1)
    desk.ends = lambda: Outcome("again", code=500, blame="route")
    lose_the_lease(house, courier, lane, clock)
    with house.db.reading() as session:
        assert session.scalars(select(outbox.Hold)).all() == []


def test_the_bytes_of_a_message_are_kept_at_its_first_try_and_only_then(
    house: House,
    courier: Courier,
    desk: Desk,
    lane: str,
    clock: HandClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk.ends = lambda: Outcome("again", code=500)
    put(house, lane, "a")
    courier.drain(lane)
    with house.db.reading() as session:
        assert session.scalars(select(Message.rendered)).one() == b"{}"
    clock.pass_(timedelta(hours=2))
    monkeypatch.setattr(outbox, "keep_rendered", lambda *_: 1 / 0)
    assert courier.drain(lane) == 1


MOMENT = 0.05  # seconds in which whoever does not wait would be done


def test_a_call_wakes_who_waits(courier: Courier, lane: str) -> None:
    waiting = threading.Thread(target=courier.wait, args=(60,))
    waiting.start()
    waiting.join(MOMENT)
    assert waiting.is_alive()
    courier.call([lane])
    waiting.join(10)
    assert not waiting.is_alive()


def test_stopping_wakes_who_waits_or_rests_and_waits_for_who_takes_the_turns(
    courier: Courier,
) -> None:
    ended: list[str] = []

    def work() -> None:
        courier.wait(60)
        threading.Event().wait(MOMENT)  # a last turn
        ended.append("turns")

    working = threading.Thread(target=work)
    resting = threading.Thread(target=courier.rest, args=(60,))
    working.start()
    resting.start()
    resting.join(MOMENT)
    assert resting.is_alive()
    courier.stop(after=working)
    assert ended == ["turns"]
    resting.join(10)
    assert not resting.is_alive()
