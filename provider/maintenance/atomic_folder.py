"""A folder on its way: nobody sees it before it is whole, and nothing of it stays when it fails."""

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
    """Make a folder beside `path`, for its owner alone; it is deleted unless it gets its name.

    What killed programs left there is deleted too.
    """
    for old in path.parent.glob(f".*{TEMPORARY_FOLDER_SUFFIX}"):
        _delete_abandoned(old)
    draft = path.with_name(f".{path.name}{TEMPORARY_FOLDER_SUFFIX}")
    try:
        draft.mkdir(mode=0o700)
    except FileExistsError:
        raise Conflict(f"Another program is making {path}") from None
    held = _try_lock(draft)
    try:
        yield draft
    finally:
        if draft.exists():
            shutil.rmtree(draft)
        if held is not None:
            os.close(held)


def move_into_place(temporary_folder: Path, path: Path) -> None:
    """Give a draft its name; all that is in it is on the disk by then."""
    for folder, _, files in os.walk(temporary_folder, topdown=False):
        for each in files:
            fsync_path(Path(folder) / each)
        fsync_path(Path(folder))
    temporary_folder.rename(path)
    fsync_path(path.parent)


def _delete_abandoned(folder: Path) -> None:
    held = _try_lock(folder)
    if held is not None:
        shutil.rmtree(folder)
        os.close(held)


def _try_lock(folder: Path) -> int | None:
    """Lock a folder until the number is closed or this program ends; None: another has it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened
