"""The form of one entry of a document, built from its schema, and the entry that a form means.

The name of an input is its path within the entry: `prompt`, `options.0.text`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema, fields
from marshmallow import missing as MISSING  # noqa: N812 - as in its documentation
from werkzeug.datastructures import MultiDict

from provider.core.products.draft_edits import make_key, unused_key
from provider.core.products.file_pieces import MAX_UPLOAD_BYTES
from provider.core.products.files import EXTENSIONS
from provider.core.products.schema_fields import Choice, Key, ListOf, PartChoice
from provider.errors import Invalid
from provider.web.console.editor import texts, usual_values, widgets
from provider.web.console.editor.widgets import (
    CHOICE,
    CHOICES,
    FILE,
    GROUP,
    OTHER,
    PAGES,
    PARTS,
    ROWS,
    YES_NO,
    choose_widget,
    default_of,
    inner_schema,
)

Errors = Mapping[str, str]
# The fields of a document that no author changes in a form.
FIXED_FIELDS = ("kind", "schema")
MAX_ROW_INDEX = 999
# The fields that an author changes seldom come after those that make the entry.
LATE_FIELDS = (
    *("points", "wrong_points", "partial", "required", "plain", "shuffle"),
    *("tags", "time_limit_seconds"),
)
# The fields that name an entry, in this order.
NAMING_FIELDS = ("title", "name", "text", "prompt", "left")


@dataclass(frozen=True)
class FormField:
    """One input, or a group or rows of inputs. `value` is what `widgets.show` returned."""

    name: str
    label: str
    widget: str
    help: str = ""
    value: Any = ""
    error: str = ""
    is_required: bool = False
    is_key: bool = False
    max_length: int | None = None
    choices: list[tuple[str, str]] = field(default_factory=list)
    fields: list["FormField"] = field(default_factory=list)
    rows: list["FormRow"] = field(default_factory=list)
    noun: str = ""
    accept: str = ""  # the types of a file
    decides_usual: bool = False  # the usual values of other fields depend on this one
    file_field: str = ""  # of a file: picture, audio or video
    max_bytes: int = 0  # of a file

    @property
    def id(self) -> str:
        return "field-" + self.name.replace(".", "-")

    @property
    def has_error(self) -> bool:
        return bool(self.error) or any(inner.has_error for inner in self.fields)


@dataclass(frozen=True)
class FormRow:
    """One of the rows of a list; a spare one is not in the document yet.

    `kind` names what the row is, in a list of several kinds.
    """

    name: str
    fields: list[FormField]
    is_spare: bool
    kind: str = ""


def build_form(
    schema: Schema,
    entry: Mapping[str, Any],
    errors: Errors,
    *,
    is_root: bool = False,
    prefix: str = "",
    default: Any = MISSING,
) -> list[FormField]:
    """Return the fields of an entry. `errors` are by the path within the entry."""
    usual = usual_values.find(schema, entry)
    return [
        _build_field(schema, name, schema_field, entry, errors, prefix, default, widget, usual)
        for name, schema_field, widget in _fields_of(schema, entry, is_root=is_root)
    ]


def read_form(
    schema: Schema,
    entry: Mapping[str, Any],
    form: MultiDict[str, str],
    used_keys: Iterable[str] = (),
    *,
    is_root: bool = False,
    prefix: str = "",
    default: Any = MISSING,
    noun: str = "entry",
) -> dict[str, Any]:
    """Return the entry that a form means. An empty key is made from the entry's text."""
    result, usual = dict(entry), usual_values.find(schema, entry, form, prefix)
    for name, schema_field, widget in _fields_of(schema, entry, is_root=is_root):
        value = _read_field(
            schema_field,
            widget,
            form,
            prefix + name,
            entry.get(name, MISSING),
            usual[name] if name in usual else default_of(schema_field, default),
        )
        if value is MISSING:
            result.pop(name, None)
        else:
            result[name] = value
    if isinstance(schema.fields.get("key"), Key) and "key" not in result and result:
        text = next((result[name] for name in NAMING_FIELDS if result.get(name)), "")
        key = make_key(text if isinstance(text, str) else "", f"{noun}-1")
        result["key"] = unused_key(key, used_keys)
    known = {name: result[name] for name in schema.fields if name in result}
    return known | result


def page_lists(schema: Schema, *, is_root: bool) -> list[tuple[str, ListOf]]:
    """Return the lists of an entry whose own entries have pages, with their names."""
    return [
        (name, schema_field)
        for name, schema_field in schema.fields.items()
        if isinstance(schema_field, ListOf)
        and choose_widget(schema_field, MISSING, is_root=is_root) == PAGES
    ]


