"""`provider copy-instance`, `backup`, `restore` and `media prune`."""

import os
import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import click

from provider import config, maintenance
from provider.cli.common import INSTANCE, json_option, open_services, print_json, record_command
from provider.cli.progress import progress_bar
from provider.clock import Clock
from provider.core.audit import Action
from provider.errors import Invalid
from provider.maintenance import TableChecksums


@click.command("copy-instance")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option(
    "--files-from", metavar="URL", help="Where the files are.  [default: PROVIDER_MEDIA_URL]"
)
@click.option(
    "--files-to",
    metavar="URL",
    help="Where to copy the files; without it only the database is copied.",
)
@json_option
def copy_instance(
    source: str, target: str, files_from: str | None, files_to: str | None, as_json: bool
) -> None:
    """Copy a whole instance into an empty database; run it again after an interruption.

    FROM and TO look like PROVIDER_DATABASE_URL. A password that they leave out comes from
    PGPASSWORD or ~/.pgpass, as with PostgreSQL's own tools. A dash reads an address from stdin, one
    line for each, so that no list of processes shows a password. FROM stays unchanged.
    """
    source, target = (_read_if_dash(address) for address in (source, target))
    if files_from and not files_to:
        raise Invalid("--files-from needs --files-to")
    files = None
    if files_to:
        source_media_url = files_from or config.load_settings().media_url
        files = maintenance.open_media(source_media_url), maintenance.open_media(files_to)
    started = time.monotonic()
    with (
        closing(maintenance.open_database(source)) as source_db,
        closing(maintenance.open_database(target)) as target_db,
        progress_bar() as report_progress,
    ):
        report = maintenance.copy_instance(source_db, target_db, report_progress, files=files)
        # In the copy only: FROM stays unchanged.
        origin = {"from": config.mask_passwords(source)}
        with target_db.writing() as session:
            record_command(session, _now(), Action.INSTANCE_COPIED, INSTANCE, after=origin)
    _print_summary(
        report.tables,
        len(report.files.stored_files),
        report.files.problems,
        time.monotonic() - started,
        as_json=as_json,
    )
    click.echo(
        "Set PROVIDER_DATABASE_URL (and PROVIDER_MEDIA_URL) to the copy and keep the same "
        "PROVIDER_SECRET_KEY. Do not serve the old instance again: it would send the waiting "
        "deliveries a second time.",
        err=True,
    )


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--without-key", is_flag=True, help="Leave secret.key out; `restore` then needs it from you."
)
@json_option
def backup(folder: Path, without_key: bool, as_json: bool) -> None:
    """Create FOLDER, a backup of the database and all files, while the server runs."""
    started = time.monotonic()
    with open_services() as services, progress_bar() as report_progress:
        manifest = maintenance.create_backup(
            services.db,
            services.media,
            services.settings,
            folder.absolute(),
            services.now(),
            report_progress,
            with_key=not without_key,
        )
        with services.db.writing() as session:
            record_command(
                session,
                services.now(),
                Action.INSTANCE_BACKED_UP,
                INSTANCE,
                after={"folder": str(folder.absolute())},
            )
    _print_summary(
        manifest.tables,
        len(manifest.files),
        manifest.problems,
        time.monotonic() - started,
        as_json=as_json,
    )
    if "secret.key" in manifest.files:
        click.echo(
            "The backup contains the key that decrypts it (secret.key): store the backup where "
            "nobody else can read it.",
            err=True,
        )
    else:
        click.echo(
            "The backup does not contain the key (PROVIDER_SECRET_KEY or secret.key) and cannot be "
            "decrypted without it: store the key in another place.",
            err=True,
        )


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@json_option
def restore(folder: Path, as_json: bool) -> None:
    """Restore a backup into the configured instance, which must be empty."""
    started = time.monotonic()
    if not os.environ.get("PROVIDER_SECRET_KEY"):
        # Before the settings are loaded: that would create another key.
        maintenance.restore_key(
            folder.absolute(), Path(os.environ.get("PROVIDER_INSTANCE") or "instance").absolute()
        )
    with progress_bar() as report_progress:
        manifest = maintenance.restore_backup(
            folder.absolute(), config.load_settings(), report_progress
        )
    with open_services() as services, services.db.writing() as session:
        record_command(
            session,
            services.now(),
            Action.INSTANCE_RESTORED,
            INSTANCE,
            after={"folder": str(folder.absolute()), "backup_created_at": manifest.created_at},
        )
    _print_summary(
        manifest.tables,
        len(manifest.files),
        manifest.problems,
        time.monotonic() - started,
        as_json=as_json,
    )


@click.group()
def media() -> None:
    """Recordings and their poster images."""


@media.command()
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing.")
@json_option
def prune(dry_run: bool, as_json: bool) -> None:
    """Delete media files that no recording refers to and that are older than a day."""
    with open_services() as services, progress_bar() as report_progress:
        unreferenced = maintenance.find_unreferenced_files(
            services.db, services.media, services.now()
        )
        if unreferenced and not dry_run:
            with services.db.writing() as session:  # before the first file is gone
                record_command(
                    session,
                    services.now(),
                    Action.MEDIA_PRUNED,
                    INSTANCE,
                    after={"files": len(unreferenced)},
                )
        for number, (key, _) in enumerate(() if dry_run else unreferenced, 1):
            services.media.delete(key)
            report_progress("Deleting files", number, len(unreferenced))
    file_count, byte_count = len(unreferenced), sum(size for _, size in unreferenced)
    if as_json:
        print_json({"files": file_count, "bytes": byte_count, "deleted": not dry_run})
    else:
        files = "1 unreferenced file" if file_count == 1 else f"{file_count:,} unreferenced files"
        verb = "Would delete" if dry_run else "Deleted"
        click.echo(f"{verb} {files}, {byte_count:,} bytes.")


def _read_if_dash(address: str) -> str:
    return sys.stdin.readline().strip() if address == "-" else address


def _now() -> datetime:
    """Return the time where no services are open."""
    clock = click.get_current_context().find_object(Clock) or Clock()
    return clock.now()


def _print_summary(
    tables: TableChecksums,
    file_count: int,
    file_problems: dict[str, str],
    seconds: float,
    *,
    as_json: bool,
) -> None:
    """Print the numbers of rows and files, and on stderr each file that is not copied."""
    row_count = sum(table.rows for table in tables.values())
    if as_json:
        checksums = {
            name: {"rows": table.rows, "sha256": table.sha256} for name, table in tables.items()
        }
        print_json(
            {
                "rows": row_count,
                "files": file_count,
                "problems": file_problems,
                "seconds": round(seconds, 1),
                "tables": checksums,
            }
        )
    else:
        click.echo(
            f"{row_count:,} rows in {len(tables)} tables and {file_count:,} files, checked, "
            f"in {seconds:.1f} s."
        )
    for key, problem in file_problems.items():
        click.echo(f"Warning: {key} {problem}", err=True)
