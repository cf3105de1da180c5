"""The preview of an entry as candidates see it, rendered by the server from the draft.

The template is `console/KIND/entry_preview.html`, if the kind has one. It is a whole page of the
candidate's, which the editor shows in a frame, because the style sheets of the two do not mix.
"""

from types import SimpleNamespace
from typing import Any

from flask import render_template
from marshmallow import ValidationError
from werkzeug.datastructures import MultiDict

from provider.web.console.editor.editing import Editing, Entry
from provider.web.console.editor.forms import page_lists

# An order that no candidate has: it decides the order of shuffled options.
PREVIEW_ORDER = SimpleNamespace(public_id="preview")


def render_preview(editing: Editing, entry: Entry) -> str:
    """Return the HTML of the page, or an empty text while the entry is incomplete."""
    loaded = _load(entry)
    if loaded is None:
        return ""
    return render_template(
        [
            f"console/{editing.product.kind}/entry_preview.html",
            "console/editor/entry_preview.html",
        ],
        list_name=entry.list_name,
        entry=loaded,
        content=SimpleNamespace(
            language=editing.language,
            shuffle=editing.content.get("shuffle") is True,
            name=editing.name,
            time_limit=None,
        ),
        order=PREVIEW_ORDER,
        file_url=editing.file_url,
        poster_url=editing.poster_url,
        selected=MultiDict(),
        selected_values=[],
        error="",
    )


def _load(entry: Entry) -> Any:
    """Return the loaded entry; the root and a section are previewed by their texts alone."""
    if entry.schema is None:
        return None
    try:
        return entry.schema.load(entry.node)
    except ValidationError:
        return _texts_of(entry) if not _has_own_page(entry) else None


def _has_own_page(entry: Entry) -> bool:
    """Tell whether candidates see the entry by itself, as an item: it has no entries inside."""
    return not entry.schema or not page_lists(entry.schema, is_root=entry.is_root)


def _texts_of(entry: Entry) -> SimpleNamespace | None:
    names = ("name", "title", "description", "instructions", "text")
    texts = {name: entry.node.get(name) for name in names}
    values = {name: text if isinstance(text, str) else "" for name, text in texts.items()}
    return SimpleNamespace(**values) if any(values.values()) else None
