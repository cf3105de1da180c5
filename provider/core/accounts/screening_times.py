"""The setting `keep_screenings`: how long the data of a screening is stored, by its type.

The account's options have it: seconds after the end of the check, by the name of a type. The types
belong to the kind check, which `require_known_types` gets from its caller.
"""

from collections.abc import Collection, Mapping
from typing import Any

from provider.config import parse_duration
from provider.core.accounts.account import Account
from provider.errors import Invalid

SETTING = "keep_screenings"
NONE = "none"
DURATION_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def screening_times(options: Mapping[str, Any]) -> dict[str, int]:
    """Return the seconds by type."""
    return dict(options.get(SETTING, {}))


def set_screening_times(account: Account, text: str) -> None:
    """Change the setting; Invalid describes a valid value. The types are not looked up here."""
    parts = [] if text.strip() in ("", NONE) else text.split(",")
    times: dict[str, int] = {}
    for part in parts:
        name, equals, duration = (word.strip() for word in part.partition("="))
        if not (name and equals and duration):
            raise Invalid(f"{SETTING} should look like TYPE=180d, TYPE=90d, or none")
        if name in times:
            raise Invalid(f"{SETTING} names “{name}” twice: leave one of them out")
        times[name] = int(parse_duration(duration).total_seconds())
    account.options = account.options | {SETTING: times}


def read_screening_times(account: Account) -> str:
    """Return the text from which `set_screening_times` makes the present value."""
    times = screening_times(account.options)
    return (
        ", ".join(f"{name}={format_duration_text(seconds)}" for name, seconds in times.items())
        or NONE
    )


def require_known_types(account: Account, types: Collection[str]) -> None:
    """Raise Invalid, with the names that exist, for a type that there is not."""
    for name in screening_times(account.options):
        if name not in types:
            known = ", ".join(types)
            raise Invalid(f"{SETTING}: there is no type of screening “{name}”; there are {known}")


def format_duration_text(seconds: int) -> str:
    """Return a time as `parse_duration` reads it, in the largest unit that fits: 90d."""
    unit, unit_seconds = next(unit for unit in DURATION_UNITS if seconds % unit[1] == 0)
    return f"{seconds // unit_seconds}{unit}"
