"""`provider worker`: a process that delivers on PostgreSQL."""

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
    help="Queues to deliver at the same time; a queue is an account's callbacks to one host, or "
    "its e-mails.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    help="Serve /metrics of this worker at this port, for PROVIDER_METRICS_TOKEN.",
)
@click.option("--metrics-host", default="127.0.0.1", show_default=True)
def worker(concurrency: int, metrics_port: int | None, metrics_host: str) -> None:
    """Deliver callbacks and e-mails on PostgreSQL; SIGTERM finishes running attempts and stops."""
    with open_services() as services:
        if services.db.is_sqlite:
            raise Invalid(
                "On SQLite `provider serve` delivers: run a worker only where "
                "PROVIDER_DATABASE_URL begins with postgresql+psycopg://"
            )
        services.db.require_direct_connection()
        if metrics_port:
            if not services.settings.metrics_token:
                raise Invalid("--metrics-port needs PROVIDER_METRICS_TOKEN: set it, or drop it")
            services.start_metrics_server(metrics_host, metrics_port)
        # Late: Procrastinate is in the optional extra `scale`.
        from provider import logging_config
        from provider.delivery.runners.worker import run_worker

        logging_config.configure()
        click.echo(f"provider {version('provider')} delivers. Press Ctrl-C to stop.", err=True)
        services.media.check_in_background()
        run_worker(services, concurrency)
