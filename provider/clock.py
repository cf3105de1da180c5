"""The source of the present time; everything below a route or a command gets the time passed."""

from datetime import UTC, datetime


class Clock:
    """The machine's clock; tests pass a clock of their own."""

    def now(self) -> datetime:
        """Return an aware datetime in UTC."""
        return datetime.now(UTC)
