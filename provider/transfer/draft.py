"""A folder on its way: nobody sees it before it is whole, and nothing of it stays when it fails."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provider.disk import sync
from provider.errors import Conflict

SUFFIX = ".provider-draft"


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Make a folder beside `path`, for its owner alone; it is deleted unless it gets its name.

    What killed programs left there is deleted too.
    """
    for old in path.parent.glob(f".*{SUFFIX}"):
        _delete(old)
    draft = path.with_name(f".{path.name}{SUFFIX}")
    try:
        draft.mkdir(mode=0o700)
    except FileExistsError:
        raise Conflict(f"Another program is making {path}") from None
    held = _hold(draft)
    try:
        yield draft
    finally:
        if draft.exists():
            shutil.rmtree(draft)
        if held is not None:
            os.close(held)


def name(draft: Path, path: Path) -> None:
    """Give a draft its name; all that is in it is on the disk by then."""
    for folder, _, files in os.walk(draft, topdown=False):
        for each in files:
            sync(Path(folder) / each)
        sync(Path(folder))
    draft.rename(path)
    sync(path.parent)


def _delete(old: Path) -> None:
    held = _hold(old)
    if held is not None:
        shutil.rmtree(old)
        os.close(held)


def _hold(folder: Path) -> int | None:
    """Lock a folder until the number is closed or this program ends; None: another has it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened
