"""Publishing a draft: its problems, a summary of what changed, and the confirmation."""

from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from structlog import get_logger
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds import import_document
from provider.core.products import Product, ProductVersion
from provider.core.products.compare import compare
from provider.core.products.documents import Document, content_digest
from provider.core.products.draft import drop_draft, node_digest
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.editor.editing import Editing, place_changes, place_problems

routes = Blueprint("editor_publish", __name__, url_prefix="/products/<product_id>/edit")

MAX_LISTED = 100  # problems, and changes

log = get_logger()


@routes.get("/publish")
@requires(Permission.EDIT_PRODUCTS)
def confirm(product_id: str) -> Response:
    """Show what prevents publishing, what changed, and what publishing does."""
    return _render(product_id)


@routes.post("/publish")
@requires(Permission.EDIT_PRODUCTS)
def perform(product_id: str) -> Response:
    """Make a version of the draft and publish it. The draft is deleted then."""
    try:
        with current_services().db.writing() as session:
            number = _publish(session, product_id)
    except (Invalid, Conflict) as error:
        return _render(product_id, str(error), 409 if isinstance(error, Conflict) else 400)
    log.info("product_changed", action="publish", product=product_id, actor=current_staff().email)
    flash(f"Version {number} is published.", "success")
    return redirect(url_for("console.products.detail", product_id=product_id))


def publish_token(editing: Editing) -> str:
    """Return a digest of what the page shows, to detect that a colleague changed it."""
    product = editing.product
    newest = product.versions[-1].number if product.versions else 0
    return node_digest([editing.content, product.current_version_id, newest, product.state])


def current_version(product: Product) -> ProductVersion | None:
    """Return the version that new orders get."""
    versions = (version for version in product.versions if version.id == product.current_version_id)
    return next(versions, None)


def _publish(session: Session, product_id: str) -> int:
    """Return the number of the published version. Raises Invalid and Conflict."""
    services, editing = current_services(), Editing.open(session, product_id)
    product = editing.product
    if request.form.get("seen", "") != publish_token(editing):
        raise Conflict(
            "A colleague changed this product after you opened this page, so nothing was "
            "published. This page now shows the current state"
        )
    checked = editing.check()
    if checked.errors:
        raise Invalid("This draft has errors. Correct them first")
    before, now = product.audit_fields(), services.now()
    document = Document(
        product.kind,
        product.key,
        editing.name.strip(),
        editing.content,
        "Draft",
        files=editing.named_files,
    )
    import_document(session, document, now)
    session.flush()
    version = product.publish(now)
    drop_draft(session, product)
    record_act(
        session,
        Action.PRODUCT_PUBLISHED,
        f"product:{product_id}",
        before,
        product.audit_fields(),
    )
    return version.number


def _render(product_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        editing = Editing.open(session, product_id)
        product, checked = editing.product, editing.check()
        current = current_version(product)
        before: dict[str, Any] = current.content if current else {}
        changes = list(compare(before, editing.content)) if current else []
        newest = product.versions[-1] if product.versions else None
        is_new = newest is None or newest.digest != content_digest(
            editing.content, editing.named_files
        )
        page = render_template(
            "console/editor/publish.html",
            editing=editing,
            product=product,
            problem=problem,
            errors=place_problems(editing, checked.errors[:MAX_LISTED]),
            warnings=place_problems(editing, checked.warnings[:MAX_LISTED]),
            current=current,
            number=(newest.number if newest else 0) + is_new,
            changes=place_changes(editing, changes[:MAX_LISTED], before, editing.content),
            change_count=len(changes),
            seen=publish_token(editing),
        )
    return make_response(page, status_code)
