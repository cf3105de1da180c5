"""The staff's console: one blueprint, a room per thing, and a gate before all of them."""

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from provider.errors import ProviderError
from provider.pages.console import (
    accounts,
    acts,
    checks,
    deliveries,
    gate,
    interviews,
    letters,
    orders,
    problem,
    products,
    publishing,
    signing_in,
)

routes = Blueprint("console", __name__, url_prefix="/console")
routes.before_request(gate.authenticate)
routes.context_processor(gate.template_context)
routes.register_error_handler(ProviderError, problem.render_error)
for room in (
    signing_in,
    orders,
    acts,
    interviews,
    checks,
    deliveries,
    letters,
    products,
    publishing,
    accounts,
):
    routes.register_blueprint(room.routes)


@routes.get("/")
def home() -> Response:
    """Lead to the orders: that is what staff come for."""
    return redirect(url_for("console.orders.listing"))
