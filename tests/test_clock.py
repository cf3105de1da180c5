"""The one source of the present moment."""

from datetime import UTC, datetime, timedelta

from provider.clock import Clock


def test_the_clock_tells_the_present_in_utc() -> None:
    before = datetime.now(UTC)
    now = Clock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)
