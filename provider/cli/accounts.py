"""`provider account …`: customers' ATS connections and their tokens."""

from datetime import timedelta
from shlex import quote
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.account_settings import change_settings, create_account, creation_fields
from provider.ats.account_urls import account_urls
from provider.cli.account_connection import check, connect, disconnect, secret
from provider.cli.account_offboarding import disable, enable, erase, export, offboarding
from provider.cli.account_settings import read_callback_token, read_settings
from provider.cli.common import (
    command_actor,
    json_option,
    open_services,
    print_json,
    print_record,
    print_records,
    record_command,
)
from provider.cli.products import find_product
from provider.core.accounts import Account, Caller
from provider.core.accounts.email_policy import read_candidate_emails, read_reminders
from provider.core.accounts.sandbox_outcomes import read_sandbox_outcomes
from provider.core.accounts.screening_times import read_screening_times
from provider.core.audit import Action
from provider.core.products import Product
from provider.core.products.choice import choose_products, describe_choice
from provider.core.products.product import visibility_conditions


@click.group()
def account() -> None:
    """Customers' ATS connections."""


account.add_command(check)
account.add_command(connect)
account.add_command(disconnect)
account.add_command(secret)
for _command in (disable, enable, export, erase, offboarding):
    account.add_command(_command)


@account.command()
@click.argument("name_", metavar="NAME")
@click.option("--ats", required=True, type=click.Choice(sorted(ADAPTERS)), help="Which ATS it is.")
@click.option(
    "--callback-token",
    metavar="TOKEN",
    help="The token that callbacks carry; - reads it from stdin.",
)
@click.option(
    "--callback-host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="A host that may receive callbacks, e.g. *.example.com; repeatable. Default: the ATS's "
    "own hosts.",
)
@click.option(
    "--expire-after",
    default="7d",
    show_default=True,
    help="Time that a candidate has to start, e.g. 7d.",
)
@click.option("--sandbox", is_flag=True, help="An account for trials, which sees samples too.")
@json_option
def create(
    name_: str,
    ats: str,
    callback_token: str | None,
    hosts: tuple[str, ...],
    expire_after: str,
    sandbox: bool,
    as_json: bool,
) -> None:
    """Connect an ATS; prints the token that the ATS sends. It is shown only once."""
    with open_services() as services:
        with services.db.writing() as session:
            texts = {"expire_after": expire_after, "sandbox": "yes" if sandbox else "no"}
            if hosts:
                texts["callback_hosts"] = ",".join(hosts)
            if callback_token is not None:
                texts["callback_token"] = read_callback_token(callback_token)
            account, token = create_account(
                session, services.secret_box, name_, ats, texts, services.now()
            )
            fields = creation_fields(account)
            subject = f"account:{account.public_id}"
            record_command(session, services.now(), Action.ACCOUNT_CREATED, subject, after=fields)
        base_url = services.settings.base_url
        if as_json:
            urls = account_urls(services.secret_box, account, base_url)
            print_json({"account": account.name, "token": token, "urls": urls})
            return
        if token is None:
            click.echo(_next_steps(account))
            return
        click.echo(f"Account {account.name} is connected. Give its ATS these:\n")
        values = ADAPTERS[ats].urls(base_url) | {"Token": token}
        width = max(map(len, values))
        for label, value in values.items():
            click.echo(f"  {label:{width}}  {value}")
        click.echo()
        click.echo("The token is shown only once; `provider account token` creates another.")


def _next_steps(account: Account) -> str:
    """Return what to do for an ATS whose API this program calls."""
    api = ADAPTERS[account.ats].api
    name = quote(account.name)
    commands = [f"provider account secret {name} {key}" for key in api.secrets] if api else []
    commands += [f"provider account check {name}", f"provider rule add {name} --help"]
    lines = "".join(f"\n  {command}" for command in commands)
    return f"Account {account.name} is created. Next:\n{lines}"


