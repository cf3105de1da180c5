"""`provider copy-instance`, `backup`, `restore` and `media prune`: an instance as a whole."""

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from provider import config, maintenance
from provider.cli.common import json_option, open_services, print_json
from provider.errors import Invalid
from provider.maintenance import ProgressCallback, TableChecksums
from provider.storage.database import Database
from provider.storage.media import MediaStore

DATABASE_URL_PREFIXES = ("sqlite:///", "postgresql+psycopg://")


@click.command("copy-instance")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--files-from", metavar="URL", help="Where the files are.  [default: the setting]")
@click.option("--files-to", metavar="URL", help="Where the files go; else they stay.")
@json_option
def copy_instance(
    source: str, target: str, files_from: str | None, files_to: str | None, as_json: bool
) -> None:
    """Copy a whole instance into an empty database; run it again if it broke off.

    FROM and TO are addresses as in PROVIDER_DATABASE_URL; what they leave out (a password) comes
    from where PostgreSQL's own tools take it. FROM stays as it is.
    """
    if files_from and not files_to:
        raise Invalid("--files-from needs --files-to")
    files = None
    if files_to:
        files = MediaStore(files_from or config.load_settings().media_url), MediaStore(files_to)
    began = time.monotonic()
    with (
        closing(_open_database(source)) as here,
        closing(_open_database(target)) as there,
        _progress_bar() as tell,
    ):
        moved = maintenance.copy_instance(here, there, tell, files=files)
    seconds = time.monotonic() - began
    _print_summary(
        moved.tables, len(moved.files.stored_files), moved.files.problems, seconds, as_json=as_json
    )
    click.echo(
        "Set PROVIDER_DATABASE_URL (and PROVIDER_MEDIA_URL) to the new place and keep the same "
        "PROVIDER_SECRET_KEY. Serve the old one no more: it would send what waits a second time.",
        err=True,
    )


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@json_option
def backup(folder: Path, as_json: bool) -> None:
    """Make FOLDER, a backup of the database and all files, while the server works."""
    began = time.monotonic()
    with open_services() as services, _progress_bar() as tell:
        made = maintenance.create_backup(
            services.db, services.media, services.settings, folder.absolute(), services.now(), tell
        )
    _print_summary(
        made.tables, len(made.files), made.amiss, time.monotonic() - began, as_json=as_json
    )
    if "secret.key" in made.files:
        click.echo(
            "The key that opens it is in it (secret.key): keep it where nobody else can read.",
            err=True,
        )
    else:
        click.echo(
            "PROVIDER_SECRET_KEY is not in it, and it is worth nothing without: keep that too.",
            err=True,
        )


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@json_option
def restore(folder: Path, as_json: bool) -> None:
    """Put a backup into the instance of the settings, which must be empty."""
    began = time.monotonic()
    if not os.environ.get("PROVIDER_SECRET_KEY"):
        maintenance.restore_key(
            folder.absolute(), Path(os.environ.get("PROVIDER_INSTANCE") or "instance").absolute()
        )
    with _progress_bar() as tell:
        made = maintenance.restore_backup(folder.absolute(), config.load_settings(), tell)
    _print_summary(
        made.tables, len(made.files), made.amiss, time.monotonic() - began, as_json=as_json
    )


@click.group()
def media() -> None:
    """Recordings and their posters."""


@media.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@json_option
def prune(dry_run: bool, as_json: bool) -> None:
    """Delete recordings' files that nothing names, a day after a crash left them."""
    with open_services() as services, _progress_bar() as tell:
        found = maintenance.find_unreferenced_files(services.db, services.media, services.now())
        for number, (key, _) in enumerate(() if dry_run else found, 1):
            services.media.delete(key)
            tell("Deleting files", number, len(found))
    files, size = len(found), sum(size for _, size in found)
    if as_json:
        print_json({"files": files, "bytes": size, "deleted": not dry_run})
    else:
        what = "1 file" if files == 1 else f"{files:,} files"
        done = "Would delete" if dry_run else "Deleted"
        click.echo(f"{done} {what} that nothing names, {size:,} bytes.")


def _open_database(url: str) -> Database:
    try:
        if url.startswith(DATABASE_URL_PREFIXES) and make_url(url).database:
            return Database(url)
    except (ArgumentError, ValueError):
        pass
    raise Invalid(
        f"“{url}” is no address of a database, such as sqlite:////srv/provider/provider.db or "
        "postgresql+psycopg://user@host/name"
    )


@contextmanager
def _progress_bar() -> Iterator[ProgressCallback]:
    """Show on a terminal how far it is."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("")

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield tell


def _print_summary(
    tables: TableChecksums,
    files: int,
    file_problems: dict[str, str],
    seconds: float,
    *,
    as_json: bool,
) -> None:
    """Report what was taken along, and on stderr what was not."""
    rows = sum(each.rows for each in tables.values())
    if as_json:
        sums = {name: {"rows": each.rows, "sha256": each.sha256} for name, each in tables.items()}
        print_json(
            {
                "rows": rows,
                "files": files,
                "amiss": file_problems,
                "seconds": round(seconds, 1),
                "tables": sums,
            }
        )
    else:
        what = f"{rows:,} rows in {len(tables)} tables and {files:,} files"
        click.echo(f"{what}, checked, in {seconds:.1f} s.")
    for key, what in file_problems.items():
        click.echo(f"Warning: {key} {what}", err=True)
