"""More time for all candidates who take a test now, after a confirmation."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from structlog import get_logger
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.orders.extend_running import (
    extend_running,
    last_extension,
    list_running,
)
from provider.core.orders.staff_acts import MAX_EXTRA_TIME_MINUTES
from provider.core.products import Product
from provider.core.staff import Permission
from provider.errors import Conflict
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
    if not 1 <= minutes <= MAX_EXTRA_TIME_MINUTES:
        problem = f"Write a whole number of minutes, from 1 to {MAX_EXTRA_TIME_MINUTES}"
        return _render(product_id, problem, 400)
    try:
        with services.db.writing() as session:
            product = Product.find(session, product_id)
            _require_no_extension_since(session, product)
            count = extend_running(session, product.id, minutes, actor, services.now())
            authentication.record_act(
                session,
                Action.PRODUCT_TIME_EXTENDED,
                f"product:{product_id}",
                {},
                {"minutes": minutes, "orders": count},
            )
    except Conflict as error:
        return _render(product_id, str(error), 409)
    log.info("running_attempts_extended", product=product_id, minutes=minutes, count=count)
    attempts = "1 running attempt has" if count == 1 else f"{count} running attempts have"
    flash(f"{attempts} {minutes} minutes more.", "success")
    return redirect(url_for("console.products.detail", product_id=product_id))


def _require_no_extension_since(session: Session, product: Product) -> None:
    """Raise Conflict if time was given after the page was opened, such as by the same form."""
    seen = request.form.get("seen", 0, type=int)
    orders = list_running(session, product.id, current_services().now(), lock=True)
    if last_extension(session, orders) > seen:
        raise Conflict(
            "More time was given after you opened this page, so nothing was added now. "
            "Check whether they need still more"
        )


def _render(product_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        product = Product.find(session, product_id)
        orders = list_running(session, product.id, current_services().now())
        page = render_template(
            "console/running_attempts.html",
            product=product,
            orders=orders,
            seen=last_extension(session, orders),
            problem=problem,
            minutes=request.form.get("minutes", ""),
        )
    return make_response(page, status_code)
