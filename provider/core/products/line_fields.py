"""Fields of product documents that the editor shows as lines, because they have a short form.

A field reads its own lines, and what it cannot read stays text. So an author sees what was typed,
with the error of the schema beside it.
"""

import re
from decimal import Decimal
from typing import Any

from marshmallow import fields

_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]{1,30}")
_DECIMAL_NUMBER = re.compile(r"[-+]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?")


class LineField(fields.Field[Any]):
    """An entry of a list that is one line."""

    def format_line(self, raw: Any) -> str | None:
        """Return the line of a value of a document; None for a value that is no line."""
        raise NotImplementedError

    def parse_line(self, line: str) -> Any:
        raise NotImplementedError


class LinesField(fields.Field[Any]):
    """A value that is several lines."""

    def format_lines(self, raw: Any) -> list[str] | None:
        """Return the lines of a value of a document; None for a value that has no lines."""
        raise NotImplementedError

    def parse_lines(self, lines: list[str]) -> Any:
        raise NotImplementedError


def parse_number(text: str) -> int | float | str:
    """Return the number that a text is; a text that is none, or has too many digits, stays one."""
    if _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    if _DECIMAL_NUMBER.fullmatch(text):
        number = float(text)
        if Decimal(repr(number)) == Decimal(text):
            return number
    return text
