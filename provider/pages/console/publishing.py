"""Putting a product on the lists and taking it off: told first, confirmed, then done."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from structlog import get_logger
from werkzeug.wrappers import Response

from provider.errors import Conflict, Invalid
from provider.here import here
from provider.kinds import KINDS
from provider.kinds.document import load
from provider.orders import Product
from provider.pages.console import gate
from provider.pages.console.products import look

routes = Blueprint("publishing", __name__, url_prefix="/products/<product_id>")

log = get_logger()


@routes.get("/<any(publish, archive):name>")
def ask(product_id: str, name: str) -> Response:
    """Say what publishing or archiving will do."""
    gate.require_change()
    return _page(product_id, name)


@routes.post("/<any(publish, archive):name>")
def act(product_id: str, name: str) -> Response:
    """Publish the newest version, or archive the product."""
    house = here()
    try:
        with house.db.writing() as session:
            product = Product.find(session, product_id)
            _unchanged(product, request.form.get("stand", ""))
            if name == "publish":
                _readable(product)
                product.publish(house.now())
            else:
                product.archive(house.now())
    except (Invalid, Conflict) as error:
        return _page(product_id, name, str(error), 409 if isinstance(error, Conflict) else 400)
    log.info("product", act=name, product=product_id, by=gate.visitor().email)
    flash("It is published." if name == "publish" else "It is archived.", "success")
    return redirect(url_for("console.products.one", product_id=product_id))


def stand(product: Product) -> str:
    """Return how a product stands, in short: whoever acts on an older one is told so."""
    newest = product.versions[-1].number if product.versions else 0
    return f"{product.state} {product.current_version_id or 0} {newest}"


def _page(product_id: str, name: str, problem: str = "", code: int = 200) -> Response:
    with here().db.reading() as session:
        product = Product.find(session, product_id)
        newest = product.versions[-1] if product.versions else None
        unreadable = look(product, newest)[1] if name == "publish" else ""
        page = render_template(
            f"console/{name}.html",
            product=product, newest=newest, stand=stand(product),
            current=next((v for v in product.versions if v.id == product.current_version_id), None),
            problem=problem or unreadable, readable=not unreadable,
        )  # fmt: skip
    return make_response(page, code)


def _readable(product: Product) -> None:
    if product.versions:
        load(product.versions[-1].content, KINDS[product.kind].shape)


def _unchanged(product: Product, seen: str) -> None:
    if seen != stand(product):
        raise Conflict(
            "Somebody changed this product after you opened this page, so nothing was done. "
            "Below is how it stands now"
        )
