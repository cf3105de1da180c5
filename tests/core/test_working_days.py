"""Working days: holidays, weekends and time zones, compared with a count day by day."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from functools import cache

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.core.accounts import Account
from provider.core.accounts.settings import COMMON_SETTINGS
from provider.core.working_days import WorkingDays, parse_region, region_of_time_zone
from provider.errors import Invalid

# With a weekend of Friday and Saturday, one of Sunday alone, and days that are made up for.
REGIONS = ("", "GB", "GB-SCT", "US", "DE-BY", "GR", "SA", "IL", "CN", "NP", "BR")
UNHURRIED = settings(deadline=None)  # the first example of a region loads its holidays
DAYS = st.dates(date(2015, 1, 1), date(2035, 12, 31))


def is_working_day(region: str, day: date) -> bool:
    """Ask the library about one day, without the tables of the program."""
    if not region:
        return day.weekday() < 5
    return bool(load_calendar(region, day.year).is_working_day(day))


@cache
def load_calendar(region: str, year: int) -> holidays.HolidayBase:
    country, _, subdivision = region.partition("-")
    return holidays.country_holidays(country, subdiv=subdivision or None, years=year)


@UNHURRIED
@given(st.sampled_from(REGIONS), DAYS, st.integers(0, 70))
def test_add_equals_a_walk_day_by_day(region: str, day: date, count: int) -> None:
    walked, left = day, count
    while left:
        walked += timedelta(days=1)
        left -= is_working_day(region, walked)
    assert WorkingDays(region).add(day, count) == walked


@UNHURRIED
@given(st.sampled_from(REGIONS), DAYS, st.integers(-10, 500))
def test_count_equals_a_walk_day_by_day(region: str, first: date, length: int) -> None:
    last = first + timedelta(days=length)
    days = (first + timedelta(days=number) for number in range(1, length + 1))
    expected = sum(is_working_day(region, day) for day in days)
    assert WorkingDays(region).count(first, last) == expected


@UNHURRIED
@given(st.sampled_from(REGIONS), DAYS, st.integers(1, 300))
def test_count_is_the_inverse_of_add(region: str, day: date, count: int) -> None:
    days = WorkingDays(region)
    assert days.count(day, days.add(day, count)) == count
    assert days.is_working_day(days.add(day, count))


@pytest.mark.parametrize(
    ("region", "start", "count", "expected"),
    [
        ("", "2026-11-20", 1, "2026-11-23"),  # Friday to Monday
        ("GB", "2026-12-24", 2, "2026-12-30"),  # Christmas, and Boxing Day on Monday
        ("US", "2026-11-25", 1, "2026-11-27"),  # Thanksgiving
        ("US-CA", "2026-11-25", 1, "2026-11-30"),  # California has the day after it, too
        ("SA", "2026-11-26", 1, "2026-11-29"),  # Friday and Saturday are the weekend
        ("DE-BY", "2027-01-05", 1, "2027-01-07"),  # Epiphany
        ("DE-BE", "2027-01-05", 1, "2027-01-06"),
    ],
)
def test_add_leaves_out_holidays(region: str, start: str, count: int, expected: str) -> None:
    day = WorkingDays(region).add(date.fromisoformat(start), count)
    assert day == date.fromisoformat(expected)


def test_due_date_counts_from_the_local_day() -> None:
    moment = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)  # Monday; Tuesday in Athens
    assert WorkingDays("", "UTC").due_date(moment, 1) == date(2026, 11, 24)
    assert WorkingDays("GR", "Europe/Athens").due_date(moment, 1) == date(2026, 11, 25)
    assert WorkingDays("US", "America/New_York").due_date(moment, 1) == date(2026, 11, 24)


@pytest.mark.parametrize(
    ("timezone", "region"),
    [
        ("Europe/Athens", "GR"),
        ("US/Pacific", "US"),
        ("Europe/Kiev", "UA"),
        ("UTC", ""),
        ("Etc/GMT+3", ""),
    ],
)
def test_region_of_time_zone_is_its_country(timezone: str, region: str) -> None:
    assert region_of_time_zone(timezone) == region


def test_account_without_setting_uses_its_time_zone() -> None:
    account = Account(timezone="Europe/Athens", options={})
    assert account.working_days == WorkingDays("GR", "Europe/Athens")
    COMMON_SETTINGS["holidays"].change(account, "us-ca")
    assert account.working_days == WorkingDays("US-CA", "Europe/Athens")
    assert COMMON_SETTINGS["holidays"].read(account) == "US-CA"
    COMMON_SETTINGS["holidays"].change(account, "none")
    assert account.working_days.region == "GR"


@pytest.mark.parametrize("text", ["XX", "GB-XYZ", "Greece", "-", "US-"])
def test_unknown_region_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="holidays should be a country"):
        parse_region(text)


def test_program_loads_the_library_of_holidays_at_its_use_only() -> None:
    source = "import sys, provider.app; assert 'holidays' not in sys.modules"
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)
