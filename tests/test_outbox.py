from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from provider import outbox
from provider.errors import Conflict
from provider.house import House
from provider.outbox import (
    DELIVERED,
    LEASE,
    PARKED,
    SUPERSEDED,
    Attempt,
    Claim,
    Ended,
    Message,
    Outcome,
)
from tests import cast
from tests.cast import HandClock

LANE = "1/callback"


def put(house: House, key: str = "a", sequence: int = 1, lane: str = LANE, **more: object) -> int:
    with house.db.writing() as session:
        return outbox.append(
            session, lane=lane, key=key, sequence=sequence, topic="status",
            payload={"n": sequence}, at=house.now(), absolute=bool(more.get("absolute")),
        )  # fmt: skip


def claim(house: House, lane: str = LANE, most: int = 100) -> list[Claim]:
    with house.db.writing() as session:
        return outbox.claim(session, lane, house.now(), most)


def settle(house: House, taken: Claim, outcome: Outcome) -> bool:
    with house.db.writing() as session:
        return bool(cast.settle(house, session, taken, outcome))


def state(house: House, message_id: int) -> str:
    with house.db.reading() as session:
        return session.get_one(Message, message_id).state


def test_only_the_oldest_unsettled_message_of_a_key_is_claimed(house: House) -> None:
    for sequence in (1, 2, 3):
        put(house, "a", sequence)
    put(house, "b", 7)
    assert {(c.key, c.sequence) for c in claim(house)} == {("a", 1), ("b", 7)}


def test_a_claimed_message_is_not_claimed_again_while_its_lease_lasts(
    house: House, clock: HandClock
) -> None:
    put(house)
    assert len(claim(house)) == 1
    assert claim(house) == []
    clock.pass_(LEASE - timedelta(seconds=1))
    assert claim(house) == []
    clock.pass_(timedelta(seconds=1))
    assert len(claim(house)) == 1


def test_a_successor_follows_once_its_predecessor_is_settled(house: House) -> None:
    put(house, sequence=1)
    put(house, sequence=2)
    (first,) = claim(house)
    assert settle(house, first, Outcome("done", code=200))
    assert [c.sequence for c in claim(house)] == [2]


def test_a_parked_message_lets_its_successor_go(house: House) -> None:
    put(house, sequence=1)
    put(house, sequence=2)
    (first,) = claim(house)
    settle(house, first, Outcome("never", code=410))
    assert [c.sequence for c in claim(house)] == [2]


def test_a_message_that_waits_keeps_its_successor_but_no_other_key(
    house: House, clock: HandClock
) -> None:
    put(house, "a", 1)
    put(house, "a", 2)
    (first,) = claim(house)
    settle(house, first, Outcome("again", after=timedelta(minutes=5)))
    put(house, "b", 1)
    (other,) = claim(house)
    assert other.key == "b"
    settle(house, other, Outcome("done"))
    clock.pass_(timedelta(minutes=5))
    assert [(c.key, c.sequence, c.attempts) for c in claim(house)] == [("a", 1, 1)]


def test_who_lost_the_lease_settles_nothing(house: House, clock: HandClock) -> None:
    message = put(house)
    (slow,) = claim(house)
    clock.pass_(LEASE)
    (quick,) = claim(house)
    assert not settle(house, slow, Outcome("never"))
    assert state(house, message) == "waiting"
    assert settle(house, quick, Outcome("done"))
    assert not settle(house, slow, Outcome("never"))
    assert state(house, message) == DELIVERED
    with house.db.reading() as session:
        assert session.scalar(select(func.count(Attempt.id))) == 1


def test_rendered_bytes_are_kept_under_the_lease_only(house: House, clock: HandClock) -> None:
    put(house)
    (slow,) = claim(house)
    clock.pass_(LEASE)
    (quick,) = claim(house)
    with house.db.writing() as session:
        assert not outbox.keep_rendered(session, slow, b"slow")
        assert outbox.keep_rendered(session, quick, b"quick")
    settle(house, quick, Outcome("again"))
    assert [c.rendered for c in claim(house)] == [b"quick"]


