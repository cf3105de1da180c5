"""The value of a candidate's detail: rows of parts, stored as JSON text.

A detail with one row is stored as an object, one with several as a list. An empty list says that
there is none, such as no former names. A text that is neither is from before details had parts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provider.core.kinds.check.packages.detail_parts import Row, to_lines


@dataclass(frozen=True)
class DetailValue:
    """The rows of a detail; `text` is an older value without parts."""

    rows: tuple[Row, ...] = ()
    is_none: bool = False
    text: str = ""

    @classmethod
    def from_data(cls, data: Any) -> "DetailValue":
        """Return the value of an object, a list of objects, or a text."""
        if isinstance(data, DetailValue):
            return data
        if isinstance(data, Mapping):
            return cls(rows=(_clean_row(data),))
        if isinstance(data, Sequence) and not isinstance(data, str):
            return cls(rows=tuple(map(_clean_row, data)), is_none=not data)
        return cls(text=to_lines(str(data)))

    @classmethod
    def from_text(cls, stored: str) -> "DetailValue":
        try:
            data = json.loads(stored)
        except ValueError:
            return cls(text=stored)
        is_rows = isinstance(data, list) and all(isinstance(row, dict) for row in data)
        return cls.from_data(data) if is_rows or isinstance(data, dict) else cls(text=stored)

    def to_text(self, *, has_rows: bool) -> str:
        """Return the JSON text to store; `has_rows` says that the detail may have several rows."""
        if self.text:
            return self.text
        data: Any = list(self.rows) if has_rows else dict(self.rows[0] if self.rows else {})
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed, not even that there is none."""
        return not self.text and not self.is_none and not any(map(any, self._values()))

    def without_empty_rows(self) -> "DetailValue":
        rows = tuple(row for row in self.rows if any(row.values()))
        return DetailValue(rows, self.is_none, self.text)

    def _values(self) -> list[list[str]]:
        return [list(row.values()) for row in self.rows]


def _clean_row(row: Mapping[Any, Any]) -> Row:
    return {str(key): str(value) for key, value in row.items() if value}
