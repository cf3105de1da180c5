"""The words people read: what each stored value, moment and length of time is called on a page."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

STATUS = {
    "pending": "Waiting",
    "consented": "Consent given",
    "completed": "Completed",
    "declined": "Declined",
    "expired": "Expired",
    "cancelled": "Cancelled",
}
PROGRESS = {
    "invited": "Invited",
    "opened": "Opened",
    "started": "Started",
    "submitted": "Handed in",
}
GRADE = {"failed": "Did not pass", "passed": "Passed", "excelled": "Excelled"}
KIND = {"assessment": "Assessment", "interview": "Interview", "check": "Background check"}
PRODUCT = {"assessment": "Test", "interview": "Interview template", "check": "Package"}
VERSION = {"draft": "Draft", "published": "Published", "archived": "Archived"}
FINDING = {"clear": "Clear", "consider": "To consider"}
DELIVERY = {
    "waiting": "Waiting",
    "delivered": "Delivered",
    "parked": "Parked",
    "superseded": "No longer needed",
}
OUTCOME = {"done": "Arrived", "again": "Try again later", "never": "Refused"}
EVENT = STATUS | {
    "pending": "Waiting for the candidate",
    "placed": "Order placed",
    "invited": "Invitation written",
    "opened": "Invitation opened",
    "started": "Started by the candidate",
    "submitted": "Handed in",
    "consented": "Consent given",
    "completed": "Result ready",
    "declined": "Declined by the candidate",
    "reopened": "Reopened",
    "scored": "Scored",
    "shared": "Link to the report made",
    "viewed": "Report opened",
    "link shown": "Candidate’s link shown",
    "retried": "Sent again by staff",
    "invitation": "Invitation",
    "status": "News of the status",
    "remux": "Recording made watchable",
}
WORDS: Mapping[str, Mapping[str, str]] = {
    "status": STATUS,
    "progress": PROGRESS,
    "grade": GRADE,
    "kind": KIND,
    "product": PRODUCT,
    "version": VERSION,
    "finding": FINDING,
    "delivery": DELIVERY,
    "outcome": OUTCOME,
    "event": EVENT,
}

# Each tone has a shape as well as a colour, so that no meaning rests on colour alone.
_GOOD = {"completed", "passed", "clear", "sent", "done", "delivered", "published"}
_BEST = {"excelled"}
_BAD = {"failed", "parked", "never"}
_WARN = {"consider"}
_INFO = {"consented", "started", "submitted", "opened", "reopened"}
_WAIT = {"pending", "waiting", "invited", "draft", "placed", "again"}
TONES = {"good": _GOOD, "best": _BEST, "bad": _BAD, "warn": _WARN, "info": _INFO, "wait": _WAIT}

MINUTE, HOUR, DAY = 60, 3600, 86400
_UNITS = ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second"))
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def word(family: str, value: str | None) -> str:
    """Return what people call `value` of a family of WORDS; an unknown one without its dashes."""
    if not value:
        return ""
    plain = value.replace("_", " ").replace("-", " ").replace(".", " ").strip()
    return WORDS.get(family, {}).get(value) or plain[:1].upper() + plain[1:]


def tone(value: str | None) -> str:
    """Return how a value feels: good, best, bad, warn, info, wait, or else quiet."""
    return next((name for name, values in TONES.items() if value in values), "quiet")


def zone(name: str | None) -> tzinfo:
    """Return the time zone of an IANA name; UTC, which is always true, where there is none."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def day(moment: datetime, timezone: str | None = "UTC") -> str:
    """Return the date of an aware moment in a zone: `23 November 2026`."""
    local = moment.astimezone(zone(timezone))
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"


def brief(moment: datetime, timezone: str | None = "UTC") -> str:
    """Return an aware moment for a table whose caption names the zone: `23 Nov 2026, 16:05`."""
    local = moment.astimezone(zone(timezone))
    return f"{local.day} {_MONTHS[local.month - 1][:3]} {local.year}, {local:%H:%M}"


def when(moment: datetime, timezone: str | None = "UTC") -> str:
    """Return an aware moment in a zone: `23 November 2026, 16:05 Athens time`."""
    local = moment.astimezone(zone(timezone))
    return f"{day(moment, timezone)}, {local:%H:%M} {_zone_name(local, timezone)}"


def _zone_name(local: datetime, timezone: str | None) -> str:
    # Abbreviations such as IST or CST mean several places; a city means one.
    area, _, city = (timezone or "").rpartition("/")
    if not area or area == "Etc" or local.tzinfo is UTC:
        return local.tzname() or "UTC"
    return f"{city.replace('_', ' ')} time"


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: `1 hour 20 minutes`."""
    rest, parts = round(max(0, seconds)), []
    for size, name in _UNITS:
        count, rest = divmod(rest, size)
        parts.append(f"{count} {name}{'' if count == 1 else 's'}" if count else "")
    first = next((place for place, part in enumerate(parts) if part), None)
    if first is None:
        return "0 seconds"
    return " ".join(part for part in parts[first : first + 2] if part)


def until(seconds: float) -> str:
    """Return how much time is left, never more than there is: `12 minutes left`."""
    if seconds <= 0:
        return "Time is up"
    if seconds < MINUTE:
        return "Less than a minute left"
    return f"{duration(seconds - seconds % MINUTE)} left"


def percent(value: float) -> str:
    """Return a share of a hundred as it is written beside a figure: `82%`, `66.7%`."""
    return f"{value:.1f}".removesuffix(".0") + "%"


FILTERS: dict[str, Callable[..., str]] = {
    "when": when,
    "brief": brief,
    "day": day,
    "duration": duration,
    "until": until,
    "percent": percent,
}
GLOBALS: dict[str, Any] = {"word": word, "tone": tone}
