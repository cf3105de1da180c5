"""Importing a file of product documents as drafts, as `provider product import` does."""

from flask import Blueprint, flash, redirect, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds import document_warnings, import_document, store_files
from provider.core.products import Product
from provider.core.products.documents import Document, decode_documents
from provider.core.staff import Permission
from provider.errors import Invalid
from provider.services import current_services
from provider.web.console.authentication import record_act, requires
from provider.web.console.products import render_list
from provider.web.console.sent_files import (
    find_document_name,
    include_sent_texts,
    read_sent_files,
)

routes = Blueprint("product_import", __name__, url_prefix="/products/import")

# The messages for the next page are in a cookie, which has room for a few.
MAX_WARNINGS, MAX_WARNING_LENGTH = 3, 400


@routes.post("")
@requires(Permission.EDIT_PRODUCTS)
def perform() -> Response:
    """Import all documents of the file with the files they name, or none if one is wrong."""
    try:
        documents = _read_documents()
        warnings = [warning for document in documents for warning in document_warnings(document)]
        with current_services().db.writing() as session:
            imported = [_import(session, document) for document in documents]
            (product, is_new), product_count = imported[0], len(imported)
            number, product_id = product.versions[-1].number, product.public_id
    except Invalid as error:
        return render_list(str(error))
    for warning in warnings[:MAX_WARNINGS]:
        flash(warning[:MAX_WARNING_LENGTH], "warning")
    if len(warnings) > MAX_WARNINGS:
        flash(f"There are {len(warnings)} such warnings. Look at the previews.", "warning")
    if product_count > 1:
        flash(f"The file has {product_count} products. Those that differ are drafts.", "success")
        return redirect(url_for("console.products.listing"))
    state = "is a draft" if is_new else "has this content already"
    flash(f"Version {number} {state}.", "success")
    return redirect(url_for("console.products.detail", product_id=product_id))


def _read_documents() -> list[Document]:
    """Read the file of documents, and store the files that were sent with it."""
    sent = read_sent_files()
    name = find_document_name(sent)
    documents = [include_sent_texts(row, sent) for row in decode_documents(sent[name], name)]
    media = current_services().media
    return [store_files(document, sent.__getitem__, media) for document in documents]


def _import(session: Session, document: Document) -> tuple[Product, bool]:
    """Return the product, and whether its newest version is new."""
    product, version = import_document(session, document, current_services().now())
    session.flush()  # a new product gets its public id
    if version is not None:
        fields = {"kind": product.kind, "key": product.key, "newest": version.number}
        subject = f"product:{product.public_id}"
        record_act(session, Action.PRODUCT_IMPORTED, subject, after=fields)
    return product, version is not None
