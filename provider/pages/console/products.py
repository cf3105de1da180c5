"""The products: their versions, and a look at each as the candidate will see it."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import aliased

from provider.errors import Invalid, NotFound
from provider.here import here
from provider.kinds import KINDS
from provider.kinds.document import load
from provider.orders import DRAFT, PUBLISHED, Product, Version
from provider.pages.console.paging import Sorting, chosen, shelf
from provider.words import word

routes = Blueprint("products", __name__, url_prefix="/products")

BY_NAME = Sorting(Product.public_id, (Product.name, Product.id), falling=False)
ARCHIVED = "archived"
STATES = (PUBLISHED, DRAFT, ARCHIVED)


@routes.get("/")
def listing() -> str:
    """List products by name."""
    kind, state = chosen("kind", KINDS), chosen("state", STATES)
    with here().db.reading() as session:
        return render_template(
            "console/products.html",
            shelf=shelf(session, _wanted(kind, state), BY_NAME), args=request.args,
            kinds=[(each, word("product", each)) for each in KINDS],
            states=[(each, word("version", each)) for each in STATES],
        )  # fmt: skip


@routes.get("/<product_id>")
def one(product_id: str) -> str:
    """Show a product with its versions and what one of them says."""
    with here().db.reading() as session:
        product = Product.find(session, product_id)
        version = _version(product, request.args.get("version", ""))
        content, problem = look(product, version)
        return render_template(
            "console/product.html",
            product=product, version=version, content=content, problem=problem,
            newest=product.versions[-1] if product.versions else None,
        )  # fmt: skip


def look(product: Product, version: Version | None) -> tuple[Any, str]:
    """Return a version's content, or None and why it cannot be read."""
    if version is None:
        return None, ""
    try:
        return load(version.content, KINDS[product.kind].shape), ""
    except Invalid as error:
        return None, str(error)


def _version(product: Product, number: str) -> Version | None:
    if not number:
        return product.versions[-1] if product.versions else None
    found = [version for version in product.versions if str(version.number) == number]
    if not found:
        raise NotFound(f"{product.name} has no such version")
    return found[0]


def _wanted(kind: str, state: str) -> Select[Any]:
    current = aliased(Version)
    newest = select(func.max(Version.number)).where(Version.product_id == Product.id)
    query = select(
        Product.public_id, Product.name, Product.key, Product.kind, Product.created_at,
        Product.archived_at, Product.current_version_id, current.number.label("current"),
        newest.scalar_subquery().label("newest"),
    ).outerjoin(current, current.id == Product.current_version_id)  # fmt: skip
    query = query.where(Product.kind == kind) if kind else query
    return query.where(*_in_state(state))


def _in_state(state: str) -> Sequence[ColumnElement[bool]]:
    listed, published = Product.archived_at.is_(None), Product.current_version_id.is_not(None)
    states: dict[str, Sequence[ColumnElement[bool]]] = {
        PUBLISHED: [listed, published], DRAFT: [listed, ~published], ARCHIVED: [~listed],
    }  # fmt: skip
    return states.get(state, [])
