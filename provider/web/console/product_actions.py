"""Putting a product on the lists and taking it off: told first, confirmed, then done."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from structlog import get_logger
from werkzeug.wrappers import Response

from provider.core.kinds import KINDS
from provider.core.products import Product
from provider.core.products.documents import load_content
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.products import load_version_content

routes = Blueprint("publishing", __name__, url_prefix="/products/<product_id>")

log = get_logger()


@routes.get("/<any(publish, archive):name>")
def ask(product_id: str, name: str) -> Response:
    """Say what publishing or archiving will do."""
    authentication.require_change_permission()
    return _render_confirmation(product_id, name)


@routes.post("/<any(publish, archive):name>")
def act(product_id: str, name: str) -> Response:
    """Publish the newest version, or archive the product."""
    services = current_services()
    try:
        with services.db.writing() as session:
            product = Product.find(session, product_id)
            _require_unchanged(product, request.form.get("stand", ""))
            if name == "publish":
                _require_readable(product)
                product.publish(services.now())
            else:
                product.archive(services.now())
    except (Invalid, Conflict) as error:
        return _render_confirmation(
            product_id, name, str(error), 409 if isinstance(error, Conflict) else 400
        )
    log.info("product", act=name, product=product_id, by=authentication.current_staff().email)
    flash("It is published." if name == "publish" else "It is archived.", "success")
    return redirect(url_for("console.products.one", product_id=product_id))


def edit_token(product: Product) -> str:
    """Return how a product stands, in short: whoever acts on an older one is told so."""
    newest = product.versions[-1].number if product.versions else 0
    return f"{product.state} {product.current_version_id or 0} {newest}"


def _render_confirmation(
    product_id: str, name: str, problem: str = "", status_code: int = 200
) -> Response:
    with current_services().db.reading() as session:
        product = Product.find(session, product_id)
        newest = product.versions[-1] if product.versions else None
        unreadable = load_version_content(product, newest)[1] if name == "publish" else ""
        page = render_template(
            f"console/{name}.html",
            product=product,
            newest=newest,
            stand=edit_token(product),
            current=next((v for v in product.versions if v.id == product.current_version_id), None),
            problem=problem or unreadable,
            readable=not unreadable,
        )
    return make_response(page, status_code)


def _require_readable(product: Product) -> None:
    if product.versions:
        load_content(product.versions[-1].content, KINDS[product.kind].schema)


def _require_unchanged(product: Product, submitted_token: str) -> None:
    if submitted_token != edit_token(product):
        raise Conflict(
            "Somebody changed this product after you opened this page, so nothing was done. "
            "Below is how it stands now"
        )
