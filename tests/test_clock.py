"""The clock of the program, and the start of a test's clock."""

from datetime import UTC, datetime, timedelta

import pytest

from provider.clock import Clock
from tests.factories import ManualClock, present, start_moment


def test_clock_returns_present_in_utc() -> None:
    before = datetime.now(UTC)
    now = Clock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


@pytest.fixture
def distant_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATE", "2040-06-01T12:00")


@pytest.mark.parametrize("written", ["2028-02-29T23:30", "2028-03-01T01:30+02:00"])
def test_start_moment_with_date_is_that_in_utc(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("TEST_DATE", written)
    assert start_moment() == datetime(2028, 2, 29, 23, 30, tzinfo=UTC)
    assert start_moment().tzinfo is UTC


def test_start_moment_without_date_is_present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_DATE", raising=False)
    earliest = present().replace(second=0, microsecond=0)
    assert earliest <= start_moment() <= present()


def test_clock_fixture_with_date_begins_there(distant_date: None, clock: ManualClock) -> None:
    assert clock.now() == datetime(2040, 6, 1, 12, tzinfo=UTC)


@pytest.mark.machine_time
def test_clock_fixture_in_machine_time_begins_now(distant_date: None, clock: ManualClock) -> None:
    assert clock.now() <= Clock().now() < clock.now() + timedelta(hours=1)
