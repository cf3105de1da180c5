"""Details of claiming and settling: order, leases, retries and superseding."""

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
    Claim,
    Message,
    Outcome,
)
from provider.outbox.claims import NEWEST_MESSAGES_LIMIT
from provider.services import Services
from tests.factories import ManualClock
from tests.outbox.messages import QUEUE, claim, put, requeue, row, settle, state


def test_claim_with_limit_takes_longest_due_first(services: Services, clock: ManualClock) -> None:
    put(services, "a")
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(minutes=5)))
    put(services, "b")
    clock.advance(timedelta(minutes=10))
    assert [claimed.ordering_key for claimed in claim(services, limit=1)] == ["b"]
    assert [claimed.ordering_key for claimed in claim(services, limit=1)] == ["a"]


def test_requeued_message_waits_while_later_one_is_leased(
    services: Services, clock: ManualClock
) -> None:
    first = put(services, sequence=1)
    put(services, sequence=2)
    settle(services, claim(services)[0], Outcome("rejected"))
    (later,) = claim(services)
    assert requeue(services, first)
    assert claim(services) == []
    settle(services, later, Outcome("retry", retry_after=timedelta(minutes=5)))
    assert [claimed.sequence for claimed in claim(services)] == [1]


def test_claims_are_counted_until_an_attempt_is_settled(
    services: Services, clock: ManualClock
) -> None:
    put(services)

    def claimed_again() -> Claim:
        clock.advance(DEFAULT_LEASE)
        (claimed,) = claim(services)
        return claimed

    assert [claimed_again().unsettled_claims for _ in range(3)] == [1, 2, 3]
    released = claimed_again()
    with services.db.writing() as session:
        outbox.release(session, released)  # without an attempt
    retried = claimed_again()
    assert (released.unsettled_claims, retried.unsettled_claims) == (4, 4)
    settle(services, retried, Outcome("retry"))
    after_retry = claimed_again()
    assert after_retry.unsettled_claims == 1
    settle(services, after_retry, Outcome("rejected"))
    assert row(services, after_retry.message_id).unsettled_claims == 0


def test_settle_sets_time_and_ends_lease(services: Services, clock: ManualClock) -> None:
    message = put(services)
    (claimed,) = claim(services)
    clock.advance(timedelta(seconds=3))
    settle(services, claimed, Outcome("delivered"))
    settled = row(services, message)
    assert (settled.settled_at, settled.attempts) == (clock.now(), 1)
    assert (settled.lease, settled.leased_until) == (None, None)


def test_settle_twice_with_one_lease_writes_once(services: Services) -> None:
    message = put(services)
    (retried,) = claim(services)
    assert settle(services, retried, Outcome("retry"))
    assert not settle(services, retried, Outcome("delivered"))
    (parked,) = claim(services)
    assert settle(services, parked, Outcome("rejected"))
    assert requeue(services, message)
    assert not settle(services, parked, Outcome("delivered"))
    assert row(services, message).attempts == 2


def test_retry_delays_only_its_own_key_and_queue(services: Services) -> None:
    put(services, "a", 1)
    others = [put(services, "b"), put(services, "a", queue="1/email")]
    first, _ = claim(services)
    put(services, "a", 2)
    settle(services, first, Outcome("retry", retry_after=timedelta(hours=2)))
    with services.db.reading() as session:
        messages = session.scalars(select(Message))
        waits = {message.id: message.due_at - services.now() for message in messages}
    assert {waits.pop(other) for other in others} == {timedelta(0)}
    assert set(waits.values()) == {timedelta(hours=2)}


def test_lost_lease_neither_delays_nor_releases(services: Services, clock: ManualClock) -> None:
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


def test_settle_with_released_lease_writes_nothing(services: Services) -> None:
    put(services)
    (claimed,) = claim(services)
    with services.db.writing() as session:
        outbox.release(session, claimed)
    assert not settle(services, claimed, Outcome("delivered"))


def test_delivery_keeps_retry_wait_of_attempted_successor(
    services: Services, clock: ManualClock
) -> None:
    first = put(services, sequence=1)
    put(services, sequence=2)
    settle(services, claim(services)[0], Outcome("rejected"))
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=1)))
    requeue(services, first)
    settle(services, claim(services)[0], Outcome("delivered"))
    assert claim(services) == []
    clock.advance(timedelta(hours=1))
    assert [claimed.sequence for claimed in claim(services)] == [2]


def test_successor_is_due_since_it_was_appended(services: Services, clock: ManualClock) -> None:
    appended_at = clock.now()
    put(services, sequence=1)
    put(services, sequence=2)
    (first,) = claim(services)
    clock.advance(timedelta(seconds=10))
    settle(services, first, Outcome("delivered"))
    with services.db.reading() as session:
        assert outbox.oldest_due_at(session, [QUEUE], clock.now()) == appended_at


def test_attempt_without_response_stores_empty_fields(services: Services) -> None:
    put(services)
    settle(services, claim(services)[0], Outcome("delivered"))
    with services.db.reading() as session:
        attempt = session.scalars(select(Attempt)).one()
        assert (attempt.status_code, attempt.response_excerpt, attempt.error) == (None, "", "")


