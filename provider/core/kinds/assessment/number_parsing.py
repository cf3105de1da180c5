"""Numbers as candidates write them in different countries: 1,234.5 and 1234,5 and 1e3."""

import re
from decimal import Decimal

from provider.errors import Invalid
from provider.texts import gettext_noop

MAX_NUMBER_LENGTH = 40  # characters
_MAX_EXPONENT = 20  # a larger one is more likely a typing error than an answer
_CHARACTER_TRANSLATION = str.maketrans(dict.fromkeys("−‐‑‒–﹣－", "-") | {"٫": "."})
_SPACES = re.compile(r"[\s'’]+")
_NUMBER = re.compile(r"([-+]?)(\d[\d.,]*|[.,]\d+)(?:[eE]([-+]?\d{1,3}))?")
_ADVICE = gettext_noop("Write a number only, for example 12.5")


def parse_number(text: str) -> Decimal:
    """Return the number that `text` means. Raises Invalid with advice for the candidate.

    Of two different separators, the last one is the decimal separator. A separator that repeats
    separates thousands. A single comma before exactly three digits (1,234) separates thousands; a
    single point never does.
    """
    if len(text) > MAX_NUMBER_LENGTH:
        raise Invalid(
            "This number is too long. Write at most %(maximum)d characters",
            maximum=MAX_NUMBER_LENGTH,
        )
    match = _NUMBER.fullmatch(_SPACES.sub("", text.translate(_CHARACTER_TRANSLATION)))
    if match is None:
        raise Invalid(_ADVICE)
    sign, digits, exponent = match.groups()
    number = Decimal(f"{sign}{_to_decimal_text(digits)}e{exponent or 0}")
    if abs(number.adjusted()) > _MAX_EXPONENT:
        raise Invalid("This number is too large or too small. Check it, please")
    return abs(number) if number == 0 else number


def format_number(number: Decimal) -> str:
    """Return the number without an exponent and without trailing zeros after the point."""
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _to_decimal_text(digits: str) -> str:
    separators = [character for character in digits if character in ".,"]
    if not separators:
        return digits
    whole, fraction = digits, ""
    if _has_decimal_separator(separators, digits):
        whole, _, fraction = digits.rpartition(separators[-1])
    return f"{_join_groups(whole)}.{fraction or '0'}"


def _has_decimal_separator(separators: list[str], digits: str) -> bool:
    if len(set(separators)) == 2:
        return separators.count(separators[-1]) == 1
    return len(separators) == 1 and not re.fullmatch(r"[1-9]\d{0,2},\d{3}", digits)


def _join_groups(whole: str) -> str:
    first, *others = re.split("[.,]", whole)
    if others and not (0 < len(first) <= 3 and all(len(group) == 3 for group in others)):
        raise Invalid(_ADVICE)
    return "".join([first, *others]) or "0"
