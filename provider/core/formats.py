"""The formats of times, durations and numbers on pages, in the present language."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from types import ModuleType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from provider.texts import DEFAULT_LANGUAGE, current_language, gettext, ngettext

SECONDS_PER_MINUTE, SECONDS_PER_HOUR, SECONDS_PER_DAY = 60, 3600, 86400
ZERO = timedelta(0)
_UNITS = (SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, 1)
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def load_time_zone(name: str | None) -> tzinfo:
    """Return the time zone of an IANA name; UTC for an unknown one."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def format_date(moment: datetime, timezone: str | None = "UTC") -> str:
    """Return the date of an aware time in a zone: `23 November 2026`."""
    local = moment.astimezone(load_time_zone(timezone))
    if formats := _find_local_formats():
        return str(formats.format_date(local.date()))
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"


def format_short_datetime(moment: datetime, timezone: str | None = "UTC") -> str:
    """Return an aware time for a table of the console: `23 Nov 2026, 16:05`.

    The caption of the table names the zone.
    """
    local = moment.astimezone(load_time_zone(timezone))
    month = _MONTHS[local.month - 1][:3]
    offset = f" ({_utc_offset(local)})" if _is_in_repeated_hour(local) else ""
    return f"{local.day} {month} {local.year}, {local:%H:%M}{offset}"


def format_datetime(moment: datetime, timezone: str | None = "UTC") -> str:
    """Return an aware time in a zone: `23 November 2026, 16:05 Athens time`.

    An hour that a zone has twice, at the end of summer time, says which one is meant:
    `25 October 2026, 02:30 Berlin time (summer time, UTC+2)`.
    """
    local = moment.astimezone(load_time_zone(timezone))
    date, time, zone = format_date(moment, timezone), f"{local:%H:%M}", _zone_name(local, timezone)
    return gettext("%(date)s, %(time)s %(zone)s", date=date, time=time, zone=zone)


def _find_local_formats() -> ModuleType | None:
    """Return the formats of the present language; None for English, which has those here."""
    if current_language() == DEFAULT_LANGUAGE:
        return None
    from provider.texts import local_formats

    return local_formats


def _zone_name(local: datetime, timezone: str | None) -> str:
    # Abbreviations such as IST or CST are ambiguous; the name of a city is not.
    area, _, city = (timezone or "").rpartition("/")
    if not area or area == "Etc" or local.tzinfo is UTC:
        name = local.tzname() or "UTC"
    else:
        name = gettext("%(city)s time", city=_city_name(city, timezone))
    return f"{name} ({_repetition_name(local)})" if _is_in_repeated_hour(local) else name


def _city_name(city: str, timezone: str | None) -> str:
    if formats := _find_local_formats():
        return str(formats.city_name(timezone))
    return city.replace("_", " ")


def _is_in_repeated_hour(local: datetime) -> bool:
    # A local time that comes from UTC is never one that the zone skips, so two offsets mean that
    # the clock shows this time twice.
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def _repetition_name(local: datetime) -> str:
    """Return which of the two equal times is meant: `summer time, UTC+2`."""
    first, second = local.replace(fold=0), local.replace(fold=1)
    if first.dst() == second.dst():  # the zone changed its offset for good
        return _utc_offset(local)
    # `dst()` does not say which one is summer time: in Ireland it is negative in winter.
    if local.utcoffset() == max(first.utcoffset() or ZERO, second.utcoffset() or ZERO):
        return gettext("summer time, %(offset)s", offset=_utc_offset(local))
    return gettext("winter time, %(offset)s", offset=_utc_offset(local))


def _utc_offset(local: datetime) -> str:
    """Return the offset in hours, and in minutes where it has them: `UTC+2`, `UTC−3:30`."""
    minutes = int((local.utcoffset() or ZERO).total_seconds()) // SECONDS_PER_MINUTE
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'−' if minutes < 0 else '+'}{hours}{f':{rest:02}' if rest else ''}"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: `1 hour 20 minutes`."""
    rest, parts = round(max(0, seconds)), []
    for size in _UNITS:
        count, rest = divmod(rest, size)
        parts.append(_format_count(size, count) if count else "")
    largest = next((index for index, part in enumerate(parts) if part), None)
    if largest is None:
        return _format_count(1, 0)
    larger, smaller = (*parts[largest:], "")[:2]
    if not smaller:
        return larger
    return gettext("%(larger)s %(smaller)s", larger=larger, smaller=smaller)


def _format_count(unit_seconds: int, count: int) -> str:
    if unit_seconds == SECONDS_PER_DAY:
        return ngettext("%(num)d day", "%(num)d days", count)
    if unit_seconds == SECONDS_PER_HOUR:
        return ngettext("%(num)d hour", "%(num)d hours", count)
    if unit_seconds == SECONDS_PER_MINUTE:
        return ngettext("%(num)d minute", "%(num)d minutes", count)
    return ngettext("%(num)d second", "%(num)d seconds", count)


def format_from_now(moment: datetime, now: datetime) -> str:
    """Return how far a moment is from now, in whole units, rounded down: `in 3 days`.

    Below two days the unit is hours: a deadline in 47 hours is nearer than "in 1 day" sounds.
    """
    seconds = (moment - now).total_seconds()
    if abs(seconds) < SECONDS_PER_MINUTE:
        return gettext("now")
    if abs(seconds) >= 2 * SECONDS_PER_DAY:
        size = SECONDS_PER_DAY
    elif abs(seconds) >= SECONDS_PER_HOUR:
        size = SECONDS_PER_HOUR
    else:
        size = SECONDS_PER_MINUTE
    duration = _format_count(size, int(abs(seconds)) // size)
    if seconds < 0:
        return gettext("%(duration)s ago", duration=duration)
    return gettext("in %(duration)s", duration=duration)


def format_time_left(seconds: float) -> str:
    """Return the time left, rounded down to minutes: `12 minutes left`."""
    if seconds <= 0:
        return gettext("Time is up")
    if seconds < SECONDS_PER_MINUTE:
        return gettext("Less than a minute left")
    duration = format_duration(seconds - seconds % SECONDS_PER_MINUTE)
    return gettext("%(duration)s left", duration=duration)


def cut_at_word(text: str, max_length: int) -> str:
    """Return text on one line of at most `max_length` characters, cut after a whole word.

    A cut text ends with an ellipsis. A word that is longer than the line is cut within.
    """
    line = " ".join(text.split())
    if len(line) <= max_length:
        return line
    start, space, _rest = line[:max_length].rpartition(" ")
    # A first word that fills half the line is cut rather than lost.
    cut = start if space and len(start) * 2 >= max_length else line[: max_length - 1]
    return cut.rstrip(" ,;:.–-") + "…"


def format_percent(value: float) -> str:
    """Return a percentage with at most one decimal: `82%`, `66.7%`."""
    text = f"{value:.1f}".removesuffix(".0")
    if formats := _find_local_formats():
        return str(formats.format_percent(Decimal(text) / 100))
    return text + "%"


def format_number(value: float) -> str:
    """Return a number with the decimal point of the present language."""
    formats = _find_local_formats()
    return str(formats.format_number(value) if formats else value)


TEMPLATE_FILTERS: dict[str, Callable[..., str]] = {
    "when": format_datetime,
    "brief": format_short_datetime,
    "day": format_date,
    "duration": format_duration,
    "until": format_time_left,
    "percent": format_percent,
}