def test_superseded_message_has_settled_time(services: Services, clock: ManualClock) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected"))
    (later,) = claim(services)
    clock.advance(timedelta(seconds=3))
    settle(services, later, Outcome("delivered"))
    assert (row(services, old).state, row(services, old).settled_at) == (SUPERSEDED, clock.now())


@pytest.mark.parametrize(
    ("old", "later", "expected"),
    [(True, False, PARKED), (False, True, PARKED), (True, True, SUPERSEDED)],
)
def test_delivery_supersedes_only_if_both_messages_allow_it(
    services: Services, old: bool, later: bool, expected: str
) -> None:
    parked = put(services, sequence=1, supersedes_earlier=old)
    email = put(services, sequence=1, supersedes_earlier=True, queue="1/email")
    settle(services, claim(services)[0], Outcome("rejected"))
    settle(services, claim(services, "1/email")[0], Outcome("rejected"))
    put(services, sequence=2, supersedes_earlier=later)
    settle(services, claim(services)[0], Outcome("delivered"))
    assert (state(services, parked), state(services, email)) == (expected, PARKED)


def test_delivery_supersedes_no_later_or_delivered_message(
    services: Services,
) -> None:
    ids = {
        (key, number): put(services, key, number, supersedes_earlier=True)
        for key, numbers in (("a", (5, 6)), ("b", (1, 2, 3)))
        for number in numbers
    }
    for expected in ([("a", 5), ("b", 1)], [("a", 6), ("b", 2)]):
        claims, now = claim(services), services.now()
        assert [(entry.ordering_key, entry.sequence) for entry in claims] == expected
        with services.db.writing() as session:
            results = [AttemptResult(entry, Outcome("delivered"), now, now) for entry in claims]
            assert len(outbox.settle(session, results, now)) == 2
    states = {name: state(services, number) for name, number in ids.items()}
    assert states.pop(("b", 3)) == WAITING
    assert set(states.values()) == {DELIVERED}


def test_lost_lease_supersedes_nothing(services: Services, clock: ManualClock) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected"))
    (slow,) = claim(services)
    clock.advance(DEFAULT_LEASE)
    assert claim(services)
    assert not settle(services, slow, Outcome("delivered"))
    assert state(services, old) == PARKED


def test_early_retry_makes_its_successor_due(services: Services) -> None:
    first = put(services, sequence=1)
    (claimed,) = claim(services)
    put(services, sequence=2)
    settle(services, claimed, Outcome("retry", retry_after=timedelta(hours=2)))
    with services.db.writing() as session:
        session.get_one(Message, first).due_at = services.now()  # as `probe_now` does for staff
    settle(services, claim(services)[0], Outcome("delivered"))
    assert [entry.sequence for entry in claim(services)] == [2]


def finish_attempt(services: Services, key: str, decision: str, code: int | None) -> None:
    """Settle an attempt of the key's only due message."""
    (claimed,) = (entry for entry in claim(services) if entry.ordering_key == key)
    settle(services, claimed, Outcome(decision, retry_after=timedelta(0), status_code=code))


def test_claim_lists_attempts_since_requeue_latest_first(
    services: Services, clock: ManualClock
) -> None:
    first = put(services, "a")
    for decision, code in (("retry", 500), ("rejected", 404)):
        finish_attempt(services, "a", decision, code)
    requeue(services, first)
    started_times = [clock.now()]
    finish_attempt(services, "a", "retry", 503)
    started_times.append(clock.advance(timedelta(minutes=1)))
    finish_attempt(services, "a", "retry", None)
    put(services, "b")
    last_started_at = clock.advance(timedelta(minutes=1))
    claims = {entry.ordering_key: entry for entry in claim(services)}
    settle(services, claims["b"], Outcome("retry", retry_after=timedelta(0), status_code=502))
    settle(services, claims["a"], Outcome("retry", retry_after=timedelta(0), status_code=408))
    put(services, "c")
    past = {entry.ordering_key: entry.past_attempts for entry in claim(services)}
    assert past["a"] == (
        (last_started_at, 408),
        (started_times[1], None),
        (started_times[0], 503),
    )
    assert (past["b"], past["c"]) == (((last_started_at, 502),), ())


def test_has_delivered_since_examines_newest_of_its_queue(
    services: Services, clock: ManualClock
) -> None:
    def has_delivered(offset: timedelta, queue: str = QUEUE) -> bool:
        with services.db.reading() as session:
            return outbox.has_delivered_since(session, queue, clock.now() + offset)

    put(services, "a")
    finish_attempt(services, "a", "delivered", 200)
    put(services, "b")
    finish_attempt(services, "b", "rejected", 404)
    assert has_delivered(timedelta(seconds=-1))
    assert not has_delivered(timedelta(0))
    assert not has_delivered(timedelta(seconds=-1), "2/callback")
    for number in range(NEWEST_MESSAGES_LIMIT - 1):
        put(services, f"c-{number}")
    assert not has_delivered(timedelta(seconds=-1))
