"""The page of one entry of a draft: its form, autosave, and the preview as candidates see it."""

from typing import Any

from flask import Blueprint, jsonify, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.products.compare import compare
from provider.core.products.draft import Content, EntryChanged, find_draft
from provider.core.products.draft_edits import (
    Path,
    entry_keys,
    find_node,
    format_path,
    move_node,
    parse_path,
    remove_node,
    replace_node,
)
from provider.core.products.draft_files import list_files
from provider.core.staff import Permission
from provider.errors import Invalid, NotFound
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.console.editor import texts
from provider.web.console.editor.editing import (
    Editing,
    Entry,
    form_errors,
    place_changes,
    save_draft,
)
from provider.web.console.editor.files import Uploads, file_address, store_uploads
from provider.web.console.editor.forms import add_part, build_form, drop_empty_list, read_form
from provider.web.console.editor.preview import render_preview

routes = Blueprint("editor_entry", __name__, url_prefix="/products/<product_id>/edit")


@routes.get("/at/<path>")
@requires(Permission.EDIT_PRODUCTS)
def show(product_id: str, path: str) -> Response:
    """Show the form of an entry, with its problems and its preview."""
    with current_services().db.reading() as session:
        editing = Editing.open(session, product_id)
        return _render(editing, editing.entry(parse_path(path)))


@routes.post("/at/<path>")
@requires(Permission.EDIT_PRODUCTS)
def save(product_id: str, path: str) -> Response:
    """Save the form of an entry, however incomplete, unless a colleague changed the entry.

    A script asks for JSON: the digest for the next save, or the reason why nothing was saved.
    """
    wanted = request.accept_mimetypes.best_match(["text/html", "application/json"])
    is_script = wanted == "application/json"
    uploads = store_uploads(product_id)
    try:
        with current_services().db.writing() as session:
            editing, place = _save(session, product_id, parse_path(path), uploads)
            entry = Entry.find(editing.schema, editing.content, place)
            digest, now = entry.digest, current_services().now()
    except EntryChanged as error:
        return _respond_changed(product_id, parse_path(path), error, uploads, is_script=is_script)
    except (NotFound, Invalid) as error:
        if is_script:
            return make_response(jsonify(error=str(error)), 409)
        raise
    if is_script:
        state = f"Saved at {now:%H:%M:%S} UTC"
        addresses = {
            name: {"name": file_name, "url": file_address(editing.product, file_name)}
            for name, file_name in uploads.names.items()
        }
        return make_response(
            jsonify(seen=digest, state=state, files=addresses, problems=uploads.problems)
        )
    if uploads.problems:
        with current_services().db.reading() as session:
            editing = Editing.open(session, product_id)
            return _render(editing, editing.entry(place), uploads=uploads)
    return redirect(_next_url(product_id, editing, place))


@routes.get("/preview/<path>")
@requires(Permission.EDIT_PRODUCTS)
def preview(product_id: str, path: str) -> Response:
    """Return the preview of an entry and its problems (JSON), for the script of its page."""
    with current_services().db.reading() as session:
        editing = Editing.open(session, product_id)
        entry = editing.entry(parse_path(path))
        problems = render_template(
            "console/editor/_entry_problems.html", **_problem_context(editing, entry)
        )
        return make_response(
            jsonify(
                preview=render_preview(editing, entry),
                problems=problems,
                note=editing.describe(entry.path, entry.node),
            )
        )


def _save(session: Session, product_id: str, path: Path, uploads: Uploads) -> tuple[Editing, Path]:
    """Return the saved draft, and the present path of the entry."""
    editing, seen, place = Editing.open(session, product_id), request.form.get("seen", ""), path

    def edit(content: Content) -> dict[str, Any]:
        nonlocal place
        entry = Entry.locate(editing.schema, content, path, seen)
        if entry.digest != seen:
            draft = find_draft(session, editing.product)
            raise EntryChanged(entry.node, draft.editor if draft else "")
        place = entry.path
        return replace_node(content, place, _read(content, entry, uploads))

    content = save_draft(session, editing.product, edit)
    files = list_files(session, editing.product)
    return Editing(editing.product, content, None, files), place


