"""The connection of an account to its ATS's API: consent, check, rules, and what rounds did."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.ats import ADAPTERS
from provider.ats.account_urls import redirect_uri
from provider.ats.api import CheckLine, CheckReport, Choice
from provider.ats.gateway import current_gateway
from provider.ats.rules import add_rule, keep_found_settings, require_api
from provider.core.accounts import Account, Caller
from provider.core.audit import Action
from provider.core.connections import (
    ApiToken,
    Arrival,
    SourceCursor,
    find_rule,
    list_arrivals,
    open_rules,
    resume_sources,
)
from provider.core.connections.connect_state import create_state, use_state
from provider.core.connections.resume import resume_calls
from provider.core.connections.source_cursor import EVENTS
from provider.core.products import Product
from provider.core.products.product import visibility_conditions
from provider.core.staff import Permission
from provider.errors import Invalid, NotFound, ProviderError, Unavailable
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.accounts import find_account
from provider.web.console.authentication import cookie_name, requires

routes = Blueprint("connections", __name__)
PATH = "/accounts/<account_id>/connection"
SHOWN_ARRIVALS = 25


@routes.get(PATH)
@requires(Permission.VIEW_ACCOUNTS)
def detail(account_id: str) -> Response:
    """Show the connection. `choose` asks the ATS what rules or settings can name: it takes time."""
    subject = request.args.get("choose") if authentication.may(Permission.MANAGE_ACCOUNTS) else None
    try:
        if subject == "settings":
            setting_choices = current_gateway().setting_choices(_internal_id(account_id))
            return _render(account_id, setting_choices=setting_choices)
        if subject:
            return _render(account_id, choices=current_gateway().choices(_internal_id(account_id)))
    except Unavailable as error:
        return _render(account_id, lines=[CheckLine(False, str(error))])
    return _render(account_id)


@routes.post(f"{PATH}/check")
@requires(Permission.MANAGE_ACCOUNTS)
def check(account_id: str) -> Response:
    """Show all that `provider account check` says."""
    internal_id = _internal_id(account_id)
    report = current_gateway().check(internal_id)
    fields = {"works": all(line.is_ok for line in report.lines)}
    with current_services().db.writing() as session:
        subject = f"account:{account_id}"
        authentication.record_act(session, Action.ACCOUNT_CHECKED, subject, after=fields)
    _keep_found(internal_id, report)
    return _render(account_id, lines=report.lines)


@routes.post(f"{PATH}/consent")
@requires(Permission.MANAGE_ACCOUNTS)
def ask_consent(account_id: str) -> Response:
    """Show the link to the ATS's consent page, for this session and ten minutes."""
    services, internal_id = current_services(), _internal_id(account_id)
    with services.db.writing() as session:
        state = create_state(session, internal_id, _session_token(), services.now())
        subject = f"account:{account_id}"
        fields = {"redirect_uri": _redirect_uri()}
        authentication.record_act(session, Action.ACCOUNT_CONSENT_ASKED, subject, after=fields)
    url = current_gateway().authorize_url(internal_id, _redirect_uri(), state)
    if not url:
        raise Invalid("The settings of this account need no consent at the ATS")
    # A link, because the pages' policy allows no form to end at another site.
    return _render(account_id, consent_url=url)


@routes.get("/connect")
@requires(Permission.MANAGE_ACCOUNTS)
def finish_consent() -> Response:
    """Take the code from the ATS, if this session has asked for it within ten minutes."""
    services = current_services()
    with services.db.writing() as session:
        internal_id = use_state(
            session, request.args.get("state", ""), _session_token(), services.now()
        )
    if internal_id is None:
        raise Invalid(
            "This consent was not asked for from here, or more than ten minutes ago. Begin again "
            "on the page of the account"
        )
    with services.db.reading() as session:
        account_id = session.get_one(Account, internal_id).public_id
    code = request.args.get("code", "")
    if not code:
        flash("The consent was refused at the ATS. Nothing has changed.", "danger")
        return redirect(url_for("console.connections.detail", account_id=account_id))
    report = current_gateway().finish_consent(internal_id, code, _redirect_uri())
    _keep_found(internal_id, report, is_connected=any(line.is_ok for line in report.lines))
    return _render(account_id, lines=report.lines)


