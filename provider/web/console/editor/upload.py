"""Replacing a draft by the content of a file, which may be incomplete."""

from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug.wrappers import Response

from provider.core.products.documents import decode_documents
from provider.core.products.draft import Content, node_digest
from provider.core.products.safe_yaml import MAX_DOCUMENT_BYTES
from provider.core.staff import Permission
from provider.core.text_cleaning import clean_line
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.console.editor.editing import Editing, save_draft

routes = Blueprint("editor_upload", __name__, url_prefix="/products/<product_id>/edit/upload")

MAX_SOURCE_LENGTH = 100  # characters of the file's name in an error


@routes.post("")
@requires(Permission.EDIT_PRODUCTS)
def perform(product_id: str) -> Response:
    """Put the one document of the file into the draft. Nothing checks it before publishing."""
    file = request.files.get("file")
    if file is None or not file.filename:
        raise Invalid("Choose a file of product documents")
    data = file.read(MAX_DOCUMENT_BYTES + 1)
    file.close()  # a large one is a temporary file
    documents = decode_documents(data, clean_line(file.filename)[:MAX_SOURCE_LENGTH])
    if len(documents) > 1:
        raise Invalid("This file has several documents. Import it in the list of products")

    def replace(content: Content) -> dict[str, Any]:
        if node_digest(content) != request.form.get("seen", ""):
            raise Conflict("A colleague changed this draft, so it was not replaced. Look at it")
        return dict(documents[0].content)

    with current_services().db.writing() as session:
        editing = Editing.open(session, product_id)
        if documents[0].kind != editing.product.kind:
            raise Invalid("This file is about another kind of product")
        save_draft(session, editing.product, replace)
    flash("The draft has the content of the file.", "success")
    return redirect(url_for("console.editor.show", product_id=product_id))
