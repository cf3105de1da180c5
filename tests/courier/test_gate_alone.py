"""The gate by itself: what it makes of how tries ended, without a courier and a receiver."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import select

from provider import outbox
from provider.accounts import Account
from provider.courier.gate import ALL, FRESH, PATIENCE, REFUSED, STEPS, Gate
from provider.house import House
from provider.outbox import LEASE, Claim, Ended, Hold, Outcome
from tests import cast
from tests.cast import HandClock

SECOND = timedelta(seconds=1)
FAILED = Outcome("again", code=500, blame="route")


def claimed(house: House, lane: str, message: int = 1) -> Claim:
    return Claim(message, "m", lane, "order", 1, "status", {}, None, 0, house.now(), "lease")


def weigh(house: House, gate: Gate, lane: str, *outcomes: Outcome, message: int = 1) -> int:
    """Tell the gate how tries of a lane ended; return how many may go now."""
    at = house.now()
    ended = [Ended(claimed(house, lane, message), outcome, at, at) for outcome in outcomes]
    with house.db.writing() as session:
        (opening,) = gate.openings(session, [lane], ended, at)
        return opening.most


def begin_to_try(house: House, gates: Sequence[Gate], lane: str) -> list[bool]:
    """Let gates that all see the same opening take its try one after the other."""
    with house.db.writing() as session:
        seen = [gate.openings(session, [lane], [], house.now())[0] for gate in gates]
        return [
            gate.try_(session, opening, claimed(house, lane, message), house.now())
            for message, (gate, opening) in enumerate(zip(gates, seen, strict=True), 1)
        ]


def trying(house: House, clock: HandClock, lane: str) -> Gate:
    """Return a gate that makes the one try of a hold, by message 1."""
    gate = Gate()
    weigh(house, gate, lane, *[FAILED] * PATIENCE)
    clock.pass_(STEPS[0] * 2)
    assert begin_to_try(house, [gate], lane) == [True]
    return gate


def standing(house: House) -> Hold:
    with house.db.reading() as session:
        return session.scalars(select(Hold)).one()


@pytest.fixture
def lane(house: House) -> str:
    return f"{cast.account(house)[0]}/callback/a.test"


def paced(house: House, rate: float | None, account: int = 1) -> None:
    with house.db.writing() as session:
        session.get_one(Account, account).callback_rate = rate


def test_of_couriers_that_see_the_same_opening_one_tries(
    house: House, clock: HandClock, lane: str
) -> None:
    gates = [Gate(), Gate()]
    assert weigh(house, gates[0], lane, *[FAILED] * PATIENCE) == 0
    clock.pass_(STEPS[0] * 2)
    assert begin_to_try(house, gates, lane) == [True, False]
    clock.pass_(LEASE - SECOND)
    assert weigh(house, gates[1], lane) == 0
    clock.pass_(SECOND)  # whoever tried has died
    assert weigh(house, gates[1], lane) == 1


def test_a_try_of_one_hold_leaves_the_others_as_they_are(house: House) -> None:
    at = house.now()
    with house.db.writing() as session:
        one, other = (outbox.hold(session, f"route/{name}.test", "", at, at) for name in "ab")
        assert outbox.probe(session, one, until=at + LEASE, at=at)
        assert not outbox.probe(session, one, until=at + LEASE, at=at)
        assert outbox.probe(session, other, until=at + LEASE, at=at)


def test_only_its_own_try_prolongs_a_hold(house: House, clock: HandClock, lane: str) -> None:
    gate = Gate()
    weigh(house, gate, lane, *[FAILED] * PATIENCE)
    began = standing(house)
    assert (began.probes, began.since, began.why) == (0, clock.now(), "It answers 500")
    clock.pass_(STEPS[0] * 2)
    assert begin_to_try(house, [gate], lane) == [True]
    weigh(house, gate, lane, FAILED, message=2)  # it had begun before
    assert standing(house).probes == 0
    weigh(house, gate, lane, Outcome("again", error="Nobody there", blame="route"), message=1)
    prolonged = standing(house)
    assert (prolonged.probes, prolonged.since) == (1, began.since)
    assert prolonged.why == "Nobody there"
    assert STEPS[1] * 0.8 <= prolonged.until - clock.now() <= STEPS[1] * 1.2
    weigh(house, gate, lane, FAILED, message=1)  # its try is over
    assert standing(house).probes == 1


def undo(house: House, gate: Gate, lane: str, *outcomes: Outcome) -> None:
    """Tell the gate how tries ended in a transaction that comes to nothing."""
    at = house.now()
    ended = [Ended(claimed(house, lane), outcome, at, at) for outcome in outcomes]
    with suppress(ZeroDivisionError), gate.unlearning(), house.db.writing() as session:
        gate.openings(session, [lane], ended, at)
        raise ZeroDivisionError


def test_failures_in_a_transaction_that_was_undone_count_once(house: House, lane: str) -> None:
    gate = Gate()
    undo(house, gate, lane, *[FAILED] * (PATIENCE - 1))
    assert weigh(house, gate, lane, *[FAILED] * (PATIENCE - 1)) == ALL
    assert weigh(house, gate, lane, FAILED) == 0


def test_a_try_whose_end_was_undone_is_still_the_holds_own(
    house: House, clock: HandClock, lane: str
) -> None:
    gate = trying(house, clock, lane)
    undo(house, gate, lane, FAILED)
    assert standing(house).probes == 0
    weigh(house, gate, lane, FAILED)
    assert standing(house).probes == 1


def test_of_two_wishes_to_be_left_alone_told_at_once_the_later_counts(
    house: House, clock: HandClock, lane: str
) -> None:
    rests = (Outcome("done", code=200, rest=SECOND * seconds) for seconds in (5, 9))
    assert weigh(house, Gate(), lane, *rests) == 0
    assert standing(house).until == clock.now() + 9 * SECOND


def test_no_two_holds_end_at_the_same_moment(house: House, clock: HandClock, lane: str) -> None:
    waits = set()
    for _ in range(5):
        weigh(house, Gate(), lane, *[FAILED] * PATIENCE)
        waits.add(standing(house).until - clock.now())
        with house.db.writing() as session:
            outbox.lift(session, "route/a.test")
    assert len(waits) > 1
    assert all(STEPS[0] * 0.8 <= wait <= STEPS[0] * 1.2 for wait in waits)


def test_a_route_is_left_alone_at_its_last_straw_and_not_before(house: House, lane: str) -> None:
    gate = Gate()
    assert weigh(house, gate, lane, *[FAILED] * (PATIENCE - 1)) == ALL
    assert weigh(house, gate, lane, FAILED) == 0


def test_a_courier_that_knows_of_no_failures_leaves_a_held_route_alone_too(
    house: House, clock: HandClock, lane: str
) -> None:
    weigh(house, Gate(), lane, *[FAILED] * PATIENCE)
    clock.pass_(STEPS[0] * 2)
    late = Gate()  # its process began after all that
    assert begin_to_try(house, [late], lane) == [True]
    assert weigh(house, late, lane, FAILED) == 0
    assert standing(house).probes == 1


@pytest.mark.parametrize(
    ("outcome", "held"),
    [
        (Outcome("done", code=200), False),
        (Outcome("never", code=410), True),
        (Outcome("again", code=400), True),
        (FAILED, True),
    ],
)
def test_only_a_delivery_shows_that_a_token_is_good_again(
    house: House, clock: HandClock, lane: str, outcome: Outcome, held: bool
) -> None:
    gate = Gate()
    weigh(house, gate, lane, Outcome("again", code=401, blame="account"))
    subject = standing(house).subject
    assert subject == "account/1/callback"
    clock.pass_(REFUSED * 2)
    assert begin_to_try(house, [gate], lane) == [True]
    weigh(house, gate, lane, outcome)
    with house.db.reading() as session:
        assert bool(outbox.holding(session, [subject])) is held


def test_a_wish_to_be_left_alone_ends_by_itself(house: House, clock: HandClock, lane: str) -> None:
    gate = Gate()
    assert weigh(house, gate, lane, Outcome("done", rest=10 * SECOND)) == 0
    hold = standing(house)
    assert (hold.subject, hold.until - clock.now()) == (f"lane/{lane}", 10 * SECOND)
    clock.pass_(10 * SECOND)
    assert weigh(house, gate, lane) == ALL
    with house.db.reading() as session:
        assert session.scalars(select(Hold)).all() == []


def test_the_pace_of_each_lane_is_its_own(house: House, clock: HandClock, lane: str) -> None:
    cast.account(house, "Slower")
    paced(house, 2)
    paced(house, 0.5, account=2)
    gate, slow = Gate(), lane.replace("1/", "2/", 1)
    assert (weigh(house, gate, slow), weigh(house, gate, lane)) == (1, 1)
    gate.took(slow, 1, clock.now())
    gate.took(lane, 1, clock.now())
    assert (gate.waits(slow), gate.waits(lane), gate.waits("3/mail")) == (True, True, False)
    assert gate.next_at() == clock.now() + SECOND / 2
    assert gate.ripe(clock.now() + SECOND / 4) == []
    assert gate.ripe(clock.now() + SECOND / 2) == [lane]
    assert gate.next_at() == clock.now() + 2 * SECOND
    assert not gate.waits(lane)


def test_a_new_pace_is_kept_after_a_moment(house: House, clock: HandClock, lane: str) -> None:
    gate = Gate()
    assert weigh(house, gate, lane) == ALL
    paced(house, 1)
    clock.pass_(FRESH - SECOND)
    assert weigh(house, gate, lane) == ALL
    clock.pass_(SECOND)
    assert weigh(house, gate, lane) == 1
    paced(house, None)
    clock.pass_(-SECOND)  # somebody sets the clock back
    assert weigh(house, gate, lane) == ALL


def test_a_held_lane_that_has_a_pace_too_gets_one_try(
    house: House, clock: HandClock, lane: str
) -> None:
    paced(house, 1000)
    gate = Gate()
    assert weigh(house, gate, lane) > 1
    weigh(house, gate, lane, *[FAILED] * PATIENCE)
    clock.pass_(STEPS[0] * 2)
    assert weigh(house, gate, lane) == 1
    gate.took(lane, 1_000_000, clock.now())
    assert weigh(house, gate, lane) == 0


def test_an_accounts_pace_is_not_its_letters(house: House, lane: str) -> None:
    paced(house, 1)
    gate = Gate()
    assert weigh(house, gate, lane) == 1  # it knows the account's pace by now
    assert weigh(house, gate, "1/mail") == ALL


def test_a_try_that_was_answered_prolongs_no_later_hold(
    house: House, clock: HandClock, lane: str
) -> None:
    gate = trying(house, clock, lane)
    weigh(house, gate, lane, Outcome("again", code=500), message=1)  # it answers, if not well
    weigh(house, Gate(), lane, *[FAILED] * PATIENCE, message=2)  # another courier's
    weigh(house, gate, lane, FAILED, message=1)
    assert standing(house).probes == 0