@routes.post(f"{PATH}/disconnect")
@requires(Permission.MANAGE_ACCOUNTS)
def disconnect(account_id: str) -> Response:
    """End the consent at the ATS, and delete the tokens."""
    line = current_gateway().disconnect(_internal_id(account_id))
    with current_services().db.writing() as session:
        subject, fields = f"account:{account_id}", {"revoked": line.is_ok}
        authentication.record_act(session, Action.ACCOUNT_DISCONNECTED, subject, after=fields)
    return _render(account_id, lines=[line])


@routes.post(f"{PATH}/rules")
@requires(Permission.MANAGE_ACCOUNTS)
def create_rule(account_id: str) -> Response:
    """Add a rule, or show how many candidates match its condition at present."""
    match = {
        name.removeprefix("fact-"): value
        for name, value in request.form.items()
        if name.startswith("fact-")
    }
    if request.form.get("act") == "preview":
        return _preview(account_id, match)
    services = current_services()
    try:
        with services.db.writing() as session:
            account = find_account(session, account_id)
            product = Product.find(session, request.form.get("product", ""))
            rule = add_rule(
                session,
                account,
                product,
                match,
                once="repeat" not in request.form,
                backfills="backfill" in request.form,
                now=services.now(),
            )
            fields = {"rule": rule.id, **rule.audit_fields()}
            subject = f"account:{account.public_id}"
            authentication.record_act(session, Action.RULE_ADDED, subject, after=fields)
    except (Invalid, NotFound) as error:
        return _render(account_id, problem=str(error), form=request.form, status_code=400)
    flash("The rule is added.", "success")
    return redirect(url_for("console.connections.detail", account_id=account_id))


@routes.post(f"{PATH}/rules/<int:number>/remove")
@requires(Permission.MANAGE_ACCOUNTS)
def remove_rule(account_id: str, number: int) -> Response:
    """Remove a rule; its orders stay."""
    services = current_services()
    with services.db.writing() as session:
        account = find_account(session, account_id)
        rule = find_rule(session, account, number)
        rule.removed_at = services.now()
        fields = {"rule": rule.id, **rule.audit_fields()}
        subject = f"account:{account.public_id}"
        authentication.record_act(session, Action.RULE_REMOVED, subject, before=fields)
    flash("The rule is removed. Its orders stay.", "success")
    return redirect(url_for("console.connections.detail", account_id=account_id))


@routes.post(f"{PATH}/settings")
@requires(Permission.MANAGE_ACCOUNTS)
def change_setting(account_id: str) -> Response:
    """Store a setting whose values the ATS has listed."""
    services, name = current_services(), request.form.get("name", "")
    with services.db.writing() as session:
        account = find_account(session, account_id, lock=True)
        adapter, before = ADAPTERS[account.ats], account.audit_fields()
        setting = adapter.find_setting(name)
        choosers = require_api(account).setting_choosers(adapter.setting_values(account.options))
        if setting is None or name not in choosers:
            raise Invalid("This setting cannot be chosen here")
        value = setting.parse(request.form.get("value", ""))
        keep_found_settings(session, account, {name: value}, services.now())
        subject, after = f"account:{account.public_id}", account.audit_fields()
        authentication.record_act(session, Action.ACCOUNT_CHANGED, subject, before, after)
    flash("The setting is stored.", "success")
    return redirect(url_for("console.connections.detail", account_id=account_id))


@routes.post(f"{PATH}/resume")
@requires(Permission.MANAGE_ACCOUNTS)
def resume(account_id: str) -> Response:
    """Let the rounds of an account go on that stopped after very many orders."""
    services = current_services()
    with services.db.writing() as session:
        account = find_account(session, account_id)
        count = resume_sources(session, account.id, services.now())
        if count:
            subject = f"account:{account.public_id}"
            fields = {"sources": count}
            authentication.record_act(session, Action.RULES_RESUMED, subject, after=fields)
    flash("The rules go on." if count else "Nothing had stopped.", "success")
    return redirect(url_for("console.connections.detail", account_id=account_id))