def _fields_of(
    schema: Schema, entry: Mapping[str, Any], *, is_root: bool
) -> Iterator[tuple[str, fields.Field[Any], str]]:
    late = {name: rank for rank, name in enumerate(LATE_FIELDS, 1)}
    names = sorted(schema.fields, key=lambda name: late.get(name, 0))
    left_out = (*FIXED_FIELDS, *usual_values.unused_fields(schema, entry))
    for name in names:
        schema_field = schema.fields[name]
        # A kind that is a choice, such as that of a question to referees, is no mark of a schema.
        if name in left_out and not (name == "kind" and isinstance(schema_field, Choice)):
            continue
        widget = choose_widget(schema_field, entry.get(name, MISSING), is_root=is_root)
        if widget != PAGES:
            yield name, schema_field, widget


def _build_field(
    schema: Schema,
    name: str,
    schema_field: fields.Field[Any],
    entry: Mapping[str, Any],
    errors: Errors,
    prefix: str,
    parent_default: Any,
    widget: str,
    usual: Mapping[str, Any],
) -> FormField:
    path, raw = prefix + name, entry.get(name, MISSING)
    default = usual[name] if name in usual else default_of(schema_field, parent_default)
    label, help_text = texts.field_texts(schema, name)
    help_text = " ".join(filter(None, (help_text, usual_values.describe(usual, name))))
    is_key = name == "key" and isinstance(schema_field, Key)
    values: dict[str, Any] = {}
    if widget == GROUP and (inner := inner_schema(schema_field, raw)):
        values["fields"] = build_form(
            inner,
            raw if isinstance(raw, Mapping) else {},
            errors,
            prefix=f"{path}.",
            default=schema_field.load_default if raw is MISSING or raw is None else MISSING,
        )
    elif widget == ROWS and isinstance(schema_field, ListOf):
        values["rows"] = list(_build_rows(schema_field, raw, errors, path))
        values["noun"] = schema_field.plural_noun.removesuffix("s")
    elif widget == PARTS and isinstance(schema_field, ListOf):
        values["rows"] = list(_build_parts(schema_field, raw, errors, path))
        values["choices"] = _addable_parts(schema_field, len(values["rows"]))
    else:
        values["value"] = widgets.show(widget, raw, default, schema_field)
        values["choices"] = list(_choices(schema_field, widget, values["value"]))
    if widget == FILE:
        values["accept"] = ",".join(EXTENSIONS.get(name, ()))
        values["file_field"], values["max_bytes"] = name, MAX_UPLOAD_BYTES.get(name, 0)
    return FormField(
        path,
        label,
        widget,
        help_text + (" Written as JSON." if widget == OTHER else ""),
        error=_find_error(errors, path, widget),
        is_required=schema_field.required and not is_key,
        is_key=is_key,
        decides_usual=usual_values.decides(schema, name),
        max_length=getattr(schema_field, "max_length", None),
        **values,
    )


def _build_rows(schema_field: ListOf, raw: Any, errors: Errors, path: str) -> Iterator[FormRow]:
    entries = raw if isinstance(raw, list) else []
    spare_count = max(1, schema_field.min_items + 1 - len(entries)) if schema_field.required else 1
    spare_count = min(spare_count, max(0, schema_field.max_items - len(entries)))
    for index, entry in enumerate([*entries, *[{}] * spare_count]):
        schema = inner_schema(schema_field.inner, entry)
        if schema:
            name = f"{path}.{index}"
            row_fields = build_form(schema, entry, errors, prefix=f"{name}.")
            yield FormRow(name, row_fields, index >= len(entries))


def add_part(
    schema: Schema, entry: Mapping[str, Any], name: str, kind: str
) -> tuple[dict[str, Any], int]:
    """Append an empty part to a list of several kinds; return the entry and the part's index.

    Raises Invalid for an unknown list or kind, and for a full list.
    """
    schema_field = schema.fields.get(name)
    inner = schema_field.inner if isinstance(schema_field, ListOf) else None
    raw = entry.get(name)
    parts = raw if isinstance(raw, list) else []
    if not isinstance(inner, PartChoice) or kind not in inner.schemas:
        raise Invalid("Choose what to add")
    if isinstance(schema_field, ListOf) and len(parts) >= schema_field.max_items:
        raise Invalid(f"There is no room for more {schema_field.plural_noun}")
    return {**entry, name: [*parts, empty_part(inner, kind)]}, len(parts)


def empty_part(field: PartChoice, kind: str) -> dict[str, Any]:
    is_list = isinstance(field.schemas[kind].fields[kind], ListOf)
    return {kind: [] if is_list else ""}


def drop_empty_list(schema: Schema, entry: dict[str, Any], name: str | int) -> dict[str, Any]:
    """Return the entry without a list that may be left out and has nothing in it."""
    schema_field = schema.fields.get(str(name))
    if entry.get(str(name)) == [] and schema_field is not None and not schema_field.required:
        return {key: value for key, value in entry.items() if key != name}
    return entry


