"""The gate by itself: what it makes of how tries ended, without a courier and a receiver."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import select

from provider import outbox
from provider.core.accounts import Account
from provider.delivery.policy import (
    FAILURE_THRESHOLD,
    PROBE_INTERVALS,
    RATE_CACHE_TTL,
    TOKEN_PROBE_INTERVAL,
    UNLIMITED_MESSAGES,
    DeliveryPolicy,
)
from provider.outbox import DEFAULT_LEASE, AttemptResult, Claim, Outcome, Pause
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

SECOND = timedelta(seconds=1)
FAILED = Outcome("retry", status_code=500, failure_scope="destination")


def claimed(services: Services, lane: str, message: int = 1) -> Claim:
    return Claim(message, "m", lane, "order", 1, "status", {}, None, 0, services.now(), "lease")


def weigh(
    services: Services, gate: DeliveryPolicy, lane: str, *outcomes: Outcome, message: int = 1
) -> int:
    """Tell the gate how tries of a lane ended; return how many may go now."""
    at = services.now()
    ended = [
        AttemptResult(claimed(services, lane, message), outcome, at, at) for outcome in outcomes
    ]
    with services.db.writing() as session:
        (opening,) = gate.queue_allowances(session, [lane], ended, at)
        return opening.max_messages


def begin_to_try(services: Services, gates: Sequence[DeliveryPolicy], lane: str) -> list[bool]:
    """Let gates that all see the same opening take its try one after the other."""
    with services.db.writing() as session:
        seen = [gate.queue_allowances(session, [lane], [], services.now())[0] for gate in gates]
        return [
            gate.acquire_probes(session, opening, claimed(services, lane, message), services.now())
            for message, (gate, opening) in enumerate(zip(gates, seen, strict=True), 1)
        ]


def trying(services: Services, clock: ManualClock, lane: str) -> DeliveryPolicy:
    """Return a gate that makes the one try of a hold, by message 1."""
    gate = DeliveryPolicy()
    weigh(services, gate, lane, *[FAILED] * FAILURE_THRESHOLD)
    clock.advance(PROBE_INTERVALS[0] * 2)
    assert begin_to_try(services, [gate], lane) == [True]
    return gate


def standing(services: Services) -> Pause:
    with services.db.reading() as session:
        return session.scalars(select(Pause)).one()


@pytest.fixture
def lane(services: Services) -> str:
    return f"{factories.create_account(services)[0]}/callback/a.test"


def paced(services: Services, rate: float | None, account: int = 1) -> None:
    with services.db.writing() as session:
        session.get_one(Account, account).callback_rate = rate


def test_of_couriers_that_see_the_same_opening_one_tries(
    services: Services, clock: ManualClock, lane: str
) -> None:
    gates = [DeliveryPolicy(), DeliveryPolicy()]
    assert weigh(services, gates[0], lane, *[FAILED] * FAILURE_THRESHOLD) == 0
    clock.advance(PROBE_INTERVALS[0] * 2)
    assert begin_to_try(services, gates, lane) == [True, False]
    clock.advance(DEFAULT_LEASE - SECOND)
    assert weigh(services, gates[1], lane) == 0
    clock.advance(SECOND)  # whoever tried has died
    assert weigh(services, gates[1], lane) == 1


def test_a_try_of_one_hold_leaves_the_others_as_they_are(services: Services) -> None:
    at = services.now()
    with services.db.writing() as session:
        one, other = (
            outbox.pause(session, f"destination/{name}.test", "", at, at) for name in "ab"
        )
        assert outbox.probe(session, one, retry_at=at + DEFAULT_LEASE, now=at)
        assert not outbox.probe(session, one, retry_at=at + DEFAULT_LEASE, now=at)
        assert outbox.probe(session, other, retry_at=at + DEFAULT_LEASE, now=at)


def test_only_its_own_try_prolongs_a_hold(
    services: Services, clock: ManualClock, lane: str
) -> None:
    gate = DeliveryPolicy()
    weigh(services, gate, lane, *[FAILED] * FAILURE_THRESHOLD)
    began = standing(services)
    assert (began.failed_probes, began.paused_at, began.reason) == (
        0,
        clock.now(),
        "It answers 500",
    )
    clock.advance(PROBE_INTERVALS[0] * 2)
    assert begin_to_try(services, [gate], lane) == [True]
    weigh(services, gate, lane, FAILED, message=2)  # it had begun before
    assert standing(services).failed_probes == 0
    weigh(
        services,
        gate,
        lane,
        Outcome("retry", error="Nobody there", failure_scope="destination"),
        message=1,
    )
    prolonged = standing(services)
    assert (prolonged.failed_probes, prolonged.paused_at) == (1, began.paused_at)
    assert prolonged.reason == "Nobody there"
    assert PROBE_INTERVALS[1] * 0.8 <= prolonged.retry_at - clock.now() <= PROBE_INTERVALS[1] * 1.2
    weigh(services, gate, lane, FAILED, message=1)  # its try is over
    assert standing(services).failed_probes == 1


def undo(services: Services, gate: DeliveryPolicy, lane: str, *outcomes: Outcome) -> None:
    """Tell the gate how tries ended in a transaction that comes to nothing."""
    at = services.now()
    ended = [AttemptResult(claimed(services, lane), outcome, at, at) for outcome in outcomes]
    with suppress(ZeroDivisionError), gate.rollback_on_error(), services.db.writing() as session:
        gate.queue_allowances(session, [lane], ended, at)
        raise ZeroDivisionError


def test_failures_in_a_transaction_that_was_undone_count_once(
    services: Services, lane: str
) -> None:
    gate = DeliveryPolicy()
    undo(services, gate, lane, *[FAILED] * (FAILURE_THRESHOLD - 1))
    assert weigh(services, gate, lane, *[FAILED] * (FAILURE_THRESHOLD - 1)) == UNLIMITED_MESSAGES
    assert weigh(services, gate, lane, FAILED) == 0


def test_a_try_whose_end_was_undone_is_still_the_holds_own(
    services: Services, clock: ManualClock, lane: str
) -> None:
    gate = trying(services, clock, lane)
    undo(services, gate, lane, FAILED)
    assert standing(services).failed_probes == 0
    weigh(services, gate, lane, FAILED)
    assert standing(services).failed_probes == 1


def test_of_two_wishes_to_be_left_alone_told_at_once_the_later_counts(
    services: Services, clock: ManualClock, lane: str
) -> None:
    rests = (
        Outcome("delivered", status_code=200, pause_duration=SECOND * seconds) for seconds in (5, 9)
    )
    assert weigh(services, DeliveryPolicy(), lane, *rests) == 0
    assert standing(services).retry_at == clock.now() + 9 * SECOND


def test_no_two_holds_end_at_the_same_moment(
    services: Services, clock: ManualClock, lane: str
) -> None:
    waits = set()
    for _ in range(5):
        weigh(services, DeliveryPolicy(), lane, *[FAILED] * FAILURE_THRESHOLD)
        waits.add(standing(services).retry_at - clock.now())
        with services.db.writing() as session:
            outbox.resume(session, "destination/a.test")
    assert len(waits) > 1
    assert all(PROBE_INTERVALS[0] * 0.8 <= wait <= PROBE_INTERVALS[0] * 1.2 for wait in waits)


def test_a_route_is_left_alone_at_its_last_straw_and_not_before(
    services: Services, lane: str
) -> None:
    gate = DeliveryPolicy()
    assert weigh(services, gate, lane, *[FAILED] * (FAILURE_THRESHOLD - 1)) == UNLIMITED_MESSAGES
    assert weigh(services, gate, lane, FAILED) == 0


def test_a_courier_that_knows_of_no_failures_leaves_a_held_route_alone_too(
    services: Services, clock: ManualClock, lane: str
) -> None:
    weigh(services, DeliveryPolicy(), lane, *[FAILED] * FAILURE_THRESHOLD)
    clock.advance(PROBE_INTERVALS[0] * 2)
    late = DeliveryPolicy()  # its process began after all that
    assert begin_to_try(services, [late], lane) == [True]
    assert weigh(services, late, lane, FAILED) == 0
    assert standing(services).failed_probes == 1


@pytest.mark.parametrize(
    ("outcome", "held"),
    [
        (Outcome("delivered", status_code=200), False),
        (Outcome("rejected", status_code=410), True),
        (Outcome("retry", status_code=400), True),
        (FAILED, True),
    ],
)
def test_only_a_delivery_shows_that_a_token_is_good_again(
    services: Services, clock: ManualClock, lane: str, outcome: Outcome, held: bool
) -> None:
    gate = DeliveryPolicy()
    weigh(services, gate, lane, Outcome("retry", status_code=401, failure_scope="account"))
    subject = standing(services).scope
    assert subject == "account/1/callback"
    clock.advance(TOKEN_PROBE_INTERVAL * 2)
    assert begin_to_try(services, [gate], lane) == [True]
    weigh(services, gate, lane, outcome)
    with services.db.reading() as session:
        assert bool(outbox.active_pauses(session, [subject])) is held


def test_a_wish_to_be_left_alone_ends_by_itself(
    services: Services, clock: ManualClock, lane: str
) -> None:
    gate = DeliveryPolicy()
    assert weigh(services, gate, lane, Outcome("delivered", pause_duration=10 * SECOND)) == 0
    hold = standing(services)
    assert (hold.scope, hold.retry_at - clock.now()) == (f"queue/{lane}", 10 * SECOND)
    clock.advance(10 * SECOND)
    assert weigh(services, gate, lane) == UNLIMITED_MESSAGES
    with services.db.reading() as session:
        assert session.scalars(select(Pause)).all() == []


def test_the_pace_of_each_lane_is_its_own(
    services: Services, clock: ManualClock, lane: str
) -> None:
    factories.create_account(services, "Slower")
    paced(services, 2)
    paced(services, 0.5, account=2)
    gate, slow = DeliveryPolicy(), lane.replace("1/", "2/", 1)
    assert (weigh(services, gate, slow), weigh(services, gate, lane)) == (1, 1)
    gate.record_sends(slow, 1, clock.now())
    gate.record_sends(lane, 1, clock.now())
    assert (
        gate.is_rate_limited(slow),
        gate.is_rate_limited(lane),
        gate.is_rate_limited("3/email"),
    ) == (True, True, False)
    assert gate.rate_limit_expires_at() == clock.now() + SECOND / 2
    assert gate.pop_rate_limit_expired(clock.now() + SECOND / 4) == []
    assert gate.pop_rate_limit_expired(clock.now() + SECOND / 2) == [lane]
    assert gate.rate_limit_expires_at() == clock.now() + 2 * SECOND
    assert not gate.is_rate_limited(lane)


def test_a_new_pace_is_kept_after_a_moment(
    services: Services, clock: ManualClock, lane: str
) -> None:
    gate = DeliveryPolicy()
    assert weigh(services, gate, lane) == UNLIMITED_MESSAGES
    paced(services, 1)
    clock.advance(RATE_CACHE_TTL - SECOND)
    assert weigh(services, gate, lane) == UNLIMITED_MESSAGES
    clock.advance(SECOND)
    assert weigh(services, gate, lane) == 1
    paced(services, None)
    clock.advance(-SECOND)  # somebody sets the clock back
    assert weigh(services, gate, lane) == UNLIMITED_MESSAGES


def test_a_held_lane_that_has_a_pace_too_gets_one_try(
    services: Services, clock: ManualClock, lane: str
) -> None:
    paced(services, 1000)
    gate = DeliveryPolicy()
    assert weigh(services, gate, lane) > 1
    weigh(services, gate, lane, *[FAILED] * FAILURE_THRESHOLD)
    clock.advance(PROBE_INTERVALS[0] * 2)
    assert weigh(services, gate, lane) == 1
    gate.record_sends(lane, 1_000_000, clock.now())
    assert weigh(services, gate, lane) == 0


def test_an_accounts_pace_is_not_its_letters(services: Services, lane: str) -> None:
    paced(services, 1)
    gate = DeliveryPolicy()
    assert weigh(services, gate, lane) == 1  # it knows the account's pace by now
    assert weigh(services, gate, "1/email") == UNLIMITED_MESSAGES


def test_a_try_that_was_answered_prolongs_no_later_hold(
    services: Services, clock: ManualClock, lane: str
) -> None:
    gate = trying(services, clock, lane)
    weigh(
        services, gate, lane, Outcome("retry", status_code=500), message=1
    )  # it answers, if not well
    weigh(
        services, DeliveryPolicy(), lane, *[FAILED] * FAILURE_THRESHOLD, message=2
    )  # another courier's
    weigh(services, gate, lane, FAILED, message=1)
    assert standing(services).failed_probes == 0
