"""A folder that appears under its name only when it is complete.

It is filled under a temporary name, and deleted if that fails.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provider.errors import Conflict
from provider.storage.fsync import fsync_path

TEMPORARY_FOLDER_SUFFIX = ".provider-draft"


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Create a temporary folder (mode 0700) beside `path`; see `move_into_place`.

    It is deleted at the end unless it was moved. Temporary folders of killed programs are deleted
    first. Conflict if another program is filling one for the same path.
    """
    for abandoned in path.parent.glob(f".*{TEMPORARY_FOLDER_SUFFIX}"):
        _delete_abandoned(abandoned)
    temporary = path.with_name(f".{path.name}{TEMPORARY_FOLDER_SUFFIX}")
    try:
        temporary.mkdir(mode=0o700)
    except FileExistsError:
        raise Conflict(f"Another program is creating {path}: wait until it ends") from None
    lock = _try_lock(temporary)
    try:
        yield temporary
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
        if lock is not None:
            os.close(lock)


def move_into_place(temporary_folder: Path, path: Path) -> None:
    """Sync everything in a temporary folder to the disk, then rename the folder."""
    for folder, _, files in os.walk(temporary_folder, topdown=False):
        for name in files:
            fsync_path(Path(folder) / name)
        fsync_path(Path(folder))
    temporary_folder.rename(path)
    fsync_path(path.parent)


def _delete_abandoned(folder: Path) -> None:
    lock = _try_lock(folder)
    if lock is not None:
        shutil.rmtree(folder)
        os.close(lock)


def _try_lock(folder: Path) -> int | None:
    """Lock a folder until the returned descriptor is closed; None: another program has the lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