def _read(content: Content, entry: Entry, uploads: Uploads) -> dict[str, Any]:
    """Return the entry that the form means, after the button that was pressed."""
    if entry.schema is None:
        raise Invalid("This question has an unknown type. Remove it, and add another one")
    own_key = entry.node.get("key")
    used = [key for key in entry_keys(content) if key != own_key]
    node = read_form(
        entry.schema,
        entry.node,
        uploads.complete(request.form),
        used,
        is_root=entry.is_root,
        noun=entry.noun or "document",
    )
    act, _, row_text = request.form.get("act", "").partition(" ")
    if act in ("up", "down"):
        return move_node(node, parse_path(row_text), -1 if act == "up" else 1)[0]
    if act == "add":
        list_name, _, kind = row_text.partition(" ")
        return add_part(entry.schema, node, list_name, kind)[0]
    if act == "remove":
        row = parse_path(row_text)
        return drop_empty_list(entry.schema, remove_node(node, row), row[0])
    return node


def _problem_context(editing: Editing, entry: Entry) -> dict[str, dict[str, str]]:
    """Return the errors and the warnings within an entry, by their path in its form."""
    checked = editing.check()
    return {
        "errors": entry.errors(form_errors(checked.errors)),
        "warnings": entry.errors(form_errors(checked.warnings)),
    }


def _next_url(product_id: str, editing: Editing, place: Path) -> str:
    go = request.form.get("go", "")
    if go == "outline":
        entry_id = "entry-" + "-".join(map(str, place))
        return url_for("console.editor.show", product_id=product_id, _anchor=entry_id)
    if go == "next" and place:
        following = (*place[:-1], int(place[-1]) + 1)
        try:
            find_node(editing.content, following)
            place = following
        except NotFound:
            return url_for("console.editor.show", product_id=product_id)
    act, _, part = request.form.get("act", "").partition(" ")
    anchor: str | None = "preview" if go == "preview" else None
    if part:
        anchor = ("field-" if act == "more" else "row-") + part.replace(".", "-")
    if act == "add":
        name = part.partition(" ")[0]
        anchor = f"row-{name}-{len(find_node(editing.content, place)[name]) - 1}"
    return url_for(
        "console.editor_entry.show",
        product_id=product_id,
        path=format_path(place),
        saved=1,
        _anchor=anchor,
    )


def _respond_changed(
    product_id: str, path: Path, error: EntryChanged, uploads: Uploads, *, is_script: bool
) -> Response:
    """Answer the save of a changed entry with what was typed, and with the difference."""
    if is_script:
        advice = "Press “Save” to see the difference"
        return make_response(jsonify(error=f"{error}. {advice}"), 409)
    with current_services().db.reading() as session:
        editing = Editing.open(session, product_id)
        standing = editing.entry(path)
        typed = Entry(path, _read(editing.content, standing, uploads), standing.schema)
        content = replace_node(editing.content, path, typed.node)
        changes = list(compare(editing.content, content))
        return _render(
            editing,
            typed,
            conflict=str(error),
            seen=standing.digest,
            uploads=uploads,
            changes=place_changes(editing, changes, editing.content, content),
        )


def _render(
    editing: Editing,
    entry: Entry,
    conflict: str = "",
    seen: str = "",
    changes: Any = (),
    uploads: Uploads | None = None,
) -> Response:
    problems = _problem_context(editing, entry)
    upload_problems = uploads.problems if uploads else {}
    problems["errors"] = dict(upload_problems) | {
        path: text for path, text in problems["errors"].items() if path not in upload_problems
    }
    fields = (
        build_form(entry.schema, entry.node, problems["errors"], is_root=entry.is_root)
        if entry.schema
        else []
    )
    kind = entry.node.get("kind")
    page = render_template(
        "console/editor/entry.html",
        editing=editing,
        product=editing.product,
        entry=entry,
        fields=fields,
        **problems,
        kind_text=texts.item_text(kind) if isinstance(kind, str) else "",
        seen=seen or entry.digest,
        conflict=conflict,
        changes=changes,
        is_saved="saved" in request.args and not conflict,
        preview=render_preview(editing, entry),
        note=editing.describe(entry.path, entry.node),
    )
    return make_response(page, 409 if conflict else 400 if upload_problems else 200)
