"""Concurrent sends: the limit of each destination, and the bulkheads of quick and slow ones."""

from datetime import timedelta
from typing import Any

import pytest

from provider.delivery.channels import CHANNELS
from provider.delivery.policy import DeliveryPolicy, PolicyCycle
from provider.outbox import AttemptResult, Claim, Outcome
from tests.factories import ManualClock

DELIVERED = Outcome("delivered", status_code=200)
FAILED = Outcome("retry", error="refused", failure_scope="destination")
UNSENT = Outcome("rejected", error="Its host is not allowed", is_sent=False)


class SlotPolicy(DeliveryPolicy):
    """A policy that needs no database: the tests report the attempts."""

    def __init__(self, slots: int = 48) -> None:
        channels: dict[str, Any] = dict(CHANNELS)  # the policy reads only class attributes
        super().__init__(channels, slots)
        self.now = ManualClock().now()

    def attempt(self, destination: str, outcome: Outcome = DELIVERED, seconds: float = 0.1) -> None:
        """Record a claimed message that has been attempted and settled."""
        queue = queue_of(destination)
        claim = Claim(1, "m", queue, "order", 1, "status", b"", None, 0, self.now, "lease")
        result = AttemptResult(claim, outcome, self.now, self.now + timedelta(seconds=seconds))
        failures = self.circuit_breaker.consecutive_failures
        if outcome.failure_scope:
            failures[destination] += 1
        elif outcome.is_sent:
            del failures[destination]
        self.record(PolicyCycle(self, self.circuit_breaker, {}, [result], self.now))

    def claim_all(self, *destinations: str) -> int:
        """Claim as many messages as these destinations may have; return the number."""
        before = self.unsettled_counts.total()
        for queue in map(queue_of, destinations):
            self.unsettled_counts[queue] += self.free_slots().count(queue)
        return self.unsettled_counts.total() - before


def queue_of(destination: str) -> str:
    return f"1/{destination}" if destination in CHANNELS else f"1/callback/{destination}"


def hosts(name: str, count: int = 20) -> list[str]:
    return [f"{name}-{number}.test" for number in range(count)]


def test_untested_destination_gets_a_twelfth() -> None:
    assert SlotPolicy(48).claim_all("new.test") == 4


@pytest.mark.parametrize("slots", [1, 4])
def test_destination_always_gets_one_slot(slots: int) -> None:
    policy = SlotPolicy(slots)
    assert policy.claim_all("new.test") == 1


def test_quick_destination_gets_two_thirds() -> None:
    policy = SlotPolicy(48)
    policy.attempt("quick.test")
    assert policy.claim_all("quick.test") == 32
    assert policy.claim_all("quick.test") == 0
    assert policy.claim_all("new.test") == 4


def test_accounts_share_the_slots_of_a_destination() -> None:
    policy = SlotPolicy(48)
    policy.unsettled_counts["2/callback/new.test"] += 3
    assert policy.claim_all("new.test") == 1


def test_all_destinations_together_get_all_slots_and_no_more() -> None:
    policy = SlotPolicy(48)
    for host in hosts("quick", 3):
        policy.attempt(host)
    assert policy.claim_all(*hosts("quick", 3)) == 48
    assert policy.claim_all("email", "media", "new.test") == 0


@pytest.mark.parametrize(
    ("outcome", "seconds"), [(None, 0.0), (DELIVERED, 0.5), (DELIVERED, 9.0), (FAILED, 0.0)]
)
def test_slow_destinations_share_half_of_all_slots(outcome: Outcome | None, seconds: float) -> None:
    policy = SlotPolicy(48)
    policy.attempt("quick.test")
    for host in hosts("slow"):
        if outcome:
            policy.attempt(host, outcome, seconds)
    assert policy.claim_all(*hosts("slow")) == 24
    assert policy.claim_all("quick.test") == 24


def test_slow_failing_and_untested_destinations_share_one_half() -> None:
    policy = SlotPolicy(48)
    policy.attempt("slow.test", seconds=2.0)
    policy.attempt("failing.test", FAILED)
    assert policy.claim_all("slow.test", "failing.test") == 8
    assert policy.claim_all(*hosts("new")) == 16
    policy.unsettled_counts[queue_of("slow.test")] -= 3
    assert policy.claim_all("another.test") == 3


def test_speed_is_the_mean_of_recent_responses() -> None:
    policy = SlotPolicy(48)
    policy.attempt("a.test", seconds=0.1)
    policy.attempt("a.test", seconds=1.2)
    assert policy.is_quick("a.test")
    policy.attempt("a.test", seconds=1.2)
    assert not policy.is_quick("a.test")
    policy.attempt("a.test", seconds=0.1)
    assert policy.is_quick("a.test")


def test_failure_makes_slow_until_the_next_response() -> None:
    policy = SlotPolicy(48)
    policy.attempt("a.test")
    policy.attempt("a.test", FAILED, seconds=10.0)
    assert not policy.is_quick("a.test")
    policy.attempt("a.test")
    assert policy.is_quick("a.test")


def test_unsent_message_says_nothing_about_its_destination() -> None:
    policy = SlotPolicy(48)
    policy.attempt("a.test", UNSENT, seconds=0.0)
    assert not policy.is_quick("a.test")
    assert policy.claim_all("a.test") == 4


def test_destination_that_becomes_slow_gets_nothing_until_it_has_drained() -> None:
    policy = SlotPolicy(48)
    policy.attempt("a.test")
    policy.claim_all("a.test")
    policy.attempt("a.test", FAILED)
    assert policy.claim_all("a.test", "new.test") == 0
    policy.unsettled_counts[queue_of("a.test")] = 3
    assert policy.claim_all("a.test") == 1


def test_unsettled_results_occupy_their_slots() -> None:
    policy = SlotPolicy(48)
    assert policy.claim_all("a.test") == 4
    policy.attempt("a.test", FAILED)
    assert policy.claim_all("a.test") == 1


@pytest.mark.parametrize(("channel", "limit"), [("email", 8), ("media", 2)])
@pytest.mark.parametrize("seconds", [0.1, 60.0])
def test_channel_limit_applies_however_quickly_it_answers(
    channel: str, limit: int, seconds: float
) -> None:
    policy = SlotPolicy(96)
    for _ in range(5):
        policy.attempt(channel, seconds=seconds)
    assert policy.claim_all(channel) == limit


def test_channels_with_a_limit_use_no_slot_of_slow_destinations() -> None:
    policy = SlotPolicy(96)
    assert policy.claim_all(*hosts("new")) == 48
    assert policy.claim_all("email", "media") == 10
