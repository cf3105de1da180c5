"""`provider init`, `serve`, `demo` and `config`."""

import os
import socket
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provider import config as settings_module
from provider.cli.common import json_option, open_services, print_records
from provider.errors import Conflict, Invalid

if TYPE_CHECKING:
    from provider.services import Services


@click.command()
def init() -> None:
    """Create the database, or upgrade it to this program's version."""
    from provider import maintenance  # late: `provider config` needs no database

    maintenance.initialise(settings_module.load_settings())
    click.echo("The database is ready.")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
def serve(host: str, port: int) -> None:
    """Start the web server; on SQLite it delivers too. Ctrl-C or SIGTERM stops it."""
    url_host = f"[{host}]" if ":" in host else host
    # A browser cannot open the address that means every interface.
    url_host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(url_host, url_host)  # noqa: S104
    os.environ.setdefault("PROVIDER_BASE_URL", f"http://{url_host}:{port}")
    from provider import app  # late: `provider config` needs no database

    with open_services(is_server=True) as services:
        lines = _startup_lines(services)
    with _bind_socket(host, port) as listener:
        click.echo("\n".join(lines), err=True)
        app.serve(listener)


@click.command()
@click.option("--auto", is_flag=True, help="Play the candidates too, check every result, and exit.")
@click.option(
    "--ats",
    type=click.Choice(["workable", "greenhouse", "pageup", "jobtrain"]),
    default="workable",
    show_default=True,
    help="The ATS to play.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the demo's data; emptied first.  [default: instance/demo]",
)
@click.option(
    "--show",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Open the folder of an earlier demo again, at the same addresses.",
)
def demo(auto: bool, ats: str, folder: Path | None, show: Path | None) -> None:
    """Play an ATS against a server of its own, and show what happens."""
    from provider.demo import run
    from provider.demo import show as show_demo

    if show:
        if auto or folder:
            raise click.UsageError("--show plays nothing: leave out --auto and --folder")
        raise SystemExit(show_demo(show.absolute()))
    default_folder = Path(os.environ.get("PROVIDER_INSTANCE") or "instance") / "demo"
    raise SystemExit(run((folder or default_folder).absolute(), auto=auto, ats=ats))


@click.command()
@json_option
def config(as_json: bool) -> None:
    """Print every setting with its source; secrets stay hidden."""
    records = [
        {
            "name": name,
            "value": value,
            "source": source,
            "about": settings_module.SETTINGS[name].about,
        }
        for name, value, source in settings_module.describe_settings()
    ]
    columns = {"Setting": "name", "Value": "value", "Source": "source"}
    print_records(records, columns, as_json=as_json)


def _startup_lines(services: "Services") -> list[str]:
    from sqlalchemy import select  # late: `provider config` needs no database

    from provider.core.staff import Staff

    lines = [
        f"provider {version('provider')} at {services.settings.base_url}",
        f"Console: {services.urls.console()}",
    ]
    with services.db.reading() as session:
        active_staff = select(Staff.id).where(Staff.disabled_at.is_(None)).limit(1)
        if session.scalar(active_staff) is None:
            lines.append(
                "Nobody can sign in to the console yet: run "
                "`provider staff create you@example.com --role owner`"
            )
    return [*lines, "Press Ctrl-C to stop."]


def _bind_socket(host: str, port: int) -> socket.socket:
    """Return a socket that does not listen yet; Conflict if another program has the port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise Invalid(f"--host {host} is not an address of this machine") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise Conflict(
            f"Cannot listen at {host} port {port} ({error.strerror}): choose another --port"
        ) from None
    return listener
