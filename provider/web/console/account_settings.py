"""Changing an account: its settings, its products and its logo."""

from collections.abc import Mapping
from zoneinfo import available_timezones

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.ats.account_settings import InvalidSettings, change_settings
from provider.core.accounts import Account, AccountProduct
from provider.core.accounts.logo import MAX_LOGO_BYTES, remove_logo, set_logo
from provider.core.audit import Action
from provider.core.products import Product
from provider.core.products.choice import choose_products, describe_choice
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.account_forms import (
    FormField,
    changed_texts,
    field_groups,
    readable_name,
    readable_problems,
    sentence,
)
from provider.web.console.accounts import find_account
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.form_digest import content_digest

routes = Blueprint("account_settings", __name__, url_prefix="/accounts/<account_id>")
routes.add_app_template_filter(readable_name, "setting_label")
routes.add_app_template_filter(sentence)
CHANGED_MEANWHILE = (
    "A colleague has changed this account meanwhile. The form shows the present values: "
    "make your change again"
)


@routes.get("/settings")
@requires(Permission.MANAGE_ACCOUNTS)
def detail(account_id: str) -> Response:
    return _render_settings(account_id)


@routes.post("/settings")
@requires(Permission.MANAGE_ACCOUNTS)
def save(account_id: str) -> Response:
    """Change the settings that differ from the present ones: all, or none if one is wrong."""
    services = current_services()
    fields: list[FormField] = []
    try:
        with services.db.writing() as session:
            account = find_account(session, account_id, lock=True)
            fields = [field for group in field_groups(account).values() for field in group]
            _require_unchanged(_seen(fields))
            change_settings(
                session,
                services.secret_box,
                account,
                changed_texts(fields, request.form),
                actor=current_staff().email,
                now=services.now(),
            )
    except InvalidSettings as error:
        return _render_settings(account_id, readable_problems(fields, error.problems))
    except Conflict as error:
        return _render_settings(account_id, notice=str(error))
    flash("The settings are saved. A running server applies them within five seconds.", "success")
    return redirect(url_for("console.accounts.detail", account_id=account_id))


@routes.post("/logo")
@requires(Permission.MANAGE_ACCOUNTS)
def save_logo(account_id: str) -> Response:
    """Store the picture of the form as the account's logo, or remove the logo."""
    services = current_services()
    try:
        with services.db.writing() as session:
            account = find_account(session, account_id, lock=True)
            before = account.audit_fields()
            if request.form.get("act") == "remove":
                remove_logo(session, account)
            else:
                file = request.files.get("logo")
                content = file.read(MAX_LOGO_BYTES + 1) if file else b""
                set_logo(session, account, content, services.now())
            record_act(
                session,
                Action.ACCOUNT_CHANGED,
                f"account:{account.public_id}",
                before=before,
                after=account.audit_fields(),
            )
    except Invalid as error:
        return _render_settings(account_id, {"logo": str(error)})
    flash("The logo is changed.", "success")
    return redirect(url_for("console.account_settings.detail", account_id=account_id))


@routes.get("/products")
@requires(Permission.MANAGE_ACCOUNTS)
def product_choice(account_id: str) -> Response:
    return _render_products(account_id)


@routes.post("/products")
@requires(Permission.MANAGE_ACCOUNTS)
def save_product_choice(account_id: str) -> Response:
    """Let the account see every published product, or the chosen ones only."""
    services = current_services()
    sees_all = request.form.get("choice") == "all"
    try:
        with services.db.writing() as session:
            account = find_account(session, account_id, lock=True)
            before = describe_choice(session, account)
            _require_unchanged(_choice_seen(before))
            choose_products(session, account, None if sees_all else _read_chosen(session))
            session.flush()
            record_act(
                session,
                Action.ACCOUNT_CHANGED,
                f"account:{account.public_id}",
                before=before,
                after=describe_choice(session, account),
            )
    except (Invalid, Conflict) as error:
        return _render_products(account_id, str(error))
    flash("The products are saved. A running server applies this within five seconds.", "success")
    return redirect(url_for("console.accounts.detail", account_id=account_id))


def _read_chosen(session: Session) -> list[Product]:
    chosen = [Product.find(session, public_id) for public_id in request.form.getlist("product")]
    if not chosen:
        raise Invalid("Choose at least one product, or all of them")
    return chosen


def _require_unchanged(seen: str) -> None:
    if request.form.get("seen") != seen:
        raise Conflict(CHANGED_MEANWHILE)


def _seen(fields: list[FormField]) -> str:
    return content_digest(*(field.value for field in fields))


def _choice_seen(choice: Mapping[str, object]) -> str:
    return content_digest(choice["all_products"], choice["products"])


def _render_settings(
    account_id: str, problems: Mapping[str, str] | None = None, notice: str = ""
) -> Response:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        groups = field_groups(account)
        page = render_template(
            "console/account_settings.html",
            account=account,
            groups=groups,
            seen=_seen([field for group in groups.values() for field in group]),
            logo=account.branding.get("logo"),
            zone_names=sorted(available_timezones()),
            problems=problems or {},
            notice=notice,
            form={} if notice else request.form,
        )
    return make_response(page, 409 if notice else 400 if problems else 200)


def _render_products(account_id: str, problem: str = "") -> Response:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        page = render_template(
            "console/account_products.html",
            account=account,
            products=_list_products(session, account),
            seen=_choice_seen(describe_choice(session, account)),
            problem=problem,
        )
    return make_response(page, 400 if problem else 200)


def _list_products(session: Session, account: Account) -> list[tuple[Product, bool]]:
    """Return the products that are not archived, each with whether it is chosen."""
    query = select(AccountProduct.product_id).where(AccountProduct.account_id == account.id)
    chosen = set(session.scalars(query))
    products = session.scalars(
        select(Product).where(Product.archived_at.is_(None)).order_by(Product.kind, Product.name)
    )
    return [(product, product.id in chosen) for product in products]
