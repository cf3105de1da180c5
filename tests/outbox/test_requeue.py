"""Sending again, and what is asked of messages: whose, in which state, in which order."""

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
from tests.outbox.test_claims import row, send_again
from tests.outbox.test_messages import LANE, claim, put, settle

pytestmark = pytest.mark.both


def park(services: Services, key: str = "a", *, supersedes_earlier: bool = False) -> int:
    """Return a message that was refused."""
    message = put(services, key, supersedes_earlier=supersedes_earlier)
    (taken,) = claim(services)
    assert taken.message_id == message
    settle(services, taken, Outcome("rejected", status_code=422))
    return message


def test_what_is_sent_again_is_due_now_and_not_settled(
    services: Services, clock: ManualClock
) -> None:
    message, other = park(services), park(services, "b")
    clock.advance(timedelta(hours=1))
    called: list[set[str]] = []
    services.db.on_commit.append(called.append)
    assert send_again(services, message)
    again = row(services, message)
    assert (again.state, again.due_at, again.settled_at) == (WAITING, clock.now(), None)
    assert called == [{LANE}]
    left = row(services, other)
    assert (left.state, left.due_at) == (PARKED, clock.now() - timedelta(hours=1))


def test_what_is_superseded_instead_of_sent_again_says_when(
    services: Services, clock: ManualClock
) -> None:
    old = park(services, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("retry"))
    clock.advance(timedelta(hours=1))
    assert not send_again(services, old)
    assert (row(services, old).state, row(services, old).settled_at) == (SUPERSEDED, clock.now())


@pytest.mark.parametrize(
    ("old", "later", "key"), [(True, False, "a"), (False, True, "a"), (True, True, "b")]
)
def test_only_what_says_all_of_the_same_overtakes_what_is_sent_again(
    services: Services, old: bool, later: bool, key: str
) -> None:
    parked = park(services, supersedes_earlier=old)
    put(services, key, 2, supersedes_earlier=later)
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(minutes=5)))
    assert send_again(services, parked)


def test_an_earlier_one_that_was_tried_overtakes_nothing(services: Services) -> None:
    put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    first = claim(services)[0]
    settle(services, first, Outcome("rejected"))
    settle(services, claim(services)[0], Outcome("rejected"))
    with services.db.reading() as session:
        last = session.scalars(select(Message.id).where(Message.sequence == 2)).one()
    assert send_again(services, last)


def test_what_comes_before_all_waits_behind_nothing(services: Services) -> None:
    put(services, sequence=1)
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=2)))
    put(services, sequence=0)
    assert [taken.sequence for taken in claim(services)] == [0]


@pytest.mark.parametrize(("key", "lane"), [("b", LANE), ("a", "1/email")])
def test_a_new_message_waits_behind_its_own_key_in_its_own_lane_alone(
    services: Services, key: str, lane: str
) -> None:
    put(services, "a", 1)
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=2)))
    message = put(services, key, 2, lane)
    assert row(services, message).due_at == services.now()


def test_a_new_message_behind_one_that_is_due_already_has_waited_no_longer_than_itself(
    services: Services, clock: ManualClock
) -> None:
    put(services, sequence=1)
    clock.advance(timedelta(minutes=1))
    message = put(services, sequence=2)
    assert row(services, message).due_at == clock.now() == row(services, message).created_at


def test_a_story_is_told_in_the_order_in_which_it_was_written(
    services: Services, clock: ManualClock
) -> None:
    second = put(services, sequence=2)
    first = put(services, sequence=1, lane="1/email")
    put(services, "b")
    with services.db.reading() as session:
        assert [one.id for one in outbox.history(session, "a")] == [second, first]


def test_messages_are_found_by_their_states(services: Services) -> None:
    delivered = put(services, "a")
    settle(services, claim(services)[0], Outcome("delivered"))
    parked = park(services, "b")
    waiting = put(services, "c")

    def found(*states: str) -> list[int]:
        with services.db.reading() as session:
            wanted = select(Message.id).where(is_in_state(*states)).order_by(Message.id)
            return list(session.scalars(wanted))

    assert found(DELIVERED) == [delivered]
    assert found(PARKED) == [parked]
    assert found(PARKED, WAITING) == [parked, waiting]
    assert found(DELIVERED, PARKED) == [delivered, parked]
    assert found() == []


def test_lanes_are_all_that_ever_had_a_message_and_due_are_those_with_something_due(
    services: Services, clock: ManualClock
) -> None:
    with services.db.reading() as session:
        assert outbox.list_queues(session) == outbox.list_due_queues(session, clock.now()) == []
    for key, lane in (("a", LANE), ("b", "2/callback"), ("c", "3/email"), ("d", LANE)):
        put(services, key, lane=lane)
    settle(services, claim(services, "3/email")[0], Outcome("delivered"))
    settle(
        services, claim(services, "2/callback")[0], Outcome("retry", retry_after=timedelta(hours=1))
    )
    with services.db.reading() as session:
        assert outbox.list_queues(session) == [LANE, "2/callback", "3/email"]
        assert outbox.list_due_queues(session, clock.now()) == [LANE]
    clock.advance(timedelta(hours=1))
    with services.db.reading() as session:
        assert outbox.list_due_queues(session, clock.now()) == [LANE, "2/callback"]


def test_what_is_in_hand_is_not_due(services: Services, clock: ManualClock) -> None:
    put(services)
    claim(services)
    for wait, lanes, oldest in ((timedelta(0), [], None), (DEFAULT_LEASE, [LANE], clock.now())):
        clock.advance(wait)
        with services.db.reading() as session:
            assert outbox.list_due_queues(session, clock.now()) == lanes
            assert outbox.oldest_due_at(session, [LANE], clock.now()) == oldest


def test_the_oldest_due_is_the_oldest_of_all_the_lanes_that_were_named(
    services: Services, clock: ManualClock
) -> None:
    began = clock.now()
    for seconds, lane in enumerate(("3/email", "2/email", "1/email", "2/email")):
        clock.current_time = began + timedelta(seconds=seconds)
        put(services, lane, seconds, lane)
    with services.db.reading() as session:
        for lanes, oldest in ((["1/email", "2/email"], 1), (["1/email"], 2), (["4/email"], None)):
            found = outbox.oldest_due_at(session, lanes, clock.now())
            assert found == (None if oldest is None else began + timedelta(seconds=oldest))


def test_what_was_put_off_is_not_as_old_as_what_came_after_it(
    services: Services, clock: ManualClock
) -> None:
    put(services, "a")
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=1)))
    put(services, "b")
    came = clock.now()
    clock.advance(timedelta(hours=2))
    with services.db.reading() as session:
        assert outbox.oldest_due_at(session, [LANE], clock.now()) == came
