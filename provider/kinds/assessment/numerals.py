"""Numbers as candidates write them: 1,234.5 and 1234,5 and 1e3, exactly, in any country's way."""

import re
from decimal import Decimal

from provider.errors import Invalid

MOST = 40  # characters that a written number may have
_MOST_POWER = 20  # beyond this a slip of the finger is likelier than an answer
_SIGNS = str.maketrans(dict.fromkeys("−‐‑‒–﹣－", "-") | {"٫": "."})
_GAPS = re.compile(r"[\s'’]+")
_NUMBER = re.compile(r"([-+]?)(\d[\d.,]*|[.,]\d+)(?:[eE]([-+]?\d{1,3}))?")
_ADVICE = "Write a number only, for example 12.5"


def read_number(text: str) -> Decimal:
    """Return the number that `text` means; raise Invalid with advice for the candidate.

    The last of two different marks is the decimal one; a mark that repeats parts thousands. A
    single comma followed by exactly three digits (1,234) parts thousands, a single point never.
    """
    if len(text) > MOST:
        raise Invalid(f"This number is too long. Write at most {MOST} characters")
    match = _NUMBER.fullmatch(_GAPS.sub("", text.translate(_SIGNS)))
    if match is None:
        raise Invalid(_ADVICE)
    sign, figures, power = match.groups()
    number = Decimal(f"{sign}{_plain(figures)}e{power or 0}")
    if abs(number.adjusted()) > _MOST_POWER:
        raise Invalid("This number is too large or too small. Check it, please")
    return abs(number) if number == 0 else number


def write_number(number: Decimal) -> str:
    """Return the number in plain digits with a point, without idle zeros."""
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _plain(figures: str) -> str:
    marks = [mark for mark in figures if mark in ".,"]
    if not marks:
        return figures
    decimal = marks[-1] if _is_decimal(marks, figures) else ""
    whole, _, part = figures.rpartition(decimal) if decimal else (figures, "", "")
    return f"{_joined(whole)}.{part or '0'}"


def _is_decimal(marks: list[str], figures: str) -> bool:
    if len(set(marks)) == 2:
        return marks.count(marks[-1]) == 1
    return len(marks) == 1 and not re.fullmatch(r"[1-9]\d{0,2},\d{3}", figures)


def _joined(whole: str) -> str:
    groups = re.split("[.,]", whole)
    thousands = len(groups) > 1
    if thousands and not (0 < len(groups[0]) <= 3 and all(len(each) == 3 for each in groups[1:])):
        raise Invalid(_ADVICE)
    return "".join(groups) or "0"
