"""A table as text: a line for each row, with a bar between the cells, `Year | km`.

Rows that are copied from a spreadsheet have tabs between their cells, and are read as well. A bar
within a cell is written as `\\|`.
"""

import re
from typing import Any

SEPARATOR = " | "
_BAR = re.compile(r"(?<!\\)\|")


def is_table(raw: list[Any]) -> bool:
    """Tell whether a value is a list of rows whose cells are texts of one line or numbers."""
    return all(isinstance(row, list) and row and all(map(_is_cell, row)) for row in raw)


def format_row(row: list[Any]) -> str:
    """Return the line of a row. A row of one empty cell is a bar, or it would be no row."""
    return SEPARATOR.join(map(_format_cell, row)) or "|"


def parse(text: str, raw: Any) -> list[list[Any]]:
    """Return the rows that a text has. A cell that is as in `raw` stays what it is there."""
    rows = [_split(line) for line in text.split("\n") if line.strip()]
    before = raw if isinstance(raw, list) else []
    return [
        [_keep_number(cell, before, row_index, index) for index, cell in enumerate(row)]
        for row_index, row in enumerate(rows)
    ]


def _split(line: str) -> list[str]:
    if "\t" in line:
        return [cell.strip() for cell in line.split("\t")]
    if line.strip() == "|":
        return [""]
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(line)]


def _keep_number(cell: str, before: list[Any], row_index: int, index: int) -> Any:
    row = before[row_index] if row_index < len(before) else []
    present = row[index] if isinstance(row, list) and index < len(row) else cell
    return present if _is_cell(present) and str(present).strip() == cell else cell


def _format_cell(cell: Any) -> str:
    return str(cell).strip().replace("|", "\\|")


def _is_cell(cell: Any) -> bool:
    if isinstance(cell, str):
        return not re.search(r"[\n\r\t]", cell)
    return isinstance(cell, int | float) and not isinstance(cell, bool)
