"""The console's blueprint: one nested blueprint per section, all behind authentication."""

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from provider.core.staff import Permission
from provider.errors import ProviderError
from provider.web.console import (
    accounts,
    audit,
    authentication,
    connections,
    deliveries,
    emails,
    error_pages,
    order_actions,
    order_export,
    orders,
    own_account,
    passwords,
    people,
    product_actions,
    products,
    saved_views,
    sign_in,
)
from provider.web.console.authentication import may, requires

routes = Blueprint("console", __name__, url_prefix="/console")
routes.before_request(authentication.authenticate)
routes.context_processor(authentication.template_context)
routes.register_error_handler(ProviderError, error_pages.render_error)
for section in (
    sign_in,
    passwords,
    own_account,
    people,
    orders,
    order_actions,
    order_export,
    saved_views,
    deliveries,
    emails,
    products,
    product_actions,
    accounts,
    connections,
    audit,
):
    routes.register_blueprint(section.routes)


@routes.get("/")
@requires()
def home() -> Response:
    """Redirect to the first section that the role may see."""
    if may(Permission.VIEW_ORDERS):
        return redirect(url_for("console.orders.listing"))
    return redirect(url_for("console.products.listing"))
