"""`provider worker`."""

from importlib.metadata import version

import click

from provider.cli.shell import opened
from provider.errors import Invalid


@click.command()
@click.option(
    "--lanes", default=16, show_default=True, type=click.IntRange(1, 1000),
    help="How many lanes (an account's callbacks to one host, its letters) it works in at once.",
)  # fmt: skip
def worker(lanes: int) -> None:
    """Deliver what servers on PostgreSQL write, beside other workers; SIGTERM stops it clean."""
    with opened() as house:
        if house.db.sqlite:
            raise Invalid(
                "On SQLite `provider serve` delivers by itself: workers are for a "
                "PROVIDER_DATABASE_URL that begins with postgresql+psycopg://"
            )
        from provider import logs
        from provider.courier.bookkeeper import Bookkeeper
        from provider.courier.worker import LaneWorker

        logs.configure()
        click.echo(f"provider {version('provider')} delivers (Ctrl-C stops)", err=True)
        house.media.check_beside()
        bookkeeper = Bookkeeper(house).start()
        try:
            LaneWorker(house, lanes).run()
        finally:
            bookkeeper.stop()
