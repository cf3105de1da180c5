"""The values that an entry has where its author leaves a field out, as its type says.

A form shows them like values that were written. A value that stays as it was shown is not written
into the document, so that it follows the type. The form therefore says by which type it showed
them: the author may change the type and other fields at once.
"""

from collections.abc import Collection, Mapping
from typing import Any

from marshmallow import Schema
from werkzeug.datastructures import MultiDict

from provider.core.products.schema_fields import DocumentSchema
from provider.web.console.editor import texts

SHOWN_PREFIX = "shown:"


def decides(schema: Schema, name: str) -> bool:
    """Tell whether the usual values of other fields depend on a field."""
    return isinstance(schema, DocumentSchema) and schema.usual_by == name


def find(
    schema: Schema,
    entry: Mapping[str, Any],
    form: MultiDict[str, str] | None = None,
    prefix: str = "",
) -> Mapping[str, Any]:
    """Return the usual values of an entry by field; with a form, those that the form showed."""
    if not isinstance(schema, DocumentSchema) or not schema.usual_by:
        return {}
    shown = form.get(SHOWN_PREFIX + prefix + schema.usual_by) if form else None
    return schema.usual_values(entry if shown is None else {**entry, schema.usual_by: shown})


def unused_fields(schema: Schema, entry: Mapping[str, Any]) -> Collection[str]:
    """Return the fields that an entry cannot have and does not have."""
    if not isinstance(schema, DocumentSchema):
        return ()
    return [name for name in schema.unused_fields(entry) if name not in entry]


def describe(usual: Mapping[str, Any], name: str) -> str:
    """Return a sentence with the usual value of a field; empty for one without."""
    value = usual.get(name, "")
    if isinstance(value, list | tuple):
        words = ", ".join(texts.choice_text(choice, name) for choice in value) or "nothing"
    else:
        words = texts.choice_text(value, name) if isinstance(value, str) and value else str(value)
    return f"Usual for this type: {words.rstrip('.')}." if words else ""
