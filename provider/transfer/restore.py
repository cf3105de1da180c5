"""From a backup to an instance that works."""

import os
import shutil
from contextlib import closing
from pathlib import Path

from provider import schema
from provider.config import Settings
from provider.db import Database
from provider.disk import make_folder, sync
from provider.errors import Conflict
from provider.media import Media
from provider.transfer.alone import alone
from provider.transfer.draft import drafted
from provider.transfer.files import copy_one, named
from provider.transfer.manifest import (
    DATABASE,
    KEY,
    LETTERS,
    MEDIA,
    Manifest,
    check_files,
    read,
    require_keys,
)
from provider.transfer.tables import Tell, begin, fill


def restore(folder: Path, settings: Settings, tell: Tell) -> Manifest:
    """Put a backup into an empty instance; one that broke off goes on where it stopped.

    Conflict when the instance holds anything, or the backup is not what it was.
    """
    manifest = read(folder)
    require_keys(manifest, settings.secret_keys, folder)
    check_files(folder, manifest, tell)
    make_folder(settings.instance)
    with closing(Database(settings.database_url)) as target, alone(target):
        begin(target)
        _put_files(folder, manifest, settings, tell)
        with drafted(settings.instance / "restore") as scratch:
            restore_rows(folder, manifest, target, scratch, tell)
    return manifest


def put_key(folder: Path, instance: Path) -> None:
    """Put a backup's key into an instance folder that has none, to be there when it is read."""
    if not (folder / KEY).is_file() or (instance / KEY).exists():
        return
    make_folder(instance)
    draft = instance / f".{KEY}.{os.getpid()}"
    draft.touch(mode=0o600)
    shutil.copyfile(folder / KEY, draft)
    sync(draft)
    draft.rename(instance / KEY)
    sync(instance)


def restore_rows(
    folder: Path, manifest: Manifest, target: Database, scratch: Path, tell: Tell
) -> None:
    """Fill a database that was begun with a backup's rows; Conflict when they are not the same."""
    # A copy, for an old one has to be upgraded, and the backup stays as it is.
    shutil.copyfile(folder / DATABASE, scratch / DATABASE)
    with closing(Database(f"sqlite:///{scratch / DATABASE}")) as source:
        schema.upgrade(source)
        with source.reading() as session:
            known = {*manifest.of(MEDIA), *manifest.amiss}
            lost = [each.key for each in named(session) if each.needed and each.key not in known]
            if lost:
                raise Conflict(f"The backup lacks files that its rows name: {', '.join(lost[:3])}")
            # An upgrade changes rows: of an old backup the list tells the files alone.
            same = manifest.version == schema.head()
            fill(session, target, tell, expected=manifest.tables if same else None)


def _put_files(folder: Path, manifest: Manifest, settings: Settings, tell: Tell) -> None:
    if keys := manifest.of(MEDIA):
        kept, media = Media(f"file:{folder / MEDIA}"), Media(settings.media_url)
        for number, key in enumerate(keys, 1):
            copy_one(key, kept, media, manifest.files[f"{MEDIA}/{key}"])
            tell("Copying files", number, len(keys))
    for letter in manifest.of(LETTERS):
        _put_letter(folder / LETTERS / letter, settings.instance / LETTERS)


def _put_letter(letter: Path, folder: Path) -> None:
    make_folder(folder)
    draft = folder / f".{letter.name}"
    draft.touch(mode=0o600)
    shutil.copyfile(letter, draft)
    sync(draft)
    draft.rename(folder / letter.name)
    sync(folder)
