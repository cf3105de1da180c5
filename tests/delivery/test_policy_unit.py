"""DeliveryPolicy by itself, without a dispatcher and a receiver."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.delivery.channels import build_channels
from provider.delivery.circuit_breaker import (
    FAILURE_THRESHOLD,
    PROBE_INTERVALS,
    TOKEN_PROBE_INTERVAL,
)
from provider.delivery.policy import RATE_CACHE_TTL, DeliveryPolicy, PolicyCycle
from provider.outbox import DEFAULT_LEASE, AttemptResult, Claim, Outcome, Pause
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

SECOND = timedelta(seconds=1)
SLOTS = 96
QUICK_LIMIT, SLOW_LIMIT, EMAIL_LIMIT = 64, 8, 8  # concurrent sends of one destination
FAILED = Outcome("retry", status_code=500, failure_scope="destination")


def create_policy(services: Services) -> DeliveryPolicy:
    return DeliveryPolicy(build_channels(services), SLOTS)


def build_claim(services: Services, queue: str, message: int = 1) -> Claim:
    return Claim(message, "m", queue, "order", 1, "status", b"", None, 0, services.now(), "lease")


def decide(
    session: Session,
    services: Services,
    policy: DeliveryPolicy,
    queue: str,
    *outcomes: Outcome,
    message: int = 1,
) -> PolicyCycle:
    """Pass results of a queue to the policy, in a transaction."""
    now = services.now()
    results = [
        AttemptResult(build_claim(services, queue, message), outcome, now, now)
        for outcome in outcomes
    ]
    return policy.decide(session, [queue], results, {"lease"}, now)


def max_messages(
    services: Services, policy: DeliveryPolicy, queue: str, *outcomes: Outcome, message: int = 1
) -> int:
    """Pass results of a queue to the policy; return how many messages may be claimed next."""
    with services.db.writing() as session:
        cycle = decide(session, services, policy, queue, *outcomes, message=message)
    policy.record(cycle)
    with services.db.writing() as session:
        return decide(session, services, policy, queue).allowance(queue).max_messages


def acquire_probes(
    services: Services, policies: Sequence[DeliveryPolicy], queue: str
) -> list[bool]:
    """Let policies with the same allowance try to acquire its probes, one after the other."""
    with services.db.writing() as session:
        cycles = [decide(session, services, policy, queue) for policy in policies]
        allowances = [cycle.allowance(queue) for cycle in cycles]
        acquired = [
            cycle.acquire_probes(
                session, allowance, build_claim(services, queue, message), DEFAULT_LEASE
            )
            for message, (cycle, allowance) in enumerate(zip(cycles, allowances, strict=True), 1)
        ]
    for policy, cycle in zip(policies, cycles, strict=True):
        policy.record(cycle)
    return acquired


def probing_policy(services: Services, clock: ManualClock, queue: str) -> DeliveryPolicy:
    """Return a policy whose message 1 probes a pause."""
    policy = create_policy(services)
    max_messages(services, policy, queue, *[FAILED] * FAILURE_THRESHOLD)
    clock.advance(PROBE_INTERVALS[0] * 2)
    assert acquire_probes(services, [policy], queue) == [True]
    return policy


def current_pause(services: Services) -> Pause:
    with services.db.reading() as session:
        return session.scalars(select(Pause)).one()


@pytest.fixture
def queue(services: Services) -> str:
    return f"{factories.create_account(services)[0]}/callback/a.test"


def set_rate(services: Services, rate: float | None, account: int = 1) -> None:
    with services.db.writing() as session:
        session.get_one(Account, account).callback_rate = rate


def test_acquire_probes_by_two_dispatchers_succeeds_once(
    services: Services, clock: ManualClock, queue: str
) -> None:
    policies = [create_policy(services), create_policy(services)]
    assert max_messages(services, policies[0], queue, *[FAILED] * FAILURE_THRESHOLD) == 0
    clock.advance(PROBE_INTERVALS[0] * 2)
    assert acquire_probes(services, policies, queue) == [True, False]
    clock.advance(DEFAULT_LEASE - SECOND)
    assert max_messages(services, policies[1], queue) == 0
    clock.advance(SECOND)  # the dispatcher that probed has died
    assert max_messages(services, policies[1], queue) == 1


def test_probe_reserves_only_its_own_pause(services: Services) -> None:
    now = services.now()
    retry_at = now + DEFAULT_LEASE
    with services.db.writing() as session:
        first, second = (
            outbox.pause(session, f"destination/{name}.test", "", now, now) for name in "ab"
        )
        assert outbox.probe(session, first, retry_at=retry_at, now=now)
        assert not outbox.probe(session, first, retry_at=retry_at, now=now)
        assert outbox.probe(session, second, retry_at=retry_at, now=now)


def test_pause_is_prolonged_only_by_its_probe(
    services: Services, clock: ManualClock, queue: str
) -> None:
    policy = create_policy(services)
    max_messages(services, policy, queue, *[FAILED] * FAILURE_THRESHOLD)
    first = current_pause(services)
    assert (first.failed_probes, first.paused_at) == (0, clock.now())
    assert first.reason == "It answers 500"
    clock.advance(PROBE_INTERVALS[0] * 2)
    assert acquire_probes(services, [policy], queue) == [True]
    max_messages(services, policy, queue, FAILED, message=2)  # an attempt from before the pause
    assert current_pause(services).failed_probes == 0
    unreachable = Outcome("retry", error="Unreachable", failure_scope="destination")
    max_messages(services, policy, queue, unreachable, message=1)
    prolonged = current_pause(services)
    assert (prolonged.failed_probes, prolonged.paused_at) == (1, first.paused_at)
    assert prolonged.reason == "Unreachable"
    assert PROBE_INTERVALS[1] * 0.8 <= prolonged.retry_at - clock.now() <= PROBE_INTERVALS[1] * 1.2
    max_messages(services, policy, queue, FAILED, message=1)  # the probe is over
    assert current_pause(services).failed_probes == 1


def roll_back(services: Services, policy: DeliveryPolicy, queue: str, *outcomes: Outcome) -> None:
    """Pass results to the policy in a transaction that is rolled back."""
    with suppress(ZeroDivisionError), services.db.writing() as session:
        decide(session, services, policy, queue, *outcomes)
        raise ZeroDivisionError


def test_failures_of_rolled_back_transaction_count_once(services: Services, queue: str) -> None:
    policy = create_policy(services)
    roll_back(services, policy, queue, *[FAILED] * (FAILURE_THRESHOLD - 1))
    failures = [FAILED] * (FAILURE_THRESHOLD - 1)
    assert max_messages(services, policy, queue, *failures) == SLOW_LIMIT
    assert max_messages(services, policy, queue, FAILED) == 0


def test_probe_of_rolled_back_transaction_stays_the_probe(
    services: Services, clock: ManualClock, queue: str
) -> None:
    policy = probing_policy(services, clock, queue)
    roll_back(services, policy, queue, FAILED)
    assert current_pause(services).failed_probes == 0
    max_messages(services, policy, queue, FAILED)
    assert current_pause(services).failed_probes == 1


def test_two_requested_waits_in_one_batch_use_the_last(
    services: Services, clock: ManualClock, queue: str
) -> None:
    outcomes = (
        Outcome("delivered", status_code=200, pause_duration=SECOND * seconds) for seconds in (5, 9)
    )
    assert max_messages(services, create_policy(services), queue, *outcomes) == 0
    assert current_pause(services).retry_at == clock.now() + 9 * SECOND


def test_pause_durations_have_jitter(services: Services, clock: ManualClock, queue: str) -> None:
    waits = set()
    for _ in range(5):
        max_messages(services, create_policy(services), queue, *[FAILED] * FAILURE_THRESHOLD)
        waits.add(current_pause(services).retry_at - clock.now())
        with services.db.writing() as session:
            outbox.resume(session, "destination/a.test")
    assert len(waits) > 1
    assert all(PROBE_INTERVALS[0] * 0.8 <= wait <= PROBE_INTERVALS[0] * 1.2 for wait in waits)


def test_destination_is_paused_at_failure_threshold(services: Services, queue: str) -> None:
    policy = create_policy(services)
    failures = [FAILED] * (FAILURE_THRESHOLD - 1)
    assert max_messages(services, policy, queue, *failures) == SLOW_LIMIT
    assert max_messages(services, policy, queue, FAILED) == 0


def test_new_process_respects_and_prolongs_existing_pause(
    services: Services, clock: ManualClock, queue: str
) -> None:
    max_messages(services, create_policy(services), queue, *[FAILED] * FAILURE_THRESHOLD)
    clock.advance(PROBE_INTERVALS[0] * 2)
    late = create_policy(services)  # of a process that started after the pause
    assert acquire_probes(services, [late], queue) == [True]
    assert max_messages(services, late, queue, FAILED) == 0
    assert current_pause(services).failed_probes == 1


@pytest.mark.parametrize(
    ("outcome", "is_paused"),
    [
        (Outcome("delivered", status_code=200), False),
        (Outcome("rejected", status_code=410), True),
        (Outcome("retry", status_code=400), True),
        (FAILED, True),
    ],
)
def test_account_pause_ends_only_with_a_delivery(
    services: Services, clock: ManualClock, queue: str, outcome: Outcome, is_paused: bool
) -> None:
    policy = create_policy(services)
    max_messages(
        services, policy, queue, Outcome("retry", status_code=401, failure_scope="account")
    )
    scope = current_pause(services).scope
    assert scope == "account/1/callback"
    clock.advance(TOKEN_PROBE_INTERVAL * 2)
    assert acquire_probes(services, [policy], queue) == [True]
    max_messages(services, policy, queue, outcome)
    with services.db.reading() as session:
        assert bool(outbox.active_pauses(session, [scope])) is is_paused


def test_requested_wait_expires_without_probe(
    services: Services, clock: ManualClock, queue: str
) -> None:
    policy = create_policy(services)
    assert (
        max_messages(services, policy, queue, Outcome("delivered", pause_duration=10 * SECOND)) == 0
    )
    pause = current_pause(services)
    assert (pause.scope, pause.retry_at - clock.now()) == (f"queue/{queue}", 10 * SECOND)
    clock.advance(10 * SECOND)
    assert max_messages(services, policy, queue) == QUICK_LIMIT
    with services.db.reading() as session:
        assert session.scalars(select(Pause)).all() == []


def send(services: Services, policy: DeliveryPolicy, queue: str, count: int) -> None:
    """Claim messages of a queue in the policy's records, and let them be delivered at once."""
    with services.db.writing() as session:
        cycle = decide(session, services, policy, queue)
        cycle.record_claims(queue, count)
    policy.record(cycle)
    max_messages(services, policy, queue, *[Outcome("delivered", status_code=200)] * count)


