"""The end of an account: `provider account disable`, `enable`, `export`, `erase`, `offboarding`."""

from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from provider.cli.common import (
    command_actor,
    json_option,
    open_services,
    print_json,
    print_record,
)
from provider.core.accounts import Account
from provider.core.accounts.offboarding import find_offboarding, require_name
from provider.errors import Conflict
from provider.maintenance.account_erasure import (
    count_erased,
    erase_account,
    list_held_orders,
)
from provider.maintenance.account_export import count_orders
from provider.maintenance.offboarding import (
    begin_erasure,
    export_to_file,
)
from provider.maintenance.offboarding import (
    disable as disable_account,
)
from provider.maintenance.offboarding import (
    enable as enable_account,
)

name_argument = click.argument("name_", metavar="NAME")
yes_option = click.option("--yes", "is_confirmed", is_flag=True, help="Do not ask for the name.")


@click.command()
@name_argument
@click.option("--cancel-orders", is_flag=True, help="Cancel the open orders, too.")
@yes_option
@json_option
def disable(name_: str, cancel_orders: bool, is_confirmed: bool, as_json: bool) -> None:
    """Refuse the account's tokens and order nothing for it, the first step of its end.

    Without --cancel-orders candidates may finish. The server cancels the orders within seconds.
    """
    with open_services() as services:
        with services.db.reading() as session:
            _confirm(Account.get_by_name(session, name_), is_confirmed)
        with services.db.writing() as session:
            account = Account.get_by_name(session, name_, lock=True)
            disable_account(
                session, account, command_actor(), services, cancels_orders=cancel_orders
            )
        with services.db.reading() as session:
            print_record(_state(session, name_), as_json=as_json)


@click.command()
@name_argument
@json_option
def enable(name_: str, as_json: bool) -> None:
    """Let a disabled account work again, until its erasure begins."""
    with open_services() as services:
        with services.db.writing() as session:
            account = Account.get_by_name(session, name_, lock=True)
            enable_account(session, account, command_actor(), services)
        with services.db.reading() as session:
            print_record(_state(session, name_), as_json=as_json)


@click.command()
@name_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@yes_option
@json_option
def export(name_: str, file: Path, is_confirmed: bool, as_json: bool) -> None:
    """Write everything about a disabled account to a new zip FILE, the second step of its end.

    Notes that the staff wrote for each other are in it: read it before you give it away.
    """
    if file.exists():
        raise Conflict(f"{file} exists already: name a new file")
    with open_services() as services:
        with services.db.reading() as session:
            account = Account.get_by_name(session, name_)
        _confirm(account, is_confirmed)
        result = export_to_file(services, account.id, file, command_actor())
    if as_json:
        print_json({"file": str(file), **vars(result), "bytes": file.stat().st_size})
    else:
        click.echo(f"{file} has {result.orders} orders and {result.files} files.")


@click.command()
@name_argument
@yes_option
@json_option
def erase(name_: str, is_confirmed: bool, as_json: bool) -> None:
    """Erase an exported account and print a certificate, the last step of its end.

    Open orders are cancelled, and messages that the ATS has not got are lost. The name, the figures
    and the audit log stay. A command that was interrupted is repeated, and goes on.
    """
    with open_services() as services:
        with services.db.reading() as session:
            account = Account.get_by_name(session, name_)
        _confirm(account, is_confirmed)
        with services.db.writing() as session:
            account = Account.get_by_name(session, name_, lock=True)
            begin_erasure(session, account, command_actor(), services)
        erase_account(services, account.id)
        with services.db.reading() as session:
            state = _state(session, name_)
    if as_json:
        print_json(state)
        return
    certificate = state["certificate"]
    rows = sum(certificate["rows"].values())
    click.echo(
        f"Erased account {name_}: {sum(certificate['orders'].values())} orders, {rows} rows and "
        f"{certificate['files']} files. Backups from before still have the data."
    )


@click.command()
@name_argument
@json_option
def offboarding(name_: str, as_json: bool) -> None:
    """Show how far the end of an account is."""
    with open_services() as services, services.db.reading() as session:
        print_record(_state(session, name_), as_json=as_json)


def _confirm(account: Account, is_confirmed: bool) -> None:
    """Ask for the account's name. Raises Invalid for another one."""
    if not is_confirmed:
        require_name(account, click.prompt(f"Type {account.name} to confirm", err=True))


def _state(session: Session, name: str) -> dict[str, Any]:
    account = Account.get_by_name(session, name)
    row = find_offboarding(session, account)
    state: dict[str, Any] = {
        "name": account.name,
        "disabled_at": account.disabled_at,
        "orders": count_orders(session, account.id),
        "orders_on_hold": list_held_orders(session, account.id),
    }
    if row is None:
        return state
    return state | {
        "disabled_by": row.disabled_by,
        "cancels_orders": row.cancels_orders,
        "export_requested_at": row.export_requested_at,
        "exported_orders": row.export_done,
        "exported_at": row.exported_at,
        "erasure_requested_at": row.erasure_requested_at,
        "erased_orders": count_erased(session, row) if row.erasure_requested_at else 0,
        "erased_at": row.erased_at,
        "problem": row.problem,
        "certificate": row.certificate,
    }
