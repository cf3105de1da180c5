"""The `provider` command: everything that staff and machines do from a terminal."""

import click

from provider.cli import accounts, deliveries, orders, products, server, staff
from provider.cli.shell import Commands


@click.group(cls=Commands)
@click.version_option(package_name="provider", message="%(prog)s %(version)s")
def main() -> None:
    """Tests, video interviews and background checks inside an ATS."""


for command in (
    server.init, server.serve, server.demo, server.config, accounts.account, staff.staff,
    products.product, products.seed, orders.order, deliveries.delivery,
):  # fmt: skip
    main.add_command(command)
