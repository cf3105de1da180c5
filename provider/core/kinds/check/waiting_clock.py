"""A clock that counts business days, in the candidate's time zone, and that disputes stop."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Stop:
    """A time in which the clock stands still; `end` is None while it goes on.

    `days_afterwards` is the least number of business days that are left after it.
    """

    start: datetime
    end: datetime | None = None
    days_afterwards: int = 0


def end_of_wait(
    start: datetime,
    days: int,
    stops: Sequence[Stop],
    zone: tzinfo,
    is_business_day: Callable[[date], bool],
) -> datetime | None:
    """Return when a wait of so many business days is over; None while a stop goes on.

    The day of the start does not count, and no day on which the clock stood still. The wait is
    over at the end of its last day in the zone.
    """
    spans = [_Span.of(stop, zone) for stop in stops]
    day, left = start.astimezone(zone).date(), days
    left = _least_days_left(left, day, spans)
    while left:
        day += ONE_DAY
        touching = [span for span in spans if span.touches(day)]
        if any(span.last is None for span in touching):
            return None
        if touching:
            left = _least_days_left(left, day, touching)
        elif is_business_day(day):
            left -= 1
    midnight = datetime.combine(day + ONE_DAY, time(), zone)
    return midnight.astimezone(start.tzinfo)


@dataclass(frozen=True)
class _Span:
    """The days of a stop."""

    first: date
    last: date | None
    days_afterwards: int

    @classmethod
    def of(cls, stop: Stop, zone: tzinfo) -> "_Span":
        last = stop.end.astimezone(zone).date() if stop.end else None
        return cls(stop.start.astimezone(zone).date(), last, stop.days_afterwards)

    def touches(self, day: date) -> bool:
        return self.first <= day and (self.last is None or day <= self.last)


def _least_days_left(left: int, day: date, spans: Iterable[_Span]) -> int:
    return max([left, *(span.days_afterwards for span in spans if span.touches(day))])
