"""Creating an account: the choice of the ATS, and the settings that this ATS needs."""

from collections.abc import Mapping
from zoneinfo import available_timezones

from flask import Blueprint, make_response, render_template, request
from werkzeug.wrappers import Response

from provider.ats import ADAPTERS
from provider.ats.account_settings import (
    CALLBACK_TOKEN,
    NAME,
    InvalidSettings,
    change_secret,
    create_account,
    creation_fields,
)
from provider.core.accounts import Account
from provider.core.audit import Action
from provider.core.connections import parse_secret
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.account_forms import (
    FormField,
    adapter_fields,
    changed_texts,
    common_field,
    readable_problems,
)
from provider.web.console.accounts import render_setup
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.pagination import read_filter_value

routes = Blueprint("account_creation", __name__, url_prefix="/accounts")
SECRET_PREFIX = "secret-"  # noqa: S105  (of a field's name)
FIRST_SETTINGS = ("timezone", "expire_after", "sandbox")


@routes.get("/new")
@requires(Permission.CREATE_ACCOUNTS)
def choose() -> Response:
    """Ask for the ATS, then for what an account of this ATS needs."""
    return _render_form(read_filter_value("ats", ADAPTERS))


@routes.post("/new")
@requires(Permission.CREATE_ACCOUNTS)
def create() -> Response:
    """Create the account, and show its token once."""
    services, form = current_services(), request.form
    ats = read_filter_value("ats", ADAPTERS)
    if not ats:
        raise Invalid("Choose the ATS first")
    fields = _fields(ats)
    try:
        secrets = _read_secrets(ats, form)
        with services.db.writing() as session:
            texts = changed_texts(fields, form)
            if form.get(CALLBACK_TOKEN, "").strip():
                texts[CALLBACK_TOKEN] = form[CALLBACK_TOKEN].strip()
            account, token = create_account(
                session, services.secret_box, form.get("name", ""), ats, texts, services.now()
            )
            subject = f"account:{account.public_id}"
            record_act(session, Action.ACCOUNT_CREATED, subject, after=creation_fields(account))
            for key, value in secrets.items():
                change_secret(
                    session,
                    services.secret_box,
                    account,
                    key,
                    value,
                    actor=current_staff().email,
                    now=services.now(),
                )
            account_id = account.public_id
    except InvalidSettings as error:
        return _render_form(ats, readable_problems(fields, error.problems))
    except Conflict as error:
        return _render_form(ats, {NAME: str(error)})
    return make_response(render_setup(account_id, token), 201)


def _fields(ats: str) -> list[FormField]:
    """Return the fields of the settings that a new account of an ATS needs."""
    adapter = ADAPTERS[ats]
    account = Account(
        ats=ats,
        callback_hosts=list(adapter.default_callback_hosts),
        expire_after_seconds=7 * 86_400,
        timezone="UTC",
        sandbox=False,
        options={},
        branding={},
    )
    names = ("callback_hosts",) if adapter.has_endpoints else ()
    fields = [common_field(account, name) for name in (*FIRST_SETTINGS, *names)]
    needed = () if adapter.has_endpoints or not adapter.api else adapter.api.required_settings
    return [*fields, *adapter_fields(account, needed)]


def _secret_hints(ats: str) -> dict[str, str]:
    """Return the secrets without which nothing works, each with one sentence."""
    adapter = ADAPTERS[ats]
    if adapter.has_endpoints or not adapter.api:
        return {}
    return {key: adapter.api.secrets[key] for key in adapter.api.required_secrets}


def _read_secrets(ats: str, form: Mapping[str, str]) -> dict[str, str]:
    secrets, problems = {}, {}
    for key in _secret_hints(ats):
        text = form.get(f"{SECRET_PREFIX}{key}", "")
        if not text.strip():  # may be set later
            continue
        try:
            secrets[key] = parse_secret(text)
        except Invalid as error:
            problems[f"{SECRET_PREFIX}{key}"] = str(error)
    if problems:
        raise InvalidSettings(problems)
    return secrets


def _render_form(ats: str, problems: Mapping[str, str] | None = None) -> Response:
    adapter = ADAPTERS.get(ats)
    page = render_template(
        "console/account_new.html",
        choices=sorted((name, adapter.title) for name, adapter in ADAPTERS.items()),
        ats=ats,
        fields=_fields(ats) if adapter else (),
        secrets=_secret_hints(ats) if adapter else {},
        needs_callback_token=bool(adapter and adapter.has_endpoints and not adapter.returns_token),
        zone_names=sorted(available_timezones()),
        problems=problems or {},
        form=request.form,
    )
    return make_response(page, 400 if problems else 200)
