"""CSV files that stream, and in which no spreadsheet finds a formula."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from flask import Response, stream_with_context

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
BYTE_ORDER_MARK = "\ufeff"  # without it, Excel reads a file as Windows-1252


def csv_response(
    file_name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> Response:
    """Return a download; `rows` are read while the file is sent."""
    lines = stream_with_context(_lines(columns, rows))
    response = Response(lines, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=file_name)
    return response


def safe_cell(value: object) -> str:
    """Return a cell's text. One that a spreadsheet would run as a formula gets an apostrophe."""
    if isinstance(value, int | float):
        return str(value)
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    buffer = io.StringIO(BYTE_ORDER_MARK)
    buffer.seek(len(BYTE_ORDER_MARK))
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([safe_cell(value) for value in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()
