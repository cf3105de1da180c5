"""Commands about the connection to an ATS's API: `provider account check`, `connect` and others."""

import sys
from collections.abc import Sequence

import click

from provider.ats.account_settings import change_secret
from provider.ats.account_urls import redirect_uri
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
from provider.core.connections import parse_secret
from provider.services import Services


@click.command()
@click.argument("name_", metavar="NAME")
@json_option
def check(name_: str, as_json: bool) -> None:
    """Say what works of a connection and what is missing; exit 1 if something is missing."""
    with open_services() as services:
        with services.db.reading() as session:
            account = Account.get_by_name(session, name_)
        lines = _check(services, account)
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
        click.echo(f"  {redirect_uri(base_url)}")


@click.command()
@click.argument("name_", metavar="NAME")
def disconnect(name_: str) -> None:
    """End the consent at the ATS: it revokes the tokens, and they are deleted here.

    The exit code is 1 if the ATS has not revoked them.
    """
    with open_services() as services:
        with services.db.reading() as session:
            account = Account.get_by_name(session, name_)
            require_api(account)
        from provider.delivery.ats_gateway import ApiGateway  # late: most commands send no request

        line = ApiGateway(services).disconnect(account.id)
        with services.db.writing() as session:
            record_command(
                session,
                services.now(),
                Action.ACCOUNT_DISCONNECTED,
                f"account:{account.public_id}",
                after={"revoked": line.is_ok},
            )
    click.echo(f"{line.text}.")
    raise SystemExit(not line.is_ok)


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


def _check(services: Services, account: Account) -> Sequence[CheckLine]:
    """Check as the console does, and keep the settings that turned out to be right."""
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
    return report.lines


def _read_secret() -> str:
    if sys.stdin.isatty():
        value = str(click.prompt("Secret", hide_input=True))
    else:
        value = sys.stdin.readline()
    return parse_secret(value)
