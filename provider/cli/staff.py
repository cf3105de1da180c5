"""`provider staff …`: the people who sign in to the console."""

import sys

import click
from sqlalchemy import select

from provider.cli.common import json_option, open_services, print_records, record_command
from provider.core.audit import Action
from provider.core.staff import ROLES, Staff
from provider.errors import Conflict, NotFound


@click.group()
def staff() -> None:
    """People who sign in to the console."""


@staff.command()
@click.argument("email", metavar="EMAIL")
@click.option("--role", required=True, type=click.Choice(ROLES))
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin, one line.")
def create(email: str, role: str, password_stdin: bool) -> None:
    """Add a staff member; asks for the password unless --password-stdin is given."""
    password = _read_password(password_stdin)
    with open_services() as services, services.db.writing() as session:
        person = Staff.create(session, email, password, role, services.now())
        record_command(
            session,
            services.now(),
            Action.STAFF_CREATED,
            f"staff:{person.email}",
            after={"role": role},
        )
    click.echo(f"{person.email} can sign in as {role}.")


@staff.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the staff."""
    names = ("email", "role", "created_at", "disabled_at")
    with open_services() as services, services.db.reading() as session:
        people = session.scalars(select(Staff).order_by(Staff.email)).all()
    records = [{name: getattr(person, name) for name in names} for person in people]
    columns = {"E-mail": "email", "Role": "role", "Since": "created_at", "Disabled": "disabled_at"}
    print_records(records, columns, as_json=as_json)


@staff.command()
@click.argument("email", metavar="EMAIL")
def disable(email: str) -> None:
    """End a person's sessions and refuse further sign-ins."""
    with open_services() as services, services.db.writing() as session:
        person = session.scalar(select(Staff).where(Staff.email == email.strip().casefold()))
        if person is None:
            raise NotFound(f"There is no staff member {email}: see `provider staff list`")
        if person.disabled_at:
            raise Conflict(f"{person.email} is disabled already")
        person.disabled_at = services.now()
        record_command(
            session,
            services.now(),
            Action.STAFF_DISABLED,
            f"staff:{person.email}",
            before={"role": person.role},
        )
    click.echo(f"{person.email} can no longer sign in.")


def _read_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("Give --password-stdin: without a terminal nobody can be asked")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
