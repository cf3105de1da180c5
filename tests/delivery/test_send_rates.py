"""SendRates: the accounts' limits of callbacks per second."""

from bisect import bisect_left
from datetime import datetime, timedelta

import pytest

from provider.core.accounts import Account
from provider.delivery.policy import SendRates
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

QUEUE = "1/callback/a.test"
NOW = ManualClock().now()
SECOND = timedelta(seconds=1)


def create_rates(services: Services, rate: float) -> SendRates:
    """Return the rates after an account with this rate was read."""
    factories.create_account(services)
    with services.db.writing() as session:
        session.get_one(Account, 1).callback_rate = rate
    rates = SendRates()
    with services.db.reading() as session:
        rates.refresh(session, [QUEUE], NOW)
    return rates


@pytest.mark.parametrize("rate", [0.2, 1, 5, 100, 1000])
def test_rate_is_kept_over_any_period(services: Services, rate: float) -> None:
    rates, now = create_rates(services, rate), NOW
    sent: list[datetime] = []
    while now < NOW + timedelta(seconds=max(3, 20 / rate)):
        count = rates.allowed(QUEUE, now)
        if count:
            rates.record(QUEUE, count, now)
            sent += [now] * count
        now += timedelta(milliseconds=7)
    seconds = (now - NOW).total_seconds()
    assert len(sent) == pytest.approx(rate * seconds, rel=0.06, abs=1.5)
    for window in (1, 2):  # seconds
        largest_count = max(
            bisect_left(sent, start + window * SECOND) - bisect_left(sent, start) for start in sent
        )
        assert largest_count <= 1.05 * rate * window + 1


@pytest.mark.parametrize(
    ("rate", "burst", "wait_seconds"), [(2, 1, 0.5), (30, 2, 1 / 30), (100, 5, 0.01)]
)
def test_next_expiry_is_when_the_next_message_may_be_sent(
    services: Services, rate: float, burst: int, wait_seconds: float
) -> None:
    rates = create_rates(services, rate)
    assert rates.allowed(QUEUE, NOW) == burst
    rates.record(QUEUE, burst, NOW)
    expiry = rates.next_expiry()
    assert expiry is not None
    tolerance = timedelta(microseconds=2)
    assert expiry - NOW == pytest.approx(timedelta(seconds=wait_seconds), abs=tolerance)
    assert rates.allowed(QUEUE, expiry - timedelta(milliseconds=1)) == 0
    assert rates.allowed(QUEUE, expiry + tolerance) == 1


def test_queue_ahead_of_its_rate_waits_until_it_is_level(services: Services) -> None:
    rates = create_rates(services, 2)
    rates.record(QUEUE, 5, NOW)
    assert rates.next_expiry() == NOW + 2.5 * SECOND
    allowed = [rates.allowed(QUEUE, NOW + seconds * SECOND) for seconds in (0, 2.4, 2.5)]
    assert allowed == [0, 0, 1]


def test_unused_rate_is_not_saved_up(services: Services) -> None:
    rates = create_rates(services, 2)
    rates.record(QUEUE, 1, NOW)
    assert rates.allowed(QUEUE, NOW + timedelta(hours=1)) == 1