def _preview(account_id: str, match: Mapping[str, str]) -> Response:
    services = current_services()
    with services.db.reading() as session:
        account = find_account(session, account_id)
        internal_id = account.id
    try:
        records = current_gateway().find_matches(internal_id, match)
    except ProviderError as error:
        return _render(account_id, problem=str(error), form=request.form, status_code=400)
    count = len(records)
    verb = "candidate matches" if count == 1 else "candidates match"
    text = f"{count} {verb} at present. A rule without backfill orders nothing for them"
    return _render(account_id, lines=[CheckLine(True, text)], form=request.form)


def _render(
    account_id: str,
    *,
    lines: Sequence[CheckLine] = (),
    choices: Mapping[str, Sequence[Choice]] | None = None,
    setting_choices: Mapping[str, Sequence[Choice]] | None = None,
    problem: str = "",
    consent_url: str = "",
    form: Mapping[str, Any] | None = None,
    status_code: int = 200,
) -> Response:
    services = current_services()
    with services.db.reading() as session:
        account = find_account(session, account_id)
        api = require_api(account)
        adapter = ADAPTERS[account.ats]
        settings = adapter.setting_values(account.options)
        flow = api.used_flow(settings)
        choosers = api.setting_choosers(settings)
        page = render_template(
            "console/connection.html",
            account=account,
            api=api,
            rules=open_rules(session, account.id),
            products=_products(session, account),
            cursors=_cursors(session, account),
            EVENTS=EVENTS,
            arrivals=list_arrivals(session, account.id, limit=SHOWN_ARRIVALS),
            refused_count=_count_refused(session, account),
            token=session.get(ApiToken, account.id),
            needs_consent=flow is not None and flow.needs_consent(account.options),
            redirect_uri=_redirect_uri(),
            choices=choices or {},
            chosen_settings=[
                (setting, settings[setting.name])
                for setting in adapter.settings
                if setting.name in choosers
            ],
            setting_choices={
                name: _options(listed, settings[name])
                for name, listed in (setting_choices or {}).items()
            },
            lines=lines,
            problem=problem,
            consent_url=consent_url,
            form=form or {},
        )
    return make_response(page, status_code)


def _options(choices: Sequence[Choice], value: str | None) -> list[tuple[str, str]]:
    """Return (value, label) for a select; one that has not the present value begins empty."""
    options = [(choice.value, choice.label) for choice in choices]
    is_known = value in dict(options)
    return options if is_known or not options else [("", "Choose"), *options]


def _products(session: Session, account: Account) -> list[tuple[str, str]]:
    """Return (public id, name) of the products that a rule of the account may order."""
    kinds = ADAPTERS[account.ats].orderable_kinds(account.options)
    conditions = visibility_conditions(kinds, Caller.from_account(account))
    query = select(Product.public_id, Product.name).where(*conditions).order_by(Product.name)
    return [(row.public_id, row.name) for row in session.execute(query)]


def _cursors(session: Session, account: Account) -> Sequence[SourceCursor]:
    query = select(SourceCursor).where(SourceCursor.account_id == account.id)
    return session.scalars(query.order_by(SourceCursor.source)).all()


def _count_refused(session: Session, account: Account) -> int:
    query = select(func.count(Arrival.id)).where(
        Arrival.account_id == account.id, Arrival.outcome == "refused"
    )
    return session.scalar(query) or 0


def _keep_found(internal_id: int, report: CheckReport, *, is_connected: bool = False) -> None:
    services = current_services()
    if not report.found_settings and not is_connected:
        return
    with services.db.writing() as session:
        account = session.get_one(Account, internal_id, with_for_update=True)
        subject, before = f"account:{account.public_id}", account.audit_fields()
        keep_found_settings(session, account, report.found_settings, services.now())
        after = account.audit_fields()
        if is_connected:
            resume_calls(session, account, services.now())
            authentication.record_act(
                session, Action.ACCOUNT_CONNECTED, subject, after={"connected": True}
            )
        authentication.record_act(session, Action.ACCOUNT_CHANGED, subject, before, after)


def _internal_id(account_id: str) -> int:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        require_api(account)
        return account.id


def _session_token() -> str:
    return request.cookies.get(cookie_name(current_services()), "")


def _redirect_uri() -> str:
    return redirect_uri(current_services().settings.base_url)
