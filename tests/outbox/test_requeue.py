"""Requeueing parked messages, and queries for states, queues and due times."""

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
    Message,
    Outcome,
    is_in_state,
)
from provider.services import Services
from tests.factories import ManualClock
from tests.outbox.messages import QUEUE, claim, put, requeue, row, settle

pytestmark = pytest.mark.both


def park(services: Services, key: str = "a", *, supersedes_earlier: bool = False) -> int:
    """Return the id of a rejected message."""
    message = put(services, key, supersedes_earlier=supersedes_earlier)
    (claimed,) = claim(services)
    assert claimed.message_id == message
    settle(services, claimed, Outcome("rejected", status_code=422))
    return message


def test_requeued_message_is_due_now_and_unsettled(services: Services, clock: ManualClock) -> None:
    message, other = park(services), park(services, "b")
    clock.advance(timedelta(hours=1))
    signalled: list[set[str]] = []
    services.db.on_commit.append(signalled.append)
    assert requeue(services, message)
    requeued = row(services, message)
    assert (requeued.state, requeued.due_at) == (WAITING, clock.now())
    assert requeued.settled_at is None
    assert signalled == [{QUEUE}]
    untouched = row(services, other)
    assert (untouched.state, untouched.due_at) == (PARKED, clock.now() - timedelta(hours=1))


def test_requeue_of_superseded_message_sets_settled_time(
    services: Services, clock: ManualClock
) -> None:
    old = park(services, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("retry"))
    clock.advance(timedelta(hours=1))
    assert not requeue(services, old)
    assert (row(services, old).state, row(services, old).settled_at) == (SUPERSEDED, clock.now())


@pytest.mark.parametrize(
    ("old", "later", "key"), [(True, False, "a"), (False, True, "a"), (True, True, "b")]
)
def test_requeue_ignores_attempts_that_supersede_nothing(
    services: Services, old: bool, later: bool, key: str
) -> None:
    parked = park(services, supersedes_earlier=old)
    put(services, key, 2, supersedes_earlier=later)
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(minutes=5)))
    assert requeue(services, parked)


def test_requeue_ignores_attempts_of_earlier_messages(services: Services) -> None:
    put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    first = claim(services)[0]
    settle(services, first, Outcome("rejected"))
    settle(services, claim(services)[0], Outcome("rejected"))
    with services.db.reading() as session:
        last = session.scalars(select(Message.id).where(Message.sequence == 2)).one()
    assert requeue(services, last)


def test_message_with_sequence_zero_is_never_delayed(services: Services) -> None:
    put(services, sequence=1)
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=2)))
    put(services, sequence=0)
    assert [claimed.sequence for claimed in claim(services)] == [0]


@pytest.mark.parametrize(("key", "queue"), [("b", QUEUE), ("a", "1/email")])
def test_new_message_waits_only_behind_own_key_and_queue(
    services: Services, key: str, queue: str
) -> None:
    put(services, "a", 1)
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=2)))
    message = put(services, key, 2, queue)
    assert row(services, message).due_at == services.now()


def test_new_message_behind_a_due_one_is_due_when_appended(
    services: Services, clock: ManualClock
) -> None:
    put(services, sequence=1)
    clock.advance(timedelta(minutes=1))
    message = put(services, sequence=2)
    assert row(services, message).due_at == clock.now() == row(services, message).created_at


def test_history_is_ordered_by_creation(services: Services, clock: ManualClock) -> None:
    second = put(services, sequence=2)
    first = put(services, sequence=1, queue="1/email")
    put(services, "b")
    with services.db.reading() as session:
        assert [message.id for message in outbox.history(session, "a")] == [second, first]


def test_is_in_state_selects_messages_by_state(services: Services) -> None:
    delivered = put(services, "a")
    settle(services, claim(services)[0], Outcome("delivered"))
    parked = park(services, "b")
    waiting = put(services, "c")

    def select_ids(*states: str) -> list[int]:
        with services.db.reading() as session:
            query = select(Message.id).where(is_in_state(*states)).order_by(Message.id)
            return list(session.scalars(query))

    assert select_ids(DELIVERED) == [delivered]
    assert select_ids(PARKED) == [parked]
    assert select_ids(PARKED, WAITING) == [parked, waiting]
    assert select_ids(DELIVERED, PARKED) == [delivered, parked]
    assert select_ids() == []


def test_list_queues_and_list_due_queues_differ_by_due_messages(
    services: Services, clock: ManualClock
) -> None:
    with services.db.reading() as session:
        assert outbox.list_queues(session) == outbox.list_due_queues(session, clock.now()) == []
    for key, queue in (("a", QUEUE), ("b", "2/callback"), ("c", "3/email"), ("d", QUEUE)):
        put(services, key, queue=queue)
    settle(services, claim(services, "3/email")[0], Outcome("delivered"))
    settle(
        services, claim(services, "2/callback")[0], Outcome("retry", retry_after=timedelta(hours=1))
    )
    with services.db.reading() as session:
        assert outbox.list_queues(session) == [QUEUE, "2/callback", "3/email"]
        assert outbox.list_due_queues(session, clock.now()) == [QUEUE]
    clock.advance(timedelta(hours=1))
    with services.db.reading() as session:
        assert outbox.list_due_queues(session, clock.now()) == [QUEUE, "2/callback"]


def test_leased_message_is_not_due(services: Services, clock: ManualClock) -> None:
    put(services)
    claim(services)
    for wait, queues, oldest in ((timedelta(0), [], None), (DEFAULT_LEASE, [QUEUE], clock.now())):
        clock.advance(wait)
        with services.db.reading() as session:
            assert outbox.list_due_queues(session, clock.now()) == queues
            assert outbox.oldest_due_at(session, [QUEUE], clock.now()) == oldest


def test_oldest_due_at_covers_only_the_given_queues(services: Services, clock: ManualClock) -> None:
    start = clock.now()
    for seconds, queue in enumerate(("3/email", "2/email", "1/email", "2/email")):
        clock.current_time = start + timedelta(seconds=seconds)
        put(services, queue, seconds, queue)
    with services.db.reading() as session:
        for queues, oldest in ((["1/email", "2/email"], 1), (["1/email"], 2), (["4/email"], None)):
            due_at = outbox.oldest_due_at(session, queues, clock.now())
            assert due_at == (None if oldest is None else start + timedelta(seconds=oldest))


def test_retried_message_is_due_since_its_retry_time(
    services: Services, clock: ManualClock
) -> None:
    put(services, "a")
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=1)))
    put(services, "b")
    appended_at = clock.now()
    clock.advance(timedelta(hours=2))
    with services.db.reading() as session:
        assert outbox.oldest_due_at(session, [QUEUE], clock.now()) == appended_at