@account.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the accounts."""
    with open_services() as services, services.db.reading() as session:
        records = [
            _account_record(account)
            for account in session.scalars(select(Account).order_by(Account.name))
        ]
    columns = {
        "Name": "name",
        "ATS": "ats",
        "Callback hosts": "callback_hosts",
        "Expires after": "expire_after",
        "Sandbox": "sandbox",
        "Tokens": "open_tokens",
    }
    print_records(records, columns, as_json=as_json)


@account.command()
@click.argument("name_", metavar="NAME")
@json_option
def show(name_: str, as_json: bool) -> None:
    """Show an account, its settings and the first characters of its tokens."""
    with open_services() as services, services.db.reading() as session:
        account = Account.get_by_name(session, name_)
        record = _account_record(account, as_json=as_json)
        tokens = [_token_record(token) for token in account.tokens]
        urls = account_urls(services.secret_box, account, services.settings.base_url)
    if as_json:
        print_json(record | {"urls": urls, "tokens": tokens})
        return
    print_record(record | urls, as_json=False)
    click.echo()
    columns = {
        "Token": "prefix",
        "Created": "created_at",
        "Last used": "last_used_at",
        "Revoked": "revoked_at",
    }
    print_records(tokens, columns, as_json=False)


def _ats_settings_help() -> str:
    """Return a paragraph for each ATS with its settings, and one about their forms."""
    paragraphs = [
        f"Further settings of {adapter.title}: "
        + ", ".join(f"{setting.name}={setting.form}" for setting in adapter.settings)
        for adapter in ADAPTERS.values()
    ]
    forms = (
        "TIME is like 90s, 5m, 24h or 7d. TABLE is like NAME=VALUE, NAME=VALUE. TIMEZONE is like "
        "Europe/Athens. TEXT, TABLE, and what has no default can be none. The console's page of "
        "the account says what each setting does; provider account show prints the values."
    )
    return "\n\n".join([*paragraphs, forms])


@account.command("set", epilog=_ats_settings_help())
@click.argument("name_", metavar="NAME")
@click.argument("settings", nargs=-1, required=True, metavar="KEY=VALUE…")
def set_(name_: str, settings: tuple[str, ...]) -> None:
    """Change settings of an account: all of them, or none if one is wrong.

    \b
    callback_hosts      comma-separated: *.example.com,hooks.example.org
    callback_token      the token that callbacks carry; - reads it from stdin; none;
                        a new token resumes callbacks that are paused for a refused one
    callback_rate       at most so many callbacks per second to each host, e.g. 5; none
    request_rate        at most so many calls of the ATS per second, e.g. 20; none
    expire_after        time that a candidate has to start: 12h, 7d, 2w
    timezone            e.g. Europe/Athens
    shared_ttl          lifetime of shared links: 120 minutes, 3 days, 3 views, none
    keep_recordings     how long recordings are stored after an order ends: 180d, 26w, none
    keep_candidates     how long everything about a candidate is stored after that: 104w, none
    keep_screenings     how long the data of screenings is stored, by type: credit=90d; none
    check_copies        every candidate of a check may read its report: yes (default) or no
    sandbox             yes or no
    sandbox_outcomes    how a sandbox's orders end, by product: numerical-reasoning=fail; none
    brand.display_name  name that candidates see instead of the account's name; none
    brand.support_address, brand.privacy_address
                        an e-mail address or https://…, shown to candidates; none
    brand.colour        e.g. #0a5cff; none
    """
    with open_services() as services, services.db.writing() as session:
        account = Account.get_by_name(session, name_, lock=True)
        change_settings(
            session,
            services.secret_box,
            account,
            read_settings(settings),
            actor=command_actor(),
            now=services.now(),
        )
    click.echo(f"Changed {account.name}; a running server applies it within five seconds.")


@account.command("products")
@click.argument("name_", metavar="NAME")
@click.option(
    "--all", "sees_all", is_flag=True, help="Let the account see every published product."
)
@click.option("--only", is_flag=True, help="Let the account see the given products only.")
@click.argument("keys", nargs=-1, metavar="[KEY…]")
@json_option
def products_(name_: str, sees_all: bool, only: bool, keys: tuple[str, ...], as_json: bool) -> None:
    """List the products that an account sees, or choose them."""
    if sees_all and only:
        raise click.UsageError("Choose --all or --only")
    if only != bool(keys):
        raise click.UsageError("Give --only together with the keys of products")
    with open_services() as services:
        if sees_all or only:
            with services.db.writing() as session:
                account = Account.get_by_name(session, name_, lock=True)
                before = describe_choice(session, account)
                products = None if sees_all else [find_product(session, key) for key in keys]
                choose_products(session, account, products)
                record_command(
                    session,
                    services.now(),
                    Action.ACCOUNT_CHANGED,
                    f"account:{account.public_id}",
                    before=before,
                    after=describe_choice(session, account),
                )
        with services.db.reading() as session:
            records = _visible_products(session, Account.get_by_name(session, name_))
    print_records(records, {"Key": "key", "Kind": "kind", "Name": "name"}, as_json=as_json)


@account.command()
@click.argument("name_", metavar="NAME")
@json_option
def token(name_: str, as_json: bool) -> None:
    """Create another token for an account; it is shown only once."""
    with open_services() as services, services.db.writing() as session:
        account = Account.get_by_name(session, name_)
        new_token = account.issue_token(services.now())
        record_command(
            session,
            services.now(),
            Action.ACCOUNT_TOKEN_CREATED,
            f"account:{account.public_id}",
            after={"token": account.tokens[-1].prefix},
        )
    if as_json:
        print_json({"account": account.name, "token": new_token})
    else:
        click.echo(new_token)


@account.command()
@click.argument("name_", metavar="NAME")
@click.argument("prefix", metavar="PREFIX")
def revoke(name_: str, prefix: str) -> None:
    """Revoke the token that begins with PREFIX."""
    with open_services() as services, services.db.writing() as session:
        account = Account.get_by_name(session, name_)
        revoked = account.revoke_token(prefix, services.now(), services.secret_box)
        record_command(
            session,
            services.now(),
            Action.ACCOUNT_TOKEN_REVOKED,
            f"account:{account.public_id}",
            before={"token": revoked.prefix},
        )
    click.echo(f"Revoked {revoked.prefix}…; a running server refuses it within five seconds.")


def _account_record(account: Account, *, as_json: bool = True) -> dict[str, Any]:
    adapter = ADAPTERS[account.ats]
    settings = adapter.setting_values(account.options)
    if not as_json:  # as `account set` takes them
        settings = {item.name: item.format(settings[item.name]) for item in adapter.settings}
    ttl = f"{account.shared_ttl} {account.shared_ttl_units}" if account.shared_ttl else None
    return {
        "name": account.name,
        "id": account.public_id,
        "ats": account.ats,
        "callback_hosts": account.callback_hosts,
        "callback_token": "set" if account.callback_token else None,
        "callback_rate": account.callback_rate,
        "request_rate": account.request_rate,
        "expire_after": timedelta(seconds=account.expire_after_seconds),
        "timezone": account.timezone,
        "shared_ttl": ttl,
        "keep_recordings": _storage_time(account.keep_recordings_seconds),
        "keep_candidates": _storage_time(account.keep_candidates_seconds),
        "keep_screenings": read_screening_times(account),
        "check_copies": account.gives_check_copies,
        "sandbox": account.sandbox,
        "sandbox_outcomes": read_sandbox_outcomes(account),
        "candidate_emails": read_candidate_emails(account),
        "reminders": read_reminders(account),
        "brand.display_name": account.branding.get("display_name"),
        "brand.support_address": account.branding.get("support_address"),
        "brand.privacy_address": account.branding.get("privacy_address"),
        "brand.colour": account.branding.get("colour"),
        "sees_all_products": account.all_products,
        **settings,
        "open_tokens": sum(not token.revoked_at for token in account.tokens),
        "created_at": account.created_at,
        "disabled_at": account.disabled_at,
    }


def _token_record(token: Any) -> dict[str, Any]:
    names = ("prefix", "created_at", "last_used_at", "revoked_at")
    return {name: getattr(token, name) for name in names}


def _visible_products(session: Session, account: Account) -> list[dict[str, Any]]:
    query = select(Product.key, Product.kind, Product.name).order_by(Product.kind, Product.name)
    return [
        row._asdict()
        for kind in ADAPTERS[account.ats].orderable_kinds(account.options)
        for row in session.execute(
            query.where(*visibility_conditions((kind,), Caller.from_account(account)))
        )
    ]


def _storage_time(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
