"""A new product in the console: empty, or as a copy of another one."""

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds import KINDS
from provider.core.products import Product
from provider.core.products.draft import Content, change_draft, working_content
from provider.core.products.draft_edits import make_key
from provider.core.products.draft_files import copy_files
from provider.core.products.schema_fields import SLUG_ADVICE, is_slug
from provider.core.staff import Permission
from provider.core.text_cleaning import clean_line
from provider.errors import Invalid
from provider.services import current_services
from provider.storage.database import acquire_advisory_lock
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.editor.texts import kind_choices

routes = Blueprint("product_creation", __name__, url_prefix="/products/new")

MAX_NAME_LENGTH = 120


@routes.get("")
@requires(Permission.EDIT_PRODUCTS)
def form() -> Response:
    return _render(request.args.get("copy", ""))


@routes.post("")
@requires(Permission.EDIT_PRODUCTS)
def create() -> Response:
    """Create the product with a draft, and open the editor."""
    try:
        with current_services().db.writing() as session:
            product_id = _create(session)
    except Invalid as error:
        return _render(request.form.get("copy", ""), str(error), 400)
    return redirect(url_for("console.editor.show", product_id=product_id))


def _create(session: Session) -> str:
    now, copied_id = current_services().now(), request.form.get("copy", "")
    copied = Product.find(session, copied_id) if copied_id else None
    kind_name = copied.kind if copied else request.form.get("kind", "")
    if kind_name not in KINDS:
        raise Invalid("Choose what you want to make")
    name = clean_line(request.form.get("name", "")).strip()
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        raise Invalid(f"Give it a name of at most {MAX_NAME_LENGTH} characters")
    key = request.form.get("key", "").strip() or make_key(name, kind_name)
    if not is_slug(key):
        raise Invalid(f"The key {SLUG_ADVICE}")
    acquire_advisory_lock(session, "products")
    product_class = KINDS[kind_name].product_class
    if session.scalar(select(product_class.id).where(product_class.key == key)):
        raise Invalid(f"The key {key} is used by another product. Choose another key")
    product = product_class(key=key, name=name, created_at=now)
    session.add(product)
    session.flush()
    base: Content = working_content(session, copied) if copied else {"schema": 1}
    content = {**base, "name": name}
    change_draft(session, product, lambda _: content, current_staff().email, now)
    if copied:
        slots = KINDS[kind_name].find_file_slots(content)
        copy_files(session, copied, product, [slot.value for slot in slots])
    fields = {"kind": product.kind, "key": product.key}
    subject = f"product:{product.public_id}"
    record_act(session, Action.PRODUCT_CREATED, subject, after=fields)
    return product.public_id


def _render(copied_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        copied = Product.find(session, copied_id) if copied_id else None
        page = render_template(
            "console/editor/new.html",
            copied=copied,
            kinds=kind_choices(),
            form=request.form,
            problem=problem,
        )
    return make_response(page, status_code)