def _build_parts(schema_field: ListOf, raw: Any, errors: Errors, path: str) -> Iterator[FormRow]:
    """Yield the rows of a list of several kinds. It has no spare one: its kind is not known."""
    for index, part in enumerate(raw if isinstance(raw, list) else []):
        schema, name = inner_schema(schema_field.inner, part), f"{path}.{index}"
        if schema and isinstance(schema_field.inner, PartChoice):
            kind = texts.part_text(schema_field.inner.find_kind(part))
            row_fields = build_form(schema, part, errors, prefix=f"{name}.")
            yield FormRow(name, row_fields, is_spare=False, kind=kind)


def _addable_parts(schema_field: ListOf, count: int) -> list[tuple[str, str]]:
    if not isinstance(schema_field.inner, PartChoice) or count >= schema_field.max_items:
        return []
    return [(kind, texts.part_text(kind)) for kind in schema_field.inner.schemas]


def _read_parts(schema_field: ListOf, form: MultiDict[str, str], path: str, raw: Any) -> Any:
    """Return the parts that a form means. A part keeps its kind, even without any content."""
    if not isinstance(raw, list) or not isinstance(schema_field.inner, PartChoice):
        return raw
    parts = []
    for index, part in enumerate(raw):
        schema, kind = inner_schema(schema_field.inner, part), schema_field.inner.find_kind(part)
        if schema:
            fields_read = read_form(schema, part, form, prefix=f"{path}.{index}.")
            part = empty_part(schema_field.inner, kind) | fields_read
        parts.append(part)
    return parts


def _read_field(
    schema_field: fields.Field[Any],
    widget: str,
    form: MultiDict[str, str],
    path: str,
    raw: Any,
    default: Any,
) -> Any:
    if widget == GROUP and (inner := inner_schema(schema_field, raw)):
        return _read_group(schema_field, inner, form, path, raw)
    if widget == ROWS and isinstance(schema_field, ListOf):
        return _read_rows(schema_field, form, path, raw)
    if widget == PARTS and isinstance(schema_field, ListOf):
        return _read_parts(schema_field, form, path, raw)
    return widgets.read(schema_field, widget, form, path, raw, default)


def _read_group(
    schema_field: fields.Field[Any],
    schema: Schema,
    form: MultiDict[str, str],
    path: str,
    raw: Any,
) -> Any:
    is_absent = raw is MISSING or raw is None
    value = read_form(
        schema,
        {} if is_absent else raw,
        form,
        prefix=f"{path}.",
        default=schema_field.load_default if is_absent else MISSING,
    )
    if value:
        return value
    return raw if is_absent or raw == {} else MISSING


def _read_rows(schema_field: ListOf, form: MultiDict[str, str], path: str, raw: Any) -> Any:
    entries = raw if isinstance(raw, list) else []
    pattern = re.compile(rf"{re.escape(path)}\.([0-9]{{1,4}})\.")
    indexes = {int(match[1]) for name in form if (match := pattern.match(name))}
    if not indexes:
        return raw
    # A key that the author leaves empty differs from all keys of the list, the later ones too.
    used = [form.get(f"{path}.{index}.key", "").strip() for index in indexes]
    noun = schema_field.plural_noun.removesuffix("s").replace(" ", "-")
    rows = []
    for index in sorted(index for index in indexes if index <= MAX_ROW_INDEX):
        entry = entries[index] if index < len(entries) else {}
        schema = inner_schema(schema_field.inner, entry)
        prefix = f"{path}.{index}."
        # A row that is submitted as a spare one is shown was never filled, or was emptied.
        if schema is None or not read_form(schema, {}, form, prefix=prefix):
            continue
        row = read_form(schema, entry, form, used, prefix=prefix, noun=noun)
        rows.append(row)
        used.append(str(row.get("key", "")))
    if rows or not entries:
        return rows or raw
    return [] if schema_field.required else MISSING


def _choices(schema_field: fields.Field[Any], widget: str, value: Any) -> Iterator[tuple[str, str]]:
    if widget == YES_NO:
        yield from (
            ("", "As it is for the whole test" if schema_field.name == "shuffle" else "–"),
            ("true", "Yes"),
            ("false", "No"),
        )
    source = getattr(schema_field, "inner", None) if widget == CHOICES else schema_field
    if widget in (CHOICE, CHOICES) and isinstance(source, Choice):
        if widget == CHOICE and not value:
            yield "", "–"
        unknown = [value] if isinstance(value, str) else value
        for choice in dict.fromkeys((*source.choices, *(each for each in unknown if each))):
            yield choice, texts.choice_text(choice, schema_field.name or "")


def _find_error(errors: Errors, path: str, widget: str) -> str:
    if path in errors or widget in (GROUP, ROWS, PARTS):
        return errors.get(path, "")
    return next((text for name, text in errors.items() if name.startswith(f"{path}.")), "")