def test_rate_limit_is_counted_per_queue(
    services: Services, clock: ManualClock, queue: str
) -> None:
    factories.create_account(services, "Slower")
    set_rate(services, 2)
    set_rate(services, 0.5, account=2)
    policy, slow = create_policy(services), queue.replace("1/", "2/", 1)
    assert (max_messages(services, policy, slow), max_messages(services, policy, queue)) == (1, 1)
    send(services, policy, slow, 1)
    send(services, policy, queue, 1)
    limited = [policy.is_rate_limited(name) for name in (slow, queue, "3/email")]
    assert limited == [True, True, False]
    rates = policy.send_rates
    assert rates.next_expiry() == clock.now() + SECOND / 2
    assert rates.pop_expired(clock.now() + SECOND / 4) == []
    assert rates.pop_expired(clock.now() + SECOND / 2) == [queue]
    assert rates.next_expiry() == clock.now() + 2 * SECOND
    assert not policy.is_rate_limited(queue)


def test_claims_of_rolled_back_transaction_use_no_rate_and_no_slot(
    services: Services, queue: str
) -> None:
    set_rate(services, 1)
    policy = create_policy(services)
    with suppress(ZeroDivisionError), services.db.writing() as session:
        cycle = decide(session, services, policy, queue)
        cycle.record_claims(queue, 1)
        raise ZeroDivisionError
    assert not policy.is_rate_limited(queue)
    assert max_messages(services, policy, queue) == 1
    assert policy.unsettled_counts == {}


