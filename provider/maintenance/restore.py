"""From a backup to an instance that works."""

import os
import shutil
from contextlib import closing
from pathlib import Path

from provider.config import Settings
from provider.errors import Conflict
from provider.maintenance import schema_version
from provider.maintenance.atomic_folder import atomic_folder
from provider.maintenance.exclusive_access import exclusive
from provider.maintenance.manifest import (
    DATABASE_FILE,
    EMAIL_FOLDER,
    KEY_FILE,
    MEDIA_FOLDER,
    Manifest,
    read_manifest,
    require_keys,
    verify_files,
)
from provider.maintenance.media_copy import copy_file, list_media_references
from provider.maintenance.table_copy import ProgressCallback, copy_all_rows, prepare_target
from provider.storage.database import Database
from provider.storage.fsync import fsync_path, make_folder
from provider.storage.media import MediaStore


def restore_backup(folder: Path, settings: Settings, report_progress: ProgressCallback) -> Manifest:
    """Put a backup into an empty instance; one that broke off goes on where it stopped.

    Conflict when the instance holds anything, or the backup is not what it was.
    """
    manifest = read_manifest(folder)
    require_keys(manifest, settings.secret_keys, folder)
    verify_files(folder, manifest, report_progress)
    make_folder(settings.instance)
    with closing(Database(settings.database_url)) as target, exclusive(target):
        prepare_target(target)
        _restore_files(folder, manifest, settings, report_progress)
        with atomic_folder(settings.instance / "restore") as scratch:
            restore_rows(folder, manifest, target, scratch, report_progress)
    return manifest


def restore_key(folder: Path, instance: Path) -> None:
    """Put a backup's key into an instance folder that has none, to be there when it is read."""
    if not (folder / KEY_FILE).is_file() or (instance / KEY_FILE).exists():
        return
    make_folder(instance)
    draft = instance / f".{KEY_FILE}.{os.getpid()}"
    draft.touch(mode=0o600)
    shutil.copyfile(folder / KEY_FILE, draft)
    fsync_path(draft)
    draft.rename(instance / KEY_FILE)
    fsync_path(instance)


def restore_rows(
    folder: Path,
    manifest: Manifest,
    target: Database,
    temporary_folder: Path,
    report_progress: ProgressCallback,
) -> None:
    """Fill a database that was begun with a backup's rows; Conflict when they are not the same."""
    # A copy, for an old one has to be upgraded, and the backup stays as it is.
    shutil.copyfile(folder / DATABASE_FILE, temporary_folder / DATABASE_FILE)
    with closing(Database(f"sqlite:///{temporary_folder / DATABASE_FILE}")) as source:
        schema_version.upgrade(source)
        with source.reading() as session:
            known = {*manifest.files_in(MEDIA_FOLDER), *manifest.amiss}
            lost = [
                each.key
                for each in list_media_references(session)
                if each.is_required and each.key not in known
            ]
            if lost:
                raise Conflict(f"The backup lacks files that its rows name: {', '.join(lost[:3])}")
            # An upgrade changes rows: of an old backup the list tells the files alone.
            same = manifest.version == schema_version.head()
            copy_all_rows(
                session, target, report_progress, expected=manifest.tables if same else None
            )


def _restore_files(
    folder: Path, manifest: Manifest, settings: Settings, report_progress: ProgressCallback
) -> None:
    if keys := manifest.files_in(MEDIA_FOLDER):
        kept, media = MediaStore(f"file:{folder / MEDIA_FOLDER}"), MediaStore(settings.media_url)
        for number, key in enumerate(keys, 1):
            copy_file(key, kept, media, manifest.files[f"{MEDIA_FOLDER}/{key}"])
            report_progress("Copying files", number, len(keys))
    for letter in manifest.files_in(EMAIL_FOLDER):
        _restore_email(folder / EMAIL_FOLDER / letter, settings.instance / EMAIL_FOLDER)


def _restore_email(email_file: Path, folder: Path) -> None:
    make_folder(folder)
    draft = folder / f".{email_file.name}"
    draft.touch(mode=0o600)
    shutil.copyfile(email_file, draft)
    fsync_path(draft)
    draft.rename(folder / email_file.name)
    fsync_path(folder)
