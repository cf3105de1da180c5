"""The fine print of claiming and settling: what is taken first, and what a lease is good for."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from provider import outbox
from provider.outbox import (
    DEFAULT_LEASE,
    DELIVERED,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    AttemptResult,
    Message,
    Outcome,
)
from provider.outbox.claims import NEWEST_MESSAGES_LIMIT
from provider.services import Services
from tests.factories import ManualClock
from tests.outbox.test_messages import LANE, claim, put, settle, state


def row(services: Services, message_id: int) -> Message:
    with services.db.reading() as session:
        return session.get_one(Message, message_id)


def send_again(services: Services, message_id: int) -> bool:
    with services.db.writing() as session:
        return outbox.requeue(session, session.get_one(Message, message_id), services.now())


def test_no_more_is_claimed_than_asked_for_and_what_has_waited_longest_goes_first(
    services: Services, clock: ManualClock
) -> None:
    put(services, "a")
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(minutes=5)))
    put(services, "b")
    clock.advance(timedelta(minutes=10))
    assert [taken.ordering_key for taken in claim(services, most=1)] == ["b"]
    assert [taken.ordering_key for taken in claim(services, most=1)] == ["a"]


def test_a_message_that_was_sent_again_waits_while_a_later_one_is_in_hand(
    services: Services, clock: ManualClock
) -> None:
    first = put(services, sequence=1)
    put(services, sequence=2)
    settle(services, claim(services)[0], Outcome("rejected"))
    (later,) = claim(services)
    assert send_again(services, first)
    assert claim(services) == []
    settle(services, later, Outcome("retry", retry_after=timedelta(minutes=5)))
    assert [taken.sequence for taken in claim(services)] == [1]


def test_what_is_settled_says_when_and_is_in_nobodys_hands(
    services: Services, clock: ManualClock
) -> None:
    message = put(services)
    (taken,) = claim(services)
    clock.advance(timedelta(seconds=3))
    settle(services, taken, Outcome("delivered"))
    settled = row(services, message)
    assert (settled.settled_at, settled.attempts) == (clock.now(), 1)
    assert (settled.lease, settled.leased_until) == (None, None)


def test_a_lease_settles_once(services: Services) -> None:
    message = put(services)
    (put_off,) = claim(services)
    assert settle(services, put_off, Outcome("retry"))
    assert not settle(services, put_off, Outcome("delivered"))
    (parked,) = claim(services)
    assert settle(services, parked, Outcome("rejected"))
    assert send_again(services, message)
    assert not settle(services, parked, Outcome("delivered"))
    assert row(services, message).attempts == 2


def test_a_try_that_failed_puts_off_its_own_key_in_its_own_lane_alone(services: Services) -> None:
    put(services, "a", 1)
    others = [put(services, "b"), put(services, "a", lane="1/email")]
    first, _ = claim(services)
    put(services, "a", 2)
    settle(services, first, Outcome("retry", retry_after=timedelta(hours=2)))
    with services.db.reading() as session:
        due = {one.id: one.due_at - services.now() for one in session.scalars(select(Message))}
    assert {due.pop(other) for other in others} == {timedelta(0)}
    assert set(due.values()) == {timedelta(hours=2)}


def test_who_lost_the_lease_neither_puts_off_nor_frees(
    services: Services, clock: ManualClock
) -> None:
    message = put(services)
    (slow,) = claim(services)
    clock.advance(DEFAULT_LEASE)
    (quick,) = claim(services)
    assert not settle(services, slow, Outcome("retry", retry_after=timedelta(hours=2)))
    assert row(services, message).due_at < clock.now()
    with services.db.writing() as session:
        outbox.release(session, slow)
    assert claim(services) == []
    assert settle(services, quick, Outcome("delivered"))


def test_a_freed_lease_settles_nothing(services: Services) -> None:
    put(services)
    (taken,) = claim(services)
    with services.db.writing() as session:
        outbox.release(session, taken)
    assert not settle(services, taken, Outcome("delivered"))


def test_a_message_that_was_tried_keeps_its_own_wait_whatever_goes_before_it(
    services: Services, clock: ManualClock
) -> None:
    first = put(services, sequence=1)
    put(services, sequence=2)
    settle(services, claim(services)[0], Outcome("rejected"))
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=1)))
    send_again(services, first)
    settle(services, claim(services)[0], Outcome("delivered"))
    assert claim(services) == []
    clock.advance(timedelta(hours=1))
    assert [taken.sequence for taken in claim(services)] == [2]


def test_what_waited_behind_another_has_waited_since_it_came(
    services: Services, clock: ManualClock
) -> None:
    began = clock.now()
    put(services, sequence=1)
    put(services, sequence=2)
    (first,) = claim(services)
    clock.advance(timedelta(seconds=10))
    settle(services, first, Outcome("delivered"))
    with services.db.reading() as session:
        assert outbox.oldest_due_at(session, [LANE], clock.now()) == began


def test_a_try_that_says_nothing_is_kept_as_that(services: Services) -> None:
    put(services)
    settle(services, claim(services)[0], Outcome("delivered"))
    with services.db.reading() as session:
        kept = session.scalars(select(Attempt)).one()
        assert (kept.status_code, kept.response_excerpt, kept.error) == (None, "", "")


def test_what_is_superseded_says_when(services: Services, clock: ManualClock) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected"))
    (later,) = claim(services)
    clock.advance(timedelta(seconds=3))
    settle(services, later, Outcome("delivered"))
    assert (row(services, old).state, row(services, old).settled_at) == (SUPERSEDED, clock.now())


@pytest.mark.parametrize(
    ("old", "later", "after_all"),
    [(True, False, PARKED), (False, True, PARKED), (True, True, SUPERSEDED)],
)
def test_only_what_says_all_supersedes_and_only_what_it_says_too(
    services: Services, old: bool, later: bool, after_all: str
) -> None:
    parked = put(services, sequence=1, supersedes_earlier=old)
    letter = put(services, sequence=1, supersedes_earlier=True, lane="1/email")
    settle(services, claim(services)[0], Outcome("rejected"))
    settle(services, claim(services, "1/email")[0], Outcome("rejected"))
    put(services, sequence=2, supersedes_earlier=later)
    settle(services, claim(services)[0], Outcome("delivered"))
    assert (state(services, parked), state(services, letter)) == (after_all, PARKED)


def test_a_delivery_supersedes_nothing_that_comes_after_it_or_was_delivered(
    services: Services,
) -> None:
    ids = {
        (key, number): put(services, key, number, supersedes_earlier=True)
        for key, numbers in (("a", (5, 6)), ("b", (1, 2, 3)))
        for number in numbers
    }
    for expected in ([("a", 5), ("b", 1)], [("a", 6), ("b", 2)]):
        taken, at = claim(services), services.now()
        assert [(one.ordering_key, one.sequence) for one in taken] == expected
        with services.db.writing() as session:
            done = [AttemptResult(one, Outcome("delivered"), at, at) for one in taken]
            assert len(outbox.settle(session, done, at)) == 2
    states = {name: state(services, number) for name, number in ids.items()}
    assert states.pop(("b", 3)) == WAITING
    assert set(states.values()) == {DELIVERED}


def test_who_lost_the_lease_supersedes_nothing(services: Services, clock: ManualClock) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected"))
    (slow,) = claim(services)
    clock.advance(DEFAULT_LEASE)
    assert claim(services)
    assert not settle(services, slow, Outcome("delivered"))
    assert state(services, old) == PARKED


def test_what_waits_behind_one_that_was_tried_sooner_goes_as_soon(services: Services) -> None:
    first = put(services, sequence=1)
    (taken,) = claim(services)
    put(services, sequence=2)
    settle(services, taken, Outcome("retry", retry_after=timedelta(hours=2)))
    with services.db.writing() as session:
        session.get_one(Message, first).due_at = services.now()  # as staff may wish at the console
    settle(services, claim(services)[0], Outcome("delivered"))
    assert [one.sequence for one in claim(services)] == [2]


def ended(services: Services, key: str, word: str, code: int | None) -> None:
    """Let the one message of a key that is due end its try like this."""
    (taken,) = (one for one in claim(services) if one.ordering_key == key)
    settle(services, taken, Outcome(word, retry_after=timedelta(0), status_code=code))


def test_who_claims_knows_a_messages_own_tries_since_it_was_sent_again_the_latest_first(
    services: Services, clock: ManualClock
) -> None:
    first = put(services, "a")
    for word, code in (("retry", 500), ("rejected", 404)):
        ended(services, "a", word, code)
    send_again(services, first)
    moments = [clock.now()]
    ended(services, "a", "retry", 503)
    moments.append(clock.advance(timedelta(minutes=1)))
    ended(services, "a", "retry", None)
    put(services, "b")
    ended_b = clock.advance(timedelta(minutes=1))
    taken = {one.ordering_key: one for one in claim(services)}
    settle(services, taken["b"], Outcome("retry", retry_after=timedelta(0), status_code=502))
    settle(services, taken["a"], Outcome("retry", retry_after=timedelta(0), status_code=408))
    put(services, "c")
    past = {one.ordering_key: one.past_attempts for one in claim(services)}
    assert past["a"] == ((ended_b, 408), (moments[1], None), (moments[0], 503))
    assert (past["b"], past["c"]) == (((ended_b, 502),), ())


def test_what_was_delivered_since_is_looked_for_in_one_lane_among_the_newest(
    services: Services, clock: ManualClock
) -> None:
    def since(moment: timedelta, lane: str = LANE) -> bool:
        with services.db.reading() as session:
            return outbox.has_delivered_since(session, lane, clock.now() + moment)

    put(services, "a")
    ended(services, "a", "delivered", 200)
    put(services, "b")
    ended(services, "b", "rejected", 404)
    assert since(timedelta(seconds=-1))
    assert not since(timedelta(0))
    assert not since(timedelta(seconds=-1), "2/callback")
    for number in range(NEWEST_MESSAGES_LIMIT - 1):
        put(services, f"c-{number}")
    assert not since(timedelta(seconds=-1))
