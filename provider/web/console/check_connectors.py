"""The connectors of an account: how screenings are sent to vendors. No secret is shown again."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.accounts import Account
from provider.core.audit import Action
from provider.core.kinds.check.tables.connector import Connector, list_connectors
from provider.core.kinds.check.vendors.connector_form import (
    METHODS,
    InvalidConnector,
    format_statuses,
    parse_connector,
    parse_headers,
)
from provider.core.kinds.check.vendors.request_template import VALUE_NAMES
from provider.core.kinds.check.vendors.trial_request import enqueue_test, last_test
from provider.core.kinds.check.vendors.vendor_answer import MEANINGS
from provider.core.staff import Permission
from provider.errors import Conflict, NotFound
from provider.services import current_services
from provider.storage import secrets
from provider.web.check_hooks import EVENTS, SIGNATURE_HEADER, TIMESTAMP_HEADER
from provider.web.console.accounts import find_account
from provider.web.console.authentication import record_act, requires
from provider.web.console.pagination import is_plausible_id

routes = Blueprint("connectors", __name__, url_prefix="/accounts/<account_id>/connectors")

# The columns that the form shows. The audit log has the addresses, without their query.
COLUMNS = ("key", "name", "url", "method", "request_template", "poll_url", "poll_minutes")
USUAL_TEMPLATE = json.dumps(
    {
        "order": "{{ order.id }}",
        "callback_url": "{{ order.callback_url }}",
        "screening": "{{ screening.type }}",
        "candidate": {"name": "{{ candidate.full_name }}"},
    },
    indent=2,
)
USUAL_VALUES = {
    "method": "POST",
    "request_template": USUAL_TEMPLATE,
    "path-reference": "id",
    "path-status": "status",
    "poll_minutes": "0",
}


@routes.get("/")
@requires(Permission.MANAGE_ACCOUNTS)
def listing(account_id: str) -> str:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        connectors = list_connectors(session, account.id)
        return render_template("console/connectors.html", account=account, connectors=connectors)


@routes.get("/new")
@requires(Permission.MANAGE_ACCOUNTS)
def begin(account_id: str) -> Response:
    return _render_form(account_id, values=USUAL_VALUES)


@routes.post("/new")
@requires(Permission.MANAGE_ACCOUNTS)
def create(account_id: str) -> Response:
    """Add a connector, and show its signing key once."""
    services = current_services()
    try:
        columns, headers = _parse_form(request.form.get("key", ""))
        with services.db.writing() as session:
            account = find_account(session, account_id, lock=True)
            _require_free_key(session, account, columns["key"])
            connector = Connector(
                public_id=secrets.generate_public_id(),
                account_id=account.id,
                created_at=services.now(),
                **columns,
            )
            connector.set_headers(services.secret_box, headers)
            key = connector.replace_signing_key(services.secret_box)
            session.add(connector)
            session.flush()
            _record(Action.CONNECTOR_CREATED, session, account, connector, {})
            connector_id = connector.public_id
    except InvalidConnector as error:
        return _render_form(account_id, values=request.form, problems=error.fields)
    return _render(account_id, connector_id, signing_key=key, status_code=201)


@routes.get("/<connector_id>")
@requires(Permission.MANAGE_ACCOUNTS)
def detail(account_id: str, connector_id: str) -> Response:
    return _render(account_id, connector_id)


@routes.get("/<connector_id>/edit")
@requires(Permission.MANAGE_ACCOUNTS)
def edit(account_id: str, connector_id: str) -> Response:
    with current_services().db.reading() as session:
        _, connector = _find(session, account_id, connector_id)
        values = _form_values(connector)
    return _render_form(account_id, connector_id, values=values)


@routes.post("/<connector_id>/edit")
@requires(Permission.MANAGE_ACCOUNTS)
def save(account_id: str, connector_id: str) -> Response:
    """Change a connector. Headers stay unless new ones are typed, or all are to be removed.

    A new host never gets the present headers: they were typed for another one.
    """
    services = current_services()
    try:
        with services.db.writing() as session:
            account, connector = _find(session, account_id, connector_id, lock=True)
            columns, headers = _parse_form(connector.key)
            replaces_headers = bool(headers or request.form.get("remove_headers"))
            if connector.headers_encrypted and not replaces_headers:
                _require_known_hosts(connector, columns)
            before = _addresses(connector)
            for name, value in columns.items():
                setattr(connector, name, value)
            if replaces_headers:
                connector.set_headers(services.secret_box, headers)
            _record(Action.CONNECTOR_CHANGED, session, account, connector, before)
    except InvalidConnector as error:
        return _render_form(account_id, connector_id, request.form, error.fields)
    flash("The connector is saved. The next order is sent with it.", "success")
    return redirect(url_for(".detail", account_id=account_id, connector_id=connector_id))


@routes.post("/<connector_id>/key")
@requires(Permission.MANAGE_ACCOUNTS)
def replace_key(account_id: str, connector_id: str) -> Response:
    """Make a new signing key, and show it once. Callbacks with the old one get 401."""
    services = current_services()
    with services.db.writing() as session:
        account, connector = _find(session, account_id, connector_id, lock=True)
        key = connector.replace_signing_key(services.secret_box)
        _record(Action.CONNECTOR_KEY_REPLACED, session, account, connector)
    return _render(account_id, connector_id, signing_key=key)


@routes.post("/<connector_id>/test")
@requires(Permission.MANAGE_ACCOUNTS)
def send_test(account_id: str, connector_id: str) -> Response:
    """Send a request with invented values; the page then shows what the vendor answers."""
    services = current_services()
    with services.db.writing() as session:
        account, connector = _find(session, account_id, connector_id)
        enqueue_test(session, connector, services.now())
        _record(Action.CONNECTOR_TESTED, session, account, connector)
    flash("The test is on its way. Load this page again for the answer.", "success")
    return redirect(url_for(".detail", account_id=account_id, connector_id=connector_id))


@routes.post("/<connector_id>/switch")
@requires(Permission.MANAGE_ACCOUNTS)
def switch(account_id: str, connector_id: str) -> Response:
    """Switch a connector off, or on again. Orders that wait to be sent fail while it is off."""
    services = current_services()
    with services.db.writing() as session:
        account, connector = _find(session, account_id, connector_id, lock=True)
        is_on = request.form.get("act") == "on"
        if is_on != bool(connector.disabled_at):
            raise Conflict("The connector is switched so already")
        connector.disabled_at = None if is_on else services.now()
        action = Action.CONNECTOR_ENABLED if is_on else Action.CONNECTOR_DISABLED
        _record(action, session, account, connector)
    flash("The connector is switched on." if is_on else "The connector is switched off.", "success")
    return redirect(url_for(".detail", account_id=account_id, connector_id=connector_id))


def _find(
    session: Session, account_id: str, connector_id: str, *, lock: bool = False
) -> tuple[Account, Connector]:
    account = find_account(session, account_id, lock=lock)
    query = select(Connector).where(
        Connector.account_id == account.id, Connector.public_id == connector_id
    )
    connector = session.scalar(query) if is_plausible_id(connector_id) else None
    if connector is None:
        raise NotFound("There is no such connector in this account")
    return account, connector


def _require_free_key(session: Session, account: Account, key: str) -> None:
    if any(connector.key == key for connector in list_connectors(session, account.id)):
        raise InvalidConnector({"key": "Another connector of this account has this key"})


def _require_known_hosts(connector: Connector, columns: Mapping[str, Any]) -> None:
    known_hosts = {_host(connector.url), _host(connector.poll_url)}
    if any(
        _host(columns[name]) not in known_hosts for name in ("url", "poll_url") if columns[name]
    ):
        raise InvalidConnector(
            {
                "headers": "Type the headers again: the host has changed, "
                "and the present ones were typed for another one"
            }
        )


def _host(url: str) -> tuple[str, str]:
    """Return the scheme, and the host with its port."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _parse_form(key: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the columns and the headers of the form. The key never changes."""
    form = {**request.form, "key": key}
    allow_http = current_services().settings.private_callbacks
    return parse_connector(form, allow_http=allow_http), parse_headers(form.get("headers", ""))


