"""The outline of a draft: its entries in order, what is wrong, and the changes of the order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from marshmallow import Schema
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.products import Product
from provider.core.products.draft import Content, drop_draft
from provider.core.products.draft_edits import (
    Path,
    add_node,
    duplicate_node,
    format_path,
    move_node,
    parse_path,
    remove_node,
)
from provider.core.products.schema_fields import ListOf, SchemaChoice
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.authentication import record_act, requires
from provider.web.console.editor import texts
from provider.web.console.editor.editing import Editing, Entry, place_problems, save_draft
from provider.web.console.editor.forms import page_lists
from provider.web.console.editor.widgets import inner_schema

routes = Blueprint("editor", __name__, url_prefix="/products/<product_id>/edit")

MAX_LISTED_PROBLEMS = 50


@dataclass(frozen=True)
class OutlineEntry:
    """An entry of the outline with the lists of its own entries."""

    path: Path
    title: str
    kind: str
    lists: list["OutlineList"]
    note: str = ""  # what the entry gives candidates

    @property
    def path_text(self) -> str:
        return format_path(self.path)

    @property
    def id(self) -> str:
        return "entry-" + "-".join(map(str, self.path))


@dataclass(frozen=True)
class OutlineList:
    """A list of entries. `kinds` are the types of a new entry, where there are several."""

    path: Path
    label: str
    noun: str
    entries: list[OutlineEntry]
    kinds: list[tuple[str, str]]
    is_full: bool

    @property
    def path_text(self) -> str:
        return format_path(self.path)


@routes.get("")
@requires(Permission.EDIT_PRODUCTS)
def show(product_id: str) -> str:
    """Show the draft's entries, and what prevents publishing it."""
    with current_services().db.reading() as session:
        editing = Editing.open(session, product_id)
        checked = editing.check()
        return render_template(
            "console/editor/outline.html",
            editing=editing,
            product=editing.product,
            lists=list(_outline(editing, editing.schema, editing.content, ())),
            errors=place_problems(editing, checked.errors[:MAX_LISTED_PROBLEMS]),
            error_count=len(checked.errors),
            warnings=place_problems(editing, checked.warnings[:MAX_LISTED_PROBLEMS]),
            warning_count=len(checked.warnings),
        )


@routes.post("/change")
@requires(Permission.EDIT_PRODUCTS)
def change(product_id: str) -> Response:
    """Move or duplicate an entry: the button's value is the act and the path."""
    act, _, path_text = request.form.get("act", "").partition(" ")
    path, seen = parse_path(path_text), request.form.get("seen", "")
    moved = path

    def edit(content: Content) -> dict[str, Any]:
        nonlocal moved
        entry = Entry.find(editing.schema, content, path)
        if not path or (seen and entry.title != seen):
            raise Conflict("A colleague changed the order. Nothing was changed; look at it again")
        if act == "duplicate":
            result, moved = duplicate_node(content, path)
        elif act in ("up", "down"):
            result, moved = move_node(content, path, -1 if act == "up" else 1)
        else:
            raise Invalid("Choose what to do with this part")
        return result

    with current_services().db.writing() as session:
        editing = Editing.open(session, product_id)
        save_draft(session, editing.product, edit)
    if act == "duplicate":
        return redirect(
            url_for("console.editor_entry.show", product_id=product_id, path=format_path(moved))
        )
    anchor = "entry-" + "-".join(map(str, moved))
    return redirect(url_for("console.editor.show", product_id=product_id, _anchor=anchor))


@routes.post("/add")
@requires(Permission.EDIT_PRODUCTS)
def add(product_id: str) -> Response:
    """Add an empty entry to a list, and open its page."""
    list_path, kind = parse_path(request.form.get("list", "")), request.form.get("kind", "")
    new_path: Path = ()

    def edit(content: Content) -> dict[str, Any]:
        nonlocal new_path
        parent = Entry.find(editing.schema, content, list_path[:-1])
        lists = dict(page_lists(parent.schema, is_root=parent.is_root)) if parent.schema else {}
        field = lists.get(str(list_path[-1])) if list_path else None
        if field is None:
            raise Invalid("Choose where the new part belongs")
        if isinstance(field.inner, SchemaChoice) and kind not in field.inner.schemas:
            raise Invalid("Choose the type of the new question")
        node = {"kind": kind} if isinstance(field.inner, SchemaChoice) else {}
        result, new_path = add_node(content, list_path, node)
        return result

    with current_services().db.writing() as session:
        editing = Editing.open(session, product_id)
        save_draft(session, editing.product, edit)
    return redirect(
        url_for("console.editor_entry.show", product_id=product_id, path=format_path(new_path))
    )


