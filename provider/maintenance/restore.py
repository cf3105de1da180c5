"""Restore a backup into an empty instance."""

import os
import shutil
from contextlib import closing
from pathlib import Path

from provider.config import Settings
from provider.core.connections import forget_tokens
from provider.errors import Conflict, Invalid
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
from provider.storage.secrets import SecretBox


def restore_backup(folder: Path, settings: Settings, report_progress: ProgressCallback) -> Manifest:
    """Restore a backup into an empty instance, or continue an interrupted restore.

    Conflict if the instance is not empty or the backup is damaged.
    """
    manifest = read_manifest(folder)
    require_keys(manifest, settings.secret_keys, folder)
    verify_files(folder, manifest, report_progress)
    make_folder(settings.instance)
    with (
        closing(Database(settings.with_direct_database().database_url)) as target,
        exclusive(target),
    ):
        prepare_target(target)
        _restore_files(folder, manifest, settings, report_progress)
        with atomic_folder(settings.instance / "restore") as temporary:
            secret_box = SecretBox(settings.secret_keys)
            restore_rows(folder, manifest, target, temporary, report_progress, secret_box)
    return manifest


def restore_key(folder: Path, instance: Path) -> None:
    """Copy a backup's key into an instance folder without a key; call it before `load_settings`.

    Invalid if neither of the two folders has a key.
    """
    if (instance / KEY_FILE).exists():
        return
    if not (folder / KEY_FILE).is_file():
        read_manifest(folder)  # says so if the folder is no backup
        raise Invalid(
            "The backup does not contain its key: set PROVIDER_SECRET_KEY to the key, or copy "
            f"{KEY_FILE} to {instance / KEY_FILE}, then restore again"
        )
    make_folder(instance)
    temporary = instance / f".{KEY_FILE}.{os.getpid()}"
    temporary.touch(mode=0o600)
    shutil.copyfile(folder / KEY_FILE, temporary)
    fsync_path(temporary)
    temporary.rename(instance / KEY_FILE)
    fsync_path(instance)


def restore_rows(
    folder: Path,
    manifest: Manifest,
    target: Database,
    temporary_folder: Path,
    report_progress: ProgressCallback,
    secret_box: SecretBox | None = None,
) -> None:
    """Copy a backup's rows into a prepared target; Conflict if they differ from the manifest.

    A backup of an older version needs `secret_box`: see `schema_version.upgrade`.
    """
    # An old backup is upgraded first; the upgrade must not change the backup itself.
    shutil.copyfile(folder / DATABASE_FILE, temporary_folder / DATABASE_FILE)
    with closing(Database(f"sqlite:///{temporary_folder / DATABASE_FILE}")) as source:
        schema_version.upgrade(source, secret_box=secret_box)
        with source.reading() as session:
            known = {*manifest.files_in(MEDIA_FOLDER), *manifest.problems}
            missing = [
                reference.key
                for reference in list_media_references(session)
                if reference.is_required and reference.key not in known
            ]
            if missing:
                raise Conflict(
                    f"The backup lacks files that its rows name: {', '.join(missing[:3])}"
                )
            # An upgrade changes rows, so the checksums hold only for the same version.
            is_current = manifest.database_version == schema_version.head()
            copy_all_rows(
                session,
                target,
                report_progress,
                expected=manifest.tables if is_current else None,
                finish=forget_tokens,
            )


def _restore_files(
    folder: Path, manifest: Manifest, settings: Settings, report_progress: ProgressCallback
) -> None:
    if keys := manifest.files_in(MEDIA_FOLDER):
        source = MediaStore(f"file:{folder / MEDIA_FOLDER}")
        media = MediaStore(settings.media_url)
        for number, key in enumerate(keys, 1):
            copy_file(key, source, media, manifest.files[f"{MEDIA_FOLDER}/{key}"])
            report_progress("Copying files", number, len(keys))
    for name in manifest.files_in(EMAIL_FOLDER):
        _restore_email(folder / EMAIL_FOLDER / name, settings.instance / EMAIL_FOLDER)


def _restore_email(email_file: Path, folder: Path) -> None:
    make_folder(folder)
    temporary = folder / f".{email_file.name}"
    temporary.touch(mode=0o600)
    shutil.copyfile(email_file, temporary)
    fsync_path(temporary)
    temporary.rename(folder / email_file.name)
    fsync_path(folder)
