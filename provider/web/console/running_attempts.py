"""More time for all candidates who take a test now, after a confirmation."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from structlog import get_logger
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.orders.extend_running import extend_running, list_running
from provider.core.products import Product
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.authentication import requires

routes = Blueprint("running_attempts", __name__, url_prefix="/products/<product_id>/running")

log = get_logger()


@routes.get("/")
@requires(Permission.MANAGE_ORDERS)
def confirm(product_id: str) -> Response:
    """Show how many candidates take the test now, and ask for the minutes."""
    return _render(product_id)


@routes.post("/")
@requires(Permission.MANAGE_ORDERS)
def extend(product_id: str) -> Response:
    """Give everybody who takes the test now some minutes more."""
    services, actor = current_services(), authentication.current_staff().email
    minutes = request.form.get("minutes", 0, type=int)
    try:
        with services.db.writing() as session:
            product = Product.find(session, product_id)
            count = extend_running(session, product.id, minutes, actor, services.now())
            authentication.record_act(
                session,
                Action.PRODUCT_TIME_EXTENDED,
                f"product:{product_id}",
                {},
                {"minutes": minutes, "orders": count},
            )
    except (Invalid, Conflict) as error:
        return _render(product_id, str(error), 409 if isinstance(error, Conflict) else 400)
    log.info("running_attempts_extended", product=product_id, minutes=minutes, count=count)
    flash(f"{count} running attempts have {minutes} minutes more.", "success")
    return redirect(url_for("console.products.detail", product_id=product_id))


def _render(product_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        product = Product.find(session, product_id)
        page = render_template(
            "console/running_attempts.html",
            product=product,
            orders=list_running(session, product.id, current_services().now()),
            problem=problem,
            minutes=request.form.get("minutes", ""),
        )
    return make_response(page, status_code)