@routes.get("/remove/<path>")
@requires(Permission.EDIT_PRODUCTS)
def confirm_removal(product_id: str, path: str) -> str:
    """Ask whether an entry is to be removed from the draft."""
    with current_services().db.reading() as session:
        editing = Editing.open(session, product_id)
        entry = editing.entry(parse_path(path))
        inner_counts = [
            f"{len(entries)} {texts.entry_noun(name)}{'s' if len(entries) != 1 else ''}"
            for name, entries in entry.node.items()
            if isinstance(entries, list) and entries and entry.schema
            if name in dict(page_lists(entry.schema, is_root=entry.is_root))
        ]
        return render_template(
            "console/editor/remove.html",
            editing=editing,
            product=editing.product,
            entry=entry,
            inner_counts=inner_counts,
        )


@routes.post("/remove/<path>")
@requires(Permission.EDIT_PRODUCTS)
def remove(product_id: str, path: str) -> Response:
    """Remove an entry from the draft; earlier versions keep it."""
    place, seen = parse_path(path), request.form.get("seen", "")

    def edit(content: Content) -> dict[str, Any]:
        entry = Entry.find(editing.schema, content, place)
        if not place or entry.digest != seen:
            raise Conflict(
                "A colleague changed this part, so nothing was removed. Look at it again"
            )
        return remove_node(content, place)

    with current_services().db.writing() as session:
        editing = Editing.open(session, product_id)
        save_draft(session, editing.product, edit)
    flash("It is removed from the draft.", "success")
    return redirect(url_for("console.editor.show", product_id=product_id))


@routes.get("/discard")
@requires(Permission.EDIT_PRODUCTS)
def confirm_discard(product_id: str) -> str:
    """Ask whether the whole draft is to be deleted."""
    with current_services().db.reading() as session:
        editing = Editing.open(session, product_id)
        return render_template(
            "console/editor/discard.html", editing=editing, product=editing.product
        )


@routes.post("/discard")
@requires(Permission.EDIT_PRODUCTS)
def discard(product_id: str) -> Response:
    """Delete the draft; the versions stay."""
    with current_services().db.writing() as session:
        product = Product.find(session, product_id)
        editing = Editing.open(session, product_id)
        if editing.draft is not None:
            if editing.digest != request.form.get("seen", ""):
                raise Conflict("A colleague changed this draft, so it was not deleted")
            drop_draft(session, product)
            subject = f"product:{product_id}"
            record_act(session, Action.PRODUCT_DRAFT_DISCARDED, subject)
    flash("The draft is deleted.", "success")
    return redirect(url_for("console.products.detail", product_id=product_id))


def _outline(editing: Editing, schema: Schema, node: Any, path: Path) -> Iterator[OutlineList]:
    for name, field in page_lists(schema, is_root=not path):
        value = node.get(name) if isinstance(node, dict) else None
        entries = value if isinstance(value, list) else []
        yield OutlineList(
            (*path, name),
            texts.list_label(name),
            texts.entry_noun(name),
            [
                _outline_entry(editing, field, entry, (*path, name, index))
                for index, entry in enumerate(entries)
            ],
            _kinds(field),
            len(entries) >= field.max_items,
        )


def _outline_entry(editing: Editing, field: ListOf, entry: Any, path: Path) -> OutlineEntry:
    schema = inner_schema(field.inner, entry)
    kind = entry.get("kind") if isinstance(entry, dict) else None
    return OutlineEntry(
        path,
        texts.entry_title(entry),
        texts.item_text(kind) if isinstance(kind, str) else "",
        list(_outline(editing, schema, entry, path)) if schema else [],
        editing.describe(path, entry),
    )


def _kinds(field: ListOf) -> list[tuple[str, str]]:
    if not isinstance(field.inner, SchemaChoice):
        return []
    return [(name, texts.item_text(name)) for name in field.inner.schemas]
