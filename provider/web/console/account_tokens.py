"""The tokens and secrets of an account: issuing, revoking and replacing them."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.ats import ADAPTERS
from provider.ats.account_settings import (
    CALLBACK_TOKEN,
    InvalidSettings,
    change_secret,
    change_settings,
    secret_descriptions,
)
from provider.core.accounts import Account, AccountToken
from provider.core.accounts.setting_texts import NONE
from provider.core.audit import Action
from provider.core.connections import AccountSecret, parse_secret
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.web.console.account_forms import readable_problems
from provider.web.console.accounts import find_account, render_setup
from provider.web.console.authentication import current_staff, record_act, requires

routes = Blueprint("account_tokens", __name__, url_prefix="/accounts/<account_id>")


@routes.get("/tokens")
@requires(Permission.MANAGE_ACCOUNTS)
def detail(account_id: str) -> Response:
    return _render_page(account_id)


@routes.post("/tokens")
@requires(Permission.MANAGE_ACCOUNTS)
def issue(account_id: str) -> Response:
    """Create another token, and show it once; the present tokens go on working."""
    services = current_services()
    with services.db.writing() as session:
        account = find_account(session, account_id, lock=True)
        if not ADAPTERS[account.ats].has_endpoints:
            raise Invalid("This ATS calls no address of ours, so its accounts have no token")
        token = account.issue_token(services.now())
        fields = {"token": account.tokens[-1].prefix}
        subject = f"account:{account.public_id}"
        record_act(session, Action.ACCOUNT_TOKEN_CREATED, subject, after=fields)
    return make_response(render_setup(account_id, token), 201)


@routes.get("/tokens/<int:number>/revoke")
@requires(Permission.MANAGE_ACCOUNTS)
def confirm_revocation(account_id: str, number: int) -> str:
    """Show what revoking a token does."""
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        token = _find_open_token(account, number)
        return render_template(
            "console/account_revoke.html",
            account=account,
            token=token,
            is_last=sum(not row.revoked_at for row in account.tokens) == 1,
        )


@routes.post("/tokens/<int:number>/revoke")
@requires(Permission.MANAGE_ACCOUNTS)
def revoke(account_id: str, number: int) -> Response:
    services = current_services()
    with services.db.writing() as session:
        account = find_account(session, account_id, lock=True)
        prefix = _find_open_token(account, number).prefix
        account.revoke_token(prefix, services.now(), services.secret_box)
        fields = {"token": prefix}
        subject = f"account:{account.public_id}"
        record_act(session, Action.ACCOUNT_TOKEN_REVOKED, subject, before=fields)
    flash(f"{prefix}… is revoked. A running server refuses it within five seconds.", "success")
    return redirect(url_for("console.account_tokens.detail", account_id=account_id))


@routes.post("/secrets")
@requires(Permission.MANAGE_ACCOUNTS)
def save_secret(account_id: str) -> Response:
    """Store or delete one secret: the callback token, or one of the ATS's API."""
    services, key = current_services(), request.form.get("key", "")
    is_removed = request.form.get("act") == "remove"
    try:
        value = None if is_removed else parse_secret(request.form.get("value", ""))
        with services.db.writing() as session:
            account = find_account(session, account_id, lock=True)
            _change_secret(session, account, key, value)
    except InvalidSettings as error:
        return _render_page(account_id, key, readable_problems((), error.problems)[key])
    except Invalid as error:
        return _render_page(account_id, key, str(error))
    flash("The secret is deleted." if is_removed else "The secret is stored.", "success")
    return redirect(url_for("console.account_tokens.detail", account_id=account_id))


def _change_secret(session: Session, account: Account, key: str, value: str | None) -> None:
    services, actor = current_services(), current_staff().email
    box, now = services.secret_box, services.now()
    if key == CALLBACK_TOKEN and ADAPTERS[account.ats].has_endpoints:
        texts = {CALLBACK_TOKEN: value or NONE}
        change_settings(session, box, account, texts, actor=actor, now=now)
    else:
        change_secret(session, box, account, key, value, actor=actor, now=now)


def _find_open_token(account: Account, number: int) -> AccountToken:
    tokens = {token.id: token for token in account.tokens}
    if number not in tokens:
        raise NotFound("There is no such token")
    if tokens[number].revoked_at:
        raise Conflict("This token is revoked already")
    return tokens[number]


def _render_page(account_id: str, key: str = "", problem: str = "") -> Response:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        adapter = ADAPTERS[account.ats]
        query = select(AccountSecret).where(AccountSecret.account_id == account.id)
        page = render_template(
            "console/account_tokens.html",
            account=account,
            has_endpoints=adapter.has_endpoints,
            returns_token=adapter.returns_token,
            secrets=secret_descriptions(account),
            stored={row.name: row.changed_at for row in session.scalars(query)},
            problem_key=key,
            problem=problem,
        )
    return make_response(page, 400 if problem else 200)
