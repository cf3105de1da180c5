"""Due dates of screenings, in working days."""

from datetime import date, datetime, timedelta


def due_date(start: datetime, working_days: int) -> date:
    """Return the day that is so many working days, Monday to Friday, after `start`."""
    day, left = start.date(), working_days
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < 5
    return day
