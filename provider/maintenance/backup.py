"""Create a backup while a server runs, and verify it by a trial restore."""

import shutil
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from provider.config import Settings
from provider.errors import Conflict, Invalid
from provider.maintenance import schema_version
from provider.maintenance.atomic_folder import atomic_folder, move_into_place
from provider.maintenance.manifest import (
    DATABASE_FILE,
    EMAIL_FOLDER,
    FORMAT_VERSION,
    KEY_FILE,
    MEDIA_FOLDER,
    Manifest,
    inspect_file,
    key_signatures,
    verify_files,
)
from provider.maintenance.media_copy import copy_files, list_media_references
from provider.maintenance.media_lock import copying_files
from provider.maintenance.restore import restore_rows
from provider.maintenance.table_copy import (
    ProgressCallback,
    TableChecksums,
    copy_all_rows,
    prepare_target,
)
from provider.storage.database import Database, translate_errors
from provider.storage.media import MediaStore
from provider.storage.sqlite import sqlite_library


def create_backup(
    db: Database,
    media: MediaStore,
    settings: Settings,
    folder: Path,
    now: datetime,
    report_progress: ProgressCallback,
    *,
    with_key: bool = True,
) -> Manifest:
    """Create a backup of everything that was committed before the call; a server may run.

    Without the key nobody can read what is encrypted in the backup. The folder appears only after a
    successful trial restore. Conflict if `folder` exists, or while files are encrypted anew.
    """
    if not folder.parent.is_dir():
        raise Invalid(f"There is no folder {folder.parent}: create it first")
    if folder.exists():
        raise Conflict(f"{folder} exists already: choose another name for the backup")
    with atomic_folder(folder) as temporary:
        with copying_files(db):
            manifest = _collect_backup(
                db, media, settings, temporary, now, report_progress, with_key=with_key
            )
        manifest.write(temporary)
        _verify_restorable(temporary, manifest, report_progress)
        move_into_place(temporary, folder)
    return manifest


def _collect_backup(
    db: Database,
    media: MediaStore,
    settings: Settings,
    target_folder: Path,
    now: datetime,
    report_progress: ProgressCallback,
    *,
    with_key: bool,
) -> Manifest:
    # Rows first: a file is stored before its row, so every file of these rows exists.
    checksums = _copy_rows(db, target_folder / DATABASE_FILE, report_progress)
    with _open_sqlite(target_folder / DATABASE_FILE) as copy, copy.reading() as session:
        copied = copy_files(
            list(list_media_references(session)),
            media,
            MediaStore(f"file:{target_folder / MEDIA_FOLDER}"),
            report_progress,
        )
    _disable_wal(target_folder / DATABASE_FILE)
    files = {f"{MEDIA_FOLDER}/{key}": file for key, file in copied.stored_files.items()}
    for path in (
        DATABASE_FILE,
        *_copy_emails(settings, target_folder),
        *(_copy_key(settings, target_folder) if with_key else ()),
    ):
        files[path] = inspect_file(target_folder / path)
    return Manifest(
        format_version=FORMAT_VERSION,
        created_at=now.isoformat(),
        program_version=version("provider"),
        database_version=schema_version.head(),
        tables=checksums,
        files=files,
        problems=copied.problems,
        key_signatures=key_signatures(settings.secret_keys),
    )


def _copy_rows(db: Database, path: Path, report_progress: ProgressCallback) -> TableChecksums:
    with _open_sqlite(path) as target:
        prepare_target(target)
        with db.reading() as session:
            return copy_all_rows(session, target, report_progress)


def _copy_emails(settings: Settings, target_folder: Path) -> Iterator[str]:
    """Copy the stored e-mails; yield their paths. A name with a dot is an unfinished file."""
    for email_file in sorted((settings.instance / EMAIL_FOLDER).glob("[!.]*.eml")):
        (target_folder / EMAIL_FOLDER).mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(email_file, target_folder / EMAIL_FOLDER / email_file.name)
        yield f"{EMAIL_FOLDER}/{email_file.name}"


def _copy_key(settings: Settings, target_folder: Path) -> Iterator[str]:
    """Copy the key file if its key is in use; yield its path."""
    key_file = settings.instance / KEY_FILE
    if (
        key_file.is_file()
        and urlsafe_b64decode(key_file.read_text("ascii")) in settings.secret_keys
    ):
        (target_folder / KEY_FILE).touch(mode=0o600)
        shutil.copyfile(key_file, target_folder / KEY_FILE)
        yield KEY_FILE


def _verify_restorable(
    backup_folder: Path, manifest: Manifest, report_progress: ProgressCallback
) -> None:
    verify_files(backup_folder, manifest, report_progress)
    with (
        atomic_folder(backup_folder / "trial") as trial,
        _open_sqlite(trial / "restored.db") as target,
    ):
        prepare_target(target)
        restore_rows(backup_folder, manifest, target, trial, report_progress)
        target.close()


@contextmanager
def _open_sqlite(path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{path}")) as db:
        yield db


def _disable_wal(path: Path) -> None:
    """Make a database a single file, which can be read from a read-only folder."""
    library, _ = sqlite_library()
    with translate_errors(), closing(library.connect(str(path))) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
