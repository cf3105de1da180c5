"""Sending again, and what is asked of messages: whose, in which state, in which order."""

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
    Message,
    Outcome,
    in_state,
)
from tests.cast import HandClock
from tests.test_outbox import LANE, claim, put, settle
from tests.test_outbox_claim import row, send_again

pytestmark = pytest.mark.both


def park(house: House, key: str = "a", *, absolute: bool = False) -> int:
    """Return a message that was refused."""
    message = put(house, key, absolute=absolute)
    (taken,) = claim(house)
    assert taken.message_id == message
    settle(house, taken, Outcome("never", code=422))
    return message


def test_what_is_sent_again_is_due_now_and_not_settled(house: House, clock: HandClock) -> None:
    message, other = park(house), park(house, "b")
    clock.pass_(timedelta(hours=1))
    called: list[set[str]] = []
    house.db.on_commit.append(called.append)
    assert send_again(house, message)
    again = row(house, message)
    assert (again.state, again.due_at, again.settled_at) == (WAITING, clock.now(), None)
    assert called == [{LANE}]
    left = row(house, other)
    assert (left.state, left.due_at) == (PARKED, clock.now() - timedelta(hours=1))


def test_what_is_superseded_instead_of_sent_again_says_when(house: House, clock: HandClock) -> None:
    old = park(house, absolute=True)
    put(house, sequence=2, absolute=True)
    settle(house, claim(house)[0], Outcome("again"))
    clock.pass_(timedelta(hours=1))
    assert not send_again(house, old)
    assert (row(house, old).state, row(house, old).settled_at) == (SUPERSEDED, clock.now())


@pytest.mark.parametrize(
    ("old", "later", "key"), [(True, False, "a"), (False, True, "a"), (True, True, "b")]
)
def test_only_what_says_all_of_the_same_overtakes_what_is_sent_again(
    house: House, old: bool, later: bool, key: str
) -> None:
    parked = park(house, absolute=old)
    put(house, key, 2, absolute=later)
    settle(house, claim(house)[0], Outcome("again", after=timedelta(minutes=5)))
    assert send_again(house, parked)


def test_an_earlier_one_that_was_tried_overtakes_nothing(house: House) -> None:
    put(house, sequence=1, absolute=True)
    put(house, sequence=2, absolute=True)
    first = claim(house)[0]
    settle(house, first, Outcome("never"))
    settle(house, claim(house)[0], Outcome("never"))
    with house.db.reading() as session:
        last = session.scalars(select(Message.id).where(Message.sequence == 2)).one()
    assert send_again(house, last)


def test_what_comes_before_all_waits_behind_nothing(house: House) -> None:
    put(house, sequence=1)
    settle(house, claim(house)[0], Outcome("again", after=timedelta(hours=2)))
    put(house, sequence=0)
    assert [taken.sequence for taken in claim(house)] == [0]


@pytest.mark.parametrize(("key", "lane"), [("b", LANE), ("a", "1/mail")])
def test_a_new_message_waits_behind_its_own_key_in_its_own_lane_alone(
    house: House, key: str, lane: str
) -> None:
    put(house, "a", 1)
    settle(house, claim(house)[0], Outcome("again", after=timedelta(hours=2)))
    message = put(house, key, 2, lane)
    assert row(house, message).due_at == house.now()


def test_a_new_message_behind_one_that_is_due_already_has_waited_no_longer_than_itself(
    house: House, clock: HandClock
) -> None:
    put(house, sequence=1)
    clock.pass_(timedelta(minutes=1))
    message = put(house, sequence=2)
    assert row(house, message).due_at == clock.now() == row(house, message).created_at


def test_a_story_is_told_in_the_order_in_which_it_was_written(
    house: House, clock: HandClock
) -> None:
    second = put(house, sequence=2)
    first = put(house, sequence=1, lane="1/mail")
    put(house, "b")
    with house.db.reading() as session:
        assert [one.id for one in outbox.story(session, "a")] == [second, first]


def test_messages_are_found_by_their_states(house: House) -> None:
    delivered = put(house, "a")
    settle(house, claim(house)[0], Outcome("done"))
    parked = park(house, "b")
    waiting = put(house, "c")

    def found(*states: str) -> list[int]:
        with house.db.reading() as session:
            wanted = select(Message.id).where(in_state(*states)).order_by(Message.id)
            return list(session.scalars(wanted))

    assert found(DELIVERED) == [delivered]
    assert found(PARKED) == [parked]
    assert found(PARKED, WAITING) == [parked, waiting]
    assert found(DELIVERED, PARKED) == [delivered, parked]
    assert found() == []


def test_lanes_are_all_that_ever_had_a_message_and_due_are_those_with_something_due(
    house: House, clock: HandClock
) -> None:
    with house.db.reading() as session:
        assert outbox.lanes(session) == outbox.due_lanes(session, clock.now()) == []
    for key, lane in (("a", LANE), ("b", "2/callback"), ("c", "3/mail"), ("d", LANE)):
        put(house, key, lane=lane)
    settle(house, claim(house, "3/mail")[0], Outcome("done"))
    settle(house, claim(house, "2/callback")[0], Outcome("again", after=timedelta(hours=1)))
    with house.db.reading() as session:
        assert outbox.lanes(session) == [LANE, "2/callback", "3/mail"]
        assert outbox.due_lanes(session, clock.now()) == [LANE]
    clock.pass_(timedelta(hours=1))
    with house.db.reading() as session:
        assert outbox.due_lanes(session, clock.now()) == [LANE, "2/callback"]


def test_what_is_in_hand_is_not_due(house: House, clock: HandClock) -> None:
    put(house)
    claim(house)
    for wait, lanes, oldest in ((timedelta(0), [], None), (LEASE, [LANE], clock.now())):
        clock.pass_(wait)
        with house.db.reading() as session:
            assert outbox.due_lanes(session, clock.now()) == lanes
            assert outbox.oldest_due(session, [LANE], clock.now()) == oldest


def test_the_oldest_due_is_the_oldest_of_all_the_lanes_that_were_named(
    house: House, clock: HandClock
) -> None:
    began = clock.now()
    for seconds, lane in enumerate(("3/mail", "2/mail", "1/mail", "2/mail")):
        clock.at = began + timedelta(seconds=seconds)
        put(house, lane, seconds, lane)
    with house.db.reading() as session:
        for lanes, oldest in ((["1/mail", "2/mail"], 1), (["1/mail"], 2), (["4/mail"], None)):
            found = outbox.oldest_due(session, lanes, clock.now())
            assert found == (None if oldest is None else began + timedelta(seconds=oldest))


def test_what_was_put_off_is_not_as_old_as_what_came_after_it(
    house: House, clock: HandClock
) -> None:
    put(house, "a")
    settle(house, claim(house)[0], Outcome("again", after=timedelta(hours=1)))
    put(house, "b")
    came = clock.now()
    clock.pass_(timedelta(hours=2))
    with house.db.reading() as session:
        assert outbox.oldest_due(session, [LANE], clock.now()) == came