def test_changed_rate_applies_after_cache_ttl(
    services: Services, clock: ManualClock, queue: str
) -> None:
    policy = create_policy(services)
    assert max_messages(services, policy, queue) == SLOW_LIMIT
    set_rate(services, 1)
    clock.advance(RATE_CACHE_TTL - SECOND)
    assert max_messages(services, policy, queue) == SLOW_LIMIT
    clock.advance(SECOND)
    assert max_messages(services, policy, queue) == 1
    set_rate(services, None)
    clock.advance(-SECOND)  # the system clock is set back
    assert max_messages(services, policy, queue) == SLOW_LIMIT


def test_paused_queue_with_rate_gets_one_probe(
    services: Services, clock: ManualClock, queue: str
) -> None:
    set_rate(services, 1000)
    policy = create_policy(services)
    assert max_messages(services, policy, queue) > 1
    max_messages(services, policy, queue, *[FAILED] * FAILURE_THRESHOLD)
    clock.advance(PROBE_INTERVALS[0] * 2)
    assert max_messages(services, policy, queue) == 1
    with services.db.writing() as session:
        cycle = decide(session, services, policy, queue)
        cycle.record_claims(queue, 1_000_000)
    policy.record(cycle)
    policy.unsettled_counts.clear()
    assert max_messages(services, policy, queue) == 0


def test_account_rate_does_not_limit_emails(services: Services, queue: str) -> None:
    set_rate(services, 1)
    policy = create_policy(services)
    assert max_messages(services, policy, queue) == 1  # the policy has read the account's rate
    assert max_messages(services, policy, "1/email") == EMAIL_LIMIT


def test_answered_probe_does_not_prolong_a_later_pause(
    services: Services, clock: ManualClock, queue: str
) -> None:
    policy = probing_policy(services, clock, queue)
    answered = Outcome("retry", status_code=500)
    max_messages(services, policy, queue, answered, message=1)
    other_dispatcher = create_policy(services)
    max_messages(services, other_dispatcher, queue, *[FAILED] * FAILURE_THRESHOLD, message=2)
    max_messages(services, policy, queue, FAILED, message=1)
    assert current_pause(services).failed_probes == 0
