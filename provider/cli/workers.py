"""`provider worker`."""

from importlib.metadata import version

import click

from provider.cli.common import open_services
from provider.errors import Invalid


@click.command()
@click.option(
    "--concurrency",
    default=16,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="How many lanes (an account's callbacks to one host, its letters) it works in at once.",
)
def worker(concurrency: int) -> None:
    """Deliver what servers on PostgreSQL write, beside other workers; SIGTERM stops it clean."""
    with open_services() as services:
        if services.db.is_sqlite:
            raise Invalid(
                "On SQLite `provider serve` delivers by itself: workers are for a "
                "PROVIDER_DATABASE_URL that begins with postgresql+psycopg://"
            )
        from provider import logging_config
        from provider.delivery.runners.worker import DeliveryWorker
        from provider.metrics.flusher import MetricsFlusher

        logging_config.configure()
        click.echo(f"provider {version('provider')} delivers (Ctrl-C stops)", err=True)
        services.media.check_in_background()
        bookkeeper = MetricsFlusher(services.ledger, services.clock).start()
        try:
            DeliveryWorker(services, concurrency).run()
        finally:
            bookkeeper.stop()
