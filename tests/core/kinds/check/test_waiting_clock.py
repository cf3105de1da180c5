"""The clock of business days: holidays, time zones and stops."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.core.kinds.check.waiting_clock import Stop, end_of_wait
from provider.core.working_days import WorkingDays, known_region

ATHENS, CHICAGO = ZoneInfo("Europe/Athens"), ZoneInfo("America/Chicago")
ZONES = (ZoneInfo("UTC"), ATHENS, CHICAGO, ZoneInfo("Pacific/Kiritimati"))
WEDNESDAY = datetime(2026, 11, 25, 12, tzinfo=UTC)  # the day before Thanksgiving


def business_days(country: str, subdivision: str) -> Callable[[date], bool]:
    return WorkingDays(known_region(country, subdivision)).is_working_day


def is_weekday(day: date) -> bool:
    return day.weekday() < 5


@pytest.mark.parametrize(
    ("country", "subdivision", "last_day"),
    [
        ("US", "", date(2026, 12, 3)),
        ("US", "CA", date(2026, 12, 4)),  # the day after Thanksgiving is a holiday
        ("GB", "ENG", date(2026, 12, 2)),
        ("GB", "SCT", date(2026, 12, 3)),  # Saint Andrew's Day
        ("US", "XX", date(2026, 12, 3)),
        ("ZZ", "", date(2026, 12, 2)),
        ("", "", date(2026, 12, 2)),
    ],
)
def test_end_of_wait_leaves_out_the_holidays_of_the_place(
    country: str, subdivision: str, last_day: date
) -> None:
    end = end_of_wait(WEDNESDAY, 5, [], UTC, business_days(country, subdivision))
    assert end == datetime.combine(last_day + timedelta(days=1), datetime.min.time(), UTC)


def test_end_of_wait_is_the_end_of_a_day_in_the_candidates_zone() -> None:
    late = datetime(2027, 1, 12, 23, tzinfo=UTC)  # in Athens the day after
    assert end_of_wait(late, 1, [], ATHENS, is_weekday) == datetime(2027, 1, 14, 22, tzinfo=UTC)
    assert end_of_wait(late, 1, [], CHICAGO, is_weekday) == datetime(2027, 1, 14, 6, tzinfo=UTC)


def test_end_of_wait_over_a_change_of_the_clocks_is_a_local_midnight() -> None:
    friday = datetime(2027, 3, 26, 12, tzinfo=UTC)
    end = end_of_wait(friday, 1, [], ATHENS, is_weekday)  # summer time begins on 28 March
    assert end == datetime(2027, 3, 29, 21, tzinfo=UTC)


def test_end_of_wait_counts_no_day_on_which_the_clock_stood_still() -> None:
    monday = datetime(2027, 1, 11, 12, tzinfo=UTC)
    stop = Stop(monday + timedelta(days=1), monday + timedelta(days=2))
    assert end_of_wait(monday, 5, [stop], UTC, is_weekday) == datetime(2027, 1, 21, tzinfo=UTC)
    assert end_of_wait(monday, 5, [Stop(monday)], UTC, is_weekday) is None
    late_stop = Stop(monday + timedelta(days=8))
    assert end_of_wait(monday, 5, [late_stop], UTC, is_weekday) == datetime(2027, 1, 19, tzinfo=UTC)


def test_end_of_wait_leaves_days_after_a_dispute_on_the_last_day() -> None:
    monday = datetime(2027, 1, 11, 12, tzinfo=UTC)
    last_day = monday + timedelta(days=7)
    dispute = Stop(last_day, last_day, days_afterwards=5)
    assert end_of_wait(monday, 5, [dispute], UTC, is_weekday) == datetime(2027, 1, 26, tzinfo=UTC)


moments = st.datetimes(
    datetime(2026, 1, 1),
    datetime(2028, 1, 1),
    timezones=st.just(UTC),
)
lengths = st.timedeltas(timedelta(0), timedelta(days=20))
stops = st.builds(
    lambda start, length, days: Stop(start, start + length, days),
    moments,
    lengths,
    st.integers(0, 10),
)


@given(
    start=moments,
    days=st.integers(1, 20),
    stops=st.lists(stops, max_size=4),
    more=stops,
    zone=st.sampled_from(ZONES),
    place=st.sampled_from([("US", "CA"), ("GB", "SCT"), ("JP", ""), ("", "")]),
)
def test_end_of_wait_never_comes_earlier_by_a_stop(
    start: datetime,
    days: int,
    stops: list[Stop],
    more: Stop,
    zone: ZoneInfo,
    place: tuple[str, str],
) -> None:
    is_business_day = business_days(*place)
    end = end_of_wait(start, days, stops, zone, is_business_day)
    later = end_of_wait(start, days, [*stops, more], zone, is_business_day)
    assert end is not None
    assert later is not None
    assert later >= end > start + timedelta(days=days - 1)
    local = end.astimezone(zone)
    assert (local - timedelta(seconds=1)).date() != local.date()
    counted_days = [
        start.astimezone(zone).date() + timedelta(days=number)
        for number in range(1, (local.date() - start.astimezone(zone).date()).days)
    ]
    assert sum(map(is_business_day, counted_days)) >= days


@given(start=moments, days=st.integers(1, 20), stop=moments, zone=st.sampled_from(ZONES))
def test_end_of_wait_with_an_open_stop_is_unknown_or_earlier(
    start: datetime, days: int, stop: datetime, zone: ZoneInfo
) -> None:
    end = end_of_wait(start, days, [Stop(stop)], zone, is_weekday)
    undisturbed = end_of_wait(start, days, [], zone, is_weekday)
    assert undisturbed is not None
    assert (end is None) == (stop < undisturbed)
