"""The clock of a screening, compared with a walk day by day in the account's time zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from provider.core.kinds.check.tables.screening_task import ScreeningTask
from provider.core.working_days import WorkingDays
from tests.core.test_working_days import REGIONS, is_working_day

UNHURRIED = settings(deadline=None)  # the first example of a region loads its holidays
ZONES = ("UTC", "Europe/Athens", "America/New_York", "Pacific/Auckland", "Asia/Kolkata")
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


def walk(region: str, day: date, count: int) -> date:
    """Return the day that is `count` working days after a day."""
    while count:
        day += timedelta(days=1)
        count -= is_working_day(region, day)
    return day


@UNHURRIED
@given(
    st.sampled_from(REGIONS),
    st.sampled_from(ZONES),
    MOMENTS,
    st.integers(0, 40),
    st.timedeltas(timedelta(0), timedelta(days=30)),
)
def test_due_date_moves_by_the_working_days_that_passed(
    region: str, zone: str, stopped_at: datetime, days_left: int, pause: timedelta
) -> None:
    days, now = WorkingDays(region, zone), stopped_at + pause
    first, last = (moment.astimezone(ZoneInfo(zone)).date() for moment in (stopped_at, now))
    due_on = walk(region, first, days_left)
    passed = sum(
        is_working_day(region, first + timedelta(days=number))
        for number in range(1, (last - first).days + 1)
    )
    task = ScreeningTask(due_on=due_on)
    task.stop_clock(stopped_at)
    task.stop_clock(now)  # it stands already
    task.start_clock(days, now)
    assert (task.due_on, task.clock_stopped_at) == (walk(region, due_on, passed), None)
