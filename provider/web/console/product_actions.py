"""Publishing and archiving a product, each after a confirmation."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from structlog import get_logger
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds import KINDS
from provider.core.products import Product
from provider.core.products.documents import load_content
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.authentication import requires
from provider.web.console.products import load_version_content

routes = Blueprint("product_actions", __name__, url_prefix="/products/<product_id>")

log = get_logger()

AUDIT_ACTIONS = {"publish": Action.PRODUCT_PUBLISHED, "archive": Action.PRODUCT_ARCHIVED}


@routes.get("/<any(publish, archive):name>")
@requires(Permission.EDIT_PRODUCTS)
def confirm(product_id: str, name: str) -> Response:
    """Show the effects of publishing or archiving, and ask for confirmation."""
    return _render_confirmation(product_id, name)


@routes.post("/<any(publish, archive):name>")
@requires(Permission.EDIT_PRODUCTS)
def perform(product_id: str, name: str) -> Response:
    """Publish the newest version, or archive the product."""
    services = current_services()
    try:
        with services.db.writing() as session:
            product = Product.find(session, product_id)
            _require_unchanged(product, request.form.get("edit_token", ""))
            before = product.audit_fields()
            if name == "publish":
                _require_readable(product)
                product.publish(services.now())
            else:
                product.archive(services.now())
            authentication.record_act(
                session,
                AUDIT_ACTIONS[name],
                f"product:{product_id}",
                before,
                product.audit_fields(),
            )
    except (Invalid, Conflict) as error:
        return _render_confirmation(
            product_id, name, str(error), 409 if isinstance(error, Conflict) else 400
        )
    actor = authentication.current_staff().email
    log.info("product_changed", action=name, product=product_id, actor=actor)
    flash("It is published." if name == "publish" else "It is archived.", "success")
    return redirect(url_for("console.products.detail", product_id=product_id))


def edit_token(product: Product) -> str:
    """Return the product's state and versions, to detect that a colleague changed them."""
    newest_number = product.versions[-1].number if product.versions else 0
    return f"{product.state} {product.current_version_id or 0} {newest_number}"


def _render_confirmation(
    product_id: str, name: str, problem: str = "", status_code: int = 200
) -> Response:
    with current_services().db.reading() as session:
        product = Product.find(session, product_id)
        versions = product.versions
        newest = versions[-1] if versions else None
        read_problem = load_version_content(product, newest)[1] if name == "publish" else ""
        page = render_template(
            f"console/{name}.html",
            product=product,
            newest_version=newest,
            edit_token=edit_token(product),
            current_version=next((v for v in versions if v.id == product.current_version_id), None),
            problem=problem or read_problem,
            is_readable=not read_problem,
        )
    return make_response(page, status_code)


def _require_readable(product: Product) -> None:
    if product.versions:
        load_content(product.versions[-1].content, KINDS[product.kind].schema)


def _require_unchanged(product: Product, submitted_token: str) -> None:
    if submitted_token != edit_token(product):
        raise Conflict(
            "A colleague changed this product after you opened this page, so nothing was saved. "
            "This page now shows the current state"
        )
