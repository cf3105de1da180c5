"""The source of the present time; everything below a route or a command gets the time passed."""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The machine's clock; tests pass a clock of their own."""

    def now(self) -> datetime:
        """Return an aware datetime in UTC."""
        return datetime.now(UTC)

    def sleep(self, duration: timedelta) -> None:
        """Wait. A test's clock moves instead, so that no test waits for a clock that stands."""
        time.sleep(duration.total_seconds())
