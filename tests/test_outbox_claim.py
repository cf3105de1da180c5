"""The fine print of claiming and settling: what is taken first, and what a lease is good for."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from provider import outbox
from provider.house import House
from provider.outbox import (
    DELIVERED,
    LEASE,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Ended,
    Message,
    Outcome,
)
from provider.outbox.claim import NEWEST
from tests.cast import HandClock
from tests.test_outbox import LANE, claim, put, settle, state


def row(house: House, message_id: int) -> Message:
    with house.db.reading() as session:
        return session.get_one(Message, message_id)


def send_again(house: House, message_id: int) -> bool:
    with house.db.writing() as session:
        return outbox.send_again(session, session.get_one(Message, message_id), house.now())


def test_no_more_is_claimed_than_asked_for_and_what_has_waited_longest_goes_first(
    house: House, clock: HandClock
) -> None:
    put(house, "a")
    settle(house, claim(house)[0], Outcome("again", after=timedelta(minutes=5)))
    put(house, "b")
    clock.pass_(timedelta(minutes=10))
    assert [taken.key for taken in claim(house, most=1)] == ["b"]
    assert [taken.key for taken in claim(house, most=1)] == ["a"]


def test_a_message_that_was_sent_again_waits_while_a_later_one_is_in_hand(
    house: House, clock: HandClock
) -> None:
    first = put(house, sequence=1)
    put(house, sequence=2)
    settle(house, claim(house)[0], Outcome("never"))
    (later,) = claim(house)
    assert send_again(house, first)
    assert claim(house) == []
    settle(house, later, Outcome("again", after=timedelta(minutes=5)))
    assert [taken.sequence for taken in claim(house)] == [1]


def test_what_is_settled_says_when_and_is_in_nobodys_hands(house: House, clock: HandClock) -> None:
    message = put(house)
    (taken,) = claim(house)
    clock.pass_(timedelta(seconds=3))
    settle(house, taken, Outcome("done"))
    settled = row(house, message)
    assert (settled.settled_at, settled.attempts) == (clock.now(), 1)
    assert (settled.lease, settled.leased_until) == (None, None)


def test_a_lease_settles_once(house: House) -> None:
    message = put(house)
    (put_off,) = claim(house)
    assert settle(house, put_off, Outcome("again"))
    assert not settle(house, put_off, Outcome("done"))
    (parked,) = claim(house)
    assert settle(house, parked, Outcome("never"))
    assert send_again(house, message)
    assert not settle(house, parked, Outcome("done"))
    assert row(house, message).attempts == 2


def test_a_try_that_failed_puts_off_its_own_key_in_its_own_lane_alone(house: House) -> None:
    put(house, "a", 1)
    others = [put(house, "b"), put(house, "a", lane="1/mail")]
    first, _ = claim(house)
    put(house, "a", 2)
    settle(house, first, Outcome("again", after=timedelta(hours=2)))
    with house.db.reading() as session:
        due = {one.id: one.due_at - house.now() for one in session.scalars(select(Message))}
    assert {due.pop(other) for other in others} == {timedelta(0)}
    assert set(due.values()) == {timedelta(hours=2)}


def test_who_lost_the_lease_neither_puts_off_nor_frees(house: House, clock: HandClock) -> None:
    message = put(house)
    (slow,) = claim(house)
    clock.pass_(LEASE)
    (quick,) = claim(house)
    assert not settle(house, slow, Outcome("again", after=timedelta(hours=2)))
    assert row(house, message).due_at < clock.now()
    with house.db.writing() as session:
        outbox.free(session, slow)
    assert claim(house) == []
    assert settle(house, quick, Outcome("done"))


def test_a_freed_lease_settles_nothing(house: House) -> None:
    put(house)
    (taken,) = claim(house)
    with house.db.writing() as session:
        outbox.free(session, taken)
    assert not settle(house, taken, Outcome("done"))


def test_a_message_that_was_tried_keeps_its_own_wait_whatever_goes_before_it(
    house: House, clock: HandClock
) -> None:
    first = put(house, sequence=1)
    put(house, sequence=2)
    settle(house, claim(house)[0], Outcome("never"))
    settle(house, claim(house)[0], Outcome("again", after=timedelta(hours=1)))
    send_again(house, first)
    settle(house, claim(house)[0], Outcome("done"))
    assert claim(house) == []
    clock.pass_(timedelta(hours=1))
    assert [taken.sequence for taken in claim(house)] == [2]


def test_what_waited_behind_another_has_waited_since_it_came(
    house: House, clock: HandClock
) -> None:
    began = clock.now()
    put(house, sequence=1)
    put(house, sequence=2)
    (first,) = claim(house)
    clock.pass_(timedelta(seconds=10))
    settle(house, first, Outcome("done"))
    with house.db.reading() as session:
        assert outbox.oldest_due(session, [LANE], clock.now()) == began


def test_a_try_that_says_nothing_is_kept_as_that(house: House) -> None:
    put(house)
    settle(house, claim(house)[0], Outcome("done"))
    with house.db.reading() as session:
        kept = session.scalars(select(Attempt)).one()
        assert (kept.code, kept.answer, kept.error) == (None, "", "")


def test_what_is_superseded_says_when(house: House, clock: HandClock) -> None:
    old = put(house, sequence=1, absolute=True)
    put(house, sequence=2, absolute=True)
    settle(house, claim(house)[0], Outcome("never"))
    (later,) = claim(house)
    clock.pass_(timedelta(seconds=3))
    settle(house, later, Outcome("done"))
    assert (row(house, old).state, row(house, old).settled_at) == (SUPERSEDED, clock.now())


@pytest.mark.parametrize(
    ("old", "later", "after_all"),
    [(True, False, PARKED), (False, True, PARKED), (True, True, SUPERSEDED)],
)
def test_only_what_says_all_supersedes_and_only_what_it_says_too(
    house: House, old: bool, later: bool, after_all: str
) -> None:
    parked = put(house, sequence=1, absolute=old)
    letter = put(house, sequence=1, absolute=True, lane="1/mail")
    settle(house, claim(house)[0], Outcome("never"))
    settle(house, claim(house, "1/mail")[0], Outcome("never"))
    put(house, sequence=2, absolute=later)
    settle(house, claim(house)[0], Outcome("done"))
    assert (state(house, parked), state(house, letter)) == (after_all, PARKED)


def test_a_delivery_supersedes_nothing_that_comes_after_it_or_was_delivered(house: House) -> None:
    ids = {
        (key, number): put(house, key, number, absolute=True)
        for key, numbers in (("a", (5, 6)), ("b", (1, 2, 3)))
        for number in numbers
    }
    for expected in ([("a", 5), ("b", 1)], [("a", 6), ("b", 2)]):
        taken, at = claim(house), house.now()
        assert [(one.key, one.sequence) for one in taken] == expected
        with house.db.writing() as session:
            done = [Ended(one, Outcome("done"), at, at) for one in taken]
            assert len(outbox.settle(session, done, at)) == 2
    states = {name: state(house, number) for name, number in ids.items()}
    assert states.pop(("b", 3)) == WAITING
    assert set(states.values()) == {DELIVERED}


def test_who_lost_the_lease_supersedes_nothing(house: House, clock: HandClock) -> None:
    old = put(house, sequence=1, absolute=True)
    put(house, sequence=2, absolute=True)
    settle(house, claim(house)[0], Outcome("never"))
    (slow,) = claim(house)
    clock.pass_(LEASE)
    assert claim(house)
    assert not settle(house, slow, Outcome("done"))
    assert state(house, old) == PARKED


def test_what_waits_behind_one_that_was_tried_sooner_goes_as_soon(house: House) -> None:
    first = put(house, sequence=1)
    (taken,) = claim(house)
    put(house, sequence=2)
    settle(house, taken, Outcome("again", after=timedelta(hours=2)))
    with house.db.writing() as session:
        session.get_one(Message, first).due_at = house.now()  # as staff may wish at the console
    settle(house, claim(house)[0], Outcome("done"))
    assert [one.sequence for one in claim(house)] == [2]


def ended(house: House, key: str, word: str, code: int | None) -> None:
    """Let the one message of a key that is due end its try like this."""
    (taken,) = (one for one in claim(house) if one.key == key)
    settle(house, taken, Outcome(word, after=timedelta(0), code=code))


def test_who_claims_knows_a_messages_own_tries_since_it_was_sent_again_the_latest_first(
    house: House, clock: HandClock
) -> None:
    first = put(house, "a")
    for word, code in (("again", 500), ("never", 404)):
        ended(house, "a", word, code)
    send_again(house, first)
    moments = [clock.now()]
    ended(house, "a", "again", 503)
    moments.append(clock.pass_(timedelta(minutes=1)))
    ended(house, "a", "again", None)
    put(house, "b")
    ended_b = clock.pass_(timedelta(minutes=1))
    taken = {one.key: one for one in claim(house)}
    settle(house, taken["b"], Outcome("again", after=timedelta(0), code=502))
    settle(house, taken["a"], Outcome("again", after=timedelta(0), code=408))
    put(house, "c")
    past = {one.key: one.past for one in claim(house)}
    assert past["a"] == ((ended_b, 408), (moments[1], None), (moments[0], 503))
    assert (past["b"], past["c"]) == (((ended_b, 502),), ())


def test_what_was_delivered_since_is_looked_for_in_one_lane_among_the_newest(
    house: House, clock: HandClock
) -> None:
    def since(moment: timedelta, lane: str = LANE) -> bool:
        with house.db.reading() as session:
            return outbox.delivered_since(session, lane, clock.now() + moment)

    put(house, "a")
    ended(house, "a", "done", 200)
    put(house, "b")
    ended(house, "b", "never", 404)
    assert since(timedelta(seconds=-1))
    assert not since(timedelta(0))
    assert not since(timedelta(seconds=-1), "2/callback")
    for number in range(NEWEST - 1):
        put(house, f"c-{number}")
    assert not since(timedelta(seconds=-1))
