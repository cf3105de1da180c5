"""Working days of a country: its weekend and its public holidays are left out.

Due dates count in these days. A day begins and ends in the time zone of the account.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from babel.core import get_global

from provider.core.formats import load_time_zone
from provider.errors import Invalid

MONDAY_TO_FRIDAY = range(5)
MAX_CACHE_ENTRIES = 500


@dataclass(frozen=True)
class WorkingDays:
    """The working days of a region (`GB`, `US-CA`; empty: Monday to Friday) in a time zone."""

    region: str
    timezone: str = "UTC"

    def local_date(self, moment: datetime) -> date:
        return moment.astimezone(load_time_zone(self.timezone)).date()

    def is_working_day(self, day: date) -> bool:
        days = _working_days_of_year(self.region, day.year)
        index = bisect_left(days, day)
        return index < len(days) and days[index] == day

    def add(self, day: date, count: int) -> date:
        """Return the working day that is `count` working days after `day`; `day` for 0."""
        if count <= 0:
            return day
        year = day.year
        days = _working_days_of_year(self.region, year)
        position = bisect_right(days, day) + count - 1
        while position >= len(days):
            position -= len(days)
            year += 1
            days = _working_days_of_year(self.region, year)
        return days[position]

    def count(self, first: date, last: date) -> int:
        """Return how many working days come after `first`, up to and including `last`."""
        if last <= first:
            return 0
        total = 0
        for year in range(first.year, last.year + 1):
            days = _working_days_of_year(self.region, year)
            total += bisect_right(days, last) - bisect_right(days, first)
        return total

    def due_date(self, start: datetime, working_days: int) -> date:
        """Return the day that is so many working days after the local day of `start`."""
        return self.add(self.local_date(start), working_days)


@lru_cache(maxsize=MAX_CACHE_ENTRIES)
def region_of_time_zone(timezone: str) -> str:
    """Return the country of a time zone, as an ISO 3166 code; empty for UTC and the like."""
    name = get_global("zone_aliases").get(timezone, timezone)
    country = str(get_global("zone_territories").get(name, ""))
    return country if is_known_region(country) else ""


def is_known_region(region: str) -> bool:
    """Return whether the holidays of a country, or of a part of it, are known."""
    import holidays

    country, dash, subdivision = region.partition("-")
    known = holidays.list_supported_countries(include_aliases=False)
    return country in known and (not dash or subdivision in known[country])


def known_region(country: str, subdivision: str) -> str:
    """Return the region of a place: of the country where the part is not known, empty for neither.

    Both are ISO 3166 codes.
    """
    regions = (f"{country}-{subdivision}", country) if country else ()
    return next(filter(is_known_region, regions), "")


def parse_region(text: str) -> str:
    """Return a region in capital letters. Raises Invalid for one without known holidays."""
    region = text.strip().upper()
    if not is_known_region(region):
        raise Invalid(
            f"holidays should be a country like GB, or a part of one like US-CA, not “{text}”"
        )
    return region


@lru_cache(maxsize=MAX_CACHE_ENTRIES)
def _working_days_of_year(region: str, year: int) -> tuple[date, ...]:
    """Return the working days of a year in order. Threads share the tuple, which never changes."""
    first = date(year, 1, 1)
    days = (first + timedelta(days=number) for number in range(366))
    days_of_year = (day for day in days if day.year == year)
    if not region:
        return tuple(day for day in days_of_year if day.weekday() in MONDAY_TO_FRIDAY)
    import holidays

    country, _, subdivision = region.partition("-")
    calendar = holidays.country_holidays(country, subdiv=subdivision or None, years=year)
    return tuple(day for day in days_of_year if calendar.is_working_day(day))
