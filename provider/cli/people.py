"""`provider person …`: erase everything about a candidate."""

import click

from provider.cli import erasure
from provider.cli.common import json_option, open_services
from provider.core.accounts import Account
from provider.core.orders import orders_of_person
from provider.errors import NotFound


@click.group()
def person() -> None:
    """Candidates, each known by an e-mail address within an account."""


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
