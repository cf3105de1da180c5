"""Characters that look like plain ones, or like nothing, and are in the way of a file's reader."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_CONTROL_NAMES = {"\t": "TAB", "\x00": "NULL", "\x1b": "ESCAPE", "\ufeff": "BYTE ORDER MARK"}
# Spaces that are no plain space, and characters that show nothing.
_SPACES_AND_INVISIBLE = re.compile(
    "[\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
)
# Where YAML would need a plain quote or colon, at the beginning of a name or of a value.
_QUOTE_AT_BEGINNING = re.compile(r"(?:^|[:\-{\[,])\s*([“”„‟«»‘’‚])")
_WIDE_COLON = re.compile("：")


def name_character(character: str) -> str:
    """Return `U+00A0 NO-BREAK SPACE`, with the character before it where it can be seen."""
    name = _CONTROL_NAMES.get(character) or unicodedata.name(character, "control character")
    code = f"U+{ord(character):04X} {name}"
    is_visible = character.isprintable() and not _SPACES_AND_INVISIBLE.match(character)
    return f"{character} ({code})" if is_visible else code


def describe_odd_character(line: str) -> str:
    """Return the name and column of the character that is in the way; empty without one."""
    tab = re.match(r"[ ]*(\t)", line)
    match = tab or _SPACES_AND_INVISIBLE.search(line) or _QUOTE_AT_BEGINNING.search(line)
    match = match or _WIDE_COLON.search(line)
    if match is None:
        return ""
    position = match.start(match.lastindex or 0)
    return f"{name_character(line[position])} at column {position + 1}"


def find_odd_character(lines: Sequence[str], numbers: Iterable[int]) -> str:
    """Return `line 3 holds …` for the first of these lines, counted from 1; empty without one."""
    for number in numbers:
        odd = describe_odd_character(lines[number - 1]) if 0 < number <= len(lines) else ""
        if odd:
            return f"line {number} holds {odd}"
    return ""
