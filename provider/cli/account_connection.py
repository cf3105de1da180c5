"""`provider account check`, `connect` and `secret`: the connection to an ATS's API."""

import sys

import click

from provider.ats import ADAPTERS
from provider.ats.account_check import check_account
from provider.ats.account_settings import change_secret
from provider.ats.api import CheckLine
from provider.ats.rules import keep_found_settings, require_api
from provider.cli.common import (
    command_actor,
    json_option,
    open_services,
    print_json,
    printable_text,
    record_command,
)
from provider.core.accounts import Account
from provider.core.audit import Action
from provider.core.connections import has_secrets, open_rules, parse_secret
from provider.services import Services


@click.command()
@click.argument("name_", metavar="NAME")
@json_option
def check(name_: str, as_json: bool) -> None:
    """Say what works of a connection and what is missing; exit 1 if something is missing."""
    with open_services() as services:
        with services.db.reading() as session:
            account = Account.get_by_name(session, name_)
            lines = check_account(session, services, account)
        lines += _try_credentials(services, account)
        lines += _check_mail_domain(services)
    if as_json:
        print_json([{"ok": line.is_ok, "text": line.text} for line in lines])
    else:
        for line in lines:
            click.echo(f"{'ok     ' if line.is_ok else 'missing'}  {printable_text(line.text)}")
    raise SystemExit(not all(line.is_ok for line in lines))


@click.command()
@click.argument("name_", metavar="NAME")
def connect(name_: str) -> None:
    """Print the page on which a member of staff connects the account to its ATS."""
    with open_services() as services, services.db.reading() as session:
        account = Account.get_by_name(session, name_)
        require_api(account)
        base_url = services.settings.base_url
        click.echo("Sign in to the console and open:\n")
        click.echo(f"  {base_url}/console/accounts/{account.public_id}/connection\n")
        click.echo("If the ATS asks for the redirect address of the application:\n")
        click.echo(f"  {base_url}/console/connect")


@click.command()
@click.argument("name_", metavar="NAME")
@click.argument("key", metavar="KEY")
@click.option("--remove", is_flag=True, help="Delete the secret.")
def secret(name_: str, key: str, remove: bool) -> None:
    """Read a secret of the ATS's API from stdin, such as an API key, and store it encrypted."""
    value = None if remove else _read_secret()
    with open_services() as services, services.db.writing() as session:
        account = Account.get_by_name(session, name_, lock=True)
        change_secret(
            session,
            services.secret_box,
            account,
            key,
            value,
            actor=command_actor(),
            now=services.now(),
        )
    click.echo(f"{'Deleted' if remove else 'Stored'} {key} of {account.name}.")


def _try_credentials(services: Services, account: Account) -> list[CheckLine]:
    """Try the credentials at the ATS, and keep the settings that turned out to be right.

    An ATS that orders through our endpoints may need no credentials of its API.
    """
    adapter = ADAPTERS[account.ats]
    if adapter.api is None:
        return []
    with services.db.reading() as session:
        needs_api = has_secrets(session, account.id) or open_rules(session, account.id)
    if adapter.has_endpoints and not needs_api:
        return []
    from provider.delivery.ats_gateway import ApiGateway  # late: most commands send no request

    report = ApiGateway(services).check(account.id)
    if report.found_settings:
        with services.db.writing() as session:
            stored = session.get_one(Account, account.id, with_for_update=True)
            subject, before = f"account:{stored.public_id}", stored.audit_fields()
            keep_found_settings(session, stored, report.found_settings, services.now())
            record_command(
                session,
                services.now(),
                Action.ACCOUNT_CHANGED,
                subject,
                before=before,
                after=stored.audit_fields(),
            )
    return list(report.lines)


def _check_mail_domain(services: Services) -> list[CheckLine]:
    from provider.delivery.mail_domain import check_mail_domain  # late: only a check asks DNS

    return check_mail_domain(services.settings)


def _read_secret() -> str:
    if sys.stdin.isatty():
        value = str(click.prompt("Secret", hide_input=True))
    else:
        value = sys.stdin.readline()
    return parse_secret(value)
