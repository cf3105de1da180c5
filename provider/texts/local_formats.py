"""The formats of the present language for dates, numbers and cities, by Babel.

English has its own formats in `provider.core.formats`. Importing Babel's takes 40 ms, so a command
does without this module.
"""

from datetime import date
from decimal import Decimal

from babel import dates, numbers

from provider.texts import current_language


def format_date(day: date) -> str:
    return str(dates.format_date(day, "long", locale=_locale()))


def format_percent(share: Decimal) -> str:
    """Return a share as a percentage with all its digits; 1 is 100 %."""
    return str(numbers.format_percent(share, locale=_locale(), decimal_quantization=False))


def format_number(value: float) -> str:
    return str(numbers.format_decimal(value, locale=_locale(), group_separator=False))


def city_name(timezone: str) -> str:
    """Return the city of a time zone's IANA name."""
    return str(dates.get_timezone_location(timezone, locale=_locale(), return_city=True))


def _locale() -> str:
    return current_language().replace("-", "_")
