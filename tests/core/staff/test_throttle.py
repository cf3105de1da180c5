"""The limits on sign-in attempts."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from provider.core.staff import (
    SignInAttempt,
    SignInThrottled,
    complete_sign_in,
    register_sign_in_attempt,
    remember_sign_in,
    verify_password,
)
from provider.core.staff.throttle import KNOWN_ORIGIN_LIFETIME, KnownOrigin
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

EMAIL, PASSWORD, HOME = "sam@provider.test", "correct horse battery", "198.51.100.7"


@pytest.fixture(autouse=True)
def _sam(services: Services) -> None:
    factories.create_staff(services, EMAIL, password=PASSWORD)


class NotCounted(Exception):
    """Rolls an attempt back."""


def sign_in(
    services: Services,
    password: str,
    email: str = EMAIL,
    ip_address: str = HOME,
    device_token: str = "",
) -> str | None:
    """Sign in, as the console does. Returns the token of the browser."""
    now = services.now()
    with services.db.writing() as session:
        password_hash = register_sign_in_attempt(session, email, ip_address, now, device_token)
    if not verify_password(password_hash, password):
        return None
    with services.db.writing() as session:
        complete_sign_in(session, email, ip_address, now, device_token=device_token)
        return remember_sign_in(session, email, ip_address, now, device_token)


def fail(
    services: Services, times: int, email: str = EMAIL, ip_address: str = HOME, device: str = ""
) -> None:
    for _ in range(times):
        assert sign_in(services, "wrong", email, ip_address, device) is None


def is_throttled(
    services: Services, email: str = EMAIL, ip_address: str = HOME, device: str = ""
) -> bool:
    with suppress(NotCounted), services.db.writing() as session:
        try:
            register_sign_in_attempt(session, email, ip_address, services.now(), device)
        except SignInThrottled:
            return True
        raise NotCounted
    return False


def fail_from_many_networks(services: Services) -> None:
    """Fail as often as a person's limit over all networks allows."""
    for number in range(10):
        fail(services, 5, ip_address=f"203.0.113.{number}")


def test_attempts_of_email_from_one_network_are_limited_to_five(
    services: Services, clock: ManualClock
) -> None:
    for _ in range(5):
        fail(services, 1)
        clock.advance(timedelta(minutes=1))
    with pytest.raises(SignInThrottled, match="Wait a quarter of an hour"):
        sign_in(services, PASSWORD)
    clock.advance(timedelta(minutes=10) - timedelta(seconds=1))
    assert is_throttled(services)
    # The first attempt leaves the window. Refused attempts are not counted.
    clock.advance(timedelta(seconds=1))
    assert sign_in(services, PASSWORD)


def test_attempts_of_a_stranger_do_not_lock_the_person_out(services: Services) -> None:
    fail(services, 5, ip_address="203.0.113.1")
    assert is_throttled(services, ip_address="203.0.113.1")
    assert sign_in(services, PASSWORD)


def test_attempts_from_many_networks_are_limited_for_unknown_ones(services: Services) -> None:
    fail_from_many_networks(services)
    assert is_throttled(services, ip_address="192.0.2.9")
    assert not is_throttled(services, "bob@provider.test", "192.0.2.9")


def test_attempts_from_many_networks_do_not_lock_a_known_network_out(services: Services) -> None:
    assert sign_in(services, PASSWORD)
    fail_from_many_networks(services)
    assert sign_in(services, PASSWORD)
    assert is_throttled(services, ip_address="192.0.2.9")


def test_known_browser_is_not_locked_out_anywhere(services: Services) -> None:
    device = sign_in(services, PASSWORD)
    assert device
    fail_from_many_networks(services)
    fail(services, 5)  # a stranger in the same network
    assert is_throttled(services)
    assert sign_in(services, PASSWORD, device_token=device) == device
    assert sign_in(services, PASSWORD, ip_address="192.0.2.9", device_token=device) == device


def test_known_browser_has_a_limit_of_its_own(services: Services) -> None:
    device = sign_in(services, PASSWORD)
    assert device
    fail(services, 5, device=device)
    assert is_throttled(services, device=device)
    assert is_throttled(services, ip_address="192.0.2.9", device=device)
    # The browser is known for one person only.
    fail(services, 5, "bob@provider.test", "192.0.2.10", device)
    assert is_throttled(services, "bob@provider.test", "192.0.2.10", device)


def test_known_network_and_browser_are_forgotten_after_ninety_days(
    services: Services, clock: ManualClock
) -> None:
    device = sign_in(services, PASSWORD)
    assert device
    clock.advance(KNOWN_ORIGIN_LIFETIME)
    fail_from_many_networks(services)
    assert is_throttled(services, device=device)
    clock.advance(timedelta(minutes=16))
    assert sign_in(services, PASSWORD, device_token=device) != device
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(KnownOrigin)) == 2


@pytest.mark.parametrize(
    ("address", "other_address", "is_same_network"),
    [
        ("2001:db8:0:1::7", "2001:db8:0:1:ffff::9", True),
        ("2001:db8:0:1::7", "2001:db8:0:2::7", False),
        ("198.51.100.7", "::ffff:198.51.100.7", True),
        ("198.51.100.7", "198.51.100.7:52311", True),
        ("[2001:db8::7]:443", "2001:db8::8", True),
        ("198.51.100.7", "198.51.100.8", False),
    ],
)
def test_attempts_are_counted_by_network(
    services: Services, address: str, other_address: str, is_same_network: bool
) -> None:
    fail(services, 5, ip_address=address)
    assert is_throttled(services, ip_address=other_address) is is_same_network


def test_attempts_from_one_network_are_limited_to_thirty(
    services: Services, clock: ManualClock
) -> None:
    for number in range(30):
        fail(services, 1, f"{number}@provider.test", f"2001:db8::{number}")
    assert is_throttled(services, "another@provider.test", "2001:db8::ffff")
    assert not is_throttled(services, "another@provider.test", "2001:db8:0:1::1")
    clock.advance(timedelta(minutes=15))
    assert not is_throttled(services, "another@provider.test", "2001:db8::ffff")


def test_sign_in_deletes_the_attempts_of_the_email(services: Services) -> None:
    for _ in range(3):
        fail(services, 4)
        assert sign_in(services, PASSWORD)


def test_sign_in_keeps_other_attempts_of_the_network(services: Services) -> None:
    for number in range(29):
        fail(services, 1, f"{number}@provider.test")
        assert sign_in(services, PASSWORD)  # this attempt is not counted
    fail(services, 1, "30@provider.test")
    assert is_throttled(services, "31@provider.test")


def test_sign_in_deletes_attempts_outside_the_window(
    services: Services, clock: ManualClock
) -> None:
    for number in range(20):
        fail(services, 1, f"{number}@provider.test")
    clock.advance(timedelta(minutes=15, seconds=1))
    assert sign_in(services, PASSWORD)
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(SignInAttempt)) == 0


@pytest.mark.both
def test_simultaneous_attempts_of_email_are_limited(services: Services) -> None:
    barrier = threading.Barrier(20)

    def attempt(number: int) -> bool:
        barrier.wait(10)
        try:
            with services.db.writing() as session:
                return bool(
                    register_sign_in_attempt(session, EMAIL, f"2001:db8::{number}", services.now())
                )
        except SignInThrottled:
            return False

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(attempt, range(20))) == 5