def _addresses(connector: Connector) -> dict[str, str]:
    """Return the addresses without their query, which may have a secret, for the audit log."""
    urls = {"url": connector.url, "poll_url": connector.poll_url}
    return {name: url.partition("?")[0] for name, url in urls.items()}


def _record(
    action: Action,
    session: Session,
    account: Account,
    connector: Connector,
    addresses: Mapping[str, str] | None = None,
) -> None:
    """Write an act to the audit log; with the earlier `addresses`, those that changed."""
    after = {"connector": connector.key}
    if addresses is not None:
        after |= _addresses(connector)
    record_act(session, action, f"account:{account.public_id}", addresses, after)


def _form_values(connector: Connector) -> dict[str, str]:
    values = {name: str(getattr(connector, name)) for name in COLUMNS}
    paths = {f"path-{name}": path for name, path in connector.paths.items()}
    return {**values, **paths, "statuses": format_statuses(connector.statuses)}


def _render_form(
    account_id: str,
    connector_id: str = "",
    values: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
) -> Response:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        connector = _find(session, account_id, connector_id)[1] if connector_id else None
        page = render_template(
            "console/connector_form.html",
            account=account,
            connector=connector,
            values=values or {},
            problems=problems or {},
            methods=METHODS,
            meanings=MEANINGS,
            placeholders=VALUE_NAMES,
        )
    return make_response(page, 400 if problems else 200)


def _render(
    account_id: str, connector_id: str, *, signing_key: str = "", status_code: int = 200
) -> Response:
    services = current_services()
    with services.db.reading() as session:
        account, connector = _find(session, account_id, connector_id)
        test = last_test(session, connector)
        page = render_template(
            "console/connector.html",
            account=account,
            connector=connector,
            header_names=list(connector.get_headers(services.secret_box)),
            statuses=format_statuses(connector.statuses),
            hook_url=services.urls.connector_hook(connector.public_id, EVENTS),
            timestamp_header=TIMESTAMP_HEADER,
            signature_header=SIGNATURE_HEADER,
            signing_key=signing_key,
            test=test,
            attempt=test.attempt_history[-1] if test and test.attempt_history else None,
        )
    return make_response(page, status_code)
