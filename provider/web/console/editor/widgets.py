"""The widget of each field of a schema: what it shows of a document, and what a form means.

A value that the author leaves as it was shown stays in the document as it was written there, so
saving a form without a change never changes the document.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marshmallow import Schema, fields
from marshmallow import missing as MISSING  # noqa: N812 - as in its documentation
from werkzeug.datastructures import MultiDict

from provider.core.products.files import FileName
from provider.core.products.line_fields import LineField, LinesField, parse_number
from provider.core.products.schema_fields import (
    Choice,
    Flag,
    Integer,
    ListOf,
    Number,
    PartChoice,
    SchemaChoice,
    StrictField,
    Text,
)
from provider.web.console.editor import table_rows

# One line, several lines, a number, a check box, a menu of yes and no, a menu, check boxes, a line
# for each value, lines that the field reads itself, the rows of a table, a file, the fields of a
# mapping, rows of fields, rows of several kinds, entries with pages of their own, and JSON for
# everything else.
(
    LINE,
    TEXT,
    NUMBER,
    FLAG,
    YES_NO,
    CHOICE,
    CHOICES,
    LINES,
    OWN_LINES,
    TABLE,
    FILE,
    GROUP,
    ROWS,
    PARTS,
    PAGES,
    OTHER,
) = (
    "line",
    "text",
    "number",
    "flag",
    "yes_no",
    "choice",
    "choices",
    "lines",
    "own_lines",
    "table",
    "file",
    "group",
    "rows",
    "parts",
    "pages",
    "other",
)
_YES, _NO = "true", "false"


def choose_widget(field: fields.Field[Any], raw: Any, *, is_root: bool = False) -> str:
    """Return the widget of a field; OTHER where the document has a value of another type."""
    widget = _widget_of(field, is_root=is_root)
    if raw is MISSING or raw is None or _fits(widget, raw, field):
        return widget
    return OTHER


def inner_schema(field: fields.Field[Any], raw: Any) -> Schema | None:
    """Return the schema of a mapping; None for an entry whose kind is unknown."""
    if isinstance(field, fields.Nested):
        return field.schema if isinstance(field.schema, Schema) else None
    if isinstance(field, SchemaChoice) and isinstance(raw, dict):
        return field.schemas.get(raw.get("kind", ""))
    if isinstance(field, PartChoice):
        return field.schemas.get(field.find_kind(raw))
    return None


def default_of(field: fields.Field[Any], parent_default: Any = MISSING) -> Any:
    """Return what a field counts as when the document leaves it out, as a document would say it.

    `parent_default` is the loaded default of the mapping around the field.
    """
    name = field.attribute or field.name or ""
    if (
        parent_default is not MISSING
        and parent_default is not None
        and hasattr(parent_default, name)
    ):
        value = getattr(parent_default, name)
    else:
        value = field.load_default
    inner = getattr(field, "inner", None)
    if isinstance(inner, Choice) and isinstance(value, frozenset | set | tuple):
        return [choice for choice in inner.choices if choice in value]
    return value


def show(
    widget: str, raw: Any, default: Any = MISSING, field: fields.Field[Any] | None = None
) -> Any:
    """Return what the widget shows: a text, a truth value, or the list of the chosen values."""
    value = default if raw is MISSING else raw
    value = None if value is MISSING else value
    if widget == FLAG:
        return bool(value)
    if widget == CHOICES:
        return list(value or [])
    if widget == LINES:
        return "\n".join(map(_number_text, value or []))
    if widget == OWN_LINES:
        return "\n".join(_format_lines(field, value) or []) if value else ""
    if widget == TABLE:
        return "\n".join(map(table_rows.format_row, value or []))
    if widget == YES_NO:
        return "" if value is None else _YES if value else _NO
    if widget == OTHER:
        return "" if value is None else json.dumps(value, ensure_ascii=False, indent=1)
    return "" if value is None else _number_text(value)


def read(
    field: fields.Field[Any],
    widget: str,
    form: MultiDict[str, str],
    name: str,
    raw: Any,
    default: Any = MISSING,
) -> Any:
    """Return the value that a form means; MISSING if the document should leave it out."""
    shown = show(widget, raw, default, field)
    if widget == FLAG:
        return raw if (name in form) == shown else name in form
    if widget == CHOICES:
        chosen = form.getlist(name)
        return raw if set(chosen) == set(shown) else chosen
    if name not in form:
        return raw
    text = _clean(form[name])
    if text == _clean(shown):
        return raw
    if widget == TABLE:
        return table_rows.parse(text, raw)
    if widget == OWN_LINES and text:
        return _parse_lines(field, [line.strip() for line in text.split("\n") if line.strip()])
    return _parse(field, widget, text)


def _parse(field: fields.Field[Any], widget: str, text: str) -> Any:
    if not text:
        # Nothing means null where the field has that value beside its default.
        is_null = field.allow_none and field.load_default not in (None, MISSING)
        return None if is_null else MISSING
    if widget == NUMBER:
        return parse_number(text)
    if widget == YES_NO:
        return text == _YES
    if widget == LINES:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        inner = getattr(field, "inner", None)
        return [parse_number(line) for line in lines] if isinstance(inner, Number) else lines
    if widget == OTHER:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _widget_of(field: fields.Field[Any], *, is_root: bool) -> str:
    if isinstance(field, Flag):
        return FLAG if isinstance(field.load_default, bool) else YES_NO
    if isinstance(field, Choice):
        return CHOICE
    if isinstance(field, Number | Integer):
        return NUMBER
    if isinstance(field, Text):
        return TEXT if field.multiline else LINE
    if isinstance(field, ListOf):
        return _widget_of_list(field.inner, is_root=is_root)
    if isinstance(field, fields.Nested):
        return GROUP
    if isinstance(field, FileName):
        return FILE
    if isinstance(field, LinesField):
        return OWN_LINES
    return LINE if isinstance(field, StrictField) else OTHER


def _widget_of_list(inner: fields.Field[Any], *, is_root: bool) -> str:
    if isinstance(inner, Choice):
        return CHOICES
    if isinstance(inner, SchemaChoice) or (isinstance(inner, fields.Nested) and is_root):
        return PAGES
    if isinstance(inner, fields.Nested):
        return ROWS
    if isinstance(inner, PartChoice):
        return PARTS
    if isinstance(inner, LineField):
        return OWN_LINES
    if isinstance(inner, ListOf) and isinstance(inner.inner, StrictField):
        return TABLE
    is_line = isinstance(inner, StrictField) and not getattr(inner, "multiline", False)
    return LINES if is_line else OTHER


def _format_lines(field: fields.Field[Any] | None, raw: Any) -> list[str] | None:
    """Return the lines of a value; None for one that its field cannot write in lines."""
    if isinstance(field, LinesField):
        return field.format_lines(raw)
    inner = getattr(field, "inner", None)
    if not isinstance(inner, LineField) or not isinstance(raw, list):
        return None
    lines = [line for entry in raw if (line := inner.format_line(entry)) is not None]
    return lines if len(lines) == len(raw) else None


def _parse_lines(field: fields.Field[Any], lines: list[str]) -> Any:
    if isinstance(field, LinesField):
        return field.parse_lines(lines)
    inner = getattr(field, "inner", None)
    return [inner.parse_line(line) for line in lines] if isinstance(inner, LineField) else lines


def _fits(widget: str, raw: Any, field: fields.Field[Any]) -> bool:
    if widget in (LINE, TEXT, CHOICE, FILE):
        return isinstance(raw, str)
    if widget == NUMBER:
        return isinstance(raw, int | float | str) and not isinstance(raw, bool)
    if widget in (FLAG, YES_NO):
        return isinstance(raw, bool)
    if widget == GROUP:
        return isinstance(raw, Mapping)
    if widget == OWN_LINES:
        return _format_lines(field, raw) is not None
    if not isinstance(raw, list):
        return False
    if widget in (ROWS, PAGES):
        return all(isinstance(entry, dict) for entry in raw)
    if widget == PARTS:
        return all(getattr(field, "inner").find_kind(entry) for entry in raw)  # noqa: B009
    if widget == TABLE:
        return table_rows.is_table(raw)
    return all(isinstance(value, str) and value.strip() and "\n" not in value for value in raw)


def _number_text(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _clean(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
