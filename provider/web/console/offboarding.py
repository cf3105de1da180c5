"""The end of an account: disable, export and erase, each confirmed by the account's name."""

from collections.abc import Callable

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session
from werkzeug.wrappers import Response

from provider.core.accounts import Account
from provider.core.accounts.offboarding import find_offboarding, require_name
from provider.core.audit import Action
from provider.core.orders import OPEN_STATUSES, ErasedOrder, Order
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, NotFound
from provider.maintenance.account_erasure import is_erased_by, list_held_orders
from provider.maintenance.offboarding import begin_erasure, begin_export, disable, enable
from provider.services import Services, current_services
from provider.web.console.accounts import find_account
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.range_responses import serve_media

routes = Blueprint("offboarding", __name__, url_prefix="/accounts/<account_id>/offboarding")

MAX_LISTED_ORDERS = 20
# Counting stops here: the page of an account with a million orders would take long.
MAX_COUNTED_ORDERS = 100_000


@routes.get("/")
@requires(Permission.MANAGE_ACCOUNTS)
def detail(account_id: str) -> Response:
    """Show the three steps, and how far the running one is."""
    return _render_page(account_id)


@routes.post("/<any(disable, enable, export, erase):step>")
@requires(Permission.MANAGE_ACCOUNTS)
def perform(account_id: str, step: str) -> Response:
    """Take a step after its confirmation; the scheduled work does what takes long."""
    services = current_services()
    try:
        with services.db.writing() as session:
            account = find_account(session, account_id, lock=True)
            require_name(account, request.form.get("name", ""))
            message = STEPS[step](session, account, services)
    except Invalid as error:
        return _render_page(account_id, step, str(error), 400)
    except Conflict as error:
        return _render_page(account_id, step, str(error), 409)
    flash(message, "success")
    return redirect(url_for("console.offboarding.detail", account_id=account_id))


@routes.post("/download")
@requires(Permission.MANAGE_ACCOUNTS)
def download(account_id: str) -> Response:
    services = current_services()
    with services.db.writing() as session:
        account = find_account(session, account_id)
        offboarding = find_offboarding(session, account)
        if offboarding is None or not offboarding.export_key:
            raise NotFound("There is no export of this account: make one first")
        key = offboarding.export_key
        record_act(session, Action.ACCOUNT_EXPORT_DOWNLOADED, f"account:{account.public_id}")
    name = f"account-{account_id}-{services.now():%Y-%m-%d}.zip"
    return serve_media(services.media, key, "application/zip", name)


def _disable(session: Session, account: Account, services: Services) -> str:
    cancels_orders = request.form.get("orders") == "cancel"
    disable(session, account, current_staff().email, services, cancels_orders=cancels_orders)
    return f"{account.name} is disabled. A running server refuses its tokens within five seconds."


def _enable(session: Session, account: Account, services: Services) -> str:
    enable(session, account, current_staff().email, services)
    return f"{account.name} works again."


def _export(session: Session, account: Account, services: Services) -> str:
    begin_export(session, account, current_staff().email, services)
    return "The export begins within seconds. This page shows how far it is."


def _erase(session: Session, account: Account, services: Services) -> str:
    begin_erasure(session, account, current_staff().email, services)
    return "The erasure begins within seconds. This page shows how far it is."


STEPS: dict[str, Callable[[Session, Account, Services], str]] = {
    "disable": _disable,
    "enable": _enable,
    "export": _export,
    "erase": _erase,
}


def _render_page(
    account_id: str, problem_step: str = "", problem: str = "", status_code: int = 200
) -> Response:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        offboarding = find_offboarding(session, account)
        of_account = Order.account_id == account.id
        held_orders = list_held_orders(session, account.id)
        page = render_template(
            "console/offboarding.html",
            account=account,
            offboarding=offboarding,
            order_count=_count(session, Order.id, of_account),
            open_count=_count(session, Order.id, of_account, Order.status.in_(OPEN_STATUSES)),
            max_counted=MAX_COUNTED_ORDERS,
            held_orders=held_orders[:MAX_LISTED_ORDERS],
            held_count=len(held_orders),
            erased_count=(
                _count(session, ErasedOrder.id, is_erased_by(offboarding))
                if offboarding and offboarding.is_erasing
                else 0
            ),
            problem_step=problem_step,
            problem=problem,
            form=request.form,
        )
    return make_response(page, status_code)


def _count(
    session: Session, column: InstrumentedAttribute[int], *conditions: ColumnElement[bool]
) -> int:
    """Count rows; one more than `MAX_COUNTED_ORDERS` stands for any greater number."""
    rows = select(column).where(*conditions).limit(MAX_COUNTED_ORDERS + 1)
    return session.scalar(select(func.count()).select_from(rows.subquery())) or 0
