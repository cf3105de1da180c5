"""Replacing a draft by the content of a file, which may be incomplete."""

from copy import deepcopy
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug.wrappers import Response

from provider.core.kinds import KINDS
from provider.core.products import Product
from provider.core.products.documents import Document, decode_documents
from provider.core.products.draft import Content, node_digest
from provider.core.products.draft_files import add_file
from provider.core.products.files import FileSlot, StoredProductFile, store_file
from provider.core.staff import Permission
from provider.errors import Conflict, DocumentError, Invalid
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.console.editor.editing import Editing, save_draft
from provider.web.console.sent_files import (
    find_document_name,
    include_sent_texts,
    read_sent_files,
)

routes = Blueprint("editor_upload", __name__, url_prefix="/products/<product_id>/edit/upload")


@routes.post("")
@requires(Permission.EDIT_PRODUCTS)
def perform(product_id: str) -> Response:
    """Put the one document of the file into the draft. Nothing checks it before publishing."""
    sent = read_sent_files()
    name = find_document_name(sent)
    documents = decode_documents(sent[name], name)
    if len(documents) > 1:
        raise Invalid("This file has several documents. Import it in the list of products")

    def replace(content: Content) -> dict[str, Any]:
        if node_digest(content) != request.form.get("seen", ""):
            raise Conflict("A colleague changed this draft, so it was not replaced. Look at it")
        return new_content

    with current_services().db.reading() as session:
        if documents[0].kind != Product.find(session, product_id).kind:
            raise Invalid("This file is about another kind of product")
    document = include_sent_texts(documents[0], sent)
    new_content = deepcopy(dict(document.content))
    files = _store_files(document, new_content, sent)
    with current_services().db.writing() as session:
        editing = Editing.open(session, product_id)
        for slot, file in files:
            slot.part[slot.field] = add_file(session, editing.product, file)
        save_draft(session, editing.product, replace)
    flash("The draft has the content of the file.", "success")
    return redirect(url_for("console.editor.show", product_id=product_id))


def _store_files(
    document: Document, content: dict[str, Any], sent: dict[str, bytes]
) -> list[tuple[FileSlot, StoredProductFile]]:
    """Store what was sent of the files that a content names, and return each with its slot.

    A file that was not sent may be one of the product already; else it is a problem of the draft.
    Raises Invalid for a file of a wrong type or size.
    """
    files, media = [], current_services().media
    kind = KINDS[document.kind]
    for slot in kind.find_file_slots(content):
        if slot.value in sent or slot.value.startswith("data:"):
            try:
                files.append((slot, store_file(slot, sent.__getitem__, media, kind.prepare_video)))
            except DocumentError as error:
                raise document.error_at(error.path, error.problem) from error
    return files
