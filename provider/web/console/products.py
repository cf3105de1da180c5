"""Products with their versions, and a preview of what candidates see."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from flask import Blueprint, make_response, render_template, request, url_for
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import aliased
from werkzeug.wrappers import Response

from provider.core.kinds import KINDS
from provider.core.labels import label_for
from provider.core.products import DRAFT, PUBLISHED, Product, ProductVersion
from provider.core.products.documents import load_content
from provider.core.products.draft import find_draft
from provider.core.staff import Permission
from provider.errors import Invalid, NotFound
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.console.pagination import Sorting, paginate, read_filter_value
from provider.web.range_responses import serve_media

routes = Blueprint("products", __name__, url_prefix="/products")

BY_NAME = Sorting(Product.public_id, (Product.name, Product.id), descending=False)
ARCHIVED = "archived"
STATES = (PUBLISHED, DRAFT, ARCHIVED)


@routes.get("/")
@requires(Permission.VIEW_PRODUCTS)
def listing() -> Response:
    return render_list()


def render_list(problem: str = "") -> Response:
    """Return the list of products, with the problem of a file that was not imported."""
    kind, state = read_filter_value("kind", KINDS), read_filter_value("state", STATES)
    with current_services().db.reading() as session:
        page = render_template(
            "console/products.html",
            problem=problem,
            page=paginate(session, _product_query(kind, state), BY_NAME),
            args=request.args,
            kinds=[(kind, label_for("product", kind)) for kind in KINDS],
            states=[(state, label_for("version", state)) for state in STATES],
        )
    return make_response(page, 400 if problem else 200)


@routes.get("/<product_id>")
@requires(Permission.VIEW_PRODUCTS)
def detail(product_id: str) -> str:
    """Show a product, its versions, and the content of one of them."""
    with current_services().db.reading() as session:
        product = Product.find(session, product_id)
        version = _find_version(product, request.args.get("version", ""))
        content, problem = load_version_content(product, version)
        return render_template(
            "console/product.html",
            product=product,
            version=version,
            content=content,
            problem=problem,
            file_url=partial(file_url, product, version),
            newest_version=product.versions[-1] if product.versions else None,
            draft=find_draft(session, product),
        )


@routes.get("/<product_id>/versions/<int:number>/files/<name>")
@requires(Permission.VIEW_PRODUCTS)
def version_file(product_id: str, number: int, name: str) -> Response:
    """Send a file that the content of a version names."""
    with current_services().db.reading() as session:
        version = _find_version(Product.find(session, product_id), str(number))
        if version is None:
            raise NotFound("There is no such file")
        file = version.find_file(name)
        key, mimetype = file.media_key, file.type
    return serve_media(current_services().media, key, mimetype)


def load_version_content(product: Product, version: ProductVersion | None) -> tuple[Any, str]:
    """Return a version's content, or None and the error that prevents reading it."""
    if version is None:
        return None, ""
    try:
        return load_content(version.content, KINDS[product.kind].schema), ""
    except Invalid as error:
        return None, str(error)


def file_url(product: Product, version: ProductVersion | None, name: str) -> str:
    """Return the address of a file that the content of a version names."""
    return url_for(
        "console.products.version_file",
        product_id=product.public_id,
        number=version.number if version else 0,
        name=name,
    )


def _find_version(product: Product, number: str) -> ProductVersion | None:
    if not number:
        return product.versions[-1] if product.versions else None
    matching = [version for version in product.versions if str(version.number) == number]
    if not matching:
        raise NotFound(f"{product.name} has no such version")
    return matching[0]


def _product_query(kind: str, state: str) -> Select[Any]:
    current = aliased(ProductVersion)
    newest = select(func.max(ProductVersion.number)).where(ProductVersion.product_id == Product.id)
    query = select(
        Product.public_id,
        Product.name,
        Product.key,
        Product.kind,
        Product.created_at,
        Product.archived_at,
        Product.current_version_id,
        current.number.label("current"),
        newest.scalar_subquery().label("newest"),
    ).outerjoin(current, current.id == Product.current_version_id)
    query = query.where(Product.kind == kind) if kind else query
    return query.where(*_state_conditions(state))


def _state_conditions(state: str) -> Sequence[ColumnElement[bool]]:
    is_listed, is_published = Product.archived_at.is_(None), Product.current_version_id.is_not(None)
    conditions: dict[str, Sequence[ColumnElement[bool]]] = {
        PUBLISHED: [is_listed, is_published],
        DRAFT: [is_listed, ~is_published],
        ARCHIVED: [~is_listed],
    }
    return conditions.get(state, [])
