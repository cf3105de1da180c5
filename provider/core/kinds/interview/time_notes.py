"""The times of the notes that reviewers make at a time of a recording."""

import re

from provider.errors import Invalid

MAX_TEXT_LENGTH = 1000  # characters
MAX_SECONDS = 24 * 3600
TIME_PATTERN = re.compile(r"(?:(?:(\d{1,2}):)?(\d{1,3}):)?(\d{1,5})(?:[.,](\d{1,3}))?", re.ASCII)


def format_time(seconds: float) -> str:
    """Return a time of a recording as players show it: `1:05`, or `1:00:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def parse_time(text: str, length: float | None) -> float:
    """Return the seconds of `1:05`, `65` or `1:00:05.5`. Raises Invalid after the end."""
    match = TIME_PATTERN.fullmatch(text.strip())
    if not match:
        raise Invalid("Give the time as minutes and seconds, such as 1:05")
    hours, minutes, seconds, fraction = (match[number] or "0" for number in range(1, 5))
    total = int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction}")
    if total > (MAX_SECONDS if length is None else length + 1):
        raise Invalid("Give a time before the end of the recording")
    return total
