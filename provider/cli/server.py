"""`provider init`, `serve`, `demo` and `config`."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from provider import config as settings_module
from provider.cli.common import json_option, open_services, print_records
from provider.errors import Conflict, Invalid

STOP_TIMEOUT_SECONDS = (
    15  # seconds that a worker has to finish what it has in hand; a callback may take ten
)
REQUEST_THREADS = 16  # requests at once; most of a request's time is waiting for the disk


@click.command()
def init() -> None:
    """Create the database, or bring it to this program's version."""
    from provider.maintenance import schema_version  # late: `provider config` needs no database
    from provider.storage.database import Database

    settings = settings_module.load_settings()
    db = Database(settings.database_url)
    try:
        schema_version.upgrade(db)
    finally:
        db.close()
    if settings.media_url.startswith("s3:"):
        from provider.storage.media import MediaStore

        MediaStore(settings.media_url).check()
    click.echo("The database is ready.")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
def serve(host: str, port: int) -> None:
    """Serve everything, with the courier inside; Ctrl-C or SIGTERM stops it clean."""
    address = f"[{host}]" if ":" in host else host
    reached = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(address, address)  # noqa: S104
    os.environ.setdefault("PROVIDER_BASE_URL", f"http://{reached}:{port}")
    with open_services() as services:
        base = services.settings.base_url
    _require_free_port(host, port)
    click.echo(f"provider {version('provider')} at {base} (Ctrl-C stops)", err=True)
    _create_granian(host, port).serve(target_loader=_load_app, wrap_loader=False)


@click.command()
@click.option("--auto", is_flag=True, help="Play the candidate too, check everything, and end.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the demo keeps its data; emptied first.  [default: instance/demo]",
)
def demo(auto: bool, folder: Path | None) -> None:
    """Play an ATS against a server of its own, and show what happens."""
    from provider.demo import run

    usual = Path(os.environ.get("PROVIDER_INSTANCE") or "instance") / "demo"
    raise SystemExit(run((folder or usual).absolute(), auto=auto))


@click.command()
@json_option
def config(as_json: bool) -> None:
    """Print every setting with its source; secrets stay hidden."""
    told = [
        {"name": name, "value": value, "source": source, "about": settings_module.SETTINGS[name]}
        for name, value, source in settings_module.describe_settings()
    ]
    print_records(told, {"Setting": "name", "Value": "value", "Source": "source"}, as_json=as_json)


def _create_granian(host: str, port: int) -> Any:
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    # Forked, so that the worker has our modules loaded; its settings are those read here.
    multiprocessing.set_start_method("fork", force=True)
    return Granian(
        "provider.app:serve",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=REQUEST_THREADS,
        log_level=LogLevels.error,
        log_access=False,  # paths hold tokens
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_TIMEOUT_SECONDS,
    )


def _load_app() -> Callable[..., Any]:
    from provider.app import serve

    return serve()


def _require_free_port(host: str, port: int) -> None:
    """Refuse a port where somebody listens: the server itself would share it silently."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise Invalid(f"--host {host} is not an address of this machine") from None
    except OSError as error:
        raise Conflict(
            f"Cannot listen at {host} port {port} ({error.strerror}): choose another --port"
        ) from None
