import re
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Executable, func, select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from provider import outbox
from provider.errors import Conflict
from provider.house import House
from provider.outbox import (
    DELIVERED,
    LEASE,
    LONG_LEASE,
    PARKED,
    SUPERSEDED,
    Attempt,
    Claim,
    Ended,
    Message,
    Outcome,
    in_state,
)
from provider.outbox.claim import _claiming
from provider.outbox.message import _BEHIND, _DUE_LANES, _OLDEST
from tests import cast
from tests.cast import HandClock

pytestmark = pytest.mark.both
LANE = "1/callback"


def put(house: House, key: str = "a", sequence: int = 1, lane: str = LANE, **more: bool) -> int:
    with house.db.writing() as session:
        return outbox.append(
            session, lane=lane, key=key, sequence=sequence, topic="status",
            payload={"n": sequence}, at=house.now(), **more,
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


@pytest.mark.parametrize(
    ("lane", "lease"), [(LANE, LEASE), ("1/mail", LEASE), ("1/media", LONG_LEASE)]
)
def test_a_recording_is_leased_for_longer_than_what_is_sent(
    house: House, clock: HandClock, lane: str, lease: timedelta
) -> None:
    put(house, lane=lane)
    claim(house, lane)
    clock.pass_(lease - timedelta(seconds=1))
    assert claim(house, lane) == []
    clock.pass_(timedelta(seconds=1))
    assert len(claim(house, lane)) == 1


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
    old = put(house, sequence=1, absolute=True)
    put(house, sequence=2, absolute=True)
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


def plan(house: House, statement: Executable) -> str:
    """Return how SQLite would find the rows of a statement."""
    assert isinstance(statement, ClauseElement)
    told = {"of_lane": LANE, "lane": LANE, "key": "a", "most": 5, "until": None, "batch": "b"}
    with house.db.reading() as session:
        compiled = statement.compile(
            session.connection(), compile_kwargs={"render_postcompile": True}
        )
        assert isinstance(compiled, SQLCompiler)
        values = [
            compiled.params.get(name) or told.get(name) for name in compiled.positiontup or ()
        ]
        steps = session.connection().exec_driver_sql(
            f"EXPLAIN QUERY PLAN {compiled}", tuple(values)
        )
        return "\n".join(row[3] for row in steps)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("statement", "indexes"),
    [
        (_claiming(20).statement, {"ix_messages_due", "ix_messages_head"}),
        (_DUE_LANES, {"ix_messages_due"}),
        (_OLDEST, {"ix_messages_due"}),
        (_BEHIND.statement, {"ix_messages_head"}),
        (select(Message.id).where(in_state(PARKED)).order_by(Message.id.desc()), {
            "ix_messages_state"}),
    ],
)  # fmt: skip
def test_what_the_courier_asks_is_found_by_its_indexes_however_much_there_is(
    house: House, statement: Executable, indexes: set[str]
) -> None:
    said = plan(house, statement)
    assert set(re.findall(r"ix_messages_\w+", said)) == indexes
    assert "SCAN messages USING" not in said.replace("SCAN messages USING COVERING", "")
    assert "SCAN other" not in said


def test_what_is_due_longest_goes_first(house: House, clock: HandClock) -> None:
    put(house, "a")
    settle(house, claim(house)[0], Outcome("again", after=timedelta(minutes=2)))
    clock.pass_(timedelta(minutes=1))
    put(house, "b")
    clock.pass_(timedelta(minutes=2))
    assert [taken.key for taken in claim(house, most=1)] == ["b"]


def test_what_an_order_sends_elsewhere_keeps_nothing_back(house: House) -> None:
    put(house, sequence=0, lane="1/mail")  # the order's letter, which has not gone yet
    put(house, sequence=1)
    assert [taken.sequence for taken in claim(house)] == [1]


def test_a_status_that_was_overtaken_is_not_sent_again(house: House) -> None:
    old = put(house, sequence=1, absolute=True)
    put(house, sequence=2, absolute=True)
    settle(house, claim(house)[0], Outcome("never", code=422))
    (later,) = claim(house)
    settle(house, later, Outcome("again", after=timedelta(minutes=5)))  # it may have arrived
    with house.db.writing() as session:
        assert not outbox.send_again(session, session.get_one(Message, old), house.now())
    assert state(house, old) == SUPERSEDED


def test_a_status_that_a_later_one_may_overtake_at_this_moment_is_not_sent_again(
    house: House,
) -> None:
    old = put(house, sequence=1, absolute=True)
    put(house, sequence=2, absolute=True)
    settle(house, claim(house)[0], Outcome("never", code=422))
    assert claim(house)  # it is on its way
    with house.db.writing() as session:
        assert not outbox.send_again(session, session.get_one(Message, old), house.now())


def test_a_status_is_not_sent_again_where_a_courier_died_with_a_later_one(
    house: House, clock: HandClock
) -> None:
    old = put(house, sequence=1, absolute=True)
    put(house, sequence=2, absolute=True)
    settle(house, claim(house)[0], Outcome("never", code=422))
    with house.db.writing() as session:
        (later,) = outbox.claim(session, LANE, house.now(), 10)
        outbox.keep_rendered(session, later, b"it may have arrived")
    clock.pass_(LEASE)
    with house.db.writing() as session:  # another takes it up, and may not send it now
        (later,) = outbox.claim(session, LANE, house.now(), 10)
        outbox.free(session, later)
    with house.db.writing() as session:
        assert not outbox.send_again(session, session.get_one(Message, old), house.now())


def test_what_another_lane_of_the_same_key_tried_overtakes_nothing(house: House) -> None:
    old = put(house, sequence=1, absolute=True)
    settle(house, claim(house)[0], Outcome("never", code=422))
    put(house, sequence=2, absolute=True, lane="1/mail")
    settle(house, claim(house, "1/mail")[0], Outcome("again", after=timedelta(minutes=5)))
    with house.db.writing() as session:
        assert outbox.send_again(session, session.get_one(Message, old), house.now())


def test_both_tries_of_one_courier_may_end_at_once_and_one_counts(
    house: House, clock: HandClock
) -> None:
    put(house)
    (lost,) = claim(house)
    clock.pass_(LEASE)
    (held,) = claim(house)
    at = house.now()
    with house.db.writing() as session:
        both = [Ended(held, Outcome("done"), at, at), Ended(lost, Outcome("never"), at, at)]
        assert outbox.settle(session, both, at) == {held.lease}
    with house.db.reading() as session:
        assert session.scalars(select(Attempt.outcome)).all() == ["done"]


def test_what_waits_behind_another_is_due_with_it(house: House, clock: HandClock) -> None:
    put(house, sequence=1)
    (first,) = claim(house)
    put(house, sequence=2)
    settle(house, first, Outcome("again", after=timedelta(hours=2)))
    put(house, sequence=3)
    with house.db.reading() as session:
        due = session.scalars(select(Message.due_at)).all()
        assert set(due) == {clock.now() + timedelta(hours=2)}
    clock.pass_(timedelta(hours=2))
    (again,) = claim(house)
    settle(house, again, Outcome("done"))
    assert [taken.sequence for taken in claim(house)] == [2]
