"""When a candidate gave an answer, as far as the server can trust it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

# An answer that was given in time may arrive so much later. The server trusts a page's statement no
# further, or a candidate could answer long after the end.
ARRIVAL_GRACE = timedelta(seconds=10)
# The clocks of two servers may differ so much. A page that states a later time is not believed.
MAX_CLOCK_SKEW = timedelta(seconds=5)


@dataclass(frozen=True)
class GivenTime:
    """When an answer was given, and its number.

    The number is the page's statement in milliseconds since 1970, on the server's clock. An answer
    never replaces one with a higher number. It is None without a statement, as of a page without
    scripts.
    """

    given_at: datetime
    number: int | None = None

    @classmethod
    def from_request(cls, stated_ms: int | None, began_at: datetime, now: datetime) -> Self:
        """Return the time of a request whose first byte arrived at `began_at`."""
        if stated_ms is None:
            return cls(began_at)
        number = min(stated_ms, to_milliseconds(now + MAX_CLOCK_SKEW))
        earliest_ms = to_milliseconds(now - ARRIVAL_GRACE)
        stated_at = datetime.fromtimestamp(max(number, earliest_ms) / 1000, UTC)
        return cls(min(began_at, stated_at), number)


def to_milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
