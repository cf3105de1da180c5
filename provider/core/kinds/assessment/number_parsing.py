"""Numbers as candidates write them: 1,234.5 and 1234,5 and 1e3, exactly, in any country's way."""

import re
from decimal import Decimal

from provider.errors import Invalid

MAX_NUMBER_LENGTH = 40  # characters that a written number may have
_MAX_EXPONENT = 20  # beyond this a slip of the finger is likelier than an answer
_CHARACTER_TRANSLATION = str.maketrans(dict.fromkeys("−‐‑‒–﹣－", "-") | {"٫": "."})
_SPACES = re.compile(r"[\s'’]+")
_NUMBER = re.compile(r"([-+]?)(\d[\d.,]*|[.,]\d+)(?:[eE]([-+]?\d{1,3}))?")
_ADVICE = "Write a number only, for example 12.5"


def parse_number(text: str) -> Decimal:
    """Return the number that `text` means; raise Invalid with advice for the candidate.

    The last of two different marks is the decimal one; a mark that repeats parts thousands. A
    single comma followed by exactly three digits (1,234) parts thousands, a single point never.
    """
    if len(text) > MAX_NUMBER_LENGTH:
        raise Invalid(f"This number is too long. Write at most {MAX_NUMBER_LENGTH} characters")
    match = _NUMBER.fullmatch(_SPACES.sub("", text.translate(_CHARACTER_TRANSLATION)))
    if match is None:
        raise Invalid(_ADVICE)
    sign, figures, power = match.groups()
    number = Decimal(f"{sign}{_to_decimal_text(figures)}e{power or 0}")
    if abs(number.adjusted()) > _MAX_EXPONENT:
        raise Invalid("This number is too large or too small. Check it, please")
    return abs(number) if number == 0 else number


def format_number(number: Decimal) -> str:
    """Return the number in plain digits with a point, without idle zeros."""
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _to_decimal_text(figures: str) -> str:
    marks = [mark for mark in figures if mark in ".,"]
    if not marks:
        return figures
    decimal = marks[-1] if _has_decimal_mark(marks, figures) else ""
    whole, _, part = figures.rpartition(decimal) if decimal else (figures, "", "")
    return f"{_join_groups(whole)}.{part or '0'}"


def _has_decimal_mark(marks: list[str], figures: str) -> bool:
    if len(set(marks)) == 2:
        return marks.count(marks[-1]) == 1
    return len(marks) == 1 and not re.fullmatch(r"[1-9]\d{0,2},\d{3}", figures)


def _join_groups(whole: str) -> str:
    groups = re.split("[.,]", whole)
    thousands = len(groups) > 1
    if thousands and not (0 < len(groups[0]) <= 3 and all(len(each) == 3 for each in groups[1:])):
        raise Invalid(_ADVICE)
    return "".join(groups) or "0"
