"""Numbers as candidates write them in different countries and scripts.

`docs/product-documents.md` states what is read. Of two different separators, the last one is the
decimal separator. A separator that repeats separates thousands. A single comma or point between
one to three digits and exactly three (1,234 or 1.234) can be read two ways: the comma separates
thousands, the point is the decimal point, and `alternative` is the other reading.
"""

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

from provider.core.kinds.assessment.text_folding import remove_invisible
from provider.errors import Invalid
from provider.texts import gettext_noop

MAX_NUMBER_LENGTH = 40  # characters
_MAX_EXPONENT = 20  # a larger one is more likely a typing error than an answer
# A Japanese keyboard types `ー`, `。` and `、` where its keys show `-`, `.` and `,`.
_CHARACTER_TRANSLATION = str.maketrans(
    dict.fromkeys("−‐‑‒–—―⁃﹣－", "-")
    | dict.fromkeys("＋﹢", "+")
    | dict.fromkeys("٫．·。\uff61", ".")
    | dict.fromkeys("，،﹐、\uff64", ",")
    | dict.fromkeys("’‘ʼ′＇٬˙", "'")
    | {"٪": "%"}
)
# The same `ー` after katakana is a part of a word, such as the unit メートル.
_JAPANESE_MINUS = re.compile("(?<![\u30a1-\u30fa\uff66-\uff9d])[ー\uff70]")
# Each group of digits after the first has three digits, or in India two and at last three.
_APOSTROPHE_OR_SPACE_GROUPS = re.compile(r"\d{1,3}([' ]\d{3})+|\d{1,2}([' ]\d{2})+[' ]\d{3}")
_COMMA_OR_POINT_GROUPS = re.compile(r"\d{1,3}([.,]\d{3})+|\d{1,2}(,\d{2})+,\d{3}")
_FRACTION_GROUPS = re.compile(r"\d*|\d{3}( \d{3})* \d{1,3}")
_TWO_READINGS = re.compile(r"([1-9]\d{0,2})[.,](\d{3})")
# The sign may stand before a currency sign: -€5.
_NUMBER_WITH_UNIT = re.compile(
    r"(?P<sign>[-+]?) ?(?P<before>[^\d.,'+-]*?) ?(?P<inner_sign>[-+]?) ?"
    r"(?P<digits>\d[\d.,' ]*|[.,]\d[\d ]*)(?P<exponent>(?<! )[eE][-+]?\d{1,3})?"
    r"(?P<after>(?![\d]).*)"
)
_ADVICE = gettext_noop("Write a number only, for example 12.5")
_UNIT_ADVICE = gettext_noop("Write a number only, for example 12.5, or one with the unit %(unit)s")
_OTHER_UNIT = gettext_noop("“%(typed)s” is not asked for here. Write the number alone")
_OTHER_UNIT_THAN = gettext_noop(
    "“%(typed)s” is not the unit of this question. Write the number in %(unit)s"
)


@dataclass(frozen=True)
class ParsedNumber:
    """A number that a candidate typed.

    `alternative` is the other number that the text can mean; None for a text with one meaning.
    """

    number: Decimal
    alternative: Decimal | None = None


def parse_number(text: str, unit: str = "") -> ParsedNumber:
    """Return the number that `text` means, with or without the item's own unit.

    Raises Invalid with advice for the candidate.
    """
    plain_text = _to_plain_characters(text)
    if len(plain_text) > MAX_NUMBER_LENGTH + len(unit):
        raise Invalid(
            "This number is too long. Write at most %(maximum)d characters",
            maximum=MAX_NUMBER_LENGTH,
        )
    advice = Invalid(_UNIT_ADVICE, unit=unit) if unit else Invalid(_ADVICE)
    match = _NUMBER_WITH_UNIT.fullmatch(_without_unit(plain_text, unit))
    if match is None or (match["sign"] and match["inner_sign"]):
        raise advice
    for typed_unit in (match["before"].strip(), match["after"].strip()):
        _require_own_unit(typed_unit, unit, advice)
    digits = match["digits"].strip()
    digits_and_separators = _decimal_text(digits)
    if digits_and_separators is None:
        raise advice
    frame = f"{match['sign']}{match['inner_sign']}{{}}{match['exponent'] or ''}"
    number = _to_number(frame.format(digits_and_separators))
    readings = _TWO_READINGS.fullmatch(digits)
    if readings is None:
        return ParsedNumber(number)
    other_separator = "." if "," in digits else ""
    return ParsedNumber(number, _to_number(frame.format(other_separator.join(readings.groups()))))


def format_number(number: Decimal) -> str:
    """Return the number without an exponent and without trailing zeros after the point."""
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _to_plain_characters(text: str) -> str:
    """Return the text with ASCII digits, signs and separators, and with single spaces."""
    visible = remove_invisible(text)
    translated = _JAPANESE_MINUS.sub("-", visible).translate(_CHARACTER_TRANSLATION)
    return " ".join("".join(map(_to_ascii_digit, translated)).split())


def _to_ascii_digit(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)


def _without_unit(plain_text: str, unit: str) -> str:
    # A unit such as 1/min or Rs. holds characters of a number. The pattern would split it.
    plain_unit = _to_plain_characters(unit)
    if re.search(r"[\d.,'+-]", plain_unit):
        return plain_text.removesuffix(plain_unit).removeprefix(plain_unit).strip()
    return plain_text


def _require_own_unit(typed_unit: str, unit: str, advice: Invalid) -> None:
    if not typed_unit or (unit and _fold_unit(typed_unit) == _fold_unit(unit)):
        return
    if re.search(r"[\d.,'+]", typed_unit) or not re.search(r"[^\W_]|[%°\"$€£¥]", typed_unit):
        raise advice
    if unit:
        raise Invalid(_OTHER_UNIT_THAN, typed=typed_unit, unit=unit)
    raise Invalid(_OTHER_UNIT, typed=typed_unit)


def _fold_unit(unit: str) -> str:
    # A unit has no second meaning as a number, so m2, m^2 and m² are one. mW and MW are two.
    folded = unicodedata.normalize("NFKC", _to_plain_characters(unit))
    return re.sub(r"[\s^]", "", folded)


def _decimal_text(digits: str) -> str | None:
    """Return the digits with at most a decimal point; None for wrong groups."""
    separators = [character for character in digits if character in ".,"]
    whole, fraction = digits, ""
    if separators and _has_decimal_separator(separators, digits):
        whole, _, fraction = digits.rpartition(separators[-1])
    if not _FRACTION_GROUPS.fullmatch(fraction) or not _are_whole_digits(whole):
        return None
    return re.sub("[.,' ]", "", whole or "0") + "." + (fraction.replace(" ", "") or "0")


def _has_decimal_separator(separators: list[str], digits: str) -> bool:
    if len(set(separators)) == 2:
        return separators.count(separators[-1]) == 1
    is_group = _TWO_READINGS.fullmatch(digits) is not None and separators == [","]
    return len(separators) == 1 and not is_group


def _are_whole_digits(whole: str) -> bool:
    if whole.isdigit() or not whole:
        return True
    separators = {character for character in whole if not character.isdigit()}
    groups = _COMMA_OR_POINT_GROUPS if separators & {".", ","} else _APOSTROPHE_OR_SPACE_GROUPS
    return len(separators) == 1 and groups.fullmatch(whole) is not None


def _to_number(text: str) -> Decimal:
    number = Decimal(text)
    if abs(number.adjusted()) > _MAX_EXPONENT:
        raise Invalid("This number is too large or too small. Check it, please")
    return abs(number) if number == 0 else number
