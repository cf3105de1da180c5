"""Shared by the commands that erase: their options, the question, and the certificate."""

from collections.abc import Sequence

import click

from provider import maintenance
from provider.cli.common import command_actor, format_cell, print_json
from provider.core.orders import Order
from provider.errors import Conflict
from provider.services import Services

give_up_option = click.option(
    "--give-up-deliveries", is_flag=True, help="Erase although the ATS has not got every message."
)
yes_option = click.option("--yes", "is_confirmed", is_flag=True, help="Do not ask.")


def erase_orders(
    services: Services,
    order_ids: Sequence[str],
    *,
    give_up_deliveries: bool,
    is_confirmed: bool,
    as_json: bool,
) -> None:
    """Erase orders, and print what was deleted. If one cannot be erased, none is."""
    with services.db.reading() as session:
        for order_id in order_ids:
            try:
                maintenance.require_erasable(
                    session,
                    Order.find(session, order_id),
                    services.now(),
                    give_up_deliveries=give_up_deliveries,
                )
            except maintenance.NotErasable as error:
                raise Conflict(f"{error} ({error.hint})" if error.hint else str(error)) from error
    if not is_confirmed:
        noun = "order" if len(order_ids) == 1 else "orders"
        click.confirm(
            f"Delete {len(order_ids)} {noun} with all answers, recordings and results?",
            abort=True,
            err=True,
        )
    erasures = [
        maintenance.erase_order(
            services.db,
            services.media,
            services.secret_box,
            order_id,
            actor=command_actor(),
            now=services.now(),
            give_up_deliveries=give_up_deliveries,
        )
        for order_id in order_ids
    ]
    certificate = {
        "erased_at": services.now(),
        "orders": [vars(erasure) for erasure in erasures],
        "rows": sum(sum(erasure.rows.values()) for erasure in erasures),
        "files": sum(erasure.files for erasure in erasures),
    }
    if as_json:
        print_json(certificate)
        return
    for erasure in erasures:
        tables = ", ".join(f"{count} {table}" for table, count in erasure.rows.items())
        click.echo(f"{erasure.order}  {erasure.kind}, {erasure.status}: {tables}")
    click.echo(
        f"Erased at {format_cell(certificate['erased_at'])}: {certificate['rows']} rows and "
        f"{certificate['files']} files. Backups from before still have the data."
    )
