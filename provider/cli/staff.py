"""`provider staff …`: the people who sign in to the console."""

import sys
from collections.abc import Callable

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.cli.common import json_option, open_services, print_records, record_command
from provider.core import staff as core_staff
from provider.core.account_limits import account_names
from provider.core.accounts import Account
from provider.core.audit import Action, Fields
from provider.core.staff import ROLES, Staff
from provider.errors import Conflict
from provider.services import Services

email_argument = click.argument("email", metavar="EMAIL")
password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from stdin, one line."
)


@click.group()
def staff() -> None:
    """People who sign in to the console."""


@staff.command()
@email_argument
@click.option("--role", required=True, type=click.Choice(ROLES))
@click.option("--account", "accounts", metavar="NAME", multiple=True, help="See only this account.")
@password_option
def create(email: str, role: str, accounts: tuple[str, ...], password_stdin: bool) -> None:
    """Add a staff member; asks for the password unless --password-stdin is given.

    Repeat --account for several accounts; without it the person sees all.
    """
    password = _read_password(password_stdin)
    with open_services() as services, services.db.writing() as session:
        account_ids = _account_ids(session, accounts) or None
        person = Staff.create(session, email, password, role, services.now(), account_ids)
        after = {"role": role, "accounts": account_names(session, account_ids)}
        _record(session, services, Action.STAFF_CREATED, person, after=after)
    click.echo(f"{person.email} can sign in as {role}.")


@staff.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the staff."""
    names = ("email", "role", "created_at", "disabled_at")
    with open_services() as services, services.db.reading() as session:
        people = session.scalars(select(Staff).order_by(Staff.email)).all()
        records = [
            {name: getattr(person, name) for name in names}
            | {"accounts": account_names(session, person.account_ids)}
            for person in people
        ]
    columns = {
        "E-mail": "email",
        "Role": "role",
        "Accounts": "accounts",
        "Since": "created_at",
        "Disabled": "disabled_at",
    }
    print_records(records, columns, as_json=as_json)


@staff.command()
@email_argument
@password_option
def password(email: str, password_stdin: bool) -> None:
    """Set a person's password and end the person's sessions."""
    new_password = _read_password(password_stdin)
    person = _change(
        email,
        Action.STAFF_PASSWORD_CHANGED,
        lambda session, person: core_staff.change_password(session, person, new_password),
    )
    click.echo(f"{person.email} has a new password and is signed out everywhere.")


@staff.command()
@email_argument
@click.argument("role", type=click.Choice(ROLES))
def role(email: str, role: str) -> None:
    """Give a person another role and end the person's sessions."""
    person = _change(
        email,
        Action.STAFF_ROLE_CHANGED,
        lambda session, person: core_staff.change_role(session, person, role),
    )
    click.echo(f"{person.email} is {role} from now on, and is signed out everywhere.")


@staff.command()
@email_argument
@click.argument("accounts", metavar="[ACCOUNT]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="End the limit.")
def limit(email: str, accounts: tuple[str, ...], is_all: bool) -> None:
    """Limit a person to some accounts and end the person's sessions."""
    if is_all == bool(accounts):
        raise click.UsageError("Give the names of the accounts, or --all")
    with open_services() as services, services.db.writing() as session:
        person = Staff.get_by_email(session, email)
        before, account_ids = person.account_ids, _account_ids(session, accounts) or None
        core_staff.limit_accounts(session, person, account_ids)
        _record(
            session,
            services,
            Action.STAFF_ACCOUNTS_CHANGED,
            person,
            before={"accounts": account_names(session, before)},
            after={"accounts": account_names(session, account_ids)},
        )
    seen = "all accounts" if is_all else ", ".join(accounts)
    click.echo(f"{person.email} sees {seen} from now on, and is signed out everywhere.")


@staff.command()
@email_argument
def disable(email: str) -> None:
    """End a person's sessions and refuse further sign-ins."""
    with open_services() as services, services.db.writing() as session:
        person = Staff.get_by_email(session, email)
        core_staff.disable(session, person, services.now())
        _record(session, services, Action.STAFF_DISABLED, person, before={"role": person.role})
    click.echo(f"{person.email} can no longer sign in.")


@staff.command()
@email_argument
def enable(email: str) -> None:
    """Let a disabled person sign in again, with the same password and role."""
    with open_services() as services, services.db.writing() as session:
        person = Staff.get_by_email(session, email)
        core_staff.enable(session, person)
        _record(session, services, Action.STAFF_ENABLED, person, after={"role": person.role})
    click.echo(f"{person.email} can sign in again as {person.role}.")


@staff.command("remove-second-step")
@email_argument
def remove_second_step(email: str) -> None:
    """Let a person sign in with the password alone, who has lost the app and the codes."""
    with open_services() as services, services.db.writing() as session:
        person = Staff.get_by_email(session, email)
        if not core_staff.has_second_factor(session, person):
            raise Conflict(f"{person.email} has no second step")
        core_staff.remove_second_factor(session, person)
        _record(session, services, Action.STAFF_SECOND_STEP_REMOVED, person)
    click.echo(f"{person.email} signs in with the password alone, and is signed out everywhere.")


def _account_ids(session: Session, names: tuple[str, ...]) -> list[int]:
    return sorted({Account.get_by_name(session, name).id for name in names})


def _change(email: str, action: Action, change: Callable[[Session, Staff], None]) -> Staff:
    """Change a person and record it; a changed role is in the entry."""
    with open_services() as services, services.db.writing() as session:
        person = Staff.get_by_email(session, email)
        old_role = person.role
        change(session, person)
        is_same_role = person.role == old_role
        before = None if is_same_role else {"role": old_role}
        after = None if is_same_role else {"role": person.role}
        _record(session, services, action, person, before=before, after=after)
    return person


def _record(
    session: Session,
    services: Services,
    action: Action,
    person: Staff,
    before: Fields | None = None,
    after: Fields | None = None,
) -> None:
    subject = f"staff:{person.email}"
    record_command(session, services.now(), action, subject, before=before, after=after)


def _read_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("Give --password-stdin: without a terminal nobody can be asked")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
