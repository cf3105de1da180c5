"""`provider person …`: export and erase everything about a candidate."""

from pathlib import Path

import click

from provider import maintenance
from provider.cli import erasure
from provider.cli.common import json_option, open_services, record_command
from provider.core.accounts import Account
from provider.core.audit import Action
from provider.core.orders import orders_of_person
from provider.errors import NotFound


@click.group()
def person() -> None:
    """Candidates, each known by an e-mail address within an account."""


@person.command()
@click.argument("account_name", metavar="ACCOUNT")
@click.argument("email", metavar="EMAIL")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
def export(account_name: str, email: str, folder: Path) -> None:
    """Write everything about a candidate to a new FOLDER: data.json, and the files.

    Notes that the staff wrote for each other are in it: read the folder before you give it away.
    """
    with open_services() as services:
        # Copying files takes long, and a writing transaction would stop the server meanwhile.
        with services.db.reading() as session:
            account = Account.get_by_name(session, account_name)
            person_export = maintenance.export_person(
                session, services.media, services.secret_box, account, email, folder.absolute()
            )
            subject = f"account:{account.public_id}"
        with services.db.writing() as session:
            record_command(
                session,
                services.now(),
                Action.PERSON_EXPORTED,
                subject,
                after={"orders": person_export.order_ids},
            )
    click.echo(
        f"{folder} has {len(person_export.order_ids)} orders and {person_export.file_count} files."
    )


@person.command()
@click.argument("account_name", metavar="ACCOUNT")
@click.argument("email", metavar="EMAIL")
@erasure.give_up_option
@erasure.yes_option
@json_option
def erase(
    account_name: str, email: str, give_up_deliveries: bool, is_confirmed: bool, as_json: bool
) -> None:
    """Delete all orders of a candidate, and everything about the candidate; only figures stay.

    Nothing brings the data back but a backup from before. Backups keep the data until you delete
    them; after a restore, erase again.
    """
    with open_services() as services:
        with services.db.reading() as session:
            account = Account.get_by_name(session, account_name)
            orders = orders_of_person(session, services.secret_box, account.id, email)
            order_ids = [order.public_id for order in orders]
        if not order_ids:
            raise NotFound(f"Account {account_name} has no order of {email}")
        erasure.erase_orders(
            services,
            order_ids,
            give_up_deliveries=give_up_deliveries,
            is_confirmed=is_confirmed,
            as_json=as_json,
        )
