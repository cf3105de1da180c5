"""Erasing an order, or all orders of its candidate, after a confirmation by the e-mail address."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, make_response, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider import maintenance
from provider.core.orders import Order, normalise_email, orders_of_person
from provider.core.orders.edit_conflict import (
    ChangeSince,
    OrderChanged,
    require_as_seen,
    seen_digest,
)
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, ProviderError
from provider.maintenance import Erasure
from provider.services import Services, current_services
from provider.web.console import authentication
from provider.web.console.authentication import requires

routes = Blueprint("order_erasure", __name__, url_prefix="/orders/<order_id>/erase")

PERSON = "person"  # the scope of all orders; any other value is the one order


@dataclass(frozen=True)
class ErasureChoice:
    """The orders that the form names, and whether their deliveries are given up."""

    order_ids: tuple[str, ...]
    gives_up_deliveries: bool


@routes.get("/")
@requires(Permission.MANAGE_ORDERS, Permission.MANAGE_ACCOUNTS)
def confirm(order_id: str) -> Response:
    """Say what is deleted and what stays, and ask for the candidate's address."""
    return _render_confirmation(order_id)


@routes.post("/")
@requires(Permission.MANAGE_ORDERS, Permission.MANAGE_ACCOUNTS)
def erase(order_id: str) -> Response:
    """Erase the chosen orders and show what was deleted. If one cannot be erased, none is."""
    services = current_services()
    try:
        with services.db.reading() as session:
            choice = _read_choice(session, services, Order.find(session, order_id))
    except Invalid as error:
        return _render_confirmation(order_id, str(error), 400)
    except OrderChanged as error:
        return _render_confirmation(order_id, str(error), 409, error.changes)
    except Conflict as error:
        return _render_confirmation(order_id, str(error), 409)
    erasures, problem = _erase_orders(services, choice)
    page = render_template(
        "console/erased.html", erasures=erasures, problem=problem, erased_at=services.now()
    )
    return make_response(page, 409 if problem else 200)


def _read_choice(session: Session, services: Services, order: Order) -> ErasureChoice:
    """Return what the form asks for.

    Raises OrderChanged, Invalid for another address, and NotErasable.
    """
    require_as_seen(session, order, request.form.get("seen", ""))
    if normalise_email(request.form.get("email", "")) != normalise_email(order.candidate.email):
        raise Invalid("This is not the candidate's e-mail address, so nothing was deleted")
    gives_up = "give_up" in request.form
    is_person = request.form.get("scope") == PERSON
    orders = _orders_of_candidate(session, services, order) if is_person else [order]
    for order in orders:
        maintenance.require_erasable(session, order, services.now(), give_up_deliveries=gives_up)
    return ErasureChoice(tuple(order.public_id for order in orders), gives_up)


def _erase_orders(services: Services, choice: ErasureChoice) -> tuple[list[Erasure], str]:
    """Erase orders one by one. Returns what was deleted, and what stopped the rest, if anything."""
    erasures: list[Erasure] = []
    try:
        for order_id in choice.order_ids:
            erasures.append(
                maintenance.erase_order(
                    services.db,
                    services.media,
                    services.secret_box,
                    order_id,
                    actor=authentication.current_staff().email,
                    now=services.now(),
                    give_up_deliveries=choice.gives_up_deliveries,
                )
            )
    except ProviderError as error:  # such as an order that was reopened since `_read_choice`
        return erasures, str(error)
    return erasures, ""


def _orders_of_candidate(session: Session, services: Services, order: Order) -> Sequence[Order]:
    return orders_of_person(session, services.secret_box, order.account_id, order.candidate.email)


def _render_confirmation(
    order_id: str, problem: str = "", status_code: int = 200, changes: Sequence[ChangeSince] = ()
) -> Response:
    services = current_services()
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        page = render_template(
            "console/erase.html",
            order=order,
            problem=problem,
            changes=changes,
            seen=seen_digest(session, order),
            timezone=order.account.timezone,
            form=request.form,
            person_orders=_orders_of_candidate(session, services, order),
        )
    return make_response(page, status_code)
