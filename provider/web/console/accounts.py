"""The pages that show accounts; `account_…` beside them change what they show."""

from flask import Blueprint, render_template
from markupsafe import Markup, escape
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.account_check import check_account
from provider.ats.account_urls import account_urls
from provider.ats.settings import Setting
from provider.core.accounts import Account, AccountToken, Caller
from provider.core.accounts.email_policy import EmailPolicy
from provider.core.pauses import list_pauses
from provider.core.products import Product
from provider.core.products.product import visibility_conditions
from provider.core.staff import Permission
from provider.errors import NotFound
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.console.pagination import Sorting, is_plausible_id, paginate

routes = Blueprint("accounts", __name__, url_prefix="/accounts")

BY_NAME = Sorting(Account.public_id, (Account.name, Account.id), descending=False)


@routes.get("/")
@requires(Permission.VIEW_ACCOUNTS)
def listing() -> str:
    active_tokens = select(func.count()).where(
        AccountToken.account_id == Account.id, AccountToken.revoked_at.is_(None)
    )
    query = select(
        Account.public_id,
        Account.name,
        Account.ats,
        Account.timezone,
        Account.expire_after_seconds,
        Account.sandbox,
        Account.disabled_at,
        Account.created_at,
        active_tokens.scalar_subquery().label("tokens"),
    )
    with current_services().db.reading() as session:
        return render_template("console/accounts.html", page=paginate(session, query, BY_NAME))


@routes.get("/<account_id>")
@requires(Permission.VIEW_ACCOUNTS)
def detail(account_id: str) -> str:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        return render_template(
            "console/account.html",
            account=account,
            products=_list_products(session, account),
            pauses=list_pauses(session, account),
            urls=_list_urls(account),
            settings=_list_settings(account),
            email_policy=EmailPolicy.from_options(account.options),
            has_api=ADAPTERS[account.ats].api is not None,
            logo=account.branding.get("logo"),
            now=current_services().now(),
        )


@routes.get("/<account_id>/setup")
@requires(Permission.VIEW_ACCOUNTS)
def setup(account_id: str) -> str:
    """Show what connects the account: addresses, what is missing, and the next steps."""
    return render_setup(account_id)


def render_setup(account_id: str, token: str | None = None) -> str:
    """Return the page that connects an account; a new `token` is shown there once."""
    services = current_services()
    with services.db.reading() as session:
        account = find_account(session, account_id)
        adapter = ADAPTERS[account.ats]
        return render_template(
            "console/account_setup.html",
            account=account,
            token=token,
            urls=_list_urls(account),
            lines=check_account(session, services, account),
            has_api=adapter.api is not None,
            has_endpoints=adapter.has_endpoints,
            needs_callback_token=adapter.has_endpoints and not adapter.returns_token,
        )


@routes.app_template_filter()
def with_code(text: str) -> Markup:
    """Return a sentence with its commands, which stand between backticks, as code."""
    parts = [escape(part) for part in text.split("`")]
    parts[1::2] = [Markup("<code>{}</code>").format(part) for part in parts[1::2]]
    return Markup().join(parts)


@routes.app_template_filter("ats_title")
def ats_title(name: str) -> str:
    """Return the name of an ATS as people write it."""
    return ADAPTERS[name].title if name in ADAPTERS else name


def find_account(session: Session, account_id: str, *, lock: bool = False) -> Account:
    account = None
    if is_plausible_id(account_id):
        query = select(Account).where(Account.public_id == account_id)
        account = session.scalar(query.with_for_update() if lock else query)
    if account is None:
        raise NotFound("There is no such account")
    return account


def _list_urls(account: Account) -> dict[str, str]:
    services = current_services()
    return account_urls(services.secret_box, account, services.settings.base_url)


def _list_settings(account: Account) -> list[tuple[Setting, str]]:
    """Return the settings of the account's ATS, each with its value as text."""
    adapter = ADAPTERS[account.ats]
    values = adapter.setting_values(account.options)
    return [(setting, setting.format(values[setting.name])) for setting in adapter.settings]


def _list_products(session: Session, account: Account) -> list[tuple[str, str, str]]:
    """Return (public id, name, kind) of the published products that an account may order."""
    kinds = ADAPTERS[account.ats].orderable_kinds(account.options)
    conditions = visibility_conditions(kinds, Caller.from_account(account))
    query = select(Product.public_id, Product.name, Product.kind).where(*conditions)
    query = query.order_by(Product.name)
    return [(row.public_id, row.name, row.kind) for row in session.execute(query)]