def test_a_freed_lease_can_be_claimed_at_once(house: House) -> None:
    put(house)
    (taken,) = claim(house)
    with house.db.writing() as session:
        outbox.free(session, taken)
    assert len(claim(house)) == 1


def test_an_older_parked_status_is_superseded_by_a_later_delivered_one(house: House) -> None:
    old = put(house, sequence=1, absolute=True)
    put(house, sequence=2, absolute=True)
    other = put(house, "b", sequence=1, absolute=True)
    for taken in claim(house):
        settle(house, taken, Outcome("never", code=410))
    (later,) = claim(house)
    settle(house, later, Outcome("done", code=200))
    assert (state(house, old), state(house, other)) == (SUPERSEDED, PARKED)
    with (
        pytest.raises(Conflict, match="superseded"),
        house.db.writing() as session,
    ):
        outbox.send_again(session, session.get_one(Message, old), house.now())


def test_a_parked_letter_is_not_superseded_by_a_later_one(house: House) -> None:
    old = put(house, sequence=1)
    put(house, sequence=2)
    settle(house, claim(house)[0], Outcome("never"))
    settle(house, claim(house)[0], Outcome("done"))
    assert state(house, old) == PARKED


def test_a_parked_message_can_be_sent_again_and_goes_before_its_successors(house: House) -> None:
    old = put(house, sequence=1)
    put(house, sequence=2)
    settle(house, claim(house)[0], Outcome("never"))
    with house.db.writing() as session:
        outbox.send_again(session, session.get_one(Message, old), house.now())
    assert [c.sequence for c in claim(house)] == [1]


def test_every_attempt_is_kept_with_its_answer_cut_to_size(house: House, clock: HandClock) -> None:
    put(house)
    (taken,) = claim(house)
    began = clock.now()
    clock.pass_(timedelta(milliseconds=250))
    with house.db.writing() as session:
        refused = Outcome("again", code=500, answer="no\x00" + "x" * 5000)
        outbox.settle(session, [Ended(taken, refused, began, clock.now())], clock.now())
    with house.db.reading() as session:
        kept = session.scalars(select(Attempt)).one()
        assert (kept.number, kept.milliseconds, kept.code, kept.at) == (1, 250, 500, began)
        assert len(kept.answer) == outbox.ANSWER_KEPT
        assert kept.answer.startswith("no�x")


def test_lanes_and_ages_are_told(house: House, clock: HandClock) -> None:
    began: datetime = clock.now()
    put(house, "a", lane="1/callback")
    put(house, "b", lane="2/mail")
    with house.db.reading() as session:
        assert sorted(outbox.due_lanes(session, clock.now())) == ["1/callback", "2/mail"]
        assert outbox.due_lanes(session, clock.now() - timedelta(seconds=1)) == []
        assert outbox.oldest_due(session, ["1/callback", "2/mail"], clock.now()) == began
        assert outbox.oldest_due(session, [], clock.now()) is None


def fail_after_writing(house: House) -> None:
    with house.db.writing() as session:
        outbox.append(
            session, lane=LANE, key="a", sequence=1, topic="status", payload={}, at=house.now()
        )
        session.flush()
        raise ZeroDivisionError


def test_a_message_is_written_with_its_transaction_or_not_at_all(house: House) -> None:
    called: list[set[str]] = []
    house.db.on_commit.append(called.append)
    with pytest.raises(ZeroDivisionError):
        fail_after_writing(house)
    assert (called, claim(house)) == ([], [])
    put(house)
    assert called == [{LANE}]


def test_claims_use_the_partial_indexes(house: House) -> None:
    for key in range(50):
        put(house, str(key))
    with house.db.reading() as session:
        plan = session.connection().exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT id FROM messages WHERE lane = ? AND state = 'waiting' "
            "AND due_at <= ? ORDER BY due_at LIMIT 10",
            (LANE, "2027-01-01"),
        )
        assert any("ix_messages_due" in str(row) for row in plan)
