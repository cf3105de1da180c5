"""Making a backup while a server works, and trying it out."""

import shutil
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from provider import schema
from provider.config import Settings
from provider.db import Database, said_plainly
from provider.errors import Conflict, Invalid
from provider.media import Media
from provider.sqlite import sqlite_library
from provider.transfer.draft import drafted, name
from provider.transfer.files import copy, named
from provider.transfer.manifest import (
    DATABASE,
    FORM,
    KEY,
    LETTERS,
    MEDIA,
    Manifest,
    check_files,
    signatures,
    what_is,
)
from provider.transfer.restore import restore_rows
from provider.transfer.tables import Sums, Tell, begin, fill


def back_up(
    db: Database, media: Media, settings: Settings, folder: Path, at: datetime, tell: Tell
) -> Manifest:
    """Make a backup, whole or not at all, of all that was committed before; a server may work.

    It is restored on trial before it gets its name. Conflict when there is something of that name.
    """
    if not folder.parent.is_dir():
        raise Invalid(f"There is no folder {folder.parent} to make the backup in")
    if folder.exists():
        raise Conflict(f"{folder} is there already: give the backup a name of its own")
    with drafted(folder) as draft:
        manifest = _collect(db, media, settings, draft, at, tell)
        manifest.write(draft)
        _try_out(draft, manifest, tell)
        name(draft, folder)
    return manifest


def _collect(
    db: Database, media: Media, settings: Settings, draft: Path, at: datetime, tell: Tell
) -> Manifest:
    # First the rows, then the files that they name: a file is there before its row.
    sums = _rows(db, draft / DATABASE, tell)
    with _opened(draft / DATABASE) as kept, kept.reading() as session:
        copied = copy(list(named(session)), media, Media(f"file:{draft / MEDIA}"), tell)
    _make_one_file(draft / DATABASE)
    files = {f"{MEDIA}/{key}": each for key, each in copied.kept.items()}
    for path in (DATABASE, *_letters(settings, draft), *_key(settings, draft)):
        files[path] = what_is(draft / path)
    return Manifest(
        form=FORM,
        made_at=at.isoformat(),
        program=version("provider"),
        version=schema.head(),
        tables=sums,
        files=files,
        amiss=copied.amiss,
        keys=signatures(settings.secret_keys),
    )


def _rows(db: Database, path: Path, tell: Tell) -> Sums:
    with _opened(path) as target:
        begin(target)
        with db.reading() as session:
            return fill(session, target, tell)


def _letters(settings: Settings, draft: Path) -> Iterator[str]:
    """Copy the kept letters and name them; each was written whole."""
    for letter in sorted((settings.instance / "mail").glob("[!.]*.eml")):
        (draft / LETTERS).mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(letter, draft / LETTERS / letter.name)
        yield f"{LETTERS}/{letter.name}"


def _key(settings: Settings, draft: Path) -> Iterator[str]:
    """Copy the key where it is one that the instance folder keeps."""
    kept = settings.instance / KEY
    if kept.is_file() and urlsafe_b64decode(kept.read_text("ascii")) in settings.secret_keys:
        (draft / KEY).touch(mode=0o600)
        shutil.copyfile(kept, draft / KEY)
        yield KEY


def _try_out(draft: Path, manifest: Manifest, tell: Tell) -> None:
    check_files(draft, manifest, tell)
    with drafted(draft / "trial") as trial, _opened(trial / "restored.db") as target:
        begin(target)
        restore_rows(draft, manifest, target, trial, tell)
        target.close()


@contextmanager
def _opened(path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{path}")) as db:
        yield db


def _make_one_file(path: Path) -> None:
    """Let a database be one file, which may be read where nothing may be written."""
    library, _ = sqlite_library()
    with said_plainly(), closing(library.connect(str(path))) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
